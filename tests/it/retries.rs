//! Ordering again what failed: once, with what was kept of the request and what the client adds.

use futures::future::join_all;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use tests::{Answer, Api, ShopAccount, canaries, invoke, order, receiver::Receiver, tables};

/// An order that fails because it may cost no more than a dollar.
async fn failed(api: &Api, body: &Value) -> String {
    let mut body = body.clone();
    body["max_price"] = json!(100);
    let id = api.order(&body).await;
    assert_eq!(api.ended(&id).await["code"], "max_price_exceeded");
    id
}

async fn retry(api: &Api, id: &str, changes: Option<&Value>) -> Answer {
    api.v1(Method::POST, &format!("/v1/orders/{id}/retry"), changes).await
}

#[track_caller]
fn request_id(answer: &Answer) -> String {
    let body = answer.ok();
    let id = body["request_id"].as_str().unwrap().to_owned();
    assert_eq!(body, json!({"request_id": id}));
    id
}

#[tokio::test]
async fn a_failed_order_is_ordered_again_with_its_own_login() {
    let api = Api::first();
    let account = ShopAccount::with_totp().await;
    let mut body = order(&account);
    body["idempotency_key"] = json!(account.email);
    body["client_notes"] = json!({"number": 7});
    let first = failed(&api, &body).await;
    let before = api.get(&first).await;
    let second = request_id(&retry(&api, &first, Some(&json!({"max_price": 2300}))).await);
    assert_ne!(first, second);
    let placed = api.ended(&second).await;
    assert_eq!(placed["_type"], "order_response", "{placed}");
    assert_eq!(placed["request"]["max_price"], 2300);
    assert_eq!(placed["request"]["client_notes"], json!({"number": 7}));
    assert_eq!(placed["request"].get("idempotency_key"), None);
    assert_eq!(api.get(&first).await, before);
    assert_eq!(account.ledger().await.len(), 1);
}

#[tokio::test]
async fn however_often_it_is_asked_there_is_one_other_try() {
    let api = Api::first();
    let account = ShopAccount::new().await;
    let first = failed(&api, &order(&account)).await;
    let changes = json!({"max_price": 2300});
    let answers = join_all((0..20).map(|_| retry(&api, &first, Some(&changes)))).await;
    let mut ids: Vec<_> = answers.iter().map(request_id).collect();
    ids.dedup();
    assert_eq!(ids.len(), 1, "{ids:?}");
    assert_eq!(api.ended(&ids[0]).await["_type"], "order_response");
    assert_eq!(request_id(&retry(&api, &first, None).await), ids[0]);
    let keyed = json!({"idempotency_key": "another"});
    assert_eq!(request_id(&retry(&api, &first, Some(&keyed)).await), ids[0]);
    assert_eq!(account.ledger().await.len(), 1);
}

#[tokio::test]
async fn the_key_of_the_first_try_is_not_that_of_the_second() {
    let api = Api::first();
    let account = ShopAccount::new().await;
    let mut body = order(&account);
    body["idempotency_key"] = json!(account.email);
    let first = failed(&api, &body).await;
    let changes = json!({"max_price": 2300, "idempotency_key": account.email});
    let second = request_id(&retry(&api, &first, Some(&changes)).await);
    assert_ne!(first, second);
    assert_eq!(api.ended(&second).await["_type"], "order_response");
}

#[tokio::test]
async fn a_card_must_be_sent_again() {
    let api = Api::first();
    let account = ShopAccount::new().await;
    let mut body = order(&account);
    body["billing_address"] = tests::address();
    let card = json!({
        "name_on_card": "Tim Beaver",
        "number": canaries::CARD_NUMBER,
        "security_code": canaries::CARD_CODE,
        "expiration_month": 1,
        "expiration_year": 2030,
    });
    body["payment_method"] = card.clone();
    let first = failed(&api, &body).await;
    let answer = retry(&api, &first, Some(&json!({"max_price": 2300}))).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{}", answer.text);
    let faults = &answer.json()["data"]["validator_errors"];
    let paths: Vec<_> = faults.as_array().unwrap().iter().map(|fault| &fault["path"]).collect();
    assert_eq!(paths, ["payment_method.number", "payment_method.security_code"]);

    let changes = json!({"max_price": 2300, "payment_method": card});
    let second = request_id(&retry(&api, &first, Some(&changes)).await);
    assert_eq!(api.ended(&second).await["_type"], "order_response");
    assert_eq!(account.ledger().await[0]["paid"], "card");
}

