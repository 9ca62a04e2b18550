//! What an account has bought. The purchases are also the shop's ledger, which the admin reads.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{RawQuery, State},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    Shop,
    answer::{self, Fault},
    behaviour::{self, Step},
    cart::Line,
    journal::Visit,
    market::Market,
    orders::Order,
    store::{Key, Range},
};

/// How many purchases a page of the history has at the most.
const PAGE: usize = 20;

/// How something was paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Paid {
    GiftBalance,
    Card,
    OnFile,
}

/// One press of the button: what the ledger shows.
#[derive(Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Purchase {
    pub purchase_id: String,
    pub email: String,
    pub session: String,
    pub market: Market,
    pub checkout_id: String,
    pub placed_at_ms: i64,
    /// What the shop made of it.
    pub orders: Vec<Order>,
    /// Of all of them.
    pub total_cents: u64,
    pub paid: Paid,
    pub po_number: Option<String>,
    pub affiliate_tag: Option<String>,
}

impl Purchase {
    /// What the buyer sees of its orders.
    pub fn receipts(&self) -> impl Iterator<Item = Value> {
        self.orders.iter().map(|order| receipt(order, self.placed_at_ms))
    }

    /// Where a page begins with it.
    fn cursor(&self) -> String {
        format!("{}.{}", self.placed_at_ms, self.purchase_id)
    }
}

fn receipt(order: &Order, placed_at_ms: i64) -> Value {
    let item = |line: &Line| json!({ "product_id": line.product_id, "quantity": line.quantity });
    json!({
        "order_id": order.order_id,
        "placed_at_ms": placed_at_ms,
        "total_cents": order.total_cents,
        "items": order.lines.iter().map(item).collect::<Vec<_>>(),
        "postal_code": order.postal_code,
        "tracking_url": null,
    })
}

/// `GET /orders?since=<ms>&from=<cursor>`, newest first. `next` is the `from` of the next page; null on the last.
pub async fn list(
    State(shop): State<Arc<Shop>>,
    Extension(visit): Extension<Visit>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, Fault> {
    let query = query.as_deref();
    let since_ms = answer::since(query)?;
    let from = answer::parameter(query, "from").map(|text| cursor(&text)).transpose()?;
    let lag_ms = behaviour::at(&shop, Step::History, &visit.email, []).await?;
    let youngest_ms = (shop.now)().as_millisecond().saturating_sub_unsigned(lag_ms);
    let mut range = Range::purchases(&visit.email, since_ms);
    if let Some((placed_at_ms, purchase_id)) = &from {
        range = range.up_to(&Key::purchase(&visit.email, *placed_at_ms, purchase_id));
    }
    // One more than a page: the next one begins with it.
    let mut purchases: Vec<Purchase> = shop.store.list(&range.newest(PAGE + 1)).await?;
    let next = purchases.get(PAGE).map(Purchase::cursor);
    purchases.truncate(PAGE);
    let shown = purchases.iter().filter(|purchase| purchase.placed_at_ms <= youngest_ms);
    let shown = shown.flat_map(Purchase::receipts);
    Ok(Json(json!({ "orders": shown.collect::<Vec<_>>(), "next": next })))
}

/// When the purchase was placed and its id, as [`Purchase::cursor`] writes them.
fn cursor(text: &str) -> Result<(i64, String), Fault> {
    let parts = text.split_once('.').and_then(|(millis, id)| Some((millis.parse().ok()?, id)));
    let (placed_at_ms, purchase_id) = parts.ok_or_else(|| Fault::field("from"))?;
    Ok((placed_at_ms, purchase_id.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_that_the_shop_did_not_write_is_a_bad_from() {
        assert_eq!(cursor("17.a-b.c").unwrap(), (17, "a-b.c".to_owned()));
        for text in ["", "17", "a.b", ".b"] {
            assert!(matches!(cursor(text), Err(Fault::BadRequest { field }) if field == "from"));
        }
    }
}
