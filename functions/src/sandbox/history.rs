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
    store::Range,
};

/// How many orders a page of the history has.
const PAGE: usize = 100;

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

/// `GET /orders?since=<ms>`, newest first.
pub async fn list(
    State(shop): State<Arc<Shop>>,
    Extension(visit): Extension<Visit>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, Fault> {
    let since_ms = answer::since(query.as_deref())?;
    let lag_ms = behaviour::at(&shop, Step::History, &visit.email, []).await?;
    let youngest_ms = (shop.now)().as_millisecond().saturating_sub_unsigned(lag_ms);
    // One more than a page, to see whether there are more. Every purchase is at least one order.
    let range = Range::purchases(&visit.email, since_ms).newest(PAGE + 1);
    let purchases: Vec<Purchase> = shop.store.list(&range).await?;
    let more = purchases.iter().map(|purchase| purchase.orders.len()).sum::<usize>() > PAGE;
    let shown = purchases.iter().filter(|purchase| purchase.placed_at_ms <= youngest_ms);
    let shown = shown.flat_map(Purchase::receipts).take(PAGE);
    Ok(Json(json!({ "orders": shown.collect::<Vec<_>>(), "more": more })))
}
