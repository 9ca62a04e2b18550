//! Cancelling what was placed: at once, after an attempt, or not at all.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::{Value, json};
use tests::{
    Api, STACK, ShopAccount, at_the_shop, canaries, merchant_order_ids, order, prepaid::Client,
    queues, receiver::Receiver, split_order, tables, wait, when_due,
};

/// An order that was placed, and the retailer's id of it.
async fn placed(api: &Api, account: &ShopAccount) -> (String, String) {
    let id = api.order(&order(account)).await;
    let order = api.ended(&id).await;
    (id, merchant_order_ids(&order).remove(0))
}

fn cancel(order: &str) -> String {
    format!("/v1/orders/{order}/cancel")
}

fn cancellation(id: &str) -> String {
    format!("/v1/cancellations/{id}")
}

async fn refused(api: &Api, path: &str, body: &Value) -> Value {
    let answer = api.v1(Method::POST, path, Some(body)).await;
    let error = answer.json();
    assert_eq!(error["_type"], "error", "{error}");
    error
}

#[tokio::test]
async fn an_order_is_cancelled_with_nothing_but_a_post() {
    let api = Api::first();
    let account = ShopAccount::new().await;
    let (order_id, merchant_id) = placed(&api, &account).await;
    let answer = api.v1(Method::POST, &cancel(&order_id), None).await.ok();
    let id = answer["request_id"].as_str().unwrap();
    assert_eq!(answer, json!({"request_id": id}));
    let cancelled = api.processed(&cancellation(id)).await;
    let expected = json!({
        "_type": "cancellation_response",
        "merchant_order_id": merchant_id,
        "request": {},
        "request_id": id,
        "_created_at": cancelled["_created_at"],
        "_finalized_at": cancelled["_finalized_at"],
    });
    assert_eq!(cancelled, expected);
    assert!(cancelled["_finalized_at"].is_string());
    assert_eq!(tests::shops_order(&merchant_id).await["cancellation"]["state"], "done");
    // Asked again, by the older name: it is cancelled still.
    let again = api.post(&format!("/v1/orders/{order_id}/cancellation"), None).await;
    assert_ne!(again, id);
    let again = api.processed(&cancellation(&again)).await;
    assert_eq!(again["merchant_order_id"], cancelled["merchant_order_id"], "{again}");
}

#[tokio::test]
async fn the_documents_advanced_cancellation_is_told_and_echoed() {
    let api = Api::first();
    let receiver = Receiver::start().await;
    let account = ShopAccount::new().await;
    let mut body = order(&account);
    body["webhooks"] = json!({"tracking_updated": receiver.url("/tracking")});
    let order_id = api.order(&body).await;
    let merchant_id = merchant_order_ids(&api.ended(&order_id).await).remove(0);
    let body = json!({
        "merchant_order_id": merchant_id,
        "webhooks": {
            "request_succeeded": receiver.url("/success"),
            "request_failed": receiver.url("/failed"),
            "status_updated": receiver.url("/status"),
        },
    });
    let mut with_password = body.clone();
    let userinfo = format!("me:{}", canaries::WEBHOOK_PASSWORD);
    with_password["webhooks"]["status_updated"] =
        json!(receiver.url_with_login(&userinfo, "/status"));
    let id = api.post(&cancel(&order_id), Some(&with_password)).await;
    let told = &receiver.wait_for("/status", 1).await[0];
    assert!(told.headers["authorization"].to_str().unwrap().starts_with("Basic "));
    let told = &receiver.wait_for("/success", 1).await[0].body;
    assert_eq!(told["_type"], "cancellation_response", "{told}");
    assert_eq!(told["request"], body);
    assert_eq!(api.processed(&cancellation(&id)).await, *told);
    assert_eq!(receiver.wait_for("/status", 1).await[0].body, *told);
    // The order knows that nothing of it will come, and asks after it no more.
    let order = &receiver.wait_for("/tracking", 1).await[0].body;
    assert_eq!(order["request_id"], order_id.as_str());
    assert!(receiver.arrivals("/failed").is_empty());
}

