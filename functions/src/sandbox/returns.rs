//! Sending things back: which returns the shop takes, and what becomes of them.
//!
//! A return is started by the buyer, who gets a label for the parcel. That the parcel came back, and that its money was
//! given back, is for the admin to say.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{Path, State},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use deserr::Deserr;
use jiff::{Timestamp, ToSpan, civil::Date, tz::TimeZone};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use spelter::{
    error::Code,
    fields::{Faults, Unfit},
};
use uuid::Uuid;

use super::{
    Shop,
    answer::{Body, Fault},
    behaviour::Step,
    checkout::Address,
    journal::Visit,
    labels::Label,
    market::Market,
    orders::{self, Changed, Progress, Record},
    store::{Key, Write},
};

/// How the shop takes a parcel back.
const METHODS: [&str; 3] = ["UPS Dropoff", "UPS Pickup", "Locker Dropoff"];

/// Days after the delivery in which a return can be started, and then again days in which it has to be sent.
const WINDOW_DAYS: i32 = 30;

/// A cart has not more lines.
const MAX_ITEMS: usize = 100;

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

/// So many pieces of a product.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Deserr)]
#[deserr(error = Faults)]
pub struct Item {
    product_id: String,
    quantity: u32,
}

/// A return as it is stored, with its order.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[expect(clippy::struct_field_names, reason = "the shop's words")]
pub struct Return {
    return_id: String,
    items: Vec<Item>,
    reason: String,
    method: String,
    started_at_ms: i64,
    /// The last day to send it, at its beginning.
    return_by: String,
    status: Status,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
enum Status {
    Started,
    Received { at_ms: i64 },
    Refunded { at_ms: i64, cents: u64 },
    Cancelled { at_ms: i64 },
}

/// A reason that can be chosen.
struct Reason {
    name: &'static str,
    needs_explanation: bool,
}

/// What is asked for a return. What is explained is taken and not looked at.
#[derive(Deserr)]
#[deserr(error = Faults)]
pub struct Wanted {
    #[deserr(try_from(Vec<Item>) = some_items -> Unfit)]
    items: Vec<Item>,
    reason: String,
    method: String,
    #[deserr(default)]
    explanation: Option<String>,
    /// Where the parcel is sent from, for the label; where the order went, without it. Not kept.
    #[deserr(default)]
    address: Option<Address>,
    /// Whether a return of the same items that is under way may be called off for it.
    #[deserr(default)]
    cancel_pending: bool,
}

fn some_items(items: Vec<Item>) -> Result<Vec<Item>, Unfit> {
    let fits = (1..=MAX_ITEMS).contains(&items.len()) && items.iter().all(|item| item.quantity > 0);
    if fits { Ok(items) } else { Err(Unfit("must name some pieces of some products".to_owned())) }
}

/// Which order a return is of, as it is stored.
#[derive(Serialize, Deserialize)]
struct Place {
    order_id: String,
}

/// `GET /orders/{order_id}/returns`: all of them, newest first.
pub async fn list(
    State(shop): State<Arc<Shop>>,
    Extension(visit): Extension<Visit>,
    Path(order_id): Path<String>,
) -> Result<Json<Value>, Fault> {
    let record = orders::visited(&shop, &visit, &order_id, Step::PendingReturn).await?;
    let returns = record.returns.iter().rev().map(|one| one.shown(record.market));
    Ok(Json(json!({ "returns": returns.collect::<Vec<_>>() })))
}

/// `POST /orders/{order_id}/returns`. Posted twice, the second one finds the first under way.
pub async fn start(
    State(shop): State<Arc<Shop>>,
    Extension(visit): Extension<Visit>,
    Path(order_id): Path<String>,
    Body(wanted): Body<Wanted>,
) -> Result<Json<Value>, Fault> {
    let record = orders::visited(&shop, &visit, &order_id, Step::Return).await?;
    let return_id = Uuid::new_v4().to_string();
    let started = orders::change(&shop, &order_id, |record, now_ms| {
        let started = begin(record, &wanted, &return_id, now_ms)?;
        let place = Place { order_id: record.order.order_id.clone() };
        let write = Write::put(&Key::return_(&return_id), &place)?;
        Ok(Changed { writes: vec![write], ..Changed::to(started) })
    });
    let started = started.await?;
    orders::after_commit(&shop, &record, Step::ReturnAfterCommit).await?;
    Ok(Json(with_labels(&record, &started, wanted.address.as_ref())))
}

fn with_labels(record: &Record, started: &Return, address: Option<&Address>) -> Value {
    let label = super::labels::pdf(&label(record, started, address));
    json!({
        "return_id": started.return_id,
        "return_by": started.return_by,
        "labels": [BASE64_STANDARD.encode(label)],
    })
}

/// `GET /returns/{return_id}/labels`: what the start of it was answered. An address that was given then was not kept.
pub async fn labels(
    State(shop): State<Arc<Shop>>,
    Extension(visit): Extension<Visit>,
    Path(return_id): Path<String>,
) -> Result<Json<Value>, Fault> {
    let order_id = order_of(&shop, &return_id).await?;
    let mut record = orders::visited(&shop, &visit, &order_id, Step::ReturnState).await?;
    let started = record.found(&return_id)?.clone();
    Ok(Json(with_labels(&record, &started, None)))
}

/// `GET /returns/{return_id}`
pub async fn show(
    State(shop): State<Arc<Shop>>,
    Extension(visit): Extension<Visit>,
    Path(return_id): Path<String>,
) -> Result<Json<Value>, Fault> {
    let order_id = order_of(&shop, &return_id).await?;
    let mut record = orders::visited(&shop, &visit, &order_id, Step::ReturnState).await?;
    let market = record.market;
    let found = record.found(&return_id)?;
    Ok(Json(found.shown(market)))
}

/// The order that a return is of.
pub async fn order_of(shop: &Shop, return_id: &str) -> Result<String, Fault> {
    let place = shop.store.get::<Place>(&Key::return_(return_id)).await?;
    place.map(|place| place.order_id).ok_or_else(unknown)
}

fn unknown() -> Fault {
    Fault::unknown("unknown_return")
}

impl Record {
    fn found(&mut self, return_id: &str) -> Result<&mut Return, Fault> {
        self.returns.iter_mut().find(|one| one.return_id == return_id).ok_or_else(unknown)
    }

