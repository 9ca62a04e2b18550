//! A retailer that sells one thing and keeps a ledger, which is the judge: it buys at every press of the button, takes up
//! to three seconds for it, and shows in its history what it bought up to two seconds later. Parcels arrive within twenty
//! minutes.

use std::{
    collections::{BTreeMap, HashSet},
    mem,
    time::Duration,
};

use jiff::Timestamp;
use rand::Rng;
use secrecy::{ExposeSecret, SecretString};
use spelter::{
    accounts::credentials::Login,
    clock,
    error::{Code, Refusal},
    money::Cents,
    orders::{
        purchase::Address, reconcile::CLOCK_SKEW, selection::Offer, shipping::ShippingOption,
    },
    products::ProductPage,
    retailers::{
        AccountStatus, Cancelled, CartLine, Checkout, Connector, Factor, HistoryPage,
        OrderProgress, OrderState, Parcel, PastOrder, PendingReturn, Question, RetailerCode,
        ReturnOrder, ReturnProgress, Review, SignIn, StartedReturn, StepError, SubmitError,
    },
    sign_in::VerificationPage,
};
use tokio::time::{sleep, timeout};

use crate::{
    actor,
    faults::{Callee, call},
    mail,
    world::{self, World},
};

/// So long a step waits for an answer.
const PATIENCE: Duration = Duration::from_secs(15);
/// The longest a press takes to become a purchase, in milliseconds.
const PRESS: u64 = 3_000;
/// The longest a purchase takes to show in the history, in milliseconds.
const SHOWS: u64 = 2_000;

/// The longest from a press to the history.
const HISTORY_LAG: Duration = Duration::from_millis(PRESS + SHOWS);

/// What a press may not use up of a worker's time: `WRITE_TIME` in `functions/src/jobs/checkout.rs`.
const WRITE_TIME: Duration = Duration::from_secs(1);

/// So many purchases are on a page of the history: few, so that there are several pages.
const PAGE: usize = 8;

/// Of two questions within a minute nobody can tell which one a mail is about, and a worker notes when it asked before it
/// asks: it may be frozen in between.
const ABOUT_THE_SAME: Duration = Duration::from_secs(90);

/// What the id of a purchase begins with; then comes its place in the ledger.
const PURCHASE: &str = "S-";

/// A product that is not sold any more.
pub const SOLD_OUT: &str = "SOLD-OUT";

/// The retailer's books.
#[derive(Default)]
pub struct Shop {
    accounts: BTreeMap<String, Account>,
    /// Every purchase there was.
    pub ledger: Vec<Purchase>,
    /// Which invocation holds which account by its lease, as the judge saw it.
    pub holders: BTreeMap<String, u64>,
    /// Until when the last press for an order may still come to light, unless it is known that it did not leave.
    pub presses: BTreeMap<String, Timestamp>,
    /// How often the button was pressed for an order, or was about to be.
    pub pressed: BTreeMap<String, usize>,
    /// Whose account is whose at the shop, as the first visit with it shows.
    emails: BTreeMap<String, String>,
    /// Where two were at work for one account.
    pub overlapped: Vec<String>,
    /// Codes that were given for another question than they were mailed for.
    pub misused: Vec<String>,
}

/// A buyer's account.
#[derive(Default)]
struct Account {
    mails_codes: bool,
    cart: Vec<CartLine>,
    checkouts: BTreeMap<String, Reviewed>,
    /// The questions so far, each with its code and when it was asked; the last one counts.
    questions: Vec<(String, String, Timestamp)>,
    /// Who visited.
    visitors: HashSet<u64>,
    /// The last of them.
    last: u64,
}

#[derive(Clone)]
struct Reviewed {
    lines: Vec<CartLine>,
    /// Of each shipment: which order of the test's it is for, and the postal code.
    shipments: Vec<(String, String)>,
}

/// A purchase.
#[derive(Clone)]
pub struct Purchase {
    /// Which order of the test's it is for, as its address says.
    pub reference: String,
    /// Who bought.
    pub email: String,
    /// The shop's id of it.
    pub id: String,
    at: Timestamp,
    shows_at: Timestamp,
    lines: Vec<CartLine>,
    zip_code: String,
    /// How long the shop takes to cancel it; it cancels some never.
    cancels_within: Option<Duration>,
    /// When it is cancelled, if somebody wanted that.
    cancelled_at: Option<Timestamp>,
    /// When it is there, if nobody has it cancelled before.
    arrives_at: Timestamp,
}

const PRICE: u64 = 1_500;
const SHIPPING: u64 = 300;
const TAX: u64 = 100;

