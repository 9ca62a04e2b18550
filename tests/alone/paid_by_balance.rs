//! Orders that are paid from a prepaid balance, on the operator's accounts.

use std::time::Duration;

use futures::future::join_all;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use tests::{Api, ShopAccount, new_client, order, prepaid::Client, receiver::Receiver};

/// Accounts at this retailer, of an operator of their own.
pub(crate) async fn operators_accounts(retailer: &str, count: usize) -> Vec<ShopAccount> {
    let operator = Api::with_key(&new_client(&["--operator"]));
    let mut accounts = vec![];
    for _ in 0..count {
        let account = ShopAccount::new().await;
        let body =
            json!({"email": account.email, "password": account.password, "retailer": retailer});
        operator.modern(Method::POST, "/managed-accounts", Some(&body)).await.ok();
        accounts.push(account);
    }
    accounts
}

/// An order that the balance pays.
pub(crate) fn addax(account: &ShopAccount, max_price: u64) -> Value {
    let mut body = order(account);
    body["addax"] = json!(true);
    body["max_price"] = json!(max_price);
    let members = body.as_object_mut().unwrap();
    members.remove("retailer_credentials");
    members.remove("payment_method");
    body
}

async fn post(client: &Client, body: &Value) -> tests::Answer {
    client.api.v1(Method::POST, "/v1/orders", Some(body)).await
}

async fn figures(client: &Client) -> [i64; 2] {
    let balance = client.balance().await;
    ["available", "held"].map(|name| balance[name].as_i64().unwrap())
}

#[tokio::test]
async fn what_is_held_at_acceptance_is_spent_when_it_is_placed_and_given_back_when_not() {
    let accounts = operators_accounts("amazon", 1).await;
    let client = Client::new();
    client.deposit(10_000, "wire");
    let placed = client.api.order(&addax(&accounts[0], 2300)).await;
    let ended = client.api.ended(&placed).await;
    let total = ended["price_components"]["total"].as_i64().unwrap();
    assert_eq!(ended["merchant_order_ids"][0]["account"], "internal", "{ended}");
    assert_eq!(figures(&client).await, [10_000 - total, 0]);

    let failed = client.api.order(&addax(&accounts[0], 100)).await;
    assert_eq!(client.api.ended(&failed).await["code"], "max_price_exceeded");
    assert_eq!(figures(&client).await, [10_000 - total, 0]);

    let kinds: Vec<_> =
        client.transactions("").await.iter().map(|one| one["type"].clone()).collect();
    assert_eq!(kinds, ["release", "hold", "capture", "hold", "deposit"]);
    assert!(client.check().unwrap().contains("the books agree"));
}

#[tokio::test]
async fn a_balance_that_does_not_suffice_is_an_order_with_an_error() {
    let accounts = operators_accounts("amazon", 1).await;
    let receiver = Receiver::start().await;
    let client = Client::new();
    client.deposit(2_299, "wire");
    let mut body = addax(&accounts[0], 2_300);
    body["idempotency_key"] = json!("once");
    body["webhooks"] = json!({"request_failed": receiver.url("/failed")});
    let id = client.api.order(&body).await;
    let ended = client.api.get(&id).await;
    assert_eq!(ended["code"], "insufficient_addax_balance", "{ended}");
    assert_eq!(ended["data"], json!({"currency": "USD", "available": 2_299, "max_price": 2_300}));
    assert_eq!(ended["money_moved"], "no");
    assert_eq!(receiver.wait_for("/failed", 1).await[0].body, ended);
    assert_eq!(client.api.order(&body).await, id, "the same key, the same order");
    assert_eq!(figures(&client).await, [2_299, 0]);
}

#[tokio::test]
async fn another_try_that_the_balance_does_not_suffice_for_is_the_only_one_too() {
    let accounts = operators_accounts("amazon", 1).await;
    let client = Client::new();
    client.deposit(100, "wire");
    let first = client.api.order(&addax(&accounts[0], 100)).await;
    assert_eq!(client.api.ended(&first).await["code"], "max_price_exceeded");
    let path = format!("/v1/orders/{first}/retry");
    let retry = async || {
        let changes = json!({"max_price": 2300});
        client.api.v1(Method::POST, &path, Some(&changes)).await.ok()["request_id"].clone()
    };
    let second = retry().await;
    let ended = client.api.ended(second.as_str().unwrap()).await;
    assert_eq!(ended["code"], "insufficient_addax_balance");
    client.deposit(10_000, "another wire");
    assert_eq!(retry().await, second);
    assert_eq!(figures(&client).await, [10_100, 0]);
}

