//! Buys what an order asks for, or finds out whether it was bought.
//!
//! A message may come twice, late, or after a worker died half-way. Before the marker, the purchase simply starts
//! afresh with an emptied cart. Once the marker is written "buy" is never pressed again: from there a worker only
//! reads the retailer's own history.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;
use spelter::{
    accounts::credentials::{Login, Secrets},
    aws::{
        AwsError,
        accounts::{self, Accounts},
        leases::{Acquired, Lease, Leases},
        orders::secrets_context,
        queue::{JobMessage, Jobs},
        vault::Vault,
    },
    clock::{self, Clock},
    error::{BoxError, Code, MoneyMoved, Refusal, chain},
    fields,
    orders::{
        Attempt, Event, LoginSource, Marker, Order, Placement, Status, Step,
        purchase::Purchase,
        reconcile::{self, CLOCK_SKEW, Verdict},
        selection, shipping,
    },
    retailers::{Card, CartLine, Checkout, Connector, Review, StepError, SubmitError},
    sqs::{Job, Outcome, Received},
};

use crate::orders::progress::{Progress, ProgressError};

/// What this function may touch.
pub struct PlaceOrder<C> {
    /// The orders.
    pub progress: Progress,
    /// Whose logins are used.
    pub accounts: Accounts,
    /// Who holds an account.
    pub leases: Leases,
    /// Opens secrets.
    pub vault: Vault,
    /// Where a message goes back to.
    pub jobs: Jobs,
    /// Where is bought.
    pub shop: C,
    /// The time.
    pub now: Clock,
}

/// Purchases that fail for no fault of the order are begun this often.
const MAX_ATTEMPTS: u32 = 5;
/// Waits before another attempt double from here.
const FIRST_RETRY: Duration = Duration::from_secs(5);
/// Before pressing "buy", at least this much of the invocation must be left for the retailer's answer.
const MIN_SUBMIT_TIME: Duration = Duration::from_secs(3);
/// What the answer may not use up, for writing down what it was.
const WRITE_TIME: Duration = Duration::from_secs(1);
/// After this the history is asked for an order that got no answer.
const FIRST_LOOK: Duration = Duration::from_secs(2);

/// Why a purchase ends before "buy" was pressed.
enum Stop {
    /// The order cannot be bought as it is.
    Refused(Refusal),
    /// Something is down: begin again later.
    Unavailable(BoxError),
    /// Another worker has it.
    Lost,
}

impl<C: Connector> Job for PlaceOrder<C> {
    type Message = JobMessage;

    async fn run(&self, received: Received<JobMessage>) -> Result<Outcome, BoxError> {
        let JobMessage::PlaceOrder { owner, order: id } = received.message;
        let Some(order) = self.progress.orders.get(&owner, &id).await? else {
            return Err(format!("no order {id}").into());
        };
        if order.status.is_final() {
            // A second delivery of finished work is normal.
            return Ok(Outcome::Done);
        }
        let now = (self.now)();
        // The worker cannot act after its deadline, so neither must it hold the account.
        let until = clock::after(received.deadline, CLOCK_SKEW);
        match self.leases.acquire(&order.account, &order.id, &order.owner, now, until).await? {
            Acquired::Busy(until) => {
                Ok(Outcome::Later(clock::until(until, now) + Duration::from_secs(1)))
            }
            Acquired::Held(lease) => {
                let outcome = self.work(order, &lease, received.deadline).await;
                if let Err(error) = self.leases.release(&lease).await {
                    tracing::warn!(
                        error = chain(&error),
                        "a lease was not released and will run out"
                    );
                }
                outcome
            }
        }
    }

    async fn postpone(&self, receipt_handle: &str, wait: Duration) -> Result<(), BoxError> {
        Ok(self.jobs.return_after(receipt_handle, wait).await?)
    }
}

impl<C: Connector> PlaceOrder<C> {
    async fn work(
        &self,
        order: Order,
        lease: &Lease,
        deadline: Timestamp,
    ) -> Result<Outcome, BoxError> {
        match order.status.clone() {
            Status::Queued | Status::Working(_) => self.attempt(order, lease, deadline).await,
            Status::Submitting(marker) => self.reconcile(order, &marker, lease).await,
            Status::Placed(_) | Status::Failed(_) | Status::ProbablyPlaced(_) => Ok(Outcome::Done),
        }
    }