    /// The parcel of a return has come back, or had already.
    pub fn receive(&mut self, return_id: &str, now_ms: i64) -> Result<Changed<()>, Fault> {
        let found = self.found(return_id)?;
        match found.status {
            Status::Started => found.status = Status::Received { at_ms: now_ms },
            Status::Received { .. } | Status::Refunded { .. } => {}
            Status::Cancelled { .. } => return Err(Fault::conflict("cancelled")),
        }
        Ok(Changed::to(()))
    }

    /// The money of a return is paid back, or was already: what its items cost, with their tax.
    pub fn refund(&mut self, return_id: &str, now_ms: i64) -> Result<Changed<()>, Fault> {
        let items = self.found(return_id)?.items.clone();
        let cents = self.worth(&items);
        let found = self.found(return_id)?;
        match found.status {
            Status::Started | Status::Received { .. } => {
                found.status = Status::Refunded { at_ms: now_ms, cents };
                Ok(Changed { refund_cents: cents, ..Changed::to(()) })
            }
            Status::Refunded { .. } => Ok(Changed::to(())),
            Status::Cancelled { .. } => Err(Fault::conflict("cancelled")),
        }
    }

    /// What was paid for `items`, without shipping, rounded down.
    fn worth(&self, items: &[Item]) -> u64 {
        let listed = |pieces: u32, price: u64| u128::from(pieces) * u128::from(price);
        let lines = &self.order.lines;
        let whole: u128 = lines.iter().map(|line| listed(line.quantity, line.price_cents)).sum();
        let of_item = |item: &Item| {
            let line = lines.iter().find(|line| line.product_id == item.product_id);
            line.map_or(0, |line| listed(item.quantity, line.price_cents))
        };
        let part: u128 = items.iter().map(of_item).sum();
        let paid = self.order.subtotal_cents.saturating_add(self.order.tax_cents);
        let worth =
            u128::from(paid).saturating_mul(part.min(whole)).checked_div(whole).unwrap_or(0);
        u64::try_from(worth).unwrap_or(paid)
    }

