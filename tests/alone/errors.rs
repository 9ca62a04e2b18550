//! Every error code of the table is reached through the API: by a product of the sandbox that always fails with it, or by
//! the request that the code is for.

use std::{collections::BTreeSet, time::Duration};

use futures::{StreamExt, stream};
use http::Method;
use serde_json::{Value, json};
use tests::{Api, ShopAccount, order, prepaid::Client, wait};

use crate::paid_by_balance::{addax, operators_accounts};

/// Made from the table in the code, which a unit test checks.
const TABLE: &str = include_str!("../../docs/errors.md");

/// An order that is to be met at work is at it for so long, however slow the machine is.
const LINGERS_MS: u64 = 8_000;

/// Beside a thousand orders of other tests.
const LIMIT: Duration = Duration::from_mins(3);

/// So many orders at once leave the machine time to answer.
const AT_ONCE: usize = 8;

/// Codes that leave open whether anything was bought, and so say where to look.
const LEFT_OPEN: [&str; 2] = ["manual_review_required", "order_probably_placed"];

struct Row {
    code: &'static str,
    retryable: bool,
    money_moved: &'static str,
}

fn rows() -> Vec<Row> {
    let cells = |line: &'static str| line.trim_matches('|').split('|').map(str::trim).collect();
    let rows = TABLE.lines().filter(|line| line.starts_with("| `"));
    rows.map(|line| {
        let cells: Vec<&str> = cells(line);
        let code = cells[0].trim_matches('`');
        Row { code, retryable: cells[3] == "yes", money_moved: cells[4] }
    })
    .collect()
}

/// An answer with this error code, from what it is for.
async fn provoke(code: &str) -> Value {
    let api = Api::first();
    let account = ShopAccount::new().await;
    match code {
        "aborted_request" => {
            account.behave("review", json!({"delay_ms": LINGERS_MS, "times": 1})).await;
            let id = api.order(&order(&account)).await;
            api.v1(Method::POST, &format!("/v1/orders/{id}/abort"), None).await.json()
        }
        "invalid_client_token" => {
            Api::with_key("nobody's").v1(Method::GET, "/v1/orders", None).await.json()
        }
        "invalid_json" => api.raw(Method::POST, "/v1/orders", "{").await.json(),
        "invalid_request" => api.v1(Method::POST, "/v1/orders", Some(&json!({}))).await.json(),
        "invalid_request_id" => api.v1(Method::GET, "/v1/orders/nobody's", None).await.json(),
        "invalid_delivery_id" => {
            api.v1(Method::GET, "/v1/webhooks/deliveries/nobody's", None).await.json()
        }
        "invalid_endpoint_id" => {
            let path = "/v1/webhooks/endpoints/nobody's/enable";
            api.v1(Method::POST, path, None).await.json()
        }
        "request_processing" => {
            account.behave("review", json!({"delay_ms": LINGERS_MS, "times": 1})).await;
            let id = api.order(&order(&account)).await;
            api.get(&id).await
        }
        "unknown_retailer" => {
            let mut body = order(&account);
            body["retailer"] = json!("corner_shop");
            api.v1(Method::POST, "/v1/orders", Some(&body)).await.json()
        }
        "attempting_to_cancel" | "order_not_cancellable" => cancelled(&api, &account, code).await,
        "return_not_allowed" => returned(&api, &account, &magic_id(code), 1).await,
        "return_in_progress" => returned(&api, &account, "B0000001234", 2).await,
        "insufficient_addax_balance" => {
            let client = Client::new();
            client.deposit(1, "wire");
            let id = client.api.order(&addax(&account, 100)).await;
            client.api.get(&id).await
        }
        "unauthorized_access" => {
            let stranger = Client::new();
            stranger.api.v1(Method::POST, "/v1/orders", Some(&addax(&account, 100))).await.json()
        }
        "zma_temporarily_overloaded" => {
            let mut body = addax(&account, 100);
            body["retailer"] = json!("amazon_uk");
            api.v1(Method::POST, "/v1/orders", Some(&body)).await.json()
        }
        of_a_purchase => {
            let mut body = order(&account);
            body["products"] = json!([{"product_id": magic_id(of_a_purchase)}]);
            let id = api.order(&body).await;
            api.ended_within(&id, LIMIT).await
        }
    }
}

fn magic_id(code: &str) -> String {
    format!("SANDBOX-{}", code.to_uppercase().replace('_', "-"))
}

async fn placed(api: &Api, account: &ShopAccount, product: &str) -> String {
    let mut body = order(account);
    body["products"] = json!([{"product_id": product}]);
    let id = api.order(&body).await;
    assert_eq!(api.ended_within(&id, LIMIT).await["_type"], "order_response");
    id
}

async fn cancelled(api: &Api, account: &ShopAccount, code: &str) -> Value {
    let id = placed(api, account, &magic_id(code)).await;
    let answer = api.v1(Method::POST, &format!("/v1/orders/{id}/cancel"), None).await.ok();
    outcome(api, "cancellations", &answer).await
}

/// What becomes of the last of so many returns of one piece that was delivered.
async fn returned(api: &Api, account: &ShopAccount, product: &str, times: usize) -> Value {
    let id = placed(api, account, product).await;
    for purchase in account.ledger().await {
        for order in purchase["orders"].as_array().unwrap() {
            let id = order["order_id"].as_str().unwrap();
            tests::at_the_shop(&format!("orders/{id}/deliver"), &json!({})).await;
        }
    }
    let body = json!({
        "products": [{"product_id": product, "quantity": 1}],
        "reason_code": "inaccurate website description",
        "method_code": "UPS Dropoff",
        "explanation": "It is another one.",
    });
    let mut last = Value::Null;
    for _ in 0..times {
        let path = format!("/v1/orders/{id}/return");
        let answer = api.v1(Method::POST, &path, Some(&body)).await.ok();
        last = outcome(api, "returns", &answer).await;
    }
    last
}

async fn outcome(api: &Api, kind: &str, answer: &Value) -> Value {
    let path = format!("/v1/{kind}/{}", answer["request_id"].as_str().unwrap());
    wait(LIMIT, "an outcome", async || {
        let body = api.v1(Method::GET, &path, None).await.ok();
        (body["code"] != "request_processing").then_some(body)
    })
    .await
}

#[tokio::test]
async fn every_code_is_reached() {
    operators_accounts("amazon", 1).await;
    let rows = rows();
    assert!(rows.len() >= 57, "the table was read");
    let reached = stream::iter(&rows).map(|row| async move {
        let body = provoke(row.code).await;
        assert_eq!(body["code"], row.code, "{body}");
        assert_eq!(body["_type"], "error", "{body}");
        assert!(body["message"].as_str().is_some_and(|text| text.len() > 10), "{body}");
        assert!(body["data"].is_object(), "{body}");
        assert_eq!(body["retryable"], row.retryable, "{body}");
        assert_eq!(body["money_moved"], row.money_moved, "{body}");
        if LEFT_OPEN.contains(&row.code) {
            let data = &body["data"];
            assert!(data["look_at"].as_str().is_some_and(|email| email.contains('@')), "{body}");
            assert!(data["since"].is_string() && data["candidates"].is_array(), "{body}");
        }
        row.code
    });
    let reached: BTreeSet<_> = reached.buffer_unordered(AT_ONCE).collect().await;
    assert_eq!(reached, rows.iter().map(|row| row.code).collect());
    println!("{} of {} error codes were reached through the API", reached.len(), rows.len());
}
