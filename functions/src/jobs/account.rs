//! The jobs of retailer accounts: whatever signs in somewhere. One account has one job at a time.
//!
//! The queue sees to that; a lease holds where a message comes back while its worker still runs.

use std::time::Duration;

use jiff::Timestamp;
use spelter::{
    accounts::{AccountRef, Owner},
    aftersale::{AfterSale, Next, PATIENCE, Stage},
    aws::{
        AwsError,
        accounts::Accounts,
        backlogs::Backlogs,
        bundles::Bundles,
        labels::Labels,
        leases::{Acquired, Lease, Leases},
        queue::{JobMessage, Jobs, Ticket},
        refunds::Refunds,
        transaction::Write,
        vault::Vault,
    },
    cancellations::{self, Cancellation},
    clock::{self, Clock},
    error::{BoxError, Refusal, chain},
    fields,
    guards::Guard,
    id::{OrderId, RequestId},
    orders::{Event, Order, bundling::Bundle, purchase::Purchase, reconcile::CLOCK_SKEW},
    retailers::{Connector, StepError},
    returns::{self, Return},
    sqs::{Job, Outcome, Received},
};
use url::Url;

use crate::{
    aftersale::{Kind, progress::AfterSaleProgress},
    orders::progress::{Progress, ProgressError},
};

/// What this function may touch.
pub struct AccountWorker<C> {
    /// The orders.
    pub progress: Progress,
    /// Orders that are bought together.
    pub bundles: Bundles,
    /// Whose logins are used.
    pub accounts: Accounts,
    /// Who holds an account.
    pub leases: Leases,
    /// What is to be cancelled.
    pub cancellations: AfterSaleProgress<cancellations::Status>,
    /// What goes back.
    pub returns: AfterSaleProgress<returns::Status>,
    /// What is given back of balances.
    pub refunds: Refunds,
    /// Where labels are kept.
    pub labels: Labels,
    /// Where they can be fetched: the API's own address.
    pub api_url: Url,
    /// Opens secrets.
    pub vault: Vault,
    /// Where a job leaves when it is done.
    pub backlogs: Backlogs,
    /// Where a message goes back to.
    pub jobs: Jobs,
    /// How long is waited for a mailed code.
    pub code_wait: Duration,
    /// Where is bought.
    pub shop: C,
    /// The time.
    pub now: Clock,
}

/// Waits before another attempt double from here.
pub(super) const FIRST_RETRY: Duration = Duration::from_secs(5);

/// For so long a retailer that does not answer keeps the account's other jobs waiting for one after the sale.
const BLOCKS_FOR: Duration = Duration::from_mins(1);

/// Why a job stops.
pub(super) enum Stop {
    /// It cannot be done.
    Refused(Refusal),
    /// Something is down: begin again later.
    Unavailable(BoxError),
    /// It is too early: nothing is wrong.
    Later(Duration),
    /// It waits for a mailed code, and the message has gone back until then.
    Parked,
    /// Another worker has it.
    Lost,
}

/// The account's turn.
pub(super) struct Turn {
    pub(super) lease: Lease,
    /// Whose turn it is.
    pub(super) request: RequestId,
    /// Gives its message back.
    pub(super) receipt_handle: String,
    /// When this invocation is over.
    pub(super) deadline: Timestamp,
    /// How often its message was received.
    pub(super) receive_count: u32,
}

/// What is to be done.
enum Work {
    Place(Box<Order>),
    PlaceBundle(Box<Bundle>),
    Track(Box<Order>),
    Cancel(Box<Cancellation>, Box<Order>),
    Return(Box<Return>, Box<Order>),
}

impl Work {
    fn account(&self) -> &AccountRef {
        match self {
            Self::Place(order) | Self::Track(order) => &order.account,
            Self::Cancel(cancellation, _) => &cancellation.account,
            Self::Return(request, _) => &request.account,
            Self::PlaceBundle(bundle) => &bundle.account,
        }
    }

    fn owner(&self) -> &Owner {
        match self {
            Self::Place(order) | Self::Track(order) => &order.owner,
            Self::Cancel(cancellation, _) => &cancellation.owner,
            Self::Return(request, _) => &request.owner,
            Self::PlaceBundle(bundle) => &bundle.owner,
        }
    }

    /// Under which request the account is locked; for a bundle, its first order.
    fn request(&self) -> Option<RequestId> {
        match self {
            Self::Place(order) | Self::Track(order) => Some(order.id.request()),
            Self::Cancel(cancellation, _) => Some(cancellation.id.request()),
            Self::Return(request, _) => Some(request.id.request()),
            Self::PlaceBundle(bundle) => {
                bundle.members.first().map(|member| member.order.request())
            }
        }
    }
}

impl<C: Connector> Job for AccountWorker<C> {
    type Message = Ticket;

    async fn run(&self, received: Received<Ticket>) -> Result<Outcome, BoxError> {
        let ticket = received.message.clone();
        let outcome = self.take_turn(received).await?;
        if outcome == Outcome::Done {
            self.backlogs.leave(&ticket, (self.now)()).await;
        }
        Ok(outcome)
    }

