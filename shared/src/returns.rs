//! Taking goods back: what a client asks for, which of the retailer's orders it is about, and what becomes of it.
//! Everything here is a decision: no clock, no storage, no network.
//!
//! A return is started once. Before the retailer is asked for it, a marker says which return it knew of then; whoever
//! finds a marker first looks whether there is another one by now, and takes that for its own.

use std::{collections::BTreeMap, time::Duration};

use deserr::Deserr;
use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    aftersale::{AfterSale, Next, Stage},
    clock,
    error::{Code, Refusal},
    fields::{self, Faults, FieldError, Unfit},
    id,
    money::Cents,
    orders::{
        Placement,
        purchase::{Address, line, one_product_id, some_quantity},
    },
    refunds::{RefundReason, Wish},
    retailers::{PastOrder, ReturnProgress},
    webhooks::{
        EventKind,
        events::{AccountEvent, AccountNews},
    },
};

/// A request to take goods back.
pub type Return = AfterSale<Status>;

/// Where a return stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Status {
    /// Waits for its account's turn, or for a retailer that does not answer. The retailer knows nothing of it.
    Queued,
    /// The retailer may know of it: from here it is looked for first.
    Starting {
        /// The return of these goods that the retailer knew of before.
        known: Option<String>,
    },
    /// The retailer knows of it.
    Started(Started),
    /// It was not started.
    Failed(Refusal),
}

/// A return that was started.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Started {
    /// The retailer's own id of it.
    pub merchant_return_id: String,
    /// When it must have been sent, `YYYY-MM-DDTHH:MM:SS`.
    pub return_by: String,
    /// Where its labels can be fetched for some days.
    pub label_urls: Vec<String>,
    /// Until when the retailer is asked whether it has arrived, if anything depends on that.
    #[serde(with = "clock::optional_millis", default)]
    pub followed_until: Option<Timestamp>,
    /// What the retailer said of it since.
    pub progress: Option<ReturnProgress>,
}

/// What happens to a return.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The retailer is about to be asked for it; the return it knows of already.
    Mark(Option<String>),
    /// The retailer has taken it.
    Start(Started),
    /// The retailer says how far it is.
    Learn(ReturnProgress),
    /// It was not started.
    Refuse(Refusal),
}

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Deserr)]
#[deserr(error = Faults)]
pub struct Wanted {
    /// What goes back.
    #[deserr(try_from(Vec<Item>) = some_items -> Unfit)]
    pub products: Vec<Item>,
    /// Why, in the retailer's words.
    #[deserr(try_from(String) = line -> Unfit)]
    pub reason_code: String,
    /// How, in the retailer's words.
    #[deserr(try_from(String) = line -> Unfit)]
    pub method_code: String,
    /// Why, in the buyer's words; some reasons need it.
    #[deserr(default, try_from(Option<String>) = explained -> Unfit)]
    pub explanation: Option<String>,
    /// Where it is sent from; where it went, if not said.
    #[deserr(default)]
    pub return_address: Option<Address>,
    /// Whether a return of the same goods that is under way is called off for it.
    #[deserr(default)]
    pub cancel_pending: bool,
}

/// So many pieces of a product.
#[derive(Debug, Clone, PartialEq, Eq, Deserr)]
#[deserr(error = Faults)]
pub struct Item {
    /// The retailer's id of it.
    #[deserr(try_from(String) = one_product_id -> Unfit)]
    pub product_id: String,
    /// How many.
    #[deserr(default = 1, try_from(u32) = some_quantity -> Unfit)]
    pub quantity: u32,
}

const MAX_ITEMS: usize = 100;
const MAX_EXPLANATION_CHARS: usize = 5000;

/// Whether something has arrived matters for days, not for hours.
const PAUSE: Duration = Duration::from_hours(12);
/// Parcels that were sent on the last day arrive long before this.
const FOLLOWED_AFTER_LAST_DAY: Duration = Duration::from_hours(60 * 24);
/// Where the retailer's last day cannot be read.
const LAST_DAY_AFTER: Duration = Duration::from_hours(30 * 24);

/// The document: only what goes back in this way is refunded by itself.
const REFUNDED_METHOD: &str = "UPS Dropoff";

