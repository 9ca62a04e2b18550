//! An order after the sale: shipped by itself after a while, unless it was cancelled, and delivered an hour later.
//!
//! Where it stands is computed from the clock. What the clock does not know (a cancellation, a return, what the admin
//! said) is kept in one [`Record`] for each order, which is written together with the purchase.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{Path, State},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use spelter::error::Code;

use super::{
    Shop, accounts,
    answer::Fault,
    behaviour::{self, Step},
    cart::Line,
    history::{Paid, Purchase},
    journal::Visit,
    market::Market,
    returns::Return,
    store::{Key, Write},
};

const MINUTE_MS: i64 = 60 * 1_000;

/// From the purchase until the parcel leaves.
const SHIPS_AFTER_MS: i64 = 10 * MINUTE_MS;

/// From then until it is there.
const DELIVERED_AFTER_MS: i64 = 60 * MINUTE_MS;

/// A cancellation that the shop only attempts succeeds after this, unless the admin decides otherwise before.
const CANCELLED_AFTER_MS: i64 = 5 * MINUTE_MS;

/// How often a change is begun anew when somebody else was faster.
const TRIES: u32 = 5;

/// An order as it was placed.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Order {
    pub order_id: String,
    pub lines: Vec<Line>,
    pub subtotal_cents: u64,
    pub shipping_cents: u64,
    pub tax_cents: u64,
    pub total_cents: u64,
    pub gift: bool,
    /// Whom it goes to, without the street: the shop keeps no more of a home than it needs.
    pub name: String,
    pub city: String,
    pub state: Option<String>,
    pub postal_code: String,
    pub country: String,
    /// `YYYY-MM-DD`, as it was promised.
    pub arrives_on: String,
}

/// An order and what became of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Record {
    pub order: Order,
    pub email: String,
    pub market: Market,
    paid: Paid,
    placed_at_ms: i64,
    carrier: String,
    tracking_number: String,
    /// The parcel has left, and its number does not show yet.
    number_hidden: bool,
    ships_at_ms: i64,
    /// When it is or will be delivered.
    pub delivers_at_ms: i64,
    cancellation: Cancellation,
    /// Oldest first.
    pub returns: Vec<Return>,
    version: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
enum Cancellation {
    NotAsked,
    Attempting { until_ms: i64 },
    Refused,
    Done,
}

/// Where an order stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Progress {
    Open,
    CancelRequested,
    Cancelled,
    Shipped,
    Delivered,
}

/// How the shop takes a cancellation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cancelling {
    /// It is cancelled at once.
    AtOnce,
    /// The shop tries, and says later whether it could.
    Attempting,
    /// No.
    Refuse,
}

impl Cancelling {
    /// Every way.
    pub const ALL: [Self; 3] = [Self::AtOnce, Self::Attempting, Self::Refuse];

    /// Its name in admin requests.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AtOnce => "at_once",
            Self::Attempting => "attempting",
            Self::Refuse => "refuse",
        }
    }
}

/// What a change of an order brings with it.
pub struct Changed<T> {
    /// What is told of it.
    pub answer: T,
    /// What the buyer gets back.
    pub refund_cents: u64,
    /// What is written in the same transaction.
    pub writes: Vec<Write>,
}

impl<T> Changed<T> {
    /// Nothing but the change itself.
    pub fn to(answer: T) -> Self {
        Self { answer, refund_cents: 0, writes: Vec::new() }
    }
}

impl Record {
    /// Of an order that is just being placed. Its parcel has a number from the beginning; it shows later.
    pub fn new(purchase: &Purchase, order: Order, random: u64) -> Self {
        let sender = order.lines.first().map_or("", |line| line.sender.as_str());
        let (carrier, tracking_number) = parcel(sender, random);
        let ships_at_ms = purchase.placed_at_ms.saturating_add(SHIPS_AFTER_MS);
        Self {
            order,
            email: purchase.email.clone(),
            market: purchase.market,
            paid: purchase.paid,
            placed_at_ms: purchase.placed_at_ms,
            carrier: carrier.to_owned(),
            tracking_number,
            number_hidden: false,
            ships_at_ms,
            delivers_at_ms: ships_at_ms.saturating_add(DELIVERED_AFTER_MS),
            cancellation: Cancellation::NotAsked,
            returns: Vec::new(),
            version: 1,
        }
    }

