//! Orders that the retailer splits: one purchase, one order of ours, several of the retailer's.

use serde_json::{Value, json};
use tests::{Api, ShopAccount, split_order};

async fn bought_in_two_orders(account: &ShopAccount) {
    let api = Api::first();
    let placed = api.ended(&api.order(&split_order(account)).await).await;
    assert_eq!(placed["_type"], "order_response", "{placed}");
    let ledger = account.ledger().await;
    assert_eq!(ledger.len(), 1, "one press is one purchase");
    let ids = |orders: &Value, name: &str| {
        let orders = orders.as_array().unwrap().iter();
        let mut ids: Vec<_> = orders.map(|one| one[name].as_str().unwrap().to_owned()).collect();
        ids.sort();
        ids
    };
    let bought = ids(&ledger[0]["orders"], "order_id");
    assert_eq!(bought.len(), 2);
    assert_eq!(ids(&placed["merchant_order_ids"], "merchant_order_id"), bought);
    assert_eq!(placed["price_components"]["total"], ledger[0]["total_cents"]);
}

#[tokio::test]
async fn an_order_that_the_shop_splits_is_one_order_of_ours() {
    bought_in_two_orders(&ShopAccount::new().await).await;
}

#[tokio::test]
async fn an_order_that_was_split_is_found_in_the_history() {
    let account = ShopAccount::new().await;
    account.behave("submit_after_commit", json!({"drop": true, "times": 1})).await;
    account.behave("history", json!({"history_lag_ms": 2000})).await;
    bought_in_two_orders(&account).await;
}