    async fn attempt(
        &self,
        order: Order,
        lease: &Lease,
        deadline: Timestamp,
    ) -> Result<Outcome, BoxError> {
        let number = order.status.next_attempt();
        if number > MAX_ATTEMPTS {
            let text = format!(
                "The retailer could not be reached in {MAX_ATTEMPTS} attempts. Nothing was bought."
            );
            let refusal = Refusal::new(Code::InternalError).saying(text);
            return self.end(order, Event::Refuse(refusal), lease).await;
        }
        let start = Event::Start(Attempt { number, fence: lease.fence, step: Step::Started });
        let order = match self.advance(order, start, lease).await {
            Ok(order) => order,
            Err(stop) => return self.stopped(None, stop, lease, number).await,
        };
        let (order, ready) = self.prepare(order, lease, deadline).await;
        match ready {
            Ok(ready) => self.submit(order, ready, lease, deadline).await,
            Err(stop) => self.stopped(Some(order), stop, lease, number).await,
        }
    }

    async fn stopped(
        &self,
        order: Option<Order>,
        stop: Stop,
        lease: &Lease,
        attempt: u32,
    ) -> Result<Outcome, BoxError> {
        match (stop, order) {
            (Stop::Refused(refusal), Some(order)) => {
                self.end(order, Event::Refuse(refusal), lease).await
            }
            (Stop::Refused(_) | Stop::Lost, _) => Ok(Outcome::Later(FIRST_RETRY)),
            (Stop::Unavailable(error), _) => {
                let wait = FIRST_RETRY * 2_u32.saturating_pow(attempt.saturating_sub(1));
                tracing::warn!(
                    error = chain(&*error),
                    attempt,
                    "attempt {attempt} stopped; again in {wait:?}"
                );
                Ok(Outcome::Later(wait))
            }
        }
    }

    /// Everything up to the button. Returns the order as last written, whatever happened.
    async fn prepare(
        &self,
        mut order: Order,
        lease: &Lease,
        deadline: Timestamp,
    ) -> (Order, Result<(C::Session, Marker), Stop>) {
        let ready = self.prepare_on(&mut order, lease, deadline).await;
        (order, ready)
    }

    async fn prepare_on(
        &self,
        order: &mut Order,
        lease: &Lease,
        deadline: Timestamp,
    ) -> Result<(C::Session, Marker), Stop> {
        let purchase = purchase(order)?;
        let (login, card) = self.secrets(order).await?;
        let session = self.shop.sign_in(&login, (self.now)()).await?;
        *order = self.advance(order.clone(), Event::Reach(Step::SignedIn), lease).await?;

        let account_status = self.shop.account_status(&session).await?;
        let lines = self.choose_offers(&session, &purchase).await?;
        self.shop.fill_cart(&session, &lines).await?;
        *order = self.advance(order.clone(), Event::Reach(Step::CartFilled), lease).await?;

        let options = self.shop.shipping_options(&session, &purchase.shipping_address).await?;
        let option = shipping::choose(&options, purchase.shipping()).map_err(Stop::Refused)?;
        let checkout = Checkout {
            shipping_address: &purchase.shipping_address,
            billing_address: purchase.billing_address.as_ref(),
            shipping_option: &option.id,
            payment: &purchase.payment_method,
            card: card.as_ref(),
            is_gift: purchase.is_gift,
            gift_message: purchase.gift_message.as_deref(),
            promo_codes: &purchase.promo_codes,
        };
        let review = self.shop.review(&session, &checkout).await?;
        accept(&review, &purchase).map_err(Stop::Refused)?;

        let written_at = (self.now)();
        let since = written_at.checked_sub(CLOCK_SKEW * 2).unwrap_or(written_at);
        let known = self.shop.history(&session, since).await?;
        let marker = Marker {
            attempt: order.status.next_attempt().saturating_sub(1),
            fence: lease.fence,
            written_at,
            deadline,
            review,
            lines,
            zip_code: purchase.shipping_address.zip_code,
            known_orders: known.into_iter().map(|past| past.merchant_order_id).collect(),
            account_status,
        };
        Ok((session, marker))
    }

    async fn choose_offers(
        &self,
        session: &C::Session,
        purchase: &Purchase,
    ) -> Result<Vec<CartLine>, Stop> {
        let mut lines = Vec::new();
        for product in &purchase.products {
            let offers = self.shop.offers(session, &product.product_id).await?;
            let data = json!({"product_id": product.product_id});
            let offer = selection::choose(&offers, &product.seller_selection_criteria)
                .ok_or_else(|| Stop::Refused(Refusal::new(Code::ProductUnavailable).with(data)))?;
            if product.quantity > offer.max_quantity {
                let data = json!({
                    "product_id": product.product_id,
                    "quantity": product.quantity,
                    "max_quantity": offer.max_quantity,
                });
                return Err(Stop::Refused(Refusal::new(Code::MaxQuantityExceeded).with(data)));
            }
            lines.push(CartLine {
                product_id: product.product_id.clone(),
                offer_id: offer.offer_id.clone(),
                quantity: product.quantity,
            });
        }
        Ok(lines)
    }