    /// Where it stands.
    pub fn progress(&self, now_ms: i64) -> Progress {
        match self.cancellation {
            Cancellation::Attempting { until_ms } if now_ms < until_ms => Progress::CancelRequested,
            Cancellation::Attempting { .. } | Cancellation::Done => Progress::Cancelled,
            Cancellation::NotAsked | Cancellation::Refused if now_ms >= self.delivers_at_ms => {
                Progress::Delivered
            }
            Cancellation::NotAsked | Cancellation::Refused if now_ms >= self.ships_at_ms => {
                Progress::Shipped
            }
            Cancellation::NotAsked | Cancellation::Refused => Progress::Open,
        }
    }

    /// The products it is of.
    pub fn product_ids(&self) -> impl Iterator<Item = &str> {
        self.order.lines.iter().map(|line| line.product_id.as_str())
    }

    /// Who carries its parcel, and the number.
    pub fn parcel(&self) -> (&str, &str) {
        (&self.carrier, &self.tracking_number)
    }

    /// Whether its buyer wants it cancelled, and time has decided that it is.
    fn is_due(&self, now_ms: i64) -> bool {
        matches!(self.cancellation, Cancellation::Attempting { .. })
            && self.progress(now_ms) == Progress::Cancelled
    }

    fn cancelled(&mut self) -> u64 {
        self.cancellation = Cancellation::Done;
        self.order.total_cents
    }

    /// The buyer wants it cancelled: whether that is done, and what is paid back. Asked again, it is the same answer.
    pub fn cancel(&mut self, how: Cancelling, now_ms: i64) -> Result<Changed<&'static str>, Fault> {
        let refused = Err(Fault::code(Code::OrderNotCancellable));
        match self.progress(now_ms) {
            Progress::Cancelled => Ok(Changed::to("cancelled")),
            Progress::CancelRequested => Ok(Changed::to("attempting")),
            Progress::Shipped | Progress::Delivered => refused,
            Progress::Open if self.cancellation == Cancellation::Refused => refused,
            Progress::Open => match how {
                Cancelling::AtOnce => {
                    Ok(Changed { refund_cents: self.cancelled(), ..Changed::to("cancelled") })
                }
                Cancelling::Attempting => {
                    let until_ms = now_ms.saturating_add(CANCELLED_AFTER_MS);
                    self.cancellation = Cancellation::Attempting { until_ms };
                    Ok(Changed::to("attempting"))
                }
                Cancelling::Refuse => refused,
            },
        }
    }

    /// The end of an attempt to cancel it. An order that is not cancelled after all ships as if it had been packed just
    /// in time.
    pub fn decide(&mut self, granted: bool, now_ms: i64) -> Result<Changed<()>, Fault> {
        if self.progress(now_ms) != Progress::CancelRequested {
            return Err(Fault::conflict("nothing_to_decide"));
        }
        if granted {
            return Ok(Changed { refund_cents: self.cancelled(), ..Changed::to(()) });
        }
        self.cancellation = Cancellation::Refused;
        self.ship_at(self.ships_at_ms.max(now_ms));
        Ok(Changed::to(()))
    }

    /// It leaves now, or left already; with or without a number that shows.
    pub fn ship(&mut self, with_number: bool, now_ms: i64) -> Result<Changed<()>, Fault> {
        match self.progress(now_ms) {
            Progress::Open => self.ship_at(now_ms),
            Progress::Shipped | Progress::Delivered => {}
            Progress::CancelRequested | Progress::Cancelled => {
                return Err(Fault::conflict("cancelled"));
            }
        }
        self.number_hidden = !with_number;
        Ok(Changed::to(()))
    }

    /// It is delivered now, or was already.
    pub fn deliver(&mut self, now_ms: i64) -> Result<Changed<()>, Fault> {
        match self.progress(now_ms) {
            Progress::Open | Progress::Shipped => {
                self.ships_at_ms = self.ships_at_ms.min(now_ms);
                self.delivers_at_ms = now_ms;
            }
            Progress::Delivered => {}
            Progress::CancelRequested | Progress::Cancelled => {
                return Err(Fault::conflict("cancelled"));
            }
        }
        Ok(Changed::to(()))
    }

    fn ship_at(&mut self, ships_at_ms: i64) {
        self.ships_at_ms = ships_at_ms;
        self.delivers_at_ms = ships_at_ms.saturating_add(DELIVERED_AFTER_MS);
    }

    /// What the buyer sees of it.
    fn shown(&self, now_ms: i64) -> Value {
        let progress = self.progress(now_ms);
        let tracking_url = format!("https://sandbox.example/track/{}", self.order.order_id);
        let status = match progress {
            Progress::Open | Progress::CancelRequested | Progress::Cancelled => None,
            Progress::Shipped => Some("on_the_way"),
            Progress::Delivered => Some("delivered"),
        };
        let number = (!self.number_hidden).then_some(&self.tracking_number);
        let parcel = |status| {
            json!({
                "product_ids": self.product_ids().collect::<Vec<_>>(),
                "carrier": number.map(|_| &self.carrier),
                "tracking_number": number,
                "tracking_url": number.map(|number| format!("{tracking_url}/{number}")),
                "status": status,
            })
        };
        json!({
            "order_id": self.order.order_id,
            "progress": progress,
            "parcels": status.map(parcel).into_iter().collect::<Vec<_>>(),
            "tracking_url": status.map(|_| &tracking_url),
            "arrives_on": self.order.arrives_on,
        })
    }
}