impl Shop {
    /// Lets `email` buy; at sign-in it is mailed a code, if it `mails_codes`.
    pub fn open(&mut self, email: &str, mails_codes: bool) {
        self.accounts.insert(email.to_owned(), Account { mails_codes, ..Account::default() });
    }

    fn account(&mut self, email: &str) -> &mut Account {
        self.accounts.get_mut(email).expect("an account of the test's")
    }

    /// Somebody is at work in the account. Nobody may be there between two visits of one other, and nobody who does not
    /// hold it, or holds it no more.
    fn visited(&mut self, email: &str) {
        let Some(actor) = actor::current() else { return };
        let id = actor.id();
        let overlaps = match actor.account() {
            None => Some(format!("{id} was at the shop for {email} and holds no account")),
            Some(account) if self.holders.get(&account) != Some(&id) => {
                Some(format!("{id} was at the shop for {account}, which it holds no more"))
            }
            Some(account) => {
                let known = self.emails.entry(account.clone()).or_insert_with(|| email.to_owned());
                let is_known = known == email;
                (!is_known).then(|| format!("{id} holds {account} and was at the shop for {email}"))
            }
        };
        self.overlapped.extend(overlaps);
        let account = self.account(email);
        let last = mem::replace(&mut account.last, id);
        if last != id && !account.visitors.insert(id) {
            self.overlapped.push(format!("{id} and {last} were at the shop for {email} in turns"));
        }
    }
}

#[cfg(test)]
impl Shop {
    /// Books with these purchases: what each is for, and its id.
    pub fn with(ledger: &[(&str, &str)]) -> Self {
        let purchase = |(reference, id): &(&str, &str)| Purchase {
            reference: (*reference).to_owned(),
            email: String::new(),
            id: (*id).to_owned(),
            at: Timestamp::UNIX_EPOCH,
            shows_at: Timestamp::UNIX_EPOCH,
            lines: vec![],
            zip_code: String::new(),
            cancels_within: None,
            cancelled_at: None,
            arrives_at: Timestamp::MAX,
        };
        Self { ledger: ledger.iter().map(purchase).collect(), ..Self::default() }
    }

    /// Cancels one of them.
    pub fn cancel(&mut self, id: &str, at: Timestamp) {
        let found = self.ledger.iter_mut().find(|one| one.id == id);
        found.expect("a purchase").cancelled_at = Some(at);
    }
}

impl Shop {
    fn purchase(&mut self, email: &str, id: &str) -> Result<&mut Purchase, StepError> {
        let place = id.strip_prefix(PURCHASE).and_then(|place| place.parse::<usize>().ok());
        let found = place.and_then(|place| self.ledger.get_mut(place));
        let found = found.filter(|one| one.email == email);
        found.ok_or_else(|| StepError::Refused(Refusal::new(Code::InvalidRequest)))
    }

    /// Whether any purchase for `reference` was cancelled by `now`.
    pub fn has_cancelled(&self, reference: &str, now: Timestamp) -> bool {
        let mut of = self.ledger.iter().filter(|one| one.reference == reference);
        of.any(|one| one.cancelled_at.is_some_and(|at| at <= now))
    }

    fn references(&mut self, email: &str, checkout_id: &str) -> Vec<String> {
        let reviewed = self.account(email).checkouts.get(checkout_id);
        let shipments = reviewed.into_iter().flat_map(|reviewed| &reviewed.shipments);
        shipments.map(|(reference, _)| reference.clone()).collect()
    }

    fn about_to_press(&mut self, email: &str, checkout_id: &str, patience: Duration) {
        // The worker's deadline, what clocks may differ by, and the longest that the history takes.
        let until = clock::after(world::now(), patience + WRITE_TIME + CLOCK_SKEW + HISTORY_LAG);
        for reference in self.references(email, checkout_id) {
            *self.pressed.entry(reference.clone()).or_default() += 1;
            self.presses.insert(reference, until);
        }
    }

    fn did_not_press(&mut self, email: &str, checkout_id: &str) {
        for reference in self.references(email, checkout_id) {
            self.presses.remove(&reference);
        }
    }
}

impl Purchase {
    fn total(&self) -> Cents {
        Cents(total(&self.lines))
    }

    fn past(&self) -> PastOrder {
        let products = self.lines.iter().map(|line| (line.product_id.clone(), line.quantity));
        PastOrder {
            merchant_order_id: self.id.clone(),
            placed_at: self.at,
            products: products.collect(),
            total: self.total(),
            zip_code: self.zip_code.clone(),
            tracking_url: None,
        }
    }