    fn ordered(&self, product_id: &str) -> u64 {
        let lines = self.order.lines.iter().filter(|line| line.product_id == product_id);
        lines.map(|line| u64::from(line.quantity)).sum()
    }

    /// How many of a product have been paid back.
    fn refunded(&self, product_id: &str) -> u64 {
        let refunded =
            self.returns.iter().filter(|one| matches!(one.status, Status::Refunded { .. }));
        let items = refunded.flat_map(|one| &one.items);
        items
            .filter(|item| item.product_id == product_id)
            .map(|item| u64::from(item.quantity))
            .sum()
    }

    /// Whether `one` stands in the way of returning `items`: it is under way with some of them, or has used them up.
    fn is_blocked_by(&self, one: &Return, items: &[Item]) -> bool {
        let mut shared =
            items.iter().filter(|item| one.product_ids().any(|other| other == item.product_id));
        match one.status {
            Status::Started | Status::Received { .. } => shared.next().is_some(),
            Status::Refunded { .. } => shared.any(|item| {
                let left =
                    self.ordered(&item.product_id).saturating_sub(self.refunded(&item.product_id));
                u64::from(item.quantity) > left
            }),
            Status::Cancelled { .. } => false,
        }
    }
}

impl Return {
    fn product_ids(&self) -> impl Iterator<Item = &str> {
        self.items.iter().map(|item| item.product_id.as_str())
    }

    fn shown(&self, market: Market) -> Value {
        json!({
            "return_id": self.return_id,
            "items": self.items,
            "state": self.status.word(),
            "description": self.description(market),
        })
    }

    /// As the shop's pages say it: `$6.30 refund issued on Nov 22, 2017.`
    fn description(&self, market: Market) -> String {
        match self.status {
            Status::Started => format!(
                "Return started on {}. Send it by {}.",
                day(self.started_at_ms),
                self.return_by.parse().map_or_else(|_| self.return_by.clone(), written)
            ),
            Status::Received { at_ms } => format!("Return received on {}.", day(at_ms)),
            Status::Refunded { at_ms, cents } => {
                format!("{} refund issued on {}.", market.money(cents), day(at_ms))
            }
            Status::Cancelled { at_ms } => format!("Return cancelled on {}.", day(at_ms)),
        }
    }
}

impl Status {
    const fn word(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Received { .. } => "received",
            Self::Refunded { .. } => "refunded",
            Self::Cancelled { .. } => "cancelled",
        }
    }
}

/// Starts a return, if the shop takes it. A return of the same items that is under way is looked for first, so that
/// whoever names a method that there is not learns of it and of nothing else.
fn begin(
    record: &mut Record,
    wanted: &Wanted,
    return_id: &str,
    now_ms: i64,
) -> Result<Return, Fault> {
    let Wanted { items, reason, method, explanation, address: _, cancel_pending } = wanted;
    were_ordered(record, items)?;
    let blocking: Vec<Return> =
        record.returns.iter().filter(|one| record.is_blocked_by(one, items)).cloned().collect();
    if let Some(newest) = blocking.last().filter(|_| !cancel_pending) {
        return Err(in_progress(newest, record.market, false));
    }
    if !METHODS.contains(&method.as_str()) {
        return Err(not_one_of("unknown_method", &METHODS));
    }
    let reasons = reasons(record.market);
    let Some(chosen) = reasons.iter().find(|known| known.name == reason) else {
        return Err(not_one_of("unknown_reason", &reasons.map(|known| known.name)));
    };
    if chosen.needs_explanation && explanation.as_ref().is_none_or(|text| text.trim().is_empty()) {
        return Err(Fault::Explained { word: "explanation_required", details: json!({}) });
    }
    is_returnable(record, now_ms)?;
    if let Some(other) = blocking.iter().rev().find(|one| one.status != Status::Started) {
        return Err(in_progress(other, record.market, true));
    }
    for called_off in blocking {
        record.found(&called_off.return_id)?.status = Status::Cancelled { at_ms: now_ms };
    }
    let started = Return {
        return_id: return_id.to_owned(),
        items: items.clone(),
        reason: reason.clone(),
        method: method.clone(),
        started_at_ms: now_ms,
        return_by: format!("{}T00:00:00", date(now_ms).saturating_add(WINDOW_DAYS.days())),
        status: Status::Started,
    };
    record.returns.push(started.clone());
    Ok(started)
}