/// `GET /orders/{order_id}`
pub async fn show(
    State(shop): State<Arc<Shop>>,
    Extension(visit): Extension<Visit>,
    Path(order_id): Path<String>,
) -> Result<Json<Value>, Fault> {
    let record = visited(&shop, &visit, &order_id, Step::OrderState).await?;
    Ok(Json(record.shown((shop.now)().as_millisecond())))
}

/// `POST /orders/{order_id}/cancel`, as often as somebody likes.
pub async fn cancel(
    State(shop): State<Arc<Shop>>,
    Extension(visit): Extension<Visit>,
    Path(order_id): Path<String>,
) -> Result<Json<Value>, Fault> {
    let record = visited(&shop, &visit, &order_id, Step::Cancel).await?;
    let told = shop.store.get::<Told>(&Key::cancelling(&visit.email)).await?;
    let how = match told {
        _ if super::magic::takes_time_to_cancel(record.product_ids()) => Cancelling::Attempting,
        Some(told) => told.how,
        None => Cancelling::AtOnce,
    };
    let outcome = change(&shop, &order_id, |record, now_ms| record.cancel(how, now_ms)).await?;
    after_commit(&shop, &record, Step::CancelAfterCommit).await?;
    Ok(Json(json!({ "outcome": outcome })))
}

/// How an account's cancellations are to be taken, as it is stored.
#[derive(Serialize, Deserialize)]
pub struct Told {
    /// How.
    pub how: Cancelling,
}

/// The order of a visit, as it stands now, once the shop has behaved as it was told to at `step`. Somebody else's order
/// is as unknown as one that there is not.
pub async fn visited(
    shop: &Shop,
    visit: &Visit,
    order_id: &str,
    step: Step,
) -> Result<Record, Fault> {
    let record = find(shop, order_id).await?;
    if record.email != visit.email {
        return Err(unknown());
    }
    behaviour::at(shop, step, &visit.email, record.product_ids()).await?;
    if record.is_due((shop.now)().as_millisecond()) {
        change(shop, order_id, |_, _| Ok(Changed::to(()))).await?;
    }
    find(shop, order_id).await
}

