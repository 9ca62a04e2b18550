//! What an order's change means to the client's own endpoint (Zinc's current API, "Webhooks").

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Placement, Status, tracking::DeliveryStatus};
use crate::{
    error::{Code, Refusal},
    retailers::Review,
    webhooks::events::{AccountEvent, AccountNews},
};

/// What there is to tell once an order that was `before` is `after`.
pub fn account_news(before: &Status, after: &Status) -> Vec<AccountNews> {
    match (before, after) {
        (Status::Placed(before), Status::Placed(after)) => of_parcels(before, after),
        // A bundle is bought in one transaction, which has no room for news of each of its orders.
        (Status::Queued, Status::Working(_) | Status::Bundled { .. }) => {
            vec![AccountNews::new(AccountEvent::OrderStarted, "in_progress")]
        }
        (
            _,
            Status::Queued | Status::Bundled { .. } | Status::Working(_) | Status::Submitting(_),
        ) => {
            vec![]
        }
        (_, Status::Placed(placement)) => {
            let data = json!({"price_components": price_components(&placement.review)});
            vec![AccountNews::new(AccountEvent::OrderPlaced, "order_placed").with(data)]
        }
        (_, Status::Failed(refusal) | Status::ProbablyPlaced(refusal)) => vec![of_failure(refusal)],
    }
}

/// An order that its client has called off was cancelled, any other failed.
fn of_failure(refusal: &Refusal) -> AccountNews {
    if refusal.code == Code::AbortedRequest {
        return AccountNews::new(AccountEvent::OrderCancelled, "cancelled");
    }
    let data = json!({"error_type": refusal.code, "error": refusal.message});
    AccountNews::new(AccountEvent::OrderFailed, "failed").with(data)
}

fn price_components(review: &Review) -> Value {
    let Review { subtotal, shipping, tax, total, .. } = review;
    json!({"subtotal": subtotal, "shipping": shipping, "tax": tax, "total": total})
}

fn of_parcels(before: &Placement, after: &Placement) -> Vec<AccountNews> {
    let mut news = Vec::new();
    if numbers(after).difference(&numbers(before)).next().is_some() {
        let numbers = numbers(after).into_iter();
        let numbers = numbers
            .map(|(number, carrier)| json!({"carrier": carrier, "tracking_number": number}))
            .collect::<Vec<_>>();
        let data = json!({"tracking_numbers": numbers});
        news.push(AccountNews::new(AccountEvent::OrderTrackingReceived, "shipped").with(data));
    }
    let dates = dates(after);
    if !dates.is_empty() && dates != self::dates(before) {
        let data = json!({"estimated_delivery_dates": dates});
        let event = AccountEvent::OrderEstimatedDeliveryUpdated;
        news.push(AccountNews::new(event, "shipped").with(data));
    }
    if is_delivered(after) && !is_delivered(before) {
        news.push(AccountNews::new(AccountEvent::OrderDelivered, "delivered"));
    }
    if is_cancelled(after) && !is_cancelled(before) {
        news.push(AccountNews::new(AccountEvent::OrderCancelled, "cancelled_by_retailer"));
    }
    news
}

/// Every number that is known, with its carrier.
fn numbers(placement: &Placement) -> BTreeSet<(&str, Option<&str>)> {
    let parcels = placement.tracking.parcels.iter();
    parcels
        .filter_map(|parcel| Some((parcel.tracking_number.as_deref()?, parcel.carrier.as_deref())))
        .collect()
}

/// When the retailer says since that its orders should arrive, `YYYY-MM-DD`.
fn dates(placement: &Placement) -> BTreeSet<&str> {
    let notes = placement.tracking.notes.iter();
    notes.filter_map(|note| note.delivery_date.as_deref()).collect()
}

fn is_delivered(placement: &Placement) -> bool {
    let parcels = &placement.tracking.parcels;
    let is_there = |status: DeliveryStatus| status == DeliveryStatus::Delivered;
    !parcels.is_empty()
        && parcels.iter().all(|parcel| is_there(parcel.delivery_status))
        && super::tracking::open_orders(placement)
            .all(|id| parcels.iter().any(|parcel| parcel.merchant_order_id == id))
}

