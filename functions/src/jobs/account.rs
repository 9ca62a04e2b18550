//! The jobs of retailer accounts: whatever signs in somewhere. One account has one job at a time.
//!
//! The queue sees to that; a lease holds where a message comes back while its worker still runs.

use std::time::Duration;

use jiff::Timestamp;
use spelter::{
    accounts::{
        AccountRef, Owner,
        credentials::{Login, Secrets},
    },
    aftersale::{AfterSale, Next, PATIENCE, Stage},
    aws::{
        AwsError,
        accounts::{self, Accounts},
        bundles::Bundles,
        labels::Labels,
        leases::{Acquired, Lease, Leases},
        orders::secrets_context,
        queue::{JobMessage, Jobs},
        refunds::Refunds,
        transaction::Write,
        vault::Vault,
    },
    cancellations::{self, Cancellation},
    clock::{self, Clock},
    error::{BoxError, Code, Refusal, chain},
    fields,
    id::{OrderId, RequestId},
    orders::{
        Event, LoginSource, Order, bundling::Bundle, purchase::Purchase, reconcile::CLOCK_SKEW,
    },
    retailers::{Card, Connector, StepError},
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
    /// Where a message goes back to.
    pub jobs: Jobs,
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
    /// Another worker has it.
    Lost,
}

/// The account's turn.
pub(super) struct Turn {
    pub(super) lease: Lease,
    /// When this invocation is over.
    pub(super) deadline: Timestamp,
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
    type Message = JobMessage;

    async fn run(&self, received: Received<JobMessage>) -> Result<Outcome, BoxError> {
        let Some(work) = self.find(received.message).await? else {
            // A second delivery of finished work is normal.
            return Ok(Outcome::Done);
        };
        let Some(request) = work.request() else { return Ok(Outcome::Done) };
        let now = (self.now)();
        // The worker cannot act after its deadline, so neither must it hold the account.
        let until = clock::after(received.deadline, CLOCK_SKEW);
        match self.leases.acquire(work.account(), &request, work.owner(), now, until).await? {
            Acquired::Busy(until) => {
                Ok(Outcome::Later(clock::until(until, now) + Duration::from_secs(1)))
            }
            Acquired::Held(lease) => {
                let turn = Turn { lease, deadline: received.deadline };
                let outcome = self.work(work, &turn).await;
                if let Err(error) = self.leases.release(&turn.lease).await {
                    let error = chain(&error);
                    tracing::warn!(error, "a lease was not released and will run out");
                }
                outcome
            }
        }
    }

    async fn postpone(&self, receipt_handle: &str, wait: Duration) -> Result<(), BoxError> {
        Ok(self.jobs.return_after(receipt_handle, wait).await?)
    }
}

impl<C: Connector> AccountWorker<C> {
    /// What a message asks for, unless it is done.
    async fn find(&self, message: JobMessage) -> Result<Option<Work>, BoxError> {
        match message {
            JobMessage::PlaceOrder { owner, order } => {
                let order = self.order(&owner, &order).await?;
                Ok((!order.status.is_final()).then(|| Work::Place(Box::new(order))))
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

    /// For a transaction: the account is still ours.
    pub(super) fn held(&self, turn: &Turn) -> Result<Write, AwsError> {
        self.leases.still_held(&turn.lease)
    }

    /// Writes the last event of an order.
    pub(super) async fn end(
        &self,
        order: Order,
        event: Event,
        turn: &Turn,
    ) -> Result<Outcome, BoxError> {
        let id = order.id.clone();
        match self.progress.advance(order, event, Some(self.held(turn)?)).await {
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

    /// Signs in with the account of `order`.
    pub(super) async fn sign_in(&self, order: &Order) -> Result<C::Session, Stop> {
        Ok(self.sign_in_with_card(order).await?.0)
    }

    /// The same, with the card that pays, if it is one of the order's own.
    pub(super) async fn sign_in_with_card(
        &self,
        order: &Order,
    ) -> Result<(C::Session, Option<Card>), Stop> {
        let own = self.own_secrets(order).await?;
        let card = own.card.clone();
        let login = self.login(order, own).await?;
        let session = self.shop.sign_in(&login, order.retailer, (self.now)()).await?;
        Ok((session, card))
    }

    /// The login that signs in.
    async fn login(&self, order: &Order, own: Secrets) -> Result<Login, Stop> {
        let (email, secrets) = match &order.login {
            LoginSource::Order => (order.email.clone(), own),
            LoginSource::Account { owner, id } => {
                let found = self.accounts.get(owner, id).await?;
                let (account, sealed) =
                    found.ok_or_else(|| no_login("The managed account was deleted."))?;
                if AccountRef::new(order.site, &account.email_hash) != order.account {
                    // Another retailer account by now, with a lock and a history of its own.
                    return Err(no_login("The managed account has another e-mail now."));
                }
                let sealed =
                    sealed.ok_or_else(|| no_login("The managed account has no password."))?;
                let context = accounts::secrets_context(owner, id);
                (account.email, self.vault.open_secrets(&context, &sealed).await?)
            }
        };
        secrets.login(email).ok_or_else(|| no_login("The account has no password."))
    }

    /// The secrets that came with the order: with its card, as long as there is one, else by themselves.
    async fn own_secrets(&self, order: &Order) -> Result<Secrets, Stop> {
        let (purpose, sealed) = if order.has_card {
            let sealed = self.progress.cards.get(&order.id).await?;
            // Another way of paying is not what was asked for.
            ("card", Some(sealed.ok_or_else(card_is_gone)?))
        } else {
            ("order", order.secrets.clone())
        };
        let Some(sealed) = sealed else { return Ok(Secrets::default()) };
        let context = secrets_context(&order.owner, &order.id, purpose);
        Ok(self.vault.open_secrets(&context, &sealed).await?)
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

fn card_is_gone() -> Stop {
    let text = "The card that came with the order is not kept any more. Order again with the card.";
    Stop::Refused(Refusal::new(Code::PaymentInfoProblem).saying(text))
}

fn no_login(text: &str) -> Stop {
    Stop::Refused(Refusal::new(Code::AccountLoginFailed).saying(text))
}

impl Stop {
    /// As the cause of something else.
    pub(super) fn into_error(self) -> BoxError {
        match self {
            Self::Refused(refusal) => refusal.message.into(),
            Self::Unavailable(error) => error,
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
        Self::Unavailable(error.into())
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