/// Behaves as the shop was told to after a change was written.
pub async fn after_commit(shop: &Shop, record: &Record, step: Step) -> Result<(), Fault> {
    behaviour::at(shop, step, &record.email, record.product_ids()).await.map(drop)
}

/// Changes an order, and pays back what that frees: both or neither. Money goes back to the gift balance it came from;
/// of a card the shop keeps nothing, so of what goes back there is no book.
pub async fn change<T>(
    shop: &Shop,
    order_id: &str,
    decide: impl Fn(&mut Record, i64) -> Result<Changed<T>, Fault>,
) -> Result<T, Fault> {
    for _ in 0..TRIES {
        let mut record = find(shop, order_id).await?;
        let now_ms = (shop.now)().as_millisecond();
        let version = record.version;
        let settled_cents = if record.is_due(now_ms) { record.cancelled() } else { 0 };
        let Changed { answer, refund_cents, mut writes } = decide(&mut record, now_ms)?;
        record.version = version.saturating_add(1);
        writes.push(Write::replace(&Key::order(order_id), &record, version)?);
        match (record.paid, settled_cents.saturating_add(refund_cents)) {
            (Paid::Card | Paid::OnFile, _) | (Paid::GiftBalance, 0) => {}
            (Paid::GiftBalance, back_cents) => {
                let purse = Key::account(&record.email);
                writes.push(Write::Give(purse, accounts::GIFT_BALANCE, back_cents));
            }
        }
        if shop.store.transact(writes).await? {
            return Ok(answer);
        }
    }
    Err(Fault::Down(format!("order {order_id} was changed by others {TRIES} times").into()))
}

/// An order, whoever's it is.
pub async fn find(shop: &Shop, order_id: &str) -> Result<Record, Fault> {
    shop.store.get(&Key::order(order_id)).await?.ok_or_else(unknown)
}

fn unknown() -> Fault {
    Fault::unknown("unknown_order")
}

