//! Orders that are bought together: when, with whom, and what each client sees of it.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use tests::{Api, ShopAccount, hours, order, receiver::Receiver, wait};

const NOT_YET: Duration = Duration::from_mins(6 * 60 - 1);
const AFTER_SIX_HOURS: Duration = Duration::from_mins(6 * 60 + 1);

/// An order that may wait for others, of one product and to one person.
fn bundled(account: &ShopAccount, product: &str, zip_code: &str) -> Value {
    let mut body = order(account);
    body["bundled"] = json!(true);
    body["products"] = json!([{"product_id": product, "quantity": 1}]);
    body["shipping_address"]["zip_code"] = json!(zip_code);
    body["shipping_address"]["first_name"] = json!(product);
    body["max_price"] = json!(6000);
    body
}

/// Posts it and waits until it waits.
async fn waiting(api: &Api, body: &Value) -> String {
    let id = api.order(body).await;
    wait(Duration::from_mins(1), "the order to wait in a bundle", async || {
        let order = api.get(&id).await;
        let last = order["status_updates"].as_array()?.last()?.clone();
        (last["type"] == "order.bundled").then_some(())
    })
    .await;
    id
}

/// The one shop order that is in this answer.
#[track_caller]
fn merchant_order(placed: &Value) -> &str {
    assert_eq!(placed["_type"], "order_response", "{placed}");
    let ids = placed["merchant_order_ids"].as_array().unwrap();
    assert_eq!(ids.len(), 1, "{placed}");
    ids[0]["merchant_order_id"].as_str().unwrap()
}

#[tokio::test]
async fn more_than_55_dollars_are_bought_at_once_and_each_goes_to_its_own_recipient() {
    let api = Api::first();
    let account = ShopAccount::new().await;
    // 19.99, 34.99 and 10.00.
    let first = waiting(&api, &bundled(&account, "B0016NHH56", "02139")).await;
    let second = waiting(&api, &bundled(&account, "B06XGHJ5H3", "10001")).await;
    assert!(account.ledger().await.is_empty());
    assert_eq!(api.get(&first).await["code"], "request_processing");
    let third = api.order(&bundled(&account, "B0000001234", "60601")).await;

    let mut ids = vec![];
    for (id, product, zip_code) in [
        (&first, "B0016NHH56", "02139"),
        (&second, "B06XGHJ5H3", "10001"),
        (&third, "B0000001234", "60601"),
    ] {
        let placed = api.ended(id).await;
        ids.push(merchant_order(&placed).to_owned());
        assert_eq!(placed["request"]["bundled"], true);
        assert_eq!(placed["request"]["shipping_address"]["zip_code"], zip_code);
        let merchant = &placed["merchant_order_ids"][0];
        assert_eq!(merchant["product_ids"], json!([product]));
        assert_eq!(merchant["shipping_address"]["zip_code"], zip_code);
        let prices = &placed["price_components"];
        let parts = ["subtotal", "shipping", "tax"].map(|part| prices[part].as_u64().unwrap());
        assert_eq!(prices["total"], parts.iter().sum::<u64>());
        assert_eq!(prices["product_subtotals"][0]["product_id"], product);
    }
    let ledger = account.ledger().await;
    assert_eq!(ledger.len(), 1, "one press of the button: {ledger:?}");
    let mut sent: Vec<_> = ledger[0]["orders"].as_array().unwrap().clone();
    sent.sort_by_key(|sent| sent["name"].to_string());
    let shown = |sent: &Value| [sent["name"].clone(), sent["postal_code"].clone()];
    assert_eq!(
        sent.iter().map(shown).collect::<Vec<_>>(),
        [
            [json!("B0000001234 Beaver"), json!("60601")],
            [json!("B0016NHH56 Beaver"), json!("02139")],
            [json!("B06XGHJ5H3 Beaver"), json!("10001")],
        ]
    );
    let in_shop: Vec<_> = ledger[0]["orders"].as_array().unwrap().iter().collect();
    assert!(ids.iter().all(|id| in_shop.iter().any(|sent| sent["order_id"] == *id.as_str())));
}

#[tokio::test]
async fn after_six_hours_what_waits_is_bought_whatever_it_costs() {
    let (api, hours) = (Api::first(), hours().await);
    let receiver = Receiver::start().await;
    let account = ShopAccount::new().await;
    let mut body = bundled(&account, "B0016NHH56", "02139");
    body["webhooks"] = json!({"request_succeeded": receiver.url("/placed"), "status_updated": receiver.url("/status")});
    let id = waiting(&api, &body).await;
    assert_eq!(receiver.wait_for("/status", 1).await[0].body["code"], "request_processing");
    // Two of one product are never bought together, whoever orders them.
    let twin = waiting(&api, &bundled(&account, "B0016NHH56", "10001")).await;
    hours.pass(NOT_YET).await;
    // Whatever the sweep had queued for the account would have come before this order.
    let next = api.order(&order(&account)).await;
    api.ended(&next).await;
    assert_eq!(account.ledger().await.len(), 1);
    assert_eq!(api.get(&id).await["code"], "request_processing");

    hours.pass(AFTER_SIX_HOURS).await;
    let placed = [api.ended(&id).await, api.ended(&twin).await];
    assert_ne!(merchant_order(&placed[0]), merchant_order(&placed[1]));
    assert_eq!(account.ledger().await.len(), 3, "two purchases");
    assert_eq!(receiver.wait_for("/placed", 1).await[0].body, placed[0]);
}