impl Stage for Status {
    type Kind = id::Return;
    type Event = Event;

    fn first() -> Self {
        Self::Queued
    }

    fn on(self, event: Event) -> Option<Self> {
        match (self, event) {
            (Self::Queued, Event::Mark(known)) => Some(Self::Starting { known }),
            (Self::Starting { .. }, Event::Start(started)) => Some(Self::Started(started)),
            (Self::Queued | Self::Starting { .. }, Event::Refuse(refusal)) => {
                Some(Self::Failed(refusal))
            }
            (Self::Started(started), Event::Learn(progress)) => {
                Some(Self::Started(Started { progress: Some(progress), ..started }))
            }
            (Self::Queued | Self::Starting { .. } | Self::Started(_) | Self::Failed(_), _) => None,
        }
    }

    fn news(before: &Self, after: &Self) -> Vec<EventKind> {
        match (before, after) {
            (_, Self::Queued | Self::Starting { .. }) => vec![],
            (Self::Started(before), Self::Started(after)) if before == after => vec![],
            (Self::Started(_), Self::Started(_)) => vec![EventKind::StatusUpdated],
            (_, Self::Started(_)) => vec![EventKind::RequestSucceeded, EventKind::StatusUpdated],
            (_, Self::Failed(_)) => vec![EventKind::RequestFailed, EventKind::StatusUpdated],
        }
    }

    fn account_news(before: &Self, after: &Self) -> Vec<AccountNews> {
        match (before, after) {
            (Self::Queued, Self::Starting { .. }) => {
                vec![AccountNews::new(AccountEvent::ReturnCreated, "open")]
            }
            (Self::Starting { .. }, Self::Started(started)) => {
                let Started { merchant_return_id, label_urls, .. } = started;
                let data =
                    json!({"merchant_return_id": merchant_return_id, "label_urls": label_urls});
                let tell = |event| AccountNews::new(event, "approved").with(data.clone());
                let label = (!label_urls.is_empty()).then_some(AccountEvent::ReturnLabelUploaded);
                [Some(AccountEvent::ReturnApproved), label]
                    .into_iter()
                    .flatten()
                    .map(tell)
                    .collect()
            }
            (_, Self::Failed(refusal)) => {
                let data = json!({"error_type": refusal.code, "error": refusal.message});
                vec![AccountNews::new(AccountEvent::ReturnDenied, "denied").with(data)]
            }
            (_, Self::Queued | Self::Starting { .. } | Self::Started(_)) => vec![],
        }
    }

    fn refused(refusal: Refusal) -> Event {
        Event::Refuse(refusal)
    }

    fn is_final(&self) -> bool {
        match self {
            Self::Queued | Self::Starting { .. } => false,
            Self::Started(_) | Self::Failed(_) => true,
        }
    }

    fn next(&self, now: Timestamp) -> Next {
        match self {
            Self::Queued | Self::Starting { .. } => Next::Work,
            Self::Started(started) if started.is_followed(now) => {
                Next::Ask(clock::after(now, PAUSE))
            }
            Self::Started(_) | Self::Failed(_) => Next::Nothing,
        }
    }

    fn given_up(&self) -> Option<Event> {
        match self {
            Self::Queued => Some(Event::Refuse(not_started())),
            Self::Starting { .. } => Some(Event::Refuse(not_known())),
            Self::Started(_) | Self::Failed(_) => None,
        }
    }
}

impl Started {
    /// Whether the retailer is to be asked if it has arrived.
    pub fn is_followed(&self, now: Timestamp) -> bool {
        let has_arrived = self.progress.as_ref().is_some_and(|progress| progress.is_delivered);
        !has_arrived && self.followed_until.is_some_and(|until| now < until)
    }
}

/// How it ends when the retailer could not be asked for it.
pub fn not_started() -> Refusal {
    let text = "The retailer could not be asked for the return. It was not started; ask again.";
    Refusal::new(Code::InternalError).saying(text)
}

/// How it ends when the retailer was asked for it and did not answer.
pub fn not_known() -> Refusal {
    let text = "The retailer was asked for the return and did not say whether it was started. Ask again: if it was, \
                the answer is return_in_progress.";
    Refusal::new(Code::InternalError).saying(text)
}

