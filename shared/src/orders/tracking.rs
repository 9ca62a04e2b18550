//! What becomes of a placed order's parcels: when to ask the retailer, and what is worth telling.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Placement;
use crate::{
    clock,
    retailers::{self, OrderProgress, OrderState, PastOrder},
    webhooks::EventKind,
};

/// What the retailer said last.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tracking {
    /// Every parcel there is to know of, by the retailer's orders.
    pub parcels: Vec<Parcel>,
    /// Those of the retailer's orders that were cancelled: nothing of them will come.
    pub cancelled: Vec<String>,
    /// What it says of whole orders, where that is another than when they were placed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<Note>,
}

/// What a retailer says of a whole order since it was placed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// The retailer's order.
    pub merchant_order_id: String,
    /// Where it can be followed.
    pub tracking_url: Option<String>,
    /// When it should arrive, `YYYY-MM-DD`.
    pub delivery_date: Option<String>,
}

/// One parcel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parcel {
    /// The retailer's order it belongs to.
    pub merchant_order_id: String,
    /// What is in it.
    pub product_ids: Vec<String>,
    /// Who carries it.
    pub carrier: Option<String>,
    /// The carrier's number of it. A retailer often says that a parcel is on its way before it says its number.
    pub tracking_number: Option<String>,
    /// Where it can be followed.
    pub tracking_url: Option<String>,
    /// Where it is.
    pub delivery_status: DeliveryStatus,
    /// When its number was first seen.
    #[serde(with = "clock::optional_millis", default)]
    pub obtained_at: Option<Timestamp>,
}

/// Where a parcel is, in the words of real answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeliveryStatus {
    /// On its way.
    InTransit,
    /// There.
    Delivered,
}

/// How often the retailer is asked, by the order's age: each time signs in and takes the account's turn.
const PACE: [(Duration, Duration); 4] = [
    (Duration::from_hours(2), Duration::from_mins(15)),
    (Duration::from_hours(3 * 24), Duration::from_hours(4)),
    (Duration::from_hours(14 * 24), Duration::from_hours(8)),
    (Duration::from_hours(45 * 24), Duration::from_hours(24)),
];

/// When to ask next; `None` once there is nothing left to learn, or after 45 days.
pub fn next_read(placement: &Placement, placed_at: Timestamp, now: Timestamp) -> Option<Timestamp> {
    if is_settled(placement) {
        return None;
    }
    let age = clock::until(now, placed_at);
    let (_, pause) = PACE.iter().find(|(until, _)| age < *until)?;
    Some(clock::after(now, *pause))
}

/// Which webhooks a change calls for. `tracking_obtained` is told once, when the last number comes.
pub fn news(before: &Placement, after: &Placement) -> Vec<EventKind> {
    if before.tracking == after.tracking {
        return vec![];
    }
    let mut news = vec![EventKind::TrackingUpdated, EventKind::StatusUpdated];
    if has_all_numbers(after) && !has_all_numbers(before) {
        news.insert(0, EventKind::TrackingObtained);
    }
    news
}

/// Whether every parcel has its number: of each of the retailer's orders that were not cancelled, at least one.
fn has_all_numbers(placement: &Placement) -> bool {
    let tracking = &placement.tracking;
    let has_number = |parcel: &&Parcel| parcel.tracking_number.is_some();
    !tracking.parcels.is_empty()
        && tracking.parcels.iter().all(|parcel| has_number(&parcel))
        && open_orders(placement).all(|id| parcels_of(tracking, id).next().is_some())
}

/// Whether nothing will change any more.
fn is_settled(placement: &Placement) -> bool {
    let tracking = &placement.tracking;
    open_orders(placement).all(|id| {
        let mut parcels = parcels_of(tracking, id).peekable();
        parcels.peek().is_some()
            && parcels.all(|parcel| {
                parcel.tracking_number.is_some()
                    && parcel.delivery_status == DeliveryStatus::Delivered
            })
    })
}

/// The retailer's orders that were not cancelled.
pub fn open_orders(placement: &Placement) -> impl Iterator<Item = &str> {
    let ids = placement.merchant_orders.iter().map(|past| past.merchant_order_id.as_str());
    ids.filter(|id| !placement.tracking.cancelled.iter().any(|cancelled| cancelled == id))
}

fn parcels_of<'a>(tracking: &'a Tracking, id: &str) -> impl Iterator<Item = &'a Parcel> {
    tracking.parcels.iter().filter(move |parcel| parcel.merchant_order_id == id)
}