#[tokio::test]
async fn what_is_wrong_with_one_does_not_stop_the_others() {
    let (api, hours) = (Api::first(), hours().await);
    let account = ShopAccount::new().await;
    let mut dear = bundled(&account, "B0016NHH56", "02139");
    dear["max_price"] = json!(100);
    let dear = waiting(&api, &dear).await;
    let refused =
        waiting(&api, &bundled(&account, "SANDBOX-SHIPPING-ADDRESS-REFUSED", "02139")).await;
    let aborted = waiting(&api, &bundled(&account, "B00KFP6NHO", "02139")).await;
    let good = waiting(&api, &bundled(&account, "B0000001234", "10001")).await;
    let abort = api.v1(Method::POST, &format!("/v1/orders/{aborted}/abort"), None).await.ok();
    assert_eq!(abort["code"], "aborted_request");
    hours.pass(AFTER_SIX_HOURS).await;

    merchant_order(&api.ended(&good).await);
    assert_eq!(api.ended(&dear).await["code"], "max_price_exceeded");
    assert_eq!(api.ended(&refused).await["code"], "shipping_address_refused");
    assert_eq!(api.get(&aborted).await, abort);
    let ledger = account.ledger().await;
    assert_eq!((ledger.len(), ledger[0]["orders"].as_array().unwrap().len()), (1, 1), "{ledger:?}");
}

#[tokio::test]
async fn a_bundle_whose_answer_is_lost_is_found_in_the_history_and_bought_once() {
    let api = Api::first();
    let account = ShopAccount::new().await;
    account.behave("submit_after_commit", json!({"drop": true, "times": 1})).await;
    let first = waiting(&api, &bundled(&account, "B06XGHJ5H3", "02139")).await;
    let mut second = bundled(&account, "B0016NHH56", "10001");
    second["products"][0]["quantity"] = json!(2);
    let second = api.order(&second).await;
    let placed = [api.ended(&first).await, api.ended(&second).await];
    assert_ne!(merchant_order(&placed[0]), merchant_order(&placed[1]));
    assert_eq!(account.ledger().await.len(), 1);
}

#[tokio::test]
async fn a_bundle_that_was_certainly_not_bought_says_so_for_each_of_its_orders() {
    let api = Api::first();
    let account = ShopAccount::new().await;
    account.behave("submit_before_commit", json!({"drop": true, "times": 1})).await;
    let first = waiting(&api, &bundled(&account, "B06XGHJ5H3", "02139")).await;
    let mut second = bundled(&account, "B0016NHH56", "10001");
    second["products"][0]["quantity"] = json!(2);
    let second = api.order(&second).await;
    for id in [&first, &second] {
        let failed = api.ended_within(id, Duration::from_mins(2)).await;
        assert_eq!(
            (&failed["code"], &failed["data"]),
            (&json!("internal_error"), &json!({"placed": false}))
        );
        assert_eq!(failed["money_moved"], "no");
    }
    assert!(account.ledger().await.is_empty());
}

#[tokio::test]
async fn orders_of_different_accounts_and_ways_of_paying_are_kept_apart() {
    let (api, hours) = (Api::first(), hours().await);
    let (one, other) = (ShopAccount::new().await, ShopAccount::new().await);
    let by_balance = waiting(&api, &bundled(&one, "B06XGHJ5H3", "02139")).await;
    let mut on_file = bundled(&one, "B0016NHH56", "02139");
    on_file["payment_method"] = json!({"use_gift": false});
    on_file["products"][0]["quantity"] = json!(2);
    let on_file = waiting(&api, &on_file).await;
    let elsewhere = waiting(&api, &bundled(&other, "B00KFP6NHO", "02139")).await;
    hours.pass(AFTER_SIX_HOURS).await;
    for id in [&by_balance, &on_file, &elsewhere] {
        merchant_order(&api.ended(id).await);
    }
    assert_eq!((one.ledger().await.len(), other.ledger().await.len()), (2, 1));
}

#[tokio::test]
async fn only_amazon_and_amazon_uk_bundle() {
    let api = Api::first();
    let account = ShopAccount::new().await;
    for retailer in tests::RETAILERS {
        let mut body = bundled(&account, "SANDBOX-PRODUCT-UNAVAILABLE", "02139");
        body["retailer"] = json!(retailer);
        let answer = api.v1(Method::POST, "/v1/orders", Some(&body)).await;
        if ["amazon", "amazon_uk"].contains(&retailer) {
            let id = answer.ok()["request_id"].as_str().unwrap().to_owned();
            assert_eq!(api.ended(&id).await["code"], "product_unavailable");
        } else {
            let error = answer.json();
            assert_eq!(error["data"]["validator_errors"][0]["path"], "bundled", "{error}");
        }
    }
}