fn is_cancelled(placement: &Placement) -> bool {
    super::tracking::open_orders(placement).next().is_none()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::id::BundleId;
    use crate::orders::{
        Attempt, Step,
        tests::{marker, past_order, placement},
        tracking::{Note, Parcel},
    };

    fn told(before: &Status, after: &Status) -> Vec<(&'static str, &'static str)> {
        let news = account_news(before, after);
        news.iter().map(|news| (news.event.as_str(), news.status)).collect()
    }

    fn working(number: u32) -> Status {
        Status::Working(Attempt { number, fence: 1, step: Step::Started })
    }

    fn bought() -> Placement {
        Placement { merchant_orders: vec![past_order("M1", &[("P", 1)])], ..placement() }
    }

    fn parcel(number: Option<&str>, delivery_status: DeliveryStatus) -> Parcel {
        Parcel {
            merchant_order_id: "M1".to_owned(),
            product_ids: vec![],
            carrier: Some("UPS".to_owned()),
            tracking_number: number.map(str::to_owned),
            tracking_url: None,
            delivery_status,
            obtained_at: None,
        }
    }

    fn with(parcels: Vec<Parcel>) -> Placement {
        let mut placement = bought();
        placement.tracking.parcels = parcels;
        placement
    }

    #[test]
    fn an_order_starts_once_and_ends_once() {
        assert_eq!(told(&Status::Queued, &working(1)), [("order.started", "in_progress")]);
        assert!(told(&working(1), &working(2)).is_empty());
        let bundled = Status::Bundled { bundle: BundleId::new(Uuid::nil()) };
        assert_eq!(told(&Status::Queued, &bundled), [("order.started", "in_progress")]);
        assert!(told(&bundled, &Status::Submitting(marker())).is_empty());
        let placed = Status::Placed(bought());
        assert_eq!(told(&working(1), &placed), [("order.placed", "order_placed")]);
        let total = &account_news(&working(1), &placed)[0].data["price_components"]["total"];
        assert_eq!(*total, json!(bought().review.total));
    }

    #[test]
    fn what_failed_is_told_from_what_was_called_off() {
        let failed = |code| Status::Failed(Refusal::new(code));
        let told_of = |code| told(&working(1), &failed(code));
        assert_eq!(told_of(Code::MaxPriceExceeded), [("order.failed", "failed")]);
        assert_eq!(told_of(Code::AbortedRequest), [("order.cancelled", "cancelled")]);
        let data = &account_news(&working(1), &failed(Code::MaxPriceExceeded))[0].data;
        assert_eq!(data["error_type"], "max_price_exceeded");
        assert!(data["error"].is_string());
    }

    #[test]
    fn parcels_are_told_of_when_they_get_numbers_and_when_they_are_there() {
        let unnumbered = with(vec![parcel(None, DeliveryStatus::InTransit)]);
        let sent = with(vec![parcel(Some("1Z"), DeliveryStatus::InTransit)]);
        let there = with(vec![parcel(Some("1Z"), DeliveryStatus::Delivered)]);
        let [before, unnumbered, sent, there] =
            [bought(), unnumbered, sent, there].map(Status::Placed);
        assert!(told(&before, &unnumbered).is_empty());
        assert_eq!(told(&unnumbered, &sent), [("order.tracking_received", "shipped")]);
        let data = &account_news(&before, &sent)[0].data;
        let number = json!([{"carrier": "UPS", "tracking_number": "1Z"}]);
        assert_eq!(data["tracking_numbers"], number);
        assert_eq!(told(&sent, &there), [("order.delivered", "delivered")]);
        assert!(told(&there, &there).is_empty());
    }

    #[test]
    fn a_purchase_that_the_retailer_cancels_and_one_that_is_late_are_told_of() {
        let mut late = bought();
        late.tracking.notes = vec![Note {
            merchant_order_id: "M1".to_owned(),
            tracking_url: None,
            delivery_date: Some("2026-02-01".to_owned()),
        }];
        let late = Status::Placed(late);
        let placed = Status::Placed(bought());
        assert_eq!(told(&placed, &late), [("order.estimated_delivery_updated", "shipped")]);
        let mut cancelled = bought();
        cancelled.tracking.cancelled = vec!["M1".to_owned()];
        let cancelled = Status::Placed(cancelled);
        assert_eq!(told(&placed, &cancelled), [("order.cancelled", "cancelled_by_retailer")]);
    }
}