    /// Writes the marker, then presses the button, once.
    async fn submit(
        &self,
        order: Order,
        (session, marker): (C::Session, Marker),
        lease: &Lease,
        deadline: Timestamp,
    ) -> Result<Outcome, BoxError> {
        let attempt = marker.attempt;
        if self.patience(deadline) < MIN_SUBMIT_TIME {
            let stop = Stop::Unavailable("too little time was left to submit".into());
            return self.stopped(Some(order), stop, lease, attempt).await;
        }
        let order = match self.advance(order, Event::Press(marker.clone()), lease).await {
            Ok(order) => order,
            Err(stop) => return self.stopped(None, stop, lease, attempt).await,
        };
        let patience = self.patience(deadline);
        let event = if patience.is_zero() {
            // Held up for so long that a purchase could fall after the deadline. Nothing was sent.
            Event::Refuse(not_placed())
        } else {
            match self.shop.submit(&session, &marker.review, patience).await {
                Ok(past) => Event::Confirm(placement(&marker, vec![past])),
                Err(SubmitError::Refused(refusal)) => refused_at_submit(refusal),
                Err(SubmitError::NotSent(error)) => {
                    tracing::warn!(order.id = %order.id, error = chain(&*error), "{} was not sent", order.id);
                    Event::Refuse(not_placed())
                }
                Err(SubmitError::Unconfirmed(error)) => {
                    tracing::warn!(order.id = %order.id, error = chain(&*error), "{} got no answer", order.id);
                    return Ok(Outcome::Later(FIRST_LOOK));
                }
            }
        };
        self.end(order, event, lease).await
    }

    /// What the retailer's answer may take.
    fn patience(&self, deadline: Timestamp) -> Duration {
        clock::until(deadline, (self.now)()).saturating_sub(WRITE_TIME)
    }

    /// Finds out what became of a press of the button.
    async fn reconcile(
        &self,
        order: Order,
        marker: &Marker,
        lease: &Lease,
    ) -> Result<Outcome, BoxError> {
        match self.look(&order, marker).await {
            Ok(Verdict::Placed(found)) => {
                self.end(order, Event::Confirm(placement(marker, found)), lease).await
            }
            Ok(Verdict::NotPlaced) => self.end(order, Event::Refuse(not_placed()), lease).await,
            Ok(Verdict::TooEarly(again)) => Ok(Outcome::Later(clock::until(again, (self.now)()))),
            Ok(Verdict::Ambiguous(found)) => {
                let ids: Vec<_> = found.into_iter().map(|past| past.merchant_order_id).collect();
                let data = json!({"candidates": ids, "look_at": order.email, "since": clock::v1_text(marker.written_at)});
                self.end(
                    order,
                    Event::GiveUp(Refusal::new(Code::OrderProbablyPlaced).with(data)),
                    lease,
                )
                .await
            }
            Err(error) => self.look_again(order, marker, lease, error).await,
        }
    }

    async fn look(&self, order: &Order, marker: &Marker) -> Result<Verdict, BoxError> {
        let (login, _) = self.secrets(order).await.map_err(into_error)?;
        let session = self.shop.sign_in(&login, (self.now)()).await?;
        let read_at = (self.now)();
        let since = marker.written_at.checked_sub(CLOCK_SKEW).unwrap_or(marker.written_at);
        let history = self.shop.history(&session, since).await?;
        let history = self.progress.orders.unclaimed(&order.account, history).await?;
        Ok(reconcile::judge(marker, &history, self.shop.history_lag(), read_at))
    }

    /// The history cannot be read now. Waits as long again as it waited already, and gives up in the end.
    async fn look_again(
        &self,
        order: Order,
        marker: &Marker,
        lease: &Lease,
        error: BoxError,
    ) -> Result<Outcome, BoxError> {
        let now = (self.now)();
        let waited = clock::until(now, marker.written_at);
        tracing::warn!(order.id = %order.id, error = chain(&*error), "the history for {} cannot be read", order.id);
        if waited < reconcile::PATIENCE {
            return Ok(Outcome::Later(waited.max(FIRST_LOOK)));
        }
        let data = json!({"look_at": order.email, "since": clock::v1_text(marker.written_at)});
        self.end(order, Event::GiveUp(Refusal::new(Code::OrderProbablyPlaced).with(data)), lease)
            .await
    }

    async fn end(&self, order: Order, event: Event, lease: &Lease) -> Result<Outcome, BoxError> {
        let id = order.id.clone();
        match self.progress.advance(order, event, Some((&self.leases, lease))).await {
            Ok(order) => {
                tracing::info!(order.id = %id, state = state(&order.status), "{id} ended");
                Ok(Outcome::Done)
            }
            Err(ProgressError::Lost) => Ok(Outcome::Later(FIRST_RETRY)),
            Err(error) => Err(error.into()),
        }
    }

