//! What a crash leaves behind is found: by the sweeper where a message is missing, and in the dead-letter queue where
//! no worker could finish.

use serde_json::{Value, json};
use tests::{Api, STACK, ShopAccount, order, queues, receiver::Receiver, tables};

/// An order that was bought with a managed account: a model for others, since it needs no secret of its own.
async fn model(api: &Api, account: &ShopAccount) -> String {
    let stored =
        json!({"email": account.email, "password": account.password, "retailer": "amazon"});
    let stored = api.modern(http::Method::POST, "/managed-accounts", Some(&stored)).await.ok();
    let mut body = order(account);
    body.as_object_mut().unwrap().remove("retailer_credentials");
    body["retailer_credentials_id"] = stored["short_id"].clone();
    let placed = api.order(&body).await;
    api.ended(&placed).await;
    placed
}

#[tokio::test]
async fn an_order_without_a_message_is_bought_after_the_next_sweep() {
    let api = Api::first();
    let account = ShopAccount::new().await;
    let placed = model(&api, &account).await;
    let lost = tables::copy_order(&placed, &json!({"state": "queued"}), 1).await;
    assert_eq!(api.get(&lost).await["code"], "request_processing");
    tests::invoke("SweeperFunction", &json!({})).await;
    let ended = api.ended(&lost).await;
    assert_eq!(ended["_type"], "order_response", "{ended}");
    assert_eq!(account.ledger().await.len(), 2);
}

#[tokio::test]
async fn a_webhook_without_a_message_is_sent_after_the_next_sweep() {
    let api = Api::first();
    let receiver = Receiver::start().await;
    let mut body = order(&ShopAccount::new().await);
    body["webhooks"] = json!({"order_placed": receiver.url("/placed")});
    let id = api.order(&body).await;
    let first = receiver.wait_for("/placed", 1).await;
    tables::forget_delivery_of(&id).await;
    tests::invoke("SweeperFunction", &json!({})).await;
    let both = receiver.wait_for("/placed", 2).await;
    assert_eq!(both[1].body, first[0].body);
    assert_eq!(both[1].headers["webhook-id"], first[0].headers["webhook-id"]);
}

#[tokio::test]
async fn a_dead_job_that_bought_nothing_fails_its_order() {
    let ended = dead(&json!({"state": "queued"})).await;
    assert_eq!(
        (&ended["code"], &ended["money_moved"]),
        (&json!("internal_error"), &json!("no")),
        "{ended}"
    );
}

#[tokio::test]
async fn a_dead_job_that_may_have_bought_says_so() {
    let review = json!({
        "checkout_id": "c", "subtotal": 1, "shipping": 0, "tax": 0, "total": 1, "gift_certificate": null,
        "product_subtotals": [], "currency": "USD", "delivery_dates": [], "rejected_promo_codes": [],
    });
    let submitting = json!({
        "state": "submitting", "attempt": 1, "fence": 1, "written_at": 1, "deadline": 2, "review": review,
        "lines": [], "zip_code": "02139", "known_orders": [],
        "account_status": {"prime": true, "fresh": false, "business": false, "charity": null},
    });
    let ended = dead(&submitting).await;
    assert_eq!(
        (&ended["code"], &ended["money_moved"]),
        (&json!("order_probably_placed"), &json!("unknown")),
        "{ended}"
    );
}

/// What becomes of an order that stands at `status` when its job turns up in the dead-letter queue.
async fn dead(status: &Value) -> Value {
    let api = Api::first();
    let account = ShopAccount::new().await;
    let placed = model(&api, &account).await;
    let id = tables::copy_order(&placed, status, tables::FAR_OFF).await;
    let job = tables::job(&id, "place_order", "order", &id).await;
    queues::send_fifo(&STACK.queues["JobsDeadLetterQueue"], &id, &job).await;
    let ended = api.ended(&id).await;
    assert_eq!(account.ledger().await.len(), 1, "only the model was bought");
    ended
}