#[tokio::test]
async fn an_attempt_is_told_as_a_failure_until_it_succeeds() {
    let api = Api::first();
    let receiver = Receiver::start().await;
    let account = ShopAccount::new().await;
    let (order_id, merchant_id) = placed(&api, &account).await;
    account.cancels("attempting").await;
    let body = json!({"webhooks": {
        "request_succeeded": receiver.url("/success"),
        "request_failed": receiver.url("/failed"),
        "status_updated": receiver.url("/status"),
    }});
    let id = api.post(&cancel(&order_id), Some(&body)).await;
    let told = &receiver.wait_for("/failed", 1).await[0].body;
    let expected = json!({
        "_type": "error",
        "code": "attempting_to_cancel",
        "message": "The retailer is attempting to cancel the order.",
        "data": {"msg": "Attempting to cancel order"},
        "request": body,
        "request_id": id,
        "_created_at": told["_created_at"],
        "retryable": false,
        "money_moved": "yes",
    });
    assert_eq!(*told, expected);
    assert_eq!(api.processed(&cancellation(&id)).await, *told);

    // Nothing new when it is asked the first time.
    when_due(&id).await;
    account.journaled("order_state", 1).await;
    at_the_shop(&format!("orders/{merchant_id}/cancellation"), &json!({"granted": true})).await;
    when_due(&id).await;
    let cancelled = &receiver.wait_for("/success", 1).await[0].body;
    assert_eq!(cancelled["_type"], "cancellation_response", "{cancelled}");
    assert_eq!(api.processed(&cancellation(&id)).await, *cancelled);
    assert_eq!(receiver.wait_for("/status", 2).await.len(), 2);
    assert_eq!(receiver.arrivals("/failed").len(), 1);
}

#[tokio::test]
async fn an_attempt_that_fails_is_told_again() {
    let api = Api::first();
    let receiver = Receiver::start().await;
    let account = ShopAccount::new().await;
    let (order_id, merchant_id) = placed(&api, &account).await;
    account.cancels("attempting").await;
    let body = json!({"webhooks": {"request_failed": receiver.url("/failed")}});
    let id = api.post(&cancel(&order_id), Some(&body)).await;
    receiver.wait_for("/failed", 1).await;
    // A shop that is down says nothing of the attempt.
    account.behave("order_state", json!({"drop": true, "times": 1})).await;
    when_due(&id).await;
    account.journaled("order_state", 1).await;
    at_the_shop(&format!("orders/{merchant_id}/cancellation"), &json!({"granted": false})).await;
    when_due(&id).await;
    let told = &receiver.wait_for("/failed", 2).await[1].body;
    assert_eq!(told["code"], "order_not_cancellable", "{told}");
    assert_eq!(api.processed(&cancellation(&id)).await, *told);
}

#[tokio::test]
async fn what_the_retailer_refuses_stands() {
    let api = Api::first();
    let account = ShopAccount::new().await;
    let (order_id, merchant_id) = placed(&api, &account).await;
    at_the_shop(&format!("orders/{merchant_id}/ship"), &json!({})).await;
    let id = api.post(&cancel(&order_id), None).await;
    let failed = api.processed(&cancellation(&id)).await;
    assert_eq!(failed["code"], "order_not_cancellable", "{failed}");
    assert_eq!((&failed["money_moved"], &failed["retryable"]), (&json!("yes"), &json!(false)));
}

#[tokio::test]
async fn a_login_that_is_wrong_by_now_fails_the_cancellation() {
    let api = Api::first();
    let account = ShopAccount::new().await;
    let (order_id, _) = placed(&api, &account).await;
    account.put("another").await;
    let id = api.post(&cancel(&order_id), None).await;
    let failed = api.processed(&cancellation(&id)).await;
    assert_eq!(failed["code"], "invalid_login_credentials", "{failed}");
    assert_eq!(failed["money_moved"], "yes", "the order stands");
}