    async fn advance(&self, order: Order, event: Event, lease: &Lease) -> Result<Order, Stop> {
        match self.progress.advance(order, event, Some((&self.leases, lease))).await {
            Ok(order) => Ok(order),
            Err(ProgressError::Lost) => Err(Stop::Lost),
            Err(error) => Err(Stop::Unavailable(error.into())),
        }
    }

    /// The login that signs in, and the card that pays.
    async fn secrets(&self, order: &Order) -> Result<(Login, Option<Card>), Stop> {
        let own = match &order.secrets {
            Some(sealed) => {
                self.open(&secrets_context(&order.owner, &order.id, "order"), sealed).await?
            }
            None => Secrets::default(),
        };
        let number = own.card_number.clone();
        let (email, secrets) = match &order.login {
            LoginSource::Order => (order.email.clone(), own),
            LoginSource::Account { owner, id } => {
                let found = self.accounts.get(owner, id).await?;
                let (account, sealed) =
                    found.ok_or_else(|| no_login("The managed account was deleted."))?;
                let sealed =
                    sealed.ok_or_else(|| no_login("The managed account has no password."))?;
                (account.email, self.open(&accounts::secrets_context(owner, id), &sealed).await?)
            }
        };
        let login = secrets.login(email).ok_or_else(|| no_login("The account has no password."))?;
        Ok((login, self.card(order, number).await?))
    }

    async fn card(
        &self,
        order: &Order,
        number: Option<secrecy::SecretString>,
    ) -> Result<Option<Card>, Stop> {
        let Some(number) = number else {
            return Ok(None);
        };
        let Some(sealed) = self.progress.card_codes.get(&order.id).await? else {
            return Err(Stop::Refused(Refusal::new(Code::InvalidSecurityCode)));
        };
        let context = secrets_context(&order.owner, &order.id, "card_code");
        let code = self.vault.open(&context, &sealed).await?;
        let code = String::from_utf8(code).map_err(|error| Stop::Unavailable(error.into()))?;
        Ok(Some(Card { number, security_code: code.into() }))
    }

    async fn open(
        &self,
        context: &spelter::aws::vault::Context,
        sealed: &spelter::sealed::Sealed,
    ) -> Result<Secrets, Stop> {
        let bytes = self.vault.open(context, sealed).await?;
        Secrets::from_bytes(&bytes).map_err(|error| Stop::Unavailable(error.into()))
    }
}

/// The order's own request, read by the rules it was accepted by.
fn purchase(order: &Order) -> Result<Purchase, Stop> {
    let request = fields::without_blanks(order.request.clone());
    fields::read(request)
        .map_err(|_| Stop::Unavailable("a stored request does not read back".into()))
}

/// Whether the final figures are what the client agreed to.
fn accept(review: &Review, purchase: &Purchase) -> Result<(), Refusal> {
    if !review.rejected_promo_codes.is_empty() && !purchase.ignore_invalid_promo_code {
        let data = json!({"promo_codes": review.rejected_promo_codes});
        return Err(Refusal::new(Code::InvalidPromoCode).with(data));
    }
    match purchase.limit() {
        Some(limit) if review.total > limit => {
            let data = json!({
                "max_price": limit,
                "price_components": {
                    "subtotal": review.subtotal,
                    "shipping": review.shipping,
                    "tax": review.tax,
                    "total": review.total,
                },
            });
            Err(Refusal::new(Code::MaxPriceExceeded).with(data))
        }
        Some(_) | None => Ok(()),
    }
}

fn placement(marker: &Marker, merchant_orders: Vec<spelter::retailers::PastOrder>) -> Placement {
    Placement {
        review: marker.review.clone(),
        merchant_orders,
        account_status: marker.account_status.clone(),
    }
}

/// Most words of a retailer say that nothing was bought; a few leave it open.
fn refused_at_submit(refusal: Refusal) -> Event {
    match refusal.code.row().money_moved {
        MoneyMoved::No => Event::Refuse(refusal),
        MoneyMoved::Yes | MoneyMoved::Unknown => Event::GiveUp(refusal),
    }
}

fn not_placed() -> Refusal {
    Refusal::new(Code::InternalError)
        .saying("The order was not placed, and nothing was bought. It is safe to order again.")
        .with(json!({"placed": false}))
}

fn no_login(text: &str) -> Stop {
    Stop::Refused(Refusal::new(Code::AccountLoginFailed).saying(text))
}

fn state(status: &Status) -> &'static str {
    match status {
        Status::Queued => "queued",
        Status::Working(_) => "working",
        Status::Submitting(_) => "submitting",
        Status::Placed(_) => "placed",
        Status::Failed(refusal) | Status::ProbablyPlaced(refusal) => refusal.code.as_str(),
    }
}

fn into_error(stop: Stop) -> BoxError {
    match stop {
        Stop::Refused(refusal) => refusal.message.into(),
        Stop::Unavailable(error) => error,
        Stop::Lost => "another worker has the order".into(),
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
