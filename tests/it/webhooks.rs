//! Webhooks: who is told what, in whose words, and that it is told again.

use http::{StatusCode, header};
use serde_json::{Value, json};
use tests::{Api, ShopAccount, canaries::WEBHOOK_PASSWORD, order, receiver::Receiver};

async fn ordered(account: &ShopAccount, change: Value) -> (Api, Value) {
    let api = Api::first();
    let mut body = order(account);
    body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    let id = api.order(&body).await;
    let ended = api.ended(&id).await;
    (api, ended)
}

#[tokio::test]
async fn a_placed_order_is_told_in_the_words_of_get() {
    let receiver = Receiver::start().await;
    let account = ShopAccount::new().await;
    let webhooks = json!({"webhooks": {
        "request_succeeded": [receiver.url("/new?uuid=7&eventType=a"), receiver.url("/second")],
        "order_placed": receiver.url("/old"),
        "request_failed": receiver.url("/failed"),
        "status_updated": receiver.url("/status"),
    }});
    let (_, order) = ordered(&account, webhooks).await;
    assert_eq!(order["_type"], "order_response", "{order}");
    for path in ["/new?uuid=7&eventType=a", "/second", "/old"] {
        let arrivals = receiver.wait_for(path, 1).await;
        assert_eq!(arrivals[0].uri, path);
        assert_eq!(arrivals[0].body, order, "the body is what GET answers");
        assert_eq!(arrivals[0].headers[header::CONTENT_TYPE], "application/json");
    }
    // First that it is being worked on, then that it has ended.
    let statuses = receiver.wait_for("/status", 2).await;
    let told: Vec<_> = statuses.iter().map(|one| one.body["_type"].as_str().unwrap()).collect();
    assert_eq!(told, ["error", "order_response"]);
    assert_eq!(statuses[0].body["code"], "request_processing");
    assert!(receiver.arrivals("/failed").is_empty());
}

#[tokio::test]
async fn a_failed_order_is_told_under_both_names() {
    let receiver = Receiver::start().await;
    let account = ShopAccount::new().await;
    let webhooks = json!({
        "max_price": 1,
        "webhooks": {
            "request_failed": receiver.url("/failed"),
            "order_failed": receiver.url("/old"),
            "request_succeeded": receiver.url("/succeeded"),
        },
    });
    let (_, order) = ordered(&account, webhooks).await;
    assert_eq!(order["code"], "max_price_exceeded");
    for path in ["/failed", "/old"] {
        assert_eq!(receiver.wait_for(path, 1).await[0].body, order);
    }
    assert!(receiver.arrivals("/succeeded").is_empty());
}

#[tokio::test]
async fn a_login_in_the_url_becomes_basic_auth_and_is_not_echoed() {
    let receiver = Receiver::start().await;
    let account = ShopAccount::new().await;
    let url = receiver.url_with_login(&format!("me:{WEBHOOK_PASSWORD}"), "/login");
    let (_, order) = ordered(&account, json!({"webhooks": {"order_placed": url}})).await;
    let arrival = &receiver.wait_for("/login", 1).await[0];
    let credentials = data_encoding::BASE64.encode(format!("me:{WEBHOOK_PASSWORD}").as_bytes());
    assert_eq!(arrival.headers[header::AUTHORIZATION], format!("Basic {credentials}"));
    assert_eq!(order["request"]["webhooks"]["order_placed"], receiver.url("/login"));
}

#[tokio::test]
async fn what_was_not_received_is_sent_again_under_the_same_id() {
    let receiver = Receiver::start().await;
    receiver.answer_first(&[StatusCode::INTERNAL_SERVER_ERROR]);
    let account = ShopAccount::new().await;
    ordered(&account, json!({"webhooks": {"order_placed": receiver.url("/again")}})).await;
    let arrivals = receiver.wait_for("/again", 2).await;
    assert_eq!(arrivals[0].answered, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(arrivals[1].answered, StatusCode::OK);
    assert_eq!(arrivals[0].headers["webhook-id"], arrivals[1].headers["webhook-id"]);
    assert_eq!(arrivals[0].body, arrivals[1].body);
}