#[tokio::test]
async fn of_a_split_order_one_is_named_and_cancelled() {
    let api = Api::first();
    let order_id = api.order(&split_order(&ShopAccount::new().await)).await;
    let ids = merchant_order_ids(&api.ended(&order_id).await);
    let [first, second] = ids.as_slice() else { panic!("{ids:?}") };
    for body in [json!({}), json!({"merchant_order_id": null}), json!({"merchant_order_id": "1"})] {
        let error = refused(&api, &cancel(&order_id), &body).await;
        assert_eq!(error["code"], "invalid_request");
        let faults = &error["data"]["validator_errors"];
        assert_eq!(faults[0]["path"], "merchant_order_id", "{faults}");
    }
    let body = json!({"merchant_order_id": second});
    let id = api.post(&cancel(&order_id), Some(&body)).await;
    let cancelled = api.processed(&cancellation(&id)).await;
    assert_eq!(cancelled["merchant_order_id"], second.as_str(), "{cancelled}");
    let state = async |id| tests::shops_order(id).await["cancellation"]["state"].clone();
    assert_eq!((state(first).await, state(second).await), (json!("not_asked"), json!("done")));
}

#[tokio::test]
async fn what_cannot_be_cancelled_is_refused_at_once() {
    let api = Api::first();
    let account = ShopAccount::new().await;
    let mut body = order(&account);
    body["max_price"] = json!(1);
    let failed = api.order(&body).await;
    api.ended(&failed).await;
    let error = refused(&api, &cancel(&failed), &json!({})).await;
    assert_eq!(error["code"], "invalid_request");
    assert_eq!(error["data"]["order"]["code"], "max_price_exceeded", "{error}");

    let mut body = order(&account);
    body["retailer"] = json!("walmart");
    let elsewhere = api.order(&body).await;
    api.ended(&elsewhere).await;
    let error = refused(&api, &cancel(&elsewhere), &json!({})).await;
    assert_eq!(error["message"], "Orders at Walmart cannot be cancelled.");

    account.behave("review", json!({"delay_ms": 3000, "times": 1})).await;
    let working = api.order(&order(&account)).await;
    let error = refused(&api, &cancel(&working), &json!({})).await;
    assert_eq!(error["code"], "request_processing", "{error}");
    api.ended(&working).await;
}

#[tokio::test]
async fn bad_input_is_refused_and_its_fields_are_named() {
    let api = Api::first();
    let (order_id, _) = placed(&api, &ShopAccount::new().await).await;
    let path = cancel(&order_id);
    for (body, field) in [
        (json!({"merchant_order_id": 7}), "merchant_order_id"),
        (json!({"merchant_order_id": "112-0"}), "merchant_order_id"),
        (json!({"webhooks": 7}), "webhooks"),
        (json!({"webhooks": {"request_failed": "ftp://a.example"}}), "webhooks.request_failed"),
        (json!({"idempotency_key": "k".repeat(257)}), "idempotency_key"),
        (json!([]), ""),
        (json!("x"), ""),
    ] {
        let error = refused(&api, &path, &body).await;
        assert_eq!(error["code"], "invalid_request", "{body}");
        assert_eq!(error["data"]["validator_errors"][0]["path"], field, "{body}: {error}");
    }
    let answer = api.raw(Method::POST, &path, "{").await;
    assert_eq!(answer.json()["code"], "invalid_json");
    for path in [cancel("x"), cancellation("x"), cancellation(&order_id)] {
        let method = if path.contains("orders") { Method::POST } else { Method::GET };
        let answer = api.v1(method, &path, None).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(answer.json()["code"], "invalid_request_id", "{path}");
    }
}

