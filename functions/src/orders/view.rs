//! An order as a client sees it: the body of `GET /v1/orders/{request_id}` and of every webhook.

use serde_json::{Map, Value, json};
use spelter::{
    clock::v1_text,
    error::{Code, MoneyMoved, Refusal},
    orders::{Order, Placement, Status, StatusUpdate, tracking::Parcel},
    retailers::{PastOrder, Review},
};

use crate::news::About;

/// The body. Once an order has ended it does not change by itself.
pub fn body(order: &Order) -> Value {
    let mut body = outcome(order);
    body.insert("request_id".to_owned(), json!(order.id));
    body.insert("_created_at".to_owned(), v1_text(order.created_at).into());
    if let Some(ended_at) = order.ended_at {
        body.insert("_finalized_at".to_owned(), v1_text(ended_at).into());
    }
    body.insert("request".to_owned(), order.request.clone());
    body.insert("status_updates".to_owned(), order.updates.iter().map(status_update).collect());
    body.into_iter().collect()
}

/// For the news of it.
pub(crate) fn about(order: &Order) -> About<'_> {
    About {
        owner: &order.owner,
        request: order.id.request(),
        order: &order.id,
        return_id: None,
        webhooks: &order.webhooks,
        body: body(order),
    }
}

/// The line of a list: without the details that only the order itself has.
pub fn summary(order: &Order) -> Value {
    let mut body = body(order);
    if let Some(members) = body.as_object_mut() {
        members.retain(|name, _| {
            matches!(
                name.as_str(),
                "request_id"
                    | "_created_at"
                    | "_type"
                    | "request"
                    | "price_components"
                    | "message"
                    | "code"
            )
        });
    }
    body
}

fn outcome(order: &Order) -> Map<String, Value> {
    match &order.status {
        Status::Queued | Status::Bundled { .. } | Status::Working(_) | Status::Submitting(_) => {
            let row = Code::RequestProcessing.row();
            error(&Refusal::new(Code::RequestProcessing), row.money_moved)
        }
        Status::Placed(placement) => placed(order, placement),
        Status::Failed(refusal) => error(refusal, MoneyMoved::No),
        Status::ProbablyPlaced(refusal) => error(refusal, MoneyMoved::Unknown),
    }
}

/// An outcome that is an error.
pub(crate) fn error(refusal: &Refusal, money_moved: MoneyMoved) -> Map<String, Value> {
    let Refusal { code, message, data } = refusal;
    object([
        ("_type", "error".into()),
        ("code", json!(code)),
        ("message", message.as_str().into()),
        ("data", data.clone()),
        ("retryable", code.row().retryable.into()),
        ("money_moved", json!(money_moved)),
    ])
}

fn placed(order: &Order, placement: &Placement) -> Map<String, Value> {
    let Placement { review, merchant_orders, account_status, tracking, asked_to_cancel: _ } =
        placement;
    object([
        ("_type", "order_response".into()),
        ("price_components", price_components(review)),
        (
            "merchant_order_ids",
            merchant_orders.iter().map(|past| merchant_order(order, placement, past)).collect(),
        ),
        ("tracking", tracking.parcels.iter().map(parcel).collect()),
        (
            "delivery_dates",
            review
                .delivery_dates
                .iter()
                .map(|(product, date)| delivery_date(product, date))
                .collect(),
        ),
        ("account_status", json!(account_status)),
    ])
}

fn price_components(review: &Review) -> Value {
    let Review {
        checkout_id: _,
        subtotal,
        shipping,
        tax,
        total,
        gift_certificate,
        product_subtotals,
        currency,
        delivery_dates: _,
        rejected_promo_codes: _,
    } = review;
    let product =
        |(product_id, amount): &(String, _)| json!({"product_id": product_id, "subtotal": amount});
    let mut components = object([
        ("subtotal", json!(subtotal)),
        ("shipping", json!(shipping)),
        ("tax", json!(tax)),
        ("total", json!(total)),
        ("product_subtotals", product_subtotals.iter().map(product).collect()),
        ("currency", currency.as_str().into()),
    ]);
    if let Some(amount) = gift_certificate {
        components.insert("gift_certificate".to_owned(), json!(amount));
    }
    components.into()
}

fn merchant_order(order: &Order, placement: &Placement, past: &PastOrder) -> Value {
    let PastOrder {
        merchant_order_id,
        placed_at,
        products,
        total: _,
        zip_code: _,
        tracking_url: _,
    } = past;
    let parcels = &placement.tracking.parcels;
    let own = parcels.iter().filter(|parcel| parcel.merchant_order_id == *merchant_order_id);
    let own: Vec<_> = own.collect();
    let of_parcel = || own.iter().find_map(|parcel| parcel.tracking_url.as_deref());
    json!({
        "merchant_order_id": merchant_order_id,
        "merchant": order.retailer,
        "account": order.shown_account(),
        "placed_at": v1_text(*placed_at),
        "tracking": own.iter().filter_map(|parcel| parcel.tracking_number.as_ref()).collect::<Vec<_>>(),
        "product_ids": products.iter().map(|(product_id, _)| product_id).collect::<Vec<_>>(),
        "tracking_url": placement.tracking_url(past).or_else(of_parcel),
        "delivery_date": placement.delivery_date(past).map(display_date),
        "shipping_address": order.request.get("shipping_address"),
    })
}

/// One for each parcel. What the retailer has not said is null; `product_id` is the first of its products, as the
/// document shows it.
fn parcel(parcel: &Parcel) -> Value {
    let Parcel {
        merchant_order_id,
        product_ids,
        carrier,
        tracking_number,
        tracking_url,
        delivery_status,
        obtained_at,
    } = parcel;
    json!({
        "merchant_order_id": merchant_order_id,
        "product_id": product_ids.first(),
        "product_ids": product_ids,
        "carrier": carrier,
        "tracking_number": tracking_number,
        "tracking_url": tracking_url,
        "delivery_status": delivery_status,
        "obtained_at": obtained_at.map(v1_text),
    })
}

/// Clients read either name.
fn delivery_date(product_id: &str, date: &str) -> Value {
    json!({"product_id": product_id, "date": date, "delivery_date": date})
}

/// `Jan. 7, 2018`, as the document shows it.
fn display_date(date: &str) -> String {
    let parsed: Result<jiff::civil::Date, _> = date.parse();
    parsed.map_or_else(|_| date.to_owned(), |date| date.strftime("%b. %-d, %Y").to_string())
}

fn status_update(update: &StatusUpdate) -> Value {
    let StatusUpdate { at, kind, message, success } = update;
    let data = success.map_or_else(|| json!({}), |success| json!({"success": success}));
    json!({"_created_at": v1_text(*at), "type": kind, "message": message, "data": data})
}

/// An object of these members.
pub(crate) fn object<const N: usize>(members: [(&str, Value); N]) -> Map<String, Value> {
    members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_read_as_in_the_document() {
        assert_eq!(display_date("2018-01-07"), "Jan. 7, 2018");
        assert_eq!(display_date("soon"), "soon");
    }
}
