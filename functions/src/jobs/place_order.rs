//! Buys what an order asks for, or finds out whether it was bought.
//!
//! A message may come twice, late, or after a worker died half-way. Before the marker, the purchase simply starts
//! afresh with an emptied cart. Once the marker is written "buy" is never pressed again: from there a worker only
//! reads the retailer's own history.

use std::{collections::BTreeSet, time::Duration};

use jiff::Timestamp;
use secrecy::SecretString;
use serde_json::json;
use spelter::{
    accounts::{
        AccountRef,
        credentials::{Login, Secrets},
    },
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
    retailers::{Card, CartLine, Checkout, Connector, PastOrder, Review, StepError, SubmitError},
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
        mut order: Order,
        lease: &Lease,
        deadline: Timestamp,
    ) -> Result<Outcome, BoxError> {
        let number = order.status.next_attempt();
        if number > MAX_ATTEMPTS {
            let text = format!("The order failed in {MAX_ATTEMPTS} attempts. Nothing was bought.");
            let refusal = Refusal::new(Code::InternalError).saying(text);
            return self.end(order, Event::Refuse(refusal), lease).await;
        }
        match self.buy(&mut order, number, lease, deadline).await {
            Ok(outcome) => Ok(outcome),
            Err(Stop::Refused(refusal)) => self.end(order, Event::Refuse(refusal), lease).await,
            Err(Stop::Lost) => Ok(Outcome::Later(FIRST_RETRY)),
            Err(Stop::Unavailable(error)) => {
                let wait = FIRST_RETRY * 2_u32.saturating_pow(number.saturating_sub(1));
                let (id, error) = (&order.id, chain(&*error));
                tracing::warn!(order.id = %id, error, "attempt {number} of {id} stopped; again in {wait:?}");
                Ok(Outcome::Later(wait))
            }
        }
    }

    /// One attempt. `order` is always as it was last written, so that what stops the attempt can be written, too.
    async fn buy(
        &self,
        order: &mut Order,
        number: u32,
        lease: &Lease,
        deadline: Timestamp,
    ) -> Result<Outcome, Stop> {
        let start = Attempt { number, fence: lease.fence, step: Step::Started };
        self.advance(order, Event::Start(start), lease).await?;
        let purchase = purchase(order)?;
        let own = self.own_secrets(order).await?;
        let card = self.card(order, own.card_number.clone()).await?;
        let login = self.login(order, own).await?;
        let session = self.shop.sign_in(&login, (self.now)()).await?;
        self.advance(order, Event::Reach(Step::SignedIn), lease).await?;

        let account_status = self.shop.account_status(&session).await?;
        let lines = self.choose_offers(&session, &purchase).await?;
        self.shop.fill_cart(&session, &lines).await?;
        self.advance(order, Event::Reach(Step::CartFilled), lease).await?;

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
        accept(&review, &lines, &purchase)?;

        let written_at = (self.now)();
        let known = self.shop.history(&session, window_start(written_at)).await?;
        let marker = Marker {
            attempt: number,
            fence: lease.fence,
            written_at,
            deadline,
            review,
            lines,
            zip_code: purchase.shipping_address.zip_code,
            known_orders: known.into_iter().map(|past| past.merchant_order_id).collect(),
            account_status,
        };
        self.submit(order, &session, marker, lease).await
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
        order: &mut Order,
        session: &C::Session,
        marker: Marker,
        lease: &Lease,
    ) -> Result<Outcome, Stop> {
        if self.patience(&marker) < MIN_SUBMIT_TIME {
            return Err(Stop::Unavailable("too little time was left to submit".into()));
        }
        self.advance(order, Event::Press(marker.clone()), lease).await?;
        let patience = self.patience(&marker);
        let event = if patience < WRITE_TIME {
            // Held up for so long that a purchase could fall after the deadline. Nothing was sent.
            Event::Refuse(not_placed())
        } else {
            match self.shop.submit(session, &marker.review, patience).await {
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
        // From here only the history counts: whatever goes wrong now, the next delivery looks there.
        self.end(order.clone(), event, lease).await.map_err(Stop::Unavailable)
    }

    /// What the retailer's answer may take.
    fn patience(&self, marker: &Marker) -> Duration {
        clock::until(marker.deadline, (self.now)()).saturating_sub(WRITE_TIME)
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
                let refusal = order.probably_placed(marker, &found);
                self.end(order, Event::GiveUp(refusal), lease).await
            }
            Err(error) => self.look_again(order, marker, lease, error).await,
        }
    }

    async fn look(&self, order: &Order, marker: &Marker) -> Result<Verdict, BoxError> {
        let own = self.own_secrets(order).await.map_err(into_error)?;
        let login = self.login(order, own).await.map_err(into_error)?;
        let session = self.shop.sign_in(&login, (self.now)()).await?;
        let read_at = (self.now)();
        let history = self.shop.history(&session, window_start(marker.written_at)).await?;
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
        let refusal = order.probably_placed(marker, &[]);
        self.end(order, Event::GiveUp(refusal), lease).await
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

    async fn advance(&self, order: &mut Order, event: Event, lease: &Lease) -> Result<(), Stop> {
        match self.progress.advance(order.clone(), event, Some((&self.leases, lease))).await {
            Ok(written) => {
                *order = written;
                Ok(())
            }
            Err(ProgressError::Lost) => Err(Stop::Lost),
            Err(error) => Err(Stop::Unavailable(error.into())),
        }
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

    /// The card that pays, if one came with the order.
    async fn card(
        &self,
        order: &Order,
        number: Option<SecretString>,
    ) -> Result<Option<Card>, Stop> {
        if !order.has_card_code {
            return Ok(None);
        }
        let sealed = self.progress.card_codes.get(&order.id).await?;
        let (Some(number), Some(sealed)) = (number, sealed) else {
            return Err(Stop::Refused(Refusal::new(Code::InvalidSecurityCode)));
        };
        let context = secrets_context(&order.owner, &order.id, "card_code");
        let code = self.vault.open(&context, &sealed).await?;
        let code = String::from_utf8(code)
            .map_err(|_| Stop::Unavailable("a stored card code is no text".into()))?;
        Ok(Some(Card { number, security_code: code.into() }))
    }

    /// The secrets that came with the order.
    async fn own_secrets(&self, order: &Order) -> Result<Secrets, Stop> {
        let Some(sealed) = &order.secrets else { return Ok(Secrets::default()) };
        let context = secrets_context(&order.owner, &order.id, "order");
        Ok(self.vault.open_secrets(&context, sealed).await?)
    }
}

/// The order's own request, read by the rules it was accepted by.
fn purchase(order: &Order) -> Result<Purchase, Stop> {
    let request = fields::without_blanks(order.request.clone());
    fields::read(request)
        .map_err(|_| Stop::Unavailable("a stored request does not read back".into()))
}

/// Whether the final figures are what was chosen and what the client agreed to.
fn accept(review: &Review, lines: &[CartLine], purchase: &Purchase) -> Result<(), Stop> {
    let reviewed: BTreeSet<_> =
        review.product_subtotals.iter().map(|(product, _)| product).collect();
    let chosen: BTreeSet<_> = lines.iter().map(|line| &line.product_id).collect();
    if reviewed != chosen {
        return Err(Stop::Unavailable("the cart holds something else than was put in".into()));
    }
    within_agreement(review, purchase).map_err(Stop::Refused)
}

fn within_agreement(review: &Review, purchase: &Purchase) -> Result<(), Refusal> {
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

/// From when on the history is read for an order whose marker is of `written_at`: the same before the press and after.
fn window_start(written_at: Timestamp) -> Timestamp {
    written_at.checked_sub(reconcile::HISTORY_WINDOW).unwrap_or(written_at)
}

fn placement(marker: &Marker, merchant_orders: Vec<PastOrder>) -> Placement {
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