fn were_ordered(record: &Record, items: &[Item]) -> Result<(), Fault> {
    for item in items {
        let same = items.iter().filter(|other| other.product_id == item.product_id);
        let wanted: u64 = same.map(|item| u64::from(item.quantity)).sum();
        if wanted > record.ordered(&item.product_id) {
            let details = json!({ "product_id": item.product_id });
            return Err(Fault::Explained { word: "not_ordered", details });
        }
    }
    Ok(())
}

fn is_returnable(record: &Record, now_ms: i64) -> Result<(), Fault> {
    let because = match record.progress(now_ms) {
        Progress::Open | Progress::Shipped => "not_delivered",
        Progress::CancelRequested | Progress::Cancelled => "cancelled",
        Progress::Delivered => {
            let ends_ms = record.delivers_at_ms.saturating_add(i64::from(WINDOW_DAYS) * DAY_MS);
            if now_ms <= ends_ms {
                return Ok(());
            }
            "too_late"
        }
    };
    let details = json!({ "because": because });
    Err(Fault::Explained { word: Code::ReturnNotAllowed.as_str(), details })
}

fn in_progress(one: &Return, market: Market, tried_to_cancel: bool) -> Fault {
    let mut details = one.shown(market);
    if let Value::Object(members) = &mut details {
        members.insert("tried_to_cancel".to_owned(), tried_to_cancel.into());
    }
    Fault::Explained { word: Code::ReturnInProgress.as_str(), details }
}

fn not_one_of(word: &'static str, allowed: &[&str]) -> Fault {
    Fault::Explained { word, details: json!({ "allowed": allowed }) }
}

/// What can be chosen in a market. The first is worded as the market words it.
fn reasons(market: Market) -> [Reason; 5] {
    let other_than_described = match market {
        Market::Us | Market::Ca | Market::Mx => "inaccurate website description",
        Market::Uk => "description on website was not accurate",
    };
    let reason = |name| Reason { name, needs_explanation: false };
    [
        reason(other_than_described),
        reason("no longer needed"),
        reason("wrong item was sent"),
        Reason { needs_explanation: true, ..reason("item defective or doesn't work") },
        Reason { needs_explanation: true, ..reason("other") },
    ]
}

fn label(record: &Record, started: &Return, address: Option<&Address>) -> Label {
    let order = &record.order;
    let town = |city: &str, state: Option<&str>, postal_code: &str| {
        [Some(city), state, Some(postal_code)].into_iter().flatten().collect::<Vec<_>>().join(" ")
    };
    let from = match address {
        Some(address) => vec![
            address.name.clone(),
            address.line1.clone(),
            town(&address.city, address.state.as_deref(), &address.postal_code),
            address.country.clone(),
        ],
        None => vec![
            order.name.clone(),
            town(&order.city, order.state.as_deref(), &order.postal_code),
            order.country.clone(),
        ],
    };
    Label {
        return_id: started.return_id.clone(),
        order_id: order.order_id.clone(),
        method: started.method.clone(),
        return_by: date_text(&started.return_by),
        from,
    }
}

fn date_text(return_by: &str) -> String {
    return_by.split('T').next().unwrap_or_default().to_owned()
}

fn date(at_ms: i64) -> Date {
    let time = Timestamp::from_millisecond(at_ms).unwrap_or_default();
    time.to_zoned(TimeZone::UTC).date()
}

fn day(at_ms: i64) -> String {
    written(date(at_ms))
}

/// `Nov 22, 2017`
fn written(date: Date) -> String {
    date.strftime("%b %-d, %Y").to_string()
}

#[cfg(test)]
mod tests {
    use super::{super::orders::tests::record, *};