/// Which of the retailer's orders `items` are from: all of them from one.
pub fn choose<'a>(placement: &'a Placement, items: &[Item]) -> Result<&'a PastOrder, FieldError> {
    let wanted = pieces(items.iter().map(|item| (item.product_id.as_str(), item.quantity)));
    let holds_all = |past: &&PastOrder| {
        let bought = bought(std::slice::from_ref(*past));
        wanted.iter().all(|(product, count)| bought.get(product).is_some_and(|had| count <= had))
    };
    let cancelled = &placement.tracking.cancelled;
    let is_open = |past: &&PastOrder| !cancelled.contains(&past.merchant_order_id);
    let orders = &placement.merchant_orders;
    let open = orders.iter().filter(is_open).find(holds_all);
    if let Some(past) = open.or_else(|| orders.iter().find(holds_all)) {
        return Ok(past);
    }
    let bought = bought(orders);
    for (place, item) in items.iter().enumerate() {
        let had = bought.get(item.product_id.as_str()).copied().unwrap_or_default();
        if had == 0 {
            let text = "is no product of this order";
            let field = format!("products.{place}.product_id");
            let fault = FieldError::at(&field, "value_error", text);
            return Err(fault.with_value(item.product_id.as_str().into()));
        }
        if wanted.get(item.product_id.as_str()).is_some_and(|count| *count > had) {
            let text = format!("must not be more than the {had} that were ordered");
            let field = format!("products.{place}.quantity");
            return Err(
                FieldError::at(&field, "value_error", text).with_value(item.quantity.into())
            );
        }
    }
    let text = "belong to several merchant orders; ask for a return of each";
    Err(FieldError::at("products", "value_error", text))
}

/// When to stop asking whether a return has arrived that must be sent by `return_by`.
pub fn followed_until(return_by: &str, now: Timestamp) -> Timestamp {
    let last_day = return_by.parse::<DateTime>().ok();
    let last_day = last_day.and_then(|date| date.to_zoned(TimeZone::UTC).ok());
    let last_day =
        last_day.map_or_else(|| clock::after(now, LAST_DAY_AFTER), |day| day.timestamp());
    clock::after(last_day, FOLLOWED_AFTER_LAST_DAY)
}

/// Whether what goes back in this way is refunded by itself.
pub fn is_refunded_automatically(method_code: &str) -> bool {
    method_code == REFUNDED_METHOD
}

/// The refund that is asked for once the goods have arrived, if the balance paid: what they cost, with their part of
/// the tax.
///
/// The part of the order that it names is the return itself: several returns of one order are several refunds.
pub fn refund(placement: &Placement, items: &[Item], merchant_return_id: &str) -> Wish {
    Wish {
        reason: RefundReason::ReturnDelivered,
        note: format!("The return {merchant_return_id} has arrived."),
        merchant_order_id: Some(merchant_return_id.to_owned()),
        amount: Some(worth(placement, items)),
    }
}

fn worth(placement: &Placement, items: &[Item]) -> Cents {
    let review = &placement.review;
    let bought = bought(&placement.merchant_orders);
    let listed = |product: &str| {
        let subtotals = review.product_subtotals.iter().filter(|(id, _)| id == product);
        subtotals.map(|(_, subtotal)| u128::from(subtotal.0)).sum::<u128>()
    };
    let whole: u128 = review.product_subtotals.iter().map(|(_, cents)| u128::from(cents.0)).sum();
    let of_item = |item: &Item| {
        let had = bought.get(item.product_id.as_str()).copied().map_or(0, u128::from);
        let part = listed(&item.product_id).saturating_mul(u128::from(item.quantity));
        part.checked_div(had).unwrap_or_default()
    };
    let part = items.iter().map(of_item).sum::<u128>().min(whole);
    let paid = review.subtotal.plus(review.tax);
    let worth = u128::from(paid.0).saturating_mul(part).checked_div(whole).unwrap_or_default();
    Cents(u64::try_from(worth).unwrap_or(paid.0))
}