#[tokio::test]
async fn another_client_sees_nothing_of_a_cancellation() {
    let api = Api::first();
    let (order_id, _) = placed(&api, &ShopAccount::new().await).await;
    let id = api.post(&cancel(&order_id), None).await;
    let answer = Api::second().v1(Method::GET, &cancellation(&id), None).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    // Nor does a cancellation pass for an order or a return.
    for path in [format!("/v1/orders/{id}"), format!("/v1/returns/{id}")] {
        assert_eq!(api.v1(Method::GET, &path, None).await.status, StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn an_equal_request_under_one_key_is_one_cancellation() {
    let api = Api::first();
    let account = ShopAccount::new().await;
    let (order_id, _) = placed(&api, &account).await;
    let (other_id, _) = placed(&api, &account).await;
    let key = uuid::Uuid::new_v4().to_string();
    let body = json!({"idempotency_key": key});
    let id = api.post(&cancel(&order_id), Some(&body)).await;
    assert_eq!(api.post(&cancel(&order_id), Some(&body)).await, id);
    let error = refused(&api, &cancel(&other_id), &body).await;
    assert_eq!(error["data"]["validator_errors"][0]["path"], "idempotency_key", "{error}");
    api.processed(&cancellation(&id)).await;
}

#[tokio::test]
async fn a_cancellation_whose_answer_was_lost_still_ends() {
    let api = Api::first();
    for step in ["cancel", "cancel_after_commit"] {
        let account = ShopAccount::new().await;
        let (order_id, merchant_id) = placed(&api, &account).await;
        account.behave(step, json!({"drop": true, "times": 1})).await;
        let id = api.post(&cancel(&order_id), None).await;
        let cancelled = api.processed(&cancellation(&id)).await;
        assert_eq!(cancelled["merchant_order_id"], merchant_id.as_str(), "{step}: {cancelled}");
    }
}

#[tokio::test]
async fn a_login_that_is_wrong_says_nothing_of_what_the_shop_was_asked_before() {
    let api = Api::first();
    let account = ShopAccount::new().await;
    let (order_id, merchant_id) = placed(&api, &account).await;
    // Long enough that the password is another before it is tried again.
    let behaviour = json!({"delay_ms": 2000, "drop": true, "times": 1});
    account.behave("cancel_after_commit", behaviour).await;
    let first = api.post(&cancel(&order_id), None).await;
    wait(Duration::from_secs(30), "the shop to cancel", async || {
        let order = tests::shops_order(&merchant_id).await;
        (order["cancellation"]["state"] == "done").then_some(())
    })
    .await;
    account.put("another").await;
    // The order's, that of the cancellation, and the one after its answer was lost.
    account.journaled("sign_in", 3).await;
    let second = api.post(&cancel(&order_id), None).await;
    account.journaled("sign_in", 4).await;
    account.put(&account.password).await;
    for id in [first, second] {
        when_due(&id).await;
        let cancelled = api.processed(&cancellation(&id)).await;
        assert_eq!(cancelled["merchant_order_id"], merchant_id.as_str(), "{cancelled}");
    }
}

#[tokio::test]
async fn a_cancellation_that_nobody_can_look_after_for_a_day_ends_as_unknown() {
    let api = Api::first();
    let account = ShopAccount::new().await;
    let (order_id, _) = placed(&api, &account).await;
    account.cancels("refuse").await;
    let model = api.post(&cancel(&order_id), None).await;
    api.processed(&cancellation(&model)).await;
    account.put("another").await;
    let asked = json!({"state": "asked"});
    let recent = tables::copy_after_sale(&model, &asked, tables::FAR_OFF).await;
    tables::make_older(&recent, Duration::from_hours(23)).await;
    let old = tables::copy_after_sale(&model, &asked, tables::FAR_OFF).await;
    tables::make_older(&old, Duration::from_hours(24)).await;
    // One after the other, so that the recent one was tried when the old one ends.
    when_due(&recent).await;
    account.journaled("sign_in", 3).await;
    when_due(&old).await;
    let ended = api.processed(&cancellation(&old)).await;
    assert_eq!(
        (&ended["code"], &ended["money_moved"]),
        (&json!("internal_error"), &json!("unknown")),
        "{ended}"
    );
    let open = api.v1(Method::GET, &cancellation(&recent), None).await.ok();
    assert_eq!(open["code"], "request_processing", "{open}");
}

#[tokio::test]
async fn what_is_cancelled_already_needs_no_login() {
    let api = Api::first();
    let account = ShopAccount::new().await;
    let (order_id, merchant_id) = placed(&api, &account).await;
    for password in [account.password.as_str(), "another"] {
        account.put(password).await;
        let id = api.post(&cancel(&order_id), None).await;
        let cancelled = api.processed(&cancellation(&id)).await;
        assert_eq!(cancelled["merchant_order_id"], merchant_id.as_str(), "{cancelled}");
    }
}

#[tokio::test]
async fn a_cancellation_without_a_message_is_done_after_the_next_sweep() {
    let api = Api::first();
    let account = ShopAccount::new().await;
    let (order_id, merchant_id) = placed(&api, &account).await;
    account.cancels("refuse").await;
    let model = api.post(&cancel(&order_id), None).await;
    api.processed(&cancellation(&model)).await;
    account.cancels("at_once").await;
    let lost = tables::copy_after_sale(&model, &json!({"state": "queued"}), 1).await;
    tests::invoke("SweeperFunction", &json!({})).await;
    let cancelled = api.processed(&cancellation(&lost)).await;
    assert_eq!(cancelled["merchant_order_id"], merchant_id.as_str(), "{cancelled}");
}

#[tokio::test]
async fn a_dead_cancellation_says_that_nobody_knows() {
    let api = Api::first();
    let (order_id, _) = placed(&api, &ShopAccount::new().await).await;
    let model = api.post(&cancel(&order_id), None).await;
    api.processed(&cancellation(&model)).await;
    for state in ["queued", "asked"] {
        let id = tables::copy_after_sale(&model, &json!({"state": state}), tables::FAR_OFF).await;
        let job = tables::job(&order_id, "cancel_order", "cancellation", &id).await;
        queues::send_fifo(&STACK.queues["JobsDeadLetterQueue"], &id, &job).await;
        let ended = api.processed(&cancellation(&id)).await;
        assert_eq!(
            (&ended["code"], &ended["money_moved"]),
            (&json!("internal_error"), &json!("unknown")),
            "{state}: {ended}"
        );
    }
}

#[tokio::test]
async fn what_the_balance_paid_is_asked_back_once_it_is_cancelled() {
    let client = Client::paid_in(50_000);
    let order_id = client.api.order(&split_order(&ShopAccount::new().await)).await;
    let order = client.api.ended(&order_id).await;
    let total = order["price_components"]["total"].as_u64().unwrap();
    client.has_paid(&order_id, total).await;
    assert_eq!(client.refund(&order_id, None).await["refund_state"], Value::Null);

    let mut asked = 0;
    for merchant_id in merchant_order_ids(&order) {
        let body = json!({"merchant_order_id": merchant_id});
        let id = client.api.post(&cancel(&order_id), Some(&body)).await;
        let cancelled = client.api.processed(&cancellation(&id)).await;
        assert_eq!(cancelled["_type"], "cancellation_response", "{cancelled}");
        let refund = client.refund(&order_id, None).await;
        assert_eq!(refund["refund_state"], "requested", "{refund}");
        assert_eq!(refund["reason"], "cancellation_succeeded");
        let bought = tests::shops_order(&merchant_id).await;
        asked += bought["order"]["total_cents"].as_u64().unwrap();
        assert_eq!(refund["amount"], asked, "{refund}");
    }
    assert_eq!(asked, total);
}