    fn is_there(&self, now: Timestamp) -> bool {
        self.cancelled_at.is_none() && self.arrives_at <= now
    }

    fn parcel(&self, now: Timestamp) -> Option<Parcel> {
        self.is_there(now).then(|| Parcel {
            product_ids: self.lines.iter().map(|line| line.product_id.clone()).collect(),
            carrier: Some("UPS".to_owned()),
            tracking_number: Some(format!("1Z-{}", self.id)),
            tracking_url: None,
            delivery_status: Some("Delivered".to_owned()),
        })
    }
}

fn goods(lines: &[CartLine]) -> u64 {
    lines.iter().map(|line| u64::from(line.quantity) * PRICE).sum()
}

fn total(lines: &[CartLine]) -> u64 {
    goods(lines) + SHIPPING + TAX
}

fn cents(amount: u64) -> Cents {
    Cents(amount)
}

/// Buys there.
pub struct Visitor;

/// A visit.
pub struct Session {
    email: String,
}

fn unavailable() -> StepError {
    StepError::Unavailable("the shop is down".into())
}

/// One step in the account of `email`.
async fn step<T>(
    what: &str,
    email: &str,
    act: impl FnOnce(&mut World) -> Result<T, StepError>,
) -> Result<T, StepError> {
    let act = |world: &mut World, _| {
        world.shop.visited(email);
        act(world)
    };
    let time = world::a_while(40, 400);
    let answer =
        call(Callee::Shop, what, || email.to_owned(), time, act, |_| Err(unavailable())).await;
    if answer.is_none() {
        sleep(PATIENCE).await;
    }
    answer.unwrap_or_else(|| Err(unavailable()))
}

fn refused<T>(code: Code) -> Result<T, StepError> {
    Err(StepError::Refused(Refusal::new(code)))
}

fn page() -> VerificationPage {
    VerificationPage {
        verification_url: "https://sandbox.example/verify".to_owned(),
        text: "Enter the code that we have e-mailed to you.".to_owned(),
        current_url: "https://sandbox.example/sign-in/code".to_owned(),
    }
}

fn asks(question: &str, again: bool) -> SignIn<Session> {
    SignIn::Asks(Question {
        factor: Factor::Mail(page()),
        visit: question.to_owned().into(),
        again,
    })
}

impl Connector for Visitor {
    type Session = Session;

    async fn product(&self, _: RetailerCode, _: &str) -> Result<ProductPage, StepError> {
        refused(Code::ProductUnavailable)
    }

    async fn public_offers(&self, _: RetailerCode, _: &str) -> Result<Vec<Offer>, StepError> {
        refused(Code::ProductUnavailable)
    }

    async fn sign_in(&self, login: &Login, _: RetailerCode) -> Result<SignIn<Session>, StepError> {
        let email = login.email.as_str();
        step("sign in", email, |world| {
            if !world.shop.account(email).mails_codes {
                return Ok(SignIn::In(Session { email: email.to_owned() }));
            }
            let code = format!("{:06}", world.rng.random_range(0..1_000_000));
            let account = world.shop.account(email);
            let question = format!("question-{}-{email}", account.questions.len());
            account.questions.push((question.clone(), code.clone(), world::now()));
            mail::send_code(world, email, &code);
            Ok(asks(&question, false))
        })
        .await
    }

    async fn answer(
        &self,
        visit: &SecretString,
        code: &SecretString,
    ) -> Result<SignIn<Session>, StepError> {
        let (question, code) = (visit.expose_secret(), code.expose_secret());
        let email = question.splitn(3, '-').nth(2).unwrap_or_default();
        step("answer", email, |world| {
            let account = world.shop.account(email);
            let asked = account.questions.iter().find(|(one, ..)| one == question).cloned();
            // Two questions may have the same code.
            if asked.as_ref().is_some_and(|(_, right, _)| right == code) {
                return Ok(SignIn::In(Session { email: email.to_owned() }));
            }
            let mailed = account.questions.iter().find(|(_, one, _)| one == code).cloned();
            let (Some((_, _, asked_at)), Some((of, _, sent_at))) = (asked, mailed) else {
                return Ok(asks(question, true));
            };
            if clock::after(sent_at, ABOUT_THE_SAME) < asked_at {
                world.shop.misused.push(format!("{question} got the code of {of}"));
            }
            Ok(asks(question, true))
        })
        .await
    }

    async fn account_status(&self, session: &Session) -> Result<AccountStatus, StepError> {
        step("account status", &session.email, |_| Ok(AccountStatus::default())).await
    }

