//! Clients that an operator makes: what a live key may do, and whose accounts an order without a login uses.

use http::{Method, StatusCode};
use serde_json::{Value, json};
use tests::{Api, ShopAccount, new_client, order};

async fn store(api: &Api, account: &ShopAccount, retailer: Option<&str>) -> Value {
    let body = json!({"email": account.email, "password": account.password, "retailer": retailer});
    api.modern(Method::POST, "/managed-accounts", Some(&body)).await.ok()
}

fn without_login(retailer: &str) -> Value {
    json!({
        "retailer": retailer,
        "products": [{"product_id": "B0016NHH56"}],
        "shipping_address": tests::address(),
        "shipping_method": "cheapest",
    })
}

#[tokio::test]
async fn a_live_key_is_refused_where_there_is_no_live_adapter() {
    let key = new_client(&["--mode", "live"]);
    assert!(key.starts_with("zn_live_"));
    let api = Api::with_key(&key);
    let account = ShopAccount::new().await;
    for retailer in tests::RETAILERS {
        let mut body = order(&account);
        body["retailer"] = json!(retailer);
        let answer = api.v1(Method::POST, "/v1/orders", Some(&body)).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        let error = answer.json();
        assert_eq!(error["code"], "invalid_request");
        let fault = &error["data"]["validator_errors"][0];
        assert_eq!(fault["path"], "retailer");
        assert!(fault["message"].as_str().unwrap().contains("live adapter"), "{fault}");
    }
    assert!(account.journal().await.is_empty());
    assert_eq!(api.v1(Method::GET, "/v1/orders", None).await.ok(), json!({"orders": []}));
}

#[tokio::test]
async fn without_a_login_the_default_account_buys_and_else_the_operators() {
    let client = Api::with_key(&new_client(&[]));
    let operator = Api::with_key(&new_client(&["--operator"]));
    let body = without_login("walmart");
    let refused = client.v1(Method::POST, "/v1/orders", Some(&body)).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert_eq!(refused.json()["data"]["validator_errors"][0]["path"], "retailer_credentials");

    let internal = ShopAccount::new().await;
    let stored = store(&operator, &internal, Some("walmart")).await;
    let placed = client.ended(&client.order(&body).await).await;
    assert_eq!(internal.ledger().await.len(), 1, "{placed}");
    assert_eq!(placed["merchant_order_ids"][0]["account"], "internal", "{placed}");

    let own = ShopAccount::new().await;
    store(&client, &own, None).await;
    let placed = client.ended(&client.order(&body).await).await;
    assert_eq!(placed["merchant_order_ids"][0]["account"], own.email.as_str(), "{placed}");
    assert_eq!(internal.ledger().await.len(), 1);
    let path = format!("/managed-accounts/{}", stored["short_id"].as_str().unwrap());
    assert_eq!(operator.modern(Method::DELETE, &path, None).await.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn another_key_of_a_client_is_the_same_client() {
    let first = new_client(&["--json"]);
    let first: Value = serde_json::from_str(&first).unwrap();
    let second = new_client(&["--client-id", first["client_id"].as_str().unwrap()]);
    let account = ShopAccount::new().await;
    store(&Api::with_key(first["key"].as_str().unwrap()), &account, None).await;
    let listed = Api::with_key(&second).modern(Method::GET, "/managed-accounts", None).await.ok();
    assert_eq!(
        (&listed["total"], &listed["credentials"][0]["email"]),
        (&json!(1), &json!(account.email))
    );
}
