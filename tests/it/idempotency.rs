//! One idempotency key makes one order, however often and however fast the request is repeated.

use std::collections::HashSet;

use futures::future::join_all;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use tests::{Api, ShopAccount, order};
use uuid::Uuid;

fn keyed(account: &ShopAccount) -> Value {
    let mut body = order(account);
    body["idempotency_key"] = json!(Uuid::new_v4().to_string());
    body
}

#[tokio::test]
async fn sixty_four_equal_posts_at_once_make_one_order() {
    let api = Api::first();
    let account = ShopAccount::new().await;
    let body = keyed(&account);
    let posts = (0..64).map(|_| api.v1(Method::POST, "/v1/orders", Some(&body)));
    let answers = join_all(posts).await;

    let different: HashSet<_> =
        answers.iter().map(|answer| (answer.status, &answer.text)).collect();
    assert_eq!(different.len(), 1, "{different:?}");
    let id = answers[0].ok()["request_id"].as_str().unwrap().to_owned();
    assert_eq!(api.ended(&id).await["_type"], "order_response");
    assert_eq!(account.ledger().await.len(), 1);

    let later = api.v1(Method::POST, "/v1/orders", Some(&body)).await;
    assert_eq!((later.status, later.text), (answers[0].status, answers[0].text.clone()));
}

#[tokio::test]
async fn the_key_with_another_body_is_refused() {
    let api = Api::first();
    let account = ShopAccount::new().await;
    let body = keyed(&account);
    let id = api.order(&body).await;
    for change in [
        json!({"max_price": 2299}),
        json!({"retailer_credentials": ShopAccount::new().await.credentials()}),
    ] {
        let mut other = body.clone();
        other.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let answer = api.v1(Method::POST, "/v1/orders", Some(&other)).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        let error = answer.json();
        assert_eq!(error["code"], "invalid_request");
        assert_eq!(error["data"]["validator_errors"][0]["path"], "idempotency_key", "{error}");
    }
    api.ended(&id).await;
    assert_eq!(account.ledger().await.len(), 1);
}

#[tokio::test]
async fn keys_of_different_clients_are_different_keys() {
    let account = ShopAccount::new().await;
    let body = keyed(&account);
    let (first, second) = (Api::first(), Api::second());
    let ids = [first.order(&body).await, second.order(&body).await];
    assert_ne!(ids[0], ids[1]);
    first.ended(&ids[0]).await;
    second.ended(&ids[1]).await;
    assert_eq!(account.ledger().await.len(), 2);
}

#[tokio::test]
async fn the_order_of_members_does_not_make_another_body() {
    let api = Api::first();
    let account = ShopAccount::new().await;
    let body = keyed(&account);
    let members = body.as_object().unwrap();
    let backwards: Vec<String> =
        members.iter().rev().map(|(name, value)| format!("{}:{value}", json!(name))).collect();
    let first = api.v1(Method::POST, "/v1/orders", Some(&body)).await;
    let second = api.raw(Method::POST, "/v1/orders", format!("{{{}}}", backwards.join(","))).await;
    assert_eq!(first.ok(), second.ok());
    api.ended(first.ok()["request_id"].as_str().unwrap()).await;
}