    async fn offers(&self, session: &Session, product_id: &str) -> Result<Vec<Offer>, StepError> {
        step("offers", &session.email, |_| {
            if product_id == SOLD_OUT {
                return refused(Code::ProductUnavailable);
            }
            Ok(vec![Offer {
                offer_id: "offer".to_owned(),
                product_id: product_id.to_owned(),
                condition: "New".to_owned(),
                price: cents(PRICE),
                ship_price: Cents(0),
                handling_days_min: 1,
                handling_days_max: 2,
                addon: false,
                buy_box: true,
                first_party: true,
                international: false,
                prime: true,
                prime_only: false,
                merchant_id: "shop".to_owned(),
                seller_name: "shop".to_owned(),
                seller_num_ratings: 100,
                seller_percent_positive: 100,
                min_quantity: 1,
                max_quantity: 10,
                marketplace_fulfilled: true,
                member_only: false,
                greytext: None,
                comments: None,
                currency: "USD".to_owned(),
            }])
        })
        .await
    }

    async fn fill_cart(&self, session: &Session, lines: &[CartLine]) -> Result<(), StepError> {
        step("fill cart", &session.email, |world| {
            world.shop.account(&session.email).cart = lines.to_vec();
            Ok(())
        })
        .await
    }

    async fn shipping_options(
        &self,
        session: &Session,
        _: &[CartLine],
        _: &Address,
    ) -> Result<Vec<ShippingOption>, StepError> {
        step("shipping options", &session.email, |_| {
            Ok(vec![ShippingOption {
                id: "slow".to_owned(),
                name: "Slow".to_owned(),
                price: cents(SHIPPING),
                days: 5,
            }])
        })
        .await
    }

    async fn review(
        &self,
        session: &Session,
        checkout: &Checkout<'_>,
    ) -> Result<Vec<Review>, StepError> {
        let shipment = |one: &spelter::retailers::Shipment<'_>| {
            (one.address.first_name.clone(), one.address.zip_code.clone())
        };
        let shipments: Vec<_> = checkout.shipments.iter().map(shipment).collect();
        step("review", &session.email, |world| {
            let account = world.shop.account(&session.email);
            let lines = account.cart.clone();
            let id = format!("checkout-{}", account.checkouts.len());
            let reviewed = Reviewed { lines: lines.clone(), shipments };
            account.checkouts.insert(id.clone(), reviewed);
            let subtotal = |line: &CartLine| {
                (line.product_id.clone(), cents(u64::from(line.quantity) * PRICE))
            };
            Ok(vec![Review {
                checkout_id: id,
                subtotal: cents(goods(&lines)),
                shipping: cents(SHIPPING),
                tax: cents(TAX),
                total: cents(total(&lines)),
                gift_certificate: None,
                product_subtotals: lines.iter().map(subtotal).collect(),
                currency: "USD".to_owned(),
                delivery_dates: vec![],
                rejected_promo_codes: vec![],
            }])
        })
        .await
    }

    async fn submit(
        &self,
        session: &Session,
        checkout_id: &str,
        patience: Duration,
    ) -> Result<Vec<PastOrder>, SubmitError> {
        let email = &session.email;
        world::with(|world| world.shop.about_to_press(email, checkout_id, patience));
        let press = async {
            let act = |world: &mut World, _| Ok(buy(world, email, checkout_id));
            let refuse = |_| Err(SubmitError::NotSent("the shop's door is shut".into()));
            let time = world::a_while(40, 400);
            let details = || format!("{email} {checkout_id}");
            let pressed = call(Callee::Submit, "submit", details, time, act, refuse).await;
            let Some(pressed) = pressed else {
                return Err(SubmitError::Unconfirmed("the connection was reset".into()));
            };
            if pressed.is_err() {
                world::with(|world| world.shop.did_not_press(email, checkout_id));
            }
            let bought = pressed?;
            if let Some(last) = bought.iter().map(|one| one.at).max() {
                sleep(clock::until(last, world::now())).await;
            }
            Ok(bought.iter().map(Purchase::past).collect())
        };
        let in_time = timeout(patience, press).await;
        in_time.unwrap_or_else(|_| Err(SubmitError::Unconfirmed("no answer in time".into())))
    }

    async fn history(
        &self,
        session: &Session,
        since: Timestamp,
        from: Option<&str>,
    ) -> Result<HistoryPage, StepError> {
        let email = &session.email;
        step("history", email, |world| {
            let now = world::now();
            // The ledger is in the order of the presses, which takes a while to become a purchase.
            let longest = Duration::from_millis(PRESS);
            let recent = |one: &&Purchase| clock::after(one.at, longest) >= since;
            let ledger = world.shop.ledger.iter().rev().take_while(recent);
            let shown: Vec<_> = ledger
                .filter(|one| one.email == *email && one.at >= since && one.shows_at <= now)
                .collect();
            let first = |from| shown.iter().position(|one| one.id == from);
            let rest = from.map_or(0, |from| first(from).expect("a page that there is"));
            let (page, next) = shown[rest..].split_at(PAGE.min(shown.len() - rest));
            Ok(HistoryPage {
                orders: page.iter().map(|one| one.past()).collect(),
                next: next.first().map(|first| first.id.clone()),
            })
        })
        .await
    }

    async fn order_state(&self, session: &Session, id: &str) -> Result<OrderState, StepError> {
        step("order state", &session.email, |world| {
            let now = world::now();
            let purchase = world.shop.purchase(&session.email, id)?;
            Ok(OrderState {
                progress: match purchase.cancelled_at {
                    None => OrderProgress::Open,
                    Some(at) if at <= now => OrderProgress::Cancelled,
                    Some(_) => OrderProgress::CancelRequested,
                },
                parcels: purchase.parcel(now).into_iter().collect(),
                tracking_url: None,
                delivery_date: None,
            })
        })
        .await
    }

    async fn cancel(&self, session: &Session, id: &str) -> Result<Cancelled, StepError> {
        step("cancel", &session.email, |world| {
            let now = world::now();
            let purchase = world.shop.purchase(&session.email, id)?;
            let Some(takes) = purchase.cancels_within.filter(|_| !purchase.is_there(now)) else {
                return refused(Code::OrderNotCancellable);
            };
            let at = *purchase.cancelled_at.get_or_insert(clock::after(now, takes));
            Ok(if at <= now { Cancelled::Done } else { Cancelled::Attempting })
        })
        .await
    }

    async fn pending_return(
        &self,
        _: &Session,
        _: &str,
        _: &[String],
    ) -> Result<Option<PendingReturn>, StepError> {
        refused(Code::InvalidRequest)
    }

    async fn start_return(
        &self,
        _: &Session,
        _: &ReturnOrder<'_>,
    ) -> Result<StartedReturn, StepError> {
        refused(Code::InvalidRequest)
    }

    async fn started_return(&self, _: &Session, _: &str) -> Result<StartedReturn, StepError> {
        refused(Code::InvalidRequest)
    }

    async fn return_state(&self, _: &Session, _: &str) -> Result<ReturnProgress, StepError> {
        refused(Code::InvalidRequest)
    }

    fn history_lag(&self) -> Duration {
        HISTORY_LAG
    }
}