    fn item(product_id: &str, quantity: u32) -> Item {
        Item { product_id: product_id.to_owned(), quantity }
    }

    fn wanted(reason: &str, items: Vec<Item>) -> Wanted {
        Wanted {
            items,
            reason: reason.to_owned(),
            method: METHODS[0].to_owned(),
            explanation: None,
            address: None,
            cancel_pending: false,
        }
    }

    fn word<T>(outcome: Result<T, Fault>) -> Option<&'static str> {
        match outcome {
            Ok(_) => None,
            Err(Fault::No { word, .. } | Fault::Explained { word, .. }) => Some(word),
            Err(fault) => panic!("{fault:?}"),
        }
    }

    #[test]
    fn a_return_can_be_started_until_the_window_closes() {
        let closes_ms = record().delivers_at_ms + 30 * DAY_MS;
        let start = |now_ms| {
            let wanted = wanted("no longer needed", vec![item("P", 1)]);
            word(begin(&mut record(), &wanted, "r", now_ms))
        };
        assert_eq!(start(record().delivers_at_ms - 1), Some("return_not_allowed"));
        assert_eq!(start(record().delivers_at_ms), None);
        assert_eq!(start(closes_ms), None);
        assert_eq!(start(closes_ms + 1), Some("return_not_allowed"));
    }

    #[test]
    fn each_market_words_its_reasons() {
        let us = "inaccurate website description";
        let uk = "description on website was not accurate";
        for (market, reason, expected) in [
            (Market::Us, us, None),
            (Market::Us, uk, Some("unknown_reason")),
            (Market::Uk, uk, None),
            (Market::Uk, us, Some("unknown_reason")),
        ] {
            let mut record = record();
            record.market = market;
            let now_ms = record.delivers_at_ms;
            let wanted = wanted(reason, vec![item("P", 1)]);
            assert_eq!(word(begin(&mut record, &wanted, "r", now_ms)), expected, "{reason}");
        }
    }

    #[test]
    fn a_refund_is_what_was_paid_for_the_items_without_shipping() {
        // Two pieces for 19.98 and their tax of 1.25; shipping was 5.00.
        let record = record();
        assert_eq!(record.worth(&[item("P", 1)]), 1_061);
        assert_eq!(record.worth(&[item("P", 2)]), 2_123);
        assert_eq!(record.worth(&[item("Q", 1)]), 0);
    }

    #[test]
    fn a_return_says_what_it_is_as_the_documents_do() {
        let mut record = record();
        let now_ms = record.delivers_at_ms;
        let wanted = wanted("no longer needed", vec![item("P", 1)]);
        let started = begin(&mut record, &wanted, "r", now_ms).unwrap();
        assert_eq!(started.return_by, "2023-12-14T00:00:00");
        let described = |record: &Record| record.returns[0].description(Market::Us);
        assert_eq!(described(&record), "Return started on Nov 14, 2023. Send it by Dec 14, 2023.");
        assert_eq!(record.refund("r", now_ms).unwrap().refund_cents, 1_061);
        assert_eq!(described(&record), "$10.61 refund issued on Nov 14, 2023.");
        assert_eq!(record.refund("r", now_ms).unwrap().refund_cents, 0);
    }

    #[test]
    fn what_was_called_off_is_neither_received_nor_refunded() {
        let mut record = record();
        let now_ms = record.delivers_at_ms;
        let first = wanted("no longer needed", vec![item("P", 2)]);
        begin(&mut record, &first, "1", now_ms).unwrap();
        assert_eq!(word(begin(&mut record, &first, "2", now_ms)), Some("return_in_progress"));
        let again = Wanted { cancel_pending: true, ..first };
        begin(&mut record, &again, "2", now_ms).unwrap();
        assert_eq!(word(record.receive("1", now_ms)), Some("cancelled"));
        assert_eq!(word(record.refund("1", now_ms)), Some("cancelled"));
        assert_eq!(word(record.receive("3", now_ms)), Some("unknown_return"));
        // What has come back already cannot be called off.
        record.receive("2", now_ms).unwrap();
        assert_eq!(word(begin(&mut record, &again, "3", now_ms)), Some("return_in_progress"));
    }
}