/// Who carries what `sender` sends, and a number of the form they use.
fn parcel(sender: &str, random: u64) -> (&'static str, String) {
    if sender == super::catalogue::OWN_STOCK {
        ("UPS", format!("1Z{:016}", random % 10_u64.pow(16)))
    } else {
        ("USPS", format!("92{random:020}"))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    const NOW: i64 = 1_700_000_000_000;

    /// Two pieces of P, just placed.
    pub(crate) fn record() -> Record {
        let line = Line {
            product_id: "P".to_owned(),
            offer_id: "ours".to_owned(),
            sender: "SANDBOX".to_owned(),
            quantity: 2,
            price_cents: 999,
            shipping_cents: 0,
        };
        let order = Order {
            order_id: "112-1".to_owned(),
            lines: vec![line],
            subtotal_cents: 1_998,
            shipping_cents: 500,
            tax_cents: 125,
            total_cents: 2_623,
            gift: false,
            name: "Tim Beaver".to_owned(),
            city: "Cambridge".to_owned(),
            state: Some("MA".to_owned()),
            postal_code: "02139".to_owned(),
            country: "US".to_owned(),
            arrives_on: "2023-11-20".to_owned(),
        };
        let purchase = Purchase {
            purchase_id: "p".to_owned(),
            email: "a@b.c".to_owned(),
            session: "s".to_owned(),
            market: Market::Us,
            checkout_id: "c".to_owned(),
            placed_at_ms: NOW,
            orders: Vec::new(),
            total_cents: 2_623,
            paid: Paid::GiftBalance,
            po_number: None,
            affiliate_tag: None,
        };
        Record::new(&purchase, order, 7)
    }

    fn minutes(minutes: i64) -> i64 {
        NOW + minutes * MINUTE_MS
    }

    fn outcome(changed: Result<Changed<&'static str>, Fault>) -> Result<(&'static str, u64), ()> {
        changed.map(|changed| (changed.answer, changed.refund_cents)).map_err(drop)
    }

    #[test]
    fn an_order_ships_and_arrives_by_itself() {
        let at = [0, 9, 10, 69, 70].map(|minute| record().progress(minutes(minute)));
        let expected = [
            Progress::Open,
            Progress::Open,
            Progress::Shipped,
            Progress::Shipped,
            Progress::Delivered,
        ];
        assert_eq!(at, expected);
    }

    #[test]
    fn what_is_cancelled_at_once_is_paid_back_once_and_never_ships() {
        let mut record = record();
        let cancel = |record: &mut Record| outcome(record.cancel(Cancelling::AtOnce, minutes(1)));
        assert_eq!(cancel(&mut record), Ok(("cancelled", 2_623)));
        assert_eq!(cancel(&mut record), Ok(("cancelled", 0)));
        assert_eq!(record.progress(minutes(1_000)), Progress::Cancelled);
        assert!(record.ship(true, minutes(2)).is_err());
        assert!(record.deliver(minutes(2)).is_err());
    }

    #[test]
    fn what_has_shipped_is_not_cancelled() {
        for minute in [10, 70] {
            for how in Cancelling::ALL {
                assert_eq!(outcome(record().cancel(how, minutes(minute))), Err(()));
            }
        }
    }

    #[test]
    fn an_attempt_holds_the_parcel_back_until_it_is_decided() {
        let attempt = || {
            let mut record = record();
            let asked = outcome(record.cancel(Cancelling::Attempting, minutes(9)));
            assert_eq!(asked, Ok(("attempting", 0)));
            assert_eq!(record.progress(minutes(13)), Progress::CancelRequested);
            let again = outcome(record.cancel(Cancelling::AtOnce, minutes(13)));
            assert_eq!(again, Ok(("attempting", 0)));
            record
        };
        let left_alone = attempt();
        assert!(left_alone.is_due(minutes(14)));
        assert_eq!(left_alone.progress(minutes(14)), Progress::Cancelled);

        let mut granted = attempt();
        assert_eq!(granted.decide(true, minutes(12)).unwrap().refund_cents, 2_623);
        assert_eq!(granted.progress(minutes(12)), Progress::Cancelled);
        assert!(granted.decide(true, minutes(12)).is_err());

        let mut refused = attempt();
        assert_eq!(refused.decide(false, minutes(12)).unwrap().refund_cents, 0);
        assert_eq!(refused.progress(minutes(12)), Progress::Shipped);
        assert_eq!(refused.progress(minutes(72)), Progress::Delivered);
    }

    #[test]
    fn after_a_no_it_stays_no() {
        let mut record = record();
        record.cancel(Cancelling::Attempting, minutes(1)).unwrap();
        record.decide(false, minutes(2)).unwrap();
        assert_eq!(record.progress(minutes(3)), Progress::Open);
        assert_eq!(outcome(record.cancel(Cancelling::AtOnce, minutes(3))), Err(()));
        assert_eq!(record.progress(minutes(10)), Progress::Shipped);
    }

    #[test]
    fn a_parcel_can_leave_before_its_number_shows() {
        let mut record = record();
        assert_eq!(record.shown(minutes(1))["parcels"], json!([]));
        record.ship(false, minutes(1)).unwrap();
        let parcel = &record.shown(minutes(2))["parcels"][0];
        assert_eq!(
            (&parcel["status"], &parcel["tracking_number"]),
            (&json!("on_the_way"), &Value::Null)
        );
        record.ship(true, minutes(3)).unwrap();
        let parcel = &record.shown(minutes(3))["parcels"][0];
        assert_eq!(parcel["tracking_number"], record.tracking_number);
        record.deliver(minutes(4)).unwrap();
        assert_eq!(record.shown(minutes(4))["parcels"][0]["status"], "delivered");
        assert_eq!(record.delivers_at_ms, minutes(4));
    }

    #[test]
    fn parcels_have_numbers_of_the_form_of_their_carrier() {
        assert_eq!(parcel("SANDBOX", 7), ("UPS", "1Z0000000000000007".to_owned()));
        assert_eq!(parcel("A2ACME", 7), ("USPS", "9200000000000000000007".to_owned()));
    }
}