/// The press has arrived. Whatever becomes of who pressed, it is bought.
fn buy(world: &mut World, email: &str, checkout_id: &str) -> Vec<Purchase> {
    world.shop.visited(email);
    let now = world::now();
    let at = clock::after(now, Duration::from_millis(world.rng.random_range(100..=PRESS)));
    let shows_at = clock::after(at, Duration::from_millis(world.rng.random_range(0..=SHOWS)));
    let reviewed = world.shop.account(email).checkouts.get(checkout_id).cloned();
    let reviewed = reviewed.expect("a checkout that was reviewed");
    let mut bought = Vec::new();
    for (reference, zip_code) in reviewed.shipments {
        let id = format!("{PURCHASE}{}", world.shop.ledger.len());
        let (email, lines) = (email.to_owned(), reviewed.lines.clone());
        let cancels_within = match world.rng.random_range(0..4) {
            0 => None,
            1 => Some(Duration::from_secs(60 * world.rng.random_range(1..10))),
            _ => Some(Duration::ZERO),
        };
        let arrives_at = clock::after(at, Duration::from_secs(60 * world.rng.random_range(1..20)));
        let purchase = Purchase {
            reference,
            email,
            id,
            at,
            shows_at,
            lines,
            zip_code,
            cancels_within,
            cancelled_at: None,
            arrives_at,
        };
        world.shop.ledger.push(purchase.clone());
        bought.push(purchase);
    }
    bought
}

/// Which references were bought, and how often.
pub fn bought(ledger: &[Purchase]) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for purchase in ledger {
        *counts.entry(purchase.reference.as_str()).or_default() += 1;
    }
    counts
}

/// What the purchases of `email` cost together, in cents.
pub fn paid(ledger: &[Purchase], email: &str) -> u64 {
    let of = ledger.iter().filter(|purchase| purchase.email == email);
    of.map(|purchase| purchase.total().0).sum()
}

/// What any purchase costs here, in cents.
pub const COST: u64 = PRICE + SHIPPING + TAX;