/// What is known of a placed order once its retailer's orders were read at `now`, each with its id.
pub fn learn(placement: &Placement, read: &[(String, OrderState)], now: Timestamp) -> Tracking {
    let parcels: Vec<Parcel> = read
        .iter()
        .flat_map(|(id, state)| state.parcels.iter().map(|parcel| seen(id, parcel)))
        .collect();
    let cancelled = read.iter().filter(|(_, state)| state.progress == OrderProgress::Cancelled);
    let cancelled: Vec<_> = cancelled.map(|(id, _)| id.clone()).collect();
    let mut tracking = placement.tracking.with(&parcels, &cancelled, now);
    for (id, state) in read {
        let past = placement.merchant_orders.iter().find(|past| past.merchant_order_id == *id);
        if let Some(past) = past {
            tracking.note(placement, past, state);
        }
    }
    tracking
}

/// What is known of a placed order once a mail of the retailer's has named the number of a parcel, at `now`.
///
/// A mail does not say what is in the parcel. If the retailer has named several parcels without a number, nobody can
/// say which of them it is: the next look at the retailer's own page will.
pub fn learn_from_mail(
    placement: &Placement,
    merchant_order_id: &str,
    carrier: Option<&str>,
    tracking_number: &str,
    now: Timestamp,
) -> Tracking {
    let tracking = &placement.tracking;
    let of_order = |past: &&PastOrder| past.merchant_order_id == merchant_order_id;
    let Some(past) = placement.merchant_orders.iter().find(of_order) else {
        return tracking.clone();
    };
    let mut known: Vec<_> = parcels_of(tracking, merchant_order_id).cloned().collect();
    let is_known = |parcel: &Parcel| parcel.tracking_number.as_deref() == Some(tracking_number);
    if known.iter().any(is_known) {
        return tracking.clone();
    }
    if known.is_empty() {
        known.push(Parcel {
            merchant_order_id: merchant_order_id.to_owned(),
            product_ids: past.products.iter().map(|(product, _)| product.clone()).collect(),
            carrier: None,
            tracking_number: None,
            tracking_url: None,
            delivery_status: DeliveryStatus::InTransit,
            obtained_at: None,
        });
    }
    let mut unnumbered = known.iter_mut().filter(|parcel| parcel.tracking_number.is_none());
    let (Some(parcel), None) = (unnumbered.next(), unnumbered.next()) else {
        return tracking.clone();
    };
    parcel.tracking_number = Some(tracking_number.to_owned());
    parcel.carrier = carrier.map(str::to_owned).or_else(|| parcel.carrier.take());
    tracking.with(&known, &[], now)
}

fn seen(merchant_order_id: &str, parcel: &retailers::Parcel) -> Parcel {
    let retailers::Parcel { product_ids, carrier, tracking_number, tracking_url, delivery_status } =
        parcel.clone();
    let delivered = delivery_status.as_deref() == Some("Delivered");
    Parcel {
        merchant_order_id: merchant_order_id.to_owned(),
        product_ids,
        carrier,
        tracking_number,
        tracking_url,
        delivery_status: if delivered {
            DeliveryStatus::Delivered
        } else {
            DeliveryStatus::InTransit
        },
        obtained_at: None,
    }
}

impl Tracking {
    /// What was noted of one of the retailer's orders.
    pub fn note_of(&self, merchant_order_id: &str) -> Option<&Note> {
        self.notes.iter().find(|note| note.merchant_order_id == merchant_order_id)
    }

    /// The same once `merchant_order_id` was cancelled.
    #[must_use]
    pub fn without(&self, merchant_order_id: &str, now: Timestamp) -> Self {
        self.with(&[], &[merchant_order_id.to_owned()], now)
    }

    /// Keeps what `state` says of a whole order, if it is news.
    fn note(&mut self, placement: &Placement, past: &PastOrder, state: &OrderState) {
        let tracking_url = state.tracking_url.clone();
        let news =
            |said: &Option<String>, known: Option<&str>| said.is_some() && said.as_deref() != known;
        if !news(&tracking_url, placement.tracking_url(past))
            && !news(&state.delivery_date, placement.delivery_date(past))
        {
            return;
        }
        let known = |text: Option<&str>| text.map(str::to_owned);
        let note = Note {
            merchant_order_id: past.merchant_order_id.clone(),
            tracking_url: tracking_url.or_else(|| known(placement.tracking_url(past))),
            delivery_date: state
                .delivery_date
                .clone()
                .or_else(|| known(placement.delivery_date(past))),
        };
        self.notes.retain(|other| other.merchant_order_id != note.merchant_order_id);
        self.notes.push(note);
    }

