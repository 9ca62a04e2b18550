//! What a crash between the table and the queue leaves behind is found by the sweeper.

use http::Method;
use serde_json::{Value, json};
use tests::{Api, ShopAccount, order, tables};
use uuid::Uuid;

#[tokio::test]
async fn an_order_without_a_message_is_bought_after_the_next_sweep() {
    let api = Api::first();
    let account = ShopAccount::new().await;
    let stored =
        json!({"email": account.email, "password": account.password, "retailer": "amazon"});
    let stored = api.modern(Method::POST, "/managed-accounts", Some(&stored)).await.ok();
    let mut body = order(&account);
    body.as_object_mut().unwrap().remove("retailer_credentials");
    body["retailer_credentials_id"] = stored["short_id"].clone();
    let placed = api.order(&body).await;
    api.ended(&placed).await;

    let lost = accepted_but_never_queued(&placed).await;
    assert_eq!(api.get(&lost).await["code"], "request_processing");
    tests::invoke("sweeper", &json!({})).await;
    let ended = api.ended(&lost).await;
    assert_eq!(ended["_type"], "order_response", "{ended}");
    assert_eq!(account.ledger().await.len(), 2);
}

/// An order like `model`, as it stands in the table when its function dies just after the transaction.
async fn accepted_but_never_queued(model: &str) -> String {
    let id = Uuid::now_v7().simple().to_string();
    let items = tables::items("OrdersTable").await;
    let is_model = |item: &&Value| item["sk"]["S"] == format!("ORDER#{model}");
    let mut item = items.iter().find(is_model).cloned().expect("the model");
    for (name, value) in [
        ("sk", json!({"S": format!("ORDER#{id}")})),
        ("id", json!({"S": id})),
        ("status", json!({"S": json!({"state": "queued"}).to_string()})),
        ("updates", json!({"L": []})),
        ("dispatches", json!({"N": "1"})),
        ("due_shard", json!({"S": "0"})),
        ("due_at", json!({"N": "1"})),
        ("version", json!({"N": "1"})),
    ] {
        item[name] = value;
    }
    tables::put("OrdersTable", &item).await;
    id
}
