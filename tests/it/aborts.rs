//! Aborting: an order that was not submitted is stopped for good, and one that was is left alone.

use std::time::Duration;

use futures::future::join_all;
use http::Method;
use serde_json::{Value, json};
use tests::{Api, ShopAccount, order, receiver::Receiver, wait};

async fn abort(api: &Api, id: &str) -> Value {
    api.v1(Method::POST, &format!("/v1/orders/{id}/abort"), None).await.ok()
}

#[track_caller]
fn assert_aborted(order: &Value, id: &str) {
    assert_eq!(order["_type"], "error", "{order}");
    assert_eq!(order["code"], "aborted_request", "{order}");
    assert_eq!(order["message"], "The request was aborted before it completed.");
    assert_eq!(order["data"], json!({"msg": "Order aborted and dequeued"}));
    assert_eq!(order["request_id"], id);
    assert_eq!(order["money_moved"], "no");
    assert!(order["request"].is_object());
}

#[tokio::test]
async fn an_order_that_waits_is_aborted_and_told() {
    let api = Api::first();
    let receiver = Receiver::start().await;
    let account = ShopAccount::new().await;
    account.behave("review", json!({"delay_ms": 2000, "times": 1})).await;
    let first = api.order(&order(&account)).await;
    let mut body = order(&account);
    body["webhooks"] = json!({"request_failed": receiver.url("/failed")});
    let second = api.order(&body).await;
    account.at_step("review").await;

    let aborted = abort(&api, &second).await;
    assert_aborted(&aborted, &second);
    assert_eq!(receiver.wait_for("/failed", 1).await[0].body, aborted);
    assert_eq!(api.ended(&first).await["_type"], "order_response");
    // Its turn comes and goes; the next order shows that.
    let third = api.order(&order(&account)).await;
    assert_eq!(api.ended(&third).await["_type"], "order_response");
    assert_eq!(api.get(&second).await, aborted);
    assert_eq!(account.ledger().await.len(), 2);
}

#[tokio::test]
async fn an_order_that_is_worked_on_is_aborted_before_it_is_submitted() {
    let api = Api::first();
    let account = ShopAccount::new().await;
    account.behave("review", json!({"delay_ms": 2000, "times": 1})).await;
    let id = api.order(&order(&account)).await;
    account.at_step("review").await;
    assert_aborted(&abort(&api, &id).await, &id);
    // The account is free again, and what was aborted stays so.
    let next = api.order(&order(&account)).await;
    assert_eq!(api.ended(&next).await["_type"], "order_response");
    assert_aborted(&api.get(&id).await, &id);
    assert_eq!(account.ledger().await.len(), 1);
}

#[tokio::test]
async fn an_order_that_is_being_submitted_cannot_be_aborted() {
    let api = Api::first();
    let account = ShopAccount::new().await;
    account.behave("submit_after_commit", json!({"delay_ms": 2000, "times": 1})).await;
    let id = api.order(&order(&account)).await;
    account.at_step("submit").await;
    let answer = abort(&api, &id).await;
    assert_eq!(
        (&answer["code"], &answer["request_id"]),
        (&json!("request_processing"), &json!(id))
    );
    assert_eq!(api.ended(&id).await["_type"], "order_response");
}

#[tokio::test]
async fn an_order_that_has_ended_answers_as_get_does() {
    let api = Api::first();
    let id = api.order(&order(&ShopAccount::new().await)).await;
    let placed = api.ended(&id).await;
    assert_eq!(abort(&api, &id).await, placed);
    assert_eq!(api.get(&id).await, placed);
}

#[tokio::test]
async fn aborting_at_any_moment_neither_loses_nor_doubles() {
    let race = async |updates_before: usize| {
        let api = Api::first();
        let account = ShopAccount::new().await;
        let id = api.order(&order(&account)).await;
        wait(Duration::from_mins(1), "the moment to abort", async || {
            let updates = api.get(&id).await["status_updates"].as_array().map_or(0, Vec::len);
            (updates >= updates_before).then_some(())
        })
        .await;
        abort(&api, &id).await;
        let ended = api.ended(&id).await;
        let bought = account.ledger().await.len();
        if ended["code"] == "aborted_request" {
            assert_eq!(bought, 0, "{ended}");
        } else {
            assert_eq!(ended["_type"], "order_response", "{ended}");
            assert_eq!(bought, 1, "{ended}");
        }
    };
    // Five updates are all there are; two orders for each.
    join_all((0..12).map(|number| race(number % 6))).await;
}