#[tokio::test]
async fn the_other_try_tells_the_same_webhooks_with_their_passwords() {
    let api = Api::first();
    let account = ShopAccount::new().await;
    let receiver = Receiver::start().await;
    let with_password = receiver
        .url("/placed?order=1")
        .replace("http://", &format!("http://user:{}@", canaries::WEBHOOK_PASSWORD));
    let mut body = order(&account);
    body["webhooks"] =
        json!({"order_placed": with_password, "request_failed": receiver.url("/failed")});
    let first = failed(&api, &body).await;
    receiver.wait_for("/failed", 1).await;
    let second = request_id(&retry(&api, &first, Some(&json!({"max_price": 2300}))).await);
    let told = receiver.wait_for("/placed", 1).await;
    assert_eq!(told[0].body["request_id"], second.as_str());
    assert!(told[0].headers["authorization"].to_str().unwrap().starts_with("Basic "));
}

#[tokio::test]
async fn only_what_failed_is_tried_again() {
    let api = Api::first();
    let account = ShopAccount::new().await;
    account.behave("review", json!({"delay_ms": 2000, "times": 1})).await;
    let id = api.order(&order(&account)).await;
    assert_eq!(retry(&api, &id, None).await.ok()["code"], "request_processing");
    api.ended(&id).await;
    let refused = retry(&api, &id, None).await.ok();
    assert_eq!(
        (&refused["code"], &refused["money_moved"]),
        (&json!("duplicate_order"), &json!("no"))
    );

    let mut unclear = order(&account);
    unclear["products"] = json!([{"product_id": "SANDBOX-ORDER-PROBABLY-PLACED"}]);
    let unclear = api.order(&unclear).await;
    api.ended(&unclear).await;
    let refused = retry(&api, &unclear, None).await.ok();
    assert_eq!(refused["code"], "order_probably_placed", "{refused}");
    assert_eq!(account.ledger().await.len(), 2);
}

#[tokio::test]
async fn what_is_changed_is_checked_like_any_order() {
    let api = Api::first();
    let first = failed(&api, &order(&ShopAccount::new().await)).await;
    for (changes, path) in [
        (json!([]), ""),
        (json!({"max_price": "much"}), "max_price"),
        (json!({"products": []}), "products"),
        (json!({"retailer_credentials": {"email": "a@b.co"}}), "retailer_credentials.password"),
    ] {
        let answer = retry(&api, &first, Some(&changes)).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{changes}: {}", answer.text);
        assert_eq!(answer.json()["data"]["validator_errors"][0]["path"], path, "{changes}");
    }
    assert_eq!(api.raw(Method::POST, &format!("/v1/orders/{first}/retry"), "{").await.status, 400);
}

#[tokio::test]
async fn a_login_that_came_with_an_order_is_forgotten_a_day_after_its_failure() {
    let api = Api::first();
    let account = ShopAccount::new().await;
    let first = failed(&api, &order(&account)).await;
    // Nobody else's order is due in 1970.
    tables::end_long_ago(&first).await;
    assert_eq!(
        invoke("SweeperFunction", &json!({"time": "1970-01-02T00:00:01Z"})).await["failed"],
        0
    );
    assert!(!tables::holds_login(&first).await);

    let mut changes = json!({"max_price": 2300});
    let answer = retry(&api, &first, Some(&changes)).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{}", answer.text);
    let path = &answer.json()["data"]["validator_errors"][0]["path"];
    assert_eq!(path, "retailer_credentials.password");
    changes["retailer_credentials"] = account.credentials();
    let second = request_id(&retry(&api, &first, Some(&changes)).await);
    assert_eq!(api.ended(&second).await["_type"], "order_response");
}