#[tokio::test]
async fn orders_that_come_all_at_once_never_overdraw() {
    let accounts = operators_accounts("amazon", 4).await;
    let client = Client::new();
    // Enough for three of ten.
    client.deposit(3 * 2_300, "wire");
    let orders = (0..10).map(|_| async {
        let id = client.api.order(&addax(&accounts[0], 2_300)).await;
        client.api.ended_within(&id, Duration::from_mins(2)).await
    });
    let ended = join_all(orders).await;
    let placed = ended.iter().filter(|order| order["_type"] == "order_response").count();
    let refused =
        ended.iter().filter(|order| order["code"] == "insufficient_addax_balance").count();
    assert_eq!(placed + refused, 10, "{ended:?}");
    // What an order does not use is free for the next.
    assert!((3..=4).contains(&placed), "{placed}");
    let [available, held] = figures(&client).await;
    assert!(available >= 0 && held == 0, "{available} {held}");
    assert!(client.check().unwrap().contains("the books agree"));
}

type Change = (&'static str, fn(&mut Value, &Value));

#[tokio::test]
async fn what_an_order_paid_by_balance_must_and_must_not_say() {
    let client = Client::new();
    let account = ShopAccount::new().await;
    client.deposit(10_000, "wire");
    let full = order(&account);
    let faults: [Change; 6] = [
        ("retailer_credentials", |body, full| {
            body["retailer_credentials"] = full["retailer_credentials"].clone();
        }),
        ("retailer_credentials_id", |body, _| {
            body["retailer_credentials_id"] = json!("zn_acct_000000000000");
        }),
        ("payment_method", |body, full| body["payment_method"] = full["payment_method"].clone()),
        ("billing_address", |body, full| {
            body["billing_address"] = full["shipping_address"].clone();
        }),
        ("max_price", |body, _| body["max_price"] = Value::Null),
        ("addax", |body, _| body["retailer"] = json!("walmart")),
    ];
    for (field, change) in faults {
        let mut body = addax(&account, 2_300);
        change(&mut body, &full);
        let answer = post(&client, &body).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{field}: {}", answer.text);
        assert_eq!(answer.json()["data"]["validator_errors"][0]["path"], field);
    }
    assert_eq!(figures(&client).await, [10_000, 0]);
}

#[tokio::test]
async fn who_never_paid_in_and_where_the_operator_has_no_account() {
    let accounts = operators_accounts("amazon", 1).await;
    let stranger = Client::new();
    let answer = post(&stranger, &addax(&accounts[0], 2_300)).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert_eq!(answer.json()["code"], "unauthorized_access");

    let client = Client::new();
    client.pay("deposit", "GBP", 10_000, "wire").unwrap();
    let mut body = addax(&accounts[0], 2_300);
    body["retailer"] = json!("amazon_uk");
    let answer = post(&client, &body).await;
    assert_eq!(answer.json()["code"], "zma_temporarily_overloaded", "{}", answer.text);
    assert_eq!(answer.json()["retryable"], true);
    assert_eq!(figures(&client).await, [10_000, 0]);
}

#[tokio::test]
async fn while_nobody_knows_whether_it_was_bought_the_money_stays_held() {
    let accounts = operators_accounts("amazon", 1).await;
    let client = Client::new();
    client.deposit(10_000, "wire");
    let mut body = addax(&accounts[0], 2_300);
    body["products"] = json!([{"product_id": "SANDBOX-ORDER-PROBABLY-PLACED"}]);
    let id = client.api.order(&body).await;
    assert_eq!(client.api.ended(&id).await["code"], "order_probably_placed");
    assert_eq!(figures(&client).await, [7_700, 2_300]);
    client.settle(&id, &["--captured", "2124"]).unwrap();
    assert_eq!(figures(&client).await, [7_876, 0]);
    assert!(client.check().unwrap().contains("the books agree"));
}