    async fn postpone(&self, receipt_handle: &str, wait: Duration) -> Result<(), BoxError> {
        Ok(self.jobs.return_after(receipt_handle, wait).await?)
    }
}

impl<C: Connector> AccountWorker<C> {
    async fn take_turn(&self, received: Received<Ticket>) -> Result<Outcome, BoxError> {
        let Received { message, deadline, receipt_handle, receive_count } = received;
        let Some(work) = self.find(message).await? else {
            // A second delivery of finished work is normal.
            return Ok(Outcome::Done);
        };
        let Some(request) = work.request() else { return Ok(Outcome::Done) };
        let now = (self.now)();
        // The worker cannot act after its deadline, so neither must it hold the account.
        let until = clock::after(deadline, CLOCK_SKEW);
        match self.leases.acquire(work.account(), &request, work.owner(), now, until).await? {
            Acquired::Busy(until) => {
                Ok(Outcome::Later(clock::until(until, now) + Duration::from_secs(1)))
            }
            Acquired::Held(lease) => {
                let turn = Turn { lease: *lease, request, receipt_handle, deadline, receive_count };
                let outcome = match turn.totp_wait(now) {
                    Some(wait) => Ok(Outcome::Later(wait)),
                    None => self.work(work, &turn).await,
                };
                if !matches!(outcome, Ok(Outcome::Parked)) {
                    self.release(&turn).await;
                }
                outcome
            }
        }
    }
}

impl Turn {
    /// Whether this job was waiting for a mailed code before this turn.
    pub(super) fn goes_on(&self) -> bool {
        let job = self.lease.challenge.as_ref().and_then(|challenge| challenge.job.as_ref());
        job == Some(&self.request)
    }

    /// How long the account has no TOTP code left: the one of this step was used, and a retailer takes none twice. A job
    /// that waited for a mailed code has used its own.
    fn totp_wait(&self, now: Timestamp) -> Option<Duration> {
        let fresh_at = self.lease.fresh_totp_at.filter(|fresh_at| *fresh_at > now)?;
        (!self.goes_on()).then(|| clock::until(fresh_at, now))
    }
}

impl<C: Connector> AccountWorker<C> {
    async fn release(&self, turn: &Turn) {
        if let Err(error) = self.leases.release(&turn.lease).await {
            let error = chain(&error);
            tracing::warn!(error, "a lease was not released and will run out");
        }
    }

    /// What a message asks for, unless it is done.
    async fn find(&self, ticket: Ticket) -> Result<Option<Work>, BoxError> {
        match ticket.job {
            JobMessage::PlaceOrder { owner, order } => {
                let order = self.order(&owner, &order).await?;
                if order.is_aborted() {
                    self.leases.abandon(&order.account, &order.id.request()).await?;
                }
                if order.status.is_final() {
                    return Ok(None);
                }
                Ok(Some(Work::Place(Box::new(order))))
            }
            JobMessage::PlaceBundle { owner, bundle } => Ok(self
                .bundles
                .get(&owner, &bundle)
                .await?
                .map(|bundle| Work::PlaceBundle(Box::new(bundle)))),
            JobMessage::CancelOrder { owner, cancellation: id } => {
                let found = self.cancellations.requests.get(&owner, &id).await?;
                let found = found.ok_or_else(|| format!("no cancellation {id}"))?;
                if found.stage.is_final() {
                    return Ok(None);
                }
                let order = self.order(&owner, &found.order).await?;
                Ok(Some(Work::Cancel(Box::new(found), Box::new(order))))
            }
            JobMessage::StartReturn { owner, return_id: id } => {
                let found = self.returns.requests.get(&owner, &id).await?;
                let found = found.ok_or_else(|| format!("no return {id}"))?;
                if found.stage.next((self.now)()) == Next::Nothing {
                    return Ok(None);
                }
                let order = self.order(&owner, &found.order).await?;
                Ok(Some(Work::Return(Box::new(found), Box::new(order))))
            }
            JobMessage::TrackOrder { owner, order } => {
                // The order does not say whether it was just asked after, and each visit of a retailer is one too many.
                if !self.backlogs.holds(&ticket.account, &ticket.place).await? {
                    return Ok(None);
                }
                Ok(Some(Work::Track(Box::new(self.order(&owner, &order).await?))))
            }
        }
    }

    async fn work(&self, work: Work, turn: &Turn) -> Result<Outcome, BoxError> {
        match work {
            Work::Place(order) => self.place(*order, turn).await,
            Work::PlaceBundle(bundle) => self.place_bundle(*bundle, turn).await,
            Work::Track(order) => self.track(*order, turn).await,
            Work::Cancel(cancellation, order) => self.cancel(*cancellation, *order, turn).await,
            Work::Return(request, order) => self.return_goods(*request, *order, turn).await,
        }
    }

    pub(super) async fn order(&self, owner: &Owner, id: &OrderId) -> Result<Order, BoxError> {
        let order = self.progress.orders.get(owner, id).await?;
        order.ok_or_else(|| format!("no order {id}").into())
    }