    /// The same with what was read of some orders at `now` in place of what was known of them: the time at which a
    /// number was first seen stays.
    #[must_use]
    pub fn with(&self, read: &[Parcel], cancelled: &[String], now: Timestamp) -> Self {
        let read_of = |id: &str| read.iter().any(|parcel| parcel.merchant_order_id == id);
        let kept = self.parcels.iter().filter(|parcel| !read_of(&parcel.merchant_order_id));
        let seen = |parcel: &Parcel| {
            let number = parcel.tracking_number.as_ref()?;
            let before = self.parcels.iter().find(|known| {
                known.merchant_order_id == parcel.merchant_order_id
                    && known.tracking_number.as_ref() == Some(number)
            });
            before.map_or(Some(now), |known| known.obtained_at)
        };
        let dated =
            read.iter().map(|parcel| Parcel { obtained_at: seen(parcel), ..parcel.clone() });
        let mut all_cancelled = self.cancelled.clone();
        let new = cancelled.iter().filter(|id| !self.cancelled.contains(id));
        all_cancelled.extend(new.cloned());
        Self {
            parcels: kept.cloned().chain(dated).collect(),
            cancelled: all_cancelled,
            notes: self.notes.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        orders::tests::{past_order, review},
        retailers::AccountStatus,
    };

    fn placement(orders: &[&str], tracking: Tracking) -> Placement {
        Placement {
            review: review(),
            merchant_orders: orders.iter().map(|id| past_order(id, &[])).collect(),
            account_status: AccountStatus::default(),
            tracking,
            asked_to_cancel: vec![],
        }
    }

    fn parcel(order: &str, number: Option<&str>, delivery_status: DeliveryStatus) -> Parcel {
        Parcel {
            merchant_order_id: order.to_owned(),
            product_ids: vec!["P".to_owned()],
            carrier: Some("UPS".to_owned()),
            tracking_number: number.map(str::to_owned),
            tracking_url: None,
            delivery_status,
            obtained_at: None,
        }
    }

    fn known(parcels: &[Parcel], cancelled: &[&str]) -> Tracking {
        let cancelled = cancelled.iter().map(|id| (*id).to_owned()).collect();
        Tracking { parcels: parcels.to_vec(), cancelled, notes: vec![] }
    }

    #[test]
    fn a_mail_gives_the_number_where_it_is_clear_of_which_parcel() {
        use DeliveryStatus::InTransit;
        let now = Timestamp::from_second(9).unwrap();
        let learnt = |parcels: &[Parcel]| {
            let placement = placement(&["1", "2"], known(parcels, &[]));
            let tracking = learn_from_mail(&placement, "1", Some("UPS"), "1Z", now);
            let numbers = tracking.parcels.iter().map(|parcel| parcel.tracking_number.clone());
            (numbers.collect::<Vec<_>>(), tracking == placement.tracking)
        };
        let some = |number: &str| Some(number.to_owned());
        assert_eq!(learnt(&[]), (vec![some("1Z")], false));
        assert_eq!(learnt(&[parcel("1", None, InTransit)]), (vec![some("1Z")], false));
        let other = parcel("2", None, InTransit);
        assert_eq!(learnt(&[other]), (vec![None, some("1Z")], false));
        let several = [parcel("1", None, InTransit), parcel("1", None, InTransit)];
        assert_eq!(learnt(&several), (vec![None, None], true));
        assert_eq!(learnt(&[parcel("1", Some("1Z"), InTransit)]), (vec![some("1Z")], true));
        assert_eq!(learnt(&[parcel("1", Some("9"), InTransit)]), (vec![some("9")], true));
        let foreign = placement(&["2"], Tracking::default());
        assert_eq!(learn_from_mail(&foreign, "1", None, "1Z", now), Tracking::default());
    }

    #[test]
    fn obtained_is_told_once_when_the_last_number_comes() {
        use DeliveryStatus::{Delivered, InTransit};
        use EventKind::{StatusUpdated, TrackingObtained, TrackingUpdated};
        let steps = [
            (known(&[], &[]), vec![]),
            (known(&[parcel("1", None, InTransit)], &[]), vec![TrackingUpdated, StatusUpdated]),
            (
                known(&[parcel("1", Some("a"), InTransit)], &[]),
                vec![TrackingUpdated, StatusUpdated],
            ),
            (
                known(&[parcel("1", Some("a"), InTransit), parcel("2", Some("b"), InTransit)], &[]),
                vec![TrackingObtained, TrackingUpdated, StatusUpdated],
            ),
            (
                known(&[parcel("1", Some("a"), Delivered), parcel("2", Some("b"), InTransit)], &[]),
                vec![TrackingUpdated, StatusUpdated],
            ),
        ];
        let mut before = placement(&["1", "2"], Tracking::default());
        for (tracking, expected) in steps {
            let after = placement(&["1", "2"], tracking);
            assert_eq!(news(&before, &after), expected, "{after:?}");
            before = after;
        }
    }

    #[test]
    fn what_was_cancelled_is_not_waited_for() {
        let delivered = parcel("1", Some("a"), DeliveryStatus::Delivered);
        let open = placement(&["1", "2"], known(std::slice::from_ref(&delivered), &[]));
        let closed = placement(&["1", "2"], known(&[delivered], &["2"]));
        let start = Timestamp::UNIX_EPOCH;
        assert!(next_read(&open, start, start).is_some());
        assert_eq!(next_read(&closed, start, start), None);
        assert!(has_all_numbers(&closed) && !has_all_numbers(&open));
    }

    #[test]
    fn the_retailer_is_asked_less_and_less_often_and_in_the_end_no_more() {
        let start = Timestamp::UNIX_EPOCH;
        let waiting = placement(&["1"], Tracking::default());
        let (mut now, mut pauses) = (start, vec![]);
        while let Some(next) = next_read(&waiting, start, now) {
            pauses.push(clock::until(next, now));
            now = next;
        }
        assert_eq!(pauses.first(), Some(&Duration::from_mins(15)));
        assert!(pauses.is_sorted() && pauses.len() < 110, "{}", pauses.len());
        assert!(clock::until(now, start) >= Duration::from_hours(45 * 24));
    }

    #[test]
    fn a_number_keeps_the_time_it_was_first_seen_at() {
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        let first = Tracking::default().with(
            &[parcel("1", Some("a"), DeliveryStatus::InTransit)],
            &[],
            at(1),
        );
        let again = first.with(
            &[
                parcel("1", Some("a"), DeliveryStatus::Delivered),
                parcel("1", Some("b"), DeliveryStatus::InTransit),
            ],
            &["2".to_owned()],
            at(2),
        );
        let seen: Vec<_> = again.parcels.iter().map(|parcel| parcel.obtained_at).collect();
        assert_eq!(seen, [Some(at(1)), Some(at(2))]);
        assert_eq!(again.with(&[], &["2".to_owned()], at(3)), again);
    }

    #[test]
    fn what_a_retailer_says_of_an_order_is_kept_where_it_is_news() {
        let start = Timestamp::UNIX_EPOCH;
        let state = |progress, url: Option<&str>, date: Option<&str>| OrderState {
            progress,
            parcels: vec![],
            tracking_url: url.map(str::to_owned),
            delivery_date: date.map(str::to_owned),
        };
        let mut placement = placement(&["1", "2"], Tracking::default());
        for past in &mut placement.merchant_orders {
            past.products = vec![("P".to_owned(), 1)];
        }
        placement.review.delivery_dates = vec![("P".to_owned(), "2026-01-01".to_owned())];
        let read = |one| [("1".to_owned(), one)];

        let same = state(OrderProgress::Open, None, Some("2026-01-01"));
        assert_eq!(learn(&placement, &read(same), start), placement.tracking);

        let later = state(OrderProgress::Shipped, Some("u"), Some("2026-01-02"));
        placement.tracking = learn(&placement, &read(later.clone()), start);
        assert_eq!(learn(&placement, &read(later), start), placement.tracking);
        let shown = |number: usize| {
            let past = &placement.merchant_orders[number];
            (placement.tracking_url(past), placement.delivery_date(past))
        };
        assert_eq!(shown(0), (Some("u"), Some("2026-01-02")));
        assert_eq!(shown(1), (None, Some("2026-01-01")));

        let gone = learn(&placement, &read(state(OrderProgress::Cancelled, None, None)), start);
        assert_eq!(gone, placement.tracking.without("1", start));
        assert_eq!(gone.cancelled, ["1"]);
    }

    #[test]
    fn a_parcel_is_where_the_retailer_says() {
        let parcel = |delivery_status: Option<&str>| retailers::Parcel {
            product_ids: vec!["P".to_owned()],
            carrier: Some("UPS".to_owned()),
            tracking_number: Some("1Z".to_owned()),
            tracking_url: None,
            delivery_status: delivery_status.map(str::to_owned),
        };
        for (said, expected) in [
            (None, DeliveryStatus::InTransit),
            (Some("InTransit"), DeliveryStatus::InTransit),
            (Some("Delivered"), DeliveryStatus::Delivered),
        ] {
            let state = OrderState {
                progress: OrderProgress::Shipped,
                parcels: vec![parcel(said)],
                tracking_url: None,
                delivery_date: None,
            };
            let placement = placement(&["1"], Tracking::default());
            let now = Timestamp::UNIX_EPOCH;
            let learned = learn(&placement, &[("1".to_owned(), state)], now);
            assert_eq!(learned.parcels[0].delivery_status, expected);
            assert_eq!(learned.parcels[0].obtained_at, Some(now));
        }
    }
}