fn bought(orders: &[PastOrder]) -> BTreeMap<&str, u64> {
    let products = orders.iter().flat_map(|past| &past.products);
    pieces(products.map(|(product, quantity)| (product.as_str(), *quantity)))
}

fn pieces<'a>(lines: impl Iterator<Item = (&'a str, u32)>) -> BTreeMap<&'a str, u64> {
    let mut pieces = BTreeMap::new();
    for (product, quantity) in lines {
        let sum: &mut u64 = pieces.entry(product).or_default();
        *sum = sum.saturating_add(u64::from(quantity));
    }
    pieces
}

fn some_items(items: Vec<Item>) -> Result<Vec<Item>, Unfit> {
    match items.len() {
        0 => Err(Unfit("must name at least one product".to_owned())),
        1..=MAX_ITEMS => Ok(items),
        _ => Err(Unfit(format!("must not name more than {MAX_ITEMS} products"))),
    }
}

fn explained(text: Option<String>) -> Result<Option<String>, Unfit> {
    match text {
        Some(text) if text.chars().count() > MAX_EXPLANATION_CHARS => {
            Err(Unfit(format!("must not be longer than {MAX_EXPLANATION_CHARS} characters")))
        }
        text => Ok(text),
    }
}

impl Return {
    /// What was asked for, read by the rules it was accepted by.
    pub fn wanted(&self) -> Result<Wanted, Vec<FieldError>> {
        fields::read(fields::without_blanks(self.request.clone()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::orders::tests::{past_order, placement};

    fn refusal() -> Refusal {
        Refusal::new(Code::ReturnNotAllowed)
    }

    fn started() -> Started {
        Started {
            merchant_return_id: "r".to_owned(),
            return_by: "2018-02-01T00:00:00".to_owned(),
            label_urls: vec!["https://a.example/v1/labels/1".to_owned()],
            followed_until: None,
            progress: None,
        }
    }

    fn progress(is_delivered: bool) -> ReturnProgress {
        ReturnProgress {
            status: "Return started".to_owned(),
            description: "d".to_owned(),
            is_delivered,
        }
    }

    fn statuses() -> [Status; 4] {
        [
            Status::Queued,
            Status::Starting { known: Some("q".to_owned()) },
            Status::Started(started()),
            Status::Failed(refusal()),
        ]
    }

    fn events() -> [Event; 4] {
        [
            Event::Mark(None),
            Event::Start(started()),
            Event::Learn(progress(false)),
            Event::Refuse(refusal()),
        ]
    }

    fn letter(status: &Status) -> char {
        match status {
            Status::Queued => 'Q',
            Status::Starting { .. } => 'M',
            Status::Started(_) => 'S',
            Status::Failed(_) => 'F',
        }
    }

    /// Row: status; column: event; the status that follows and the news of it (S: succeeded, F: failed, u: the status
    /// alone, -: none), or `..` where it cannot happen.
    const TABLE: [[&str; 4]; 4] = [
        ["M-", "..", "..", "FF"],
        ["..", "SS", "..", "FF"],
        ["..", "..", "Su", ".."],
        ["..", "..", "..", ".."],
    ];

    #[test]
    fn every_status_takes_exactly_the_events_of_the_table_and_tells_of_them() {
        for (status, row) in statuses().iter().zip(TABLE) {
            let actual = events().map(|event| {
                let Some(after) = status.clone().on(event) else { return "..".to_owned() };
                let news = match Status::news(status, &after).as_slice() {
                    [] => '-',
                    [EventKind::RequestSucceeded, EventKind::StatusUpdated] => 'S',
                    [EventKind::RequestFailed, EventKind::StatusUpdated] => 'F',
                    [EventKind::StatusUpdated] => 'u',
                    other => panic!("{other:?}"),
                };
                format!("{}{news}", letter(&after))
            });
            assert_eq!(actual, row, "{status:?}");
        }
    }

    #[test]
    fn what_was_said_before_is_no_news() {
        let learned = Status::Started(started()).on(Event::Learn(progress(false))).unwrap();
        let again = learned.clone().on(Event::Learn(progress(false))).unwrap();
        assert_eq!(Status::news(&learned, &again), []);
    }

    #[test]
    fn a_return_is_followed_until_it_arrives_or_is_long_overdue() {
        let now: Timestamp = "2018-01-02T00:00:00Z".parse().unwrap();
        let mut one = started();
        assert_eq!(Status::Started(one.clone()).next(now), Next::Nothing);
        let until = followed_until(&one.return_by, now);
        assert_eq!(until.to_string(), "2018-04-02T00:00:00Z");
        one.followed_until = Some(until);
        let next = Next::Ask(clock::after(now, PAUSE));
        assert_eq!(Status::Started(one.clone()).next(now), next);
        assert_eq!(Status::Started(one.clone()).next(until), Next::Nothing);
        one.progress = Some(progress(true));
        assert_eq!(Status::Started(one).next(now), Next::Nothing);
        assert_eq!(followed_until("soon", now).to_string(), "2018-04-02T00:00:00Z");
    }

    fn item(product_id: &str, quantity: u32) -> Item {
        Item { product_id: product_id.to_owned(), quantity }
    }

    #[test]
    fn goods_go_back_from_the_one_order_that_holds_them() {
        let mut placement = placement();
        placement.merchant_orders = vec![
            past_order("1", &[("P", 2), ("Q", 1)]),
            past_order("2", &[("P", 1), ("R", 1)]),
            past_order("3", &[("R", 1)]),
        ];
        placement.tracking.cancelled = vec!["2".to_owned()];
        let chosen = |items: &[Item]| {
            let chosen = choose(&placement, items).map(|past| past.merchant_order_id.clone());
            chosen.map_err(|fault| fault.dotted_path())
        };
        let fault = |path: &str| Err(path.to_owned());
        assert_eq!(chosen(&[item("P", 2), item("Q", 1)]), Ok("1".to_owned()));
        assert_eq!(chosen(&[item("R", 1)]), Ok("3".to_owned()));
        assert_eq!(chosen(&[item("R", 1), item("P", 1)]), Ok("2".to_owned()));
        assert_eq!(chosen(&[item("Q", 1), item("R", 1)]), fault("products"));
        assert_eq!(chosen(&[item("P", 3)]), fault("products"));
        assert_eq!(chosen(&[item("P", 2), item("P", 2)]), fault("products.0.quantity"));
        assert_eq!(chosen(&[item("P", 1), item("X", 1)]), fault("products.1.product_id"));
    }

    #[test]
    fn goods_are_worth_what_was_paid_for_them_with_their_part_of_the_tax() {
        let mut placement = placement();
        placement.merchant_orders = vec![past_order("1", &[("P", 2), ("Q", 1)])];
        placement.review.product_subtotals =
            vec![("P".to_owned(), Cents(2000)), ("Q".to_owned(), Cents(1000))];
        placement.review.subtotal = Cents(3000);
        placement.review.tax = Cents(301);
        placement.review.shipping = Cents(500);
        for (items, expected) in [
            (vec![item("P", 1)], 1100),
            (vec![item("P", 2)], 2200),
            (vec![item("P", 2), item("Q", 1)], 3301),
            (vec![item("X", 1)], 0),
        ] {
            assert_eq!(worth(&placement, &items), Cents(expected), "{items:?}");
        }
        // A discount is everybody's.
        placement.review.subtotal = Cents(1500);
        placement.review.tax = Cents(0);
        assert_eq!(worth(&placement, &[item("P", 1)]), Cents(500));
    }

    #[test]
    fn the_documents_request_is_read_from_its_echo() {
        let body = json!({
            "products": [{"product_id": "B0000001234", "quantity": 1}],
            "reason_code": "inaccurate website description",
            "method_code": "UPS Dropoff",
            "explanation": "Additional details for Amazon seller",
            "cancel_pending": false,
        });
        let read: Wanted = fields::read(crate::redact::echo(body)).unwrap();
        assert_eq!(read.products, [item("B0000001234", 1)]);
        assert!(is_refunded_automatically(&read.method_code) && !read.cancel_pending);
    }

    #[test]
    fn a_status_reads_back_from_storage() {
        for status in statuses() {
            assert_eq!(serde_json::from_value::<Status>(json!(status)).unwrap(), status);
        }
    }
}