    /// The retailer, as long as this turn lasts. A worker that was frozen may come back when the account is in other hands,
    /// and must not touch it then.
    pub(super) fn shop(&self, turn: &Turn) -> Result<&C, Stop> {
        let is_in_time = (self.now)() < turn.deadline || !Guard::Turn.stands();
        if is_in_time { Ok(&self.shop) } else { Err(Stop::Lost) }
    }

    /// For a transaction: the account is still ours.
    pub(super) fn held(&self, turn: &Turn) -> Result<Write, AwsError> {
        self.leases.still_held(&turn.lease)
    }

    /// Writes the last event of an order, also if the sweeper has given it another job meanwhile: what the retailer has
    /// answered is known to nobody else.
    pub(super) async fn end(
        &self,
        order: Order,
        event: Event,
        turn: &Turn,
    ) -> Result<Outcome, BoxError> {
        let (owner, id, status) = (order.owner.clone(), order.id.clone(), order.status.clone());
        let mut written = self.progress.advance(order, event.clone(), Some(self.held(turn)?)).await;
        if let Err(ProgressError::Lost) = written {
            let order = self.order(&owner, &id).await?;
            if order.status == status {
                written = self.progress.advance(order, event, Some(self.held(turn)?)).await;
            }
        }
        match written {
            Ok(order) => {
                tracing::info!(order.id = %id, state = order.status.as_str(), "{id} ended");
                Ok(Outcome::Done)
            }
            Err(ProgressError::Lost) => Ok(Outcome::Later(FIRST_RETRY)),
            Err(error) => Err(error.into()),
        }
    }

    /// What becomes of a cancellation or a return that stopped: a refusal ends it. A retailer that does not answer is
    /// asked again soon, then whenever the sweeper finds it, and in the end no more.
    pub(super) async fn stopped<K: Kind>(
        &self,
        progress: &AfterSaleProgress<K>,
        request: AfterSale<K>,
        stop: Stop,
        turn: &Turn,
    ) -> Result<Outcome, BoxError> {
        let event = match stop {
            Stop::Refused(refusal) => K::refused(refusal),
            Stop::Lost => return Ok(Outcome::Later(FIRST_RETRY)),
            Stop::Later(wait) => return Ok(Outcome::Later(wait)),
            Stop::Parked => return Ok(Outcome::Parked),
            Stop::Unavailable(error) => {
                let waited = clock::until((self.now)(), request.created_at);
                let (id, error) = (&request.id, chain(&*error));
                tracing::warn!(request.id = %id, error, "{id} stopped after {waited:?}");
                match request.stage.given_up() {
                    Some(event) if waited > PATIENCE => event,
                    // Its account is not to wait longer for it.
                    Some(_) if waited < BLOCKS_FOR => {
                        return Ok(Outcome::Later(waited.max(FIRST_RETRY)));
                    }
                    Some(_) | None => return Ok(Outcome::Done),
                }
            }
        };
        settle(progress.advance(request, event, vec![self.held(turn)?]).await)
    }
}

/// What becomes of the message once a change was to be written.
pub(super) fn settle<T>(written: Result<T, ProgressError>) -> Result<Outcome, BoxError> {
    match written {
        Ok(_) => Ok(Outcome::Done),
        Err(ProgressError::Lost) => Ok(Outcome::Later(FIRST_RETRY)),
        Err(error) => Err(error.into()),
    }
}

/// The order's own request, read by the rules it was accepted by.
pub(super) fn purchase(order: &Order) -> Result<Purchase, Stop> {
    let request = fields::without_blanks(order.request.clone());
    fields::read(request)
        .map_err(|_| Stop::Unavailable("a stored request does not read back".into()))
}

impl Stop {
    /// As the cause of something else.
    pub(super) fn into_error(self) -> BoxError {
        match self {
            Self::Refused(refusal) => refusal.message.into(),
            Self::Unavailable(error) => error,
            Self::Later(wait) => format!("it is too early by {wait:?}").into(),
            Self::Parked => "it waits for a mailed code".into(),
            Self::Lost => "another worker has it".into(),
        }
    }
}

impl From<StepError> for Stop {
    fn from(error: StepError) -> Self {
        match error {
            StepError::Refused(refusal) => Self::Refused(refusal),
            StepError::Unavailable(error) => Self::Unavailable(error),
        }
    }
}

impl From<AwsError> for Stop {
    fn from(error: AwsError) -> Self {
        match error {
            AwsError::Conflict => Self::Lost,
            AwsError::Call(..) | AwsError::Corrupt(..) => Self::Unavailable(error.into()),
        }
    }
}

impl From<ProgressError> for Stop {
    fn from(error: ProgressError) -> Self {
        match error {
            ProgressError::Lost => Self::Lost,
            ProgressError::Illegal(_) | ProgressError::OutOfTurn(_) | ProgressError::Storage(_) => {
                Self::Unavailable(error.into())
            }
        }
    }
}
