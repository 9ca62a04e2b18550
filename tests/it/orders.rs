//! Orders: accepting them, reading them back, and what can become of them.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::{Value, json};
use tests::{Api, RETAILERS, STACK, ShopAccount, canaries, order};

async fn place(change: impl FnOnce(&mut Value)) -> (ShopAccount, Value) {
    let api = Api::first();
    let account = ShopAccount::new().await;
    let mut body = order(&account);
    change(&mut body);
    let ended = api.ended(&api.order(&body).await).await;
    (account, ended)
}

#[tokio::test]
async fn an_order_is_bought_and_the_books_agree() {
    let (account, placed) = place(|_| {}).await;
    assert_eq!(placed["_type"], "order_response", "{placed}");
    let ledger = account.ledger().await;
    assert_eq!(ledger.len(), 1);
    assert_eq!(
        placed["merchant_order_ids"][0]["merchant_order_id"],
        ledger[0]["orders"][0]["order_id"]
    );
    assert_eq!(placed["price_components"]["total"], ledger[0]["total_cents"]);
    let price = |name: &str| placed["price_components"][name].as_u64().unwrap();
    assert_eq!(price("total"), price("subtotal") + price("shipping") + price("tax"));
}

#[tokio::test]
async fn every_retailer_code_leads_a_test_key_to_the_sandbox() {
    for retailer in RETAILERS {
        let (account, placed) = place(|body| {
            body["retailer"] = json!(retailer);
            body["payment_method"] = json!({"use_gift": false});
        })
        .await;
        assert_eq!(placed["merchant_order_ids"][0]["merchant"], retailer, "{placed}");
        assert_eq!(account.ledger().await.len(), 1);
    }
}

#[tokio::test]
async fn an_order_can_be_read_at_once_and_shows_how_it_went() {
    let api = Api::first();
    let account = ShopAccount::with_totp().await;
    account.behave("review", json!({"delay_ms": 1000, "times": 1})).await;
    let id = api.order(&order(&account)).await;
    let processing = api.get(&id).await;
    assert_eq!(processing["code"], "request_processing");
    assert_eq!(processing["request_id"], id.as_str());
    let placed = api.ended(&id).await;
    let updates: Vec<_> = placed["status_updates"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["type"].clone())
        .collect();
    let expected = [
        "request.started",
        "account.signed_in",
        "cart.filled",
        "order.submitting",
        "request.finished",
    ];
    assert_eq!(updates, expected);
}

#[tokio::test]
async fn the_echo_keeps_everything_but_secrets() {
    let api = Api::first();
    let account = ShopAccount::with_totp().await;
    let mut body = order(&account);
    body["client_notes"] =
        json!({"our_internal_order_id": "abc123", "number": [1, {"deep": null}]});
    body["something_unknown"] = json!({"kept": [1.5, "two"]});
    body["client_token"] = json!(STACK.client_token);
    body["retailer_credentials"]["verification_code"] = json!(canaries::VERIFICATION_CODE);
    body["payment_method"] = json!({
        "name_on_card": "Ben Bitdiddle",
        "number": canaries::CARD_NUMBER,
        "security_code": canaries::CARD_CODE,
        "expiration_month": 1,
        "expiration_year": 2031,
        "use_gift": false,
    });
    body["billing_address"] = body["shipping_address"].clone();
    let id = api.order(&body).await;
    let placed = api.ended(&id).await;
    assert_eq!(placed["_type"], "order_response", "{placed}");

    let mut expected = body;
    expected.as_object_mut().unwrap().remove("client_token");
    for (object, secrets) in [
        ("retailer_credentials", vec!["password", "totp_2fa_key", "verification_code"]),
        ("payment_method", vec!["number", "security_code"]),
    ] {
        for secret in secrets {
            expected[object].as_object_mut().unwrap().remove(secret);
        }
    }
    assert_eq!(placed["request"], expected);
}

#[tokio::test]
async fn what_the_shop_refuses_becomes_the_documented_code() {
    for (product, code) in [
        ("SANDBOX-PRODUCT-UNAVAILABLE", "product_unavailable"),
        ("SANDBOX-CREDIT-CARD-DECLINED", "credit_card_declined"),
        ("SANDBOX-SHIPPING-ADDRESS-REFUSED", "shipping_address_refused"),
        ("NO-SUCH-PRODUCT", "product_unavailable"),
    ] {
        let (account, failed) =
            place(|body| body["products"][0]["product_id"] = json!(product)).await;
        assert_eq!(
            (&failed["_type"], &failed["code"]),
            (&json!("error"), &json!(code)),
            "{product}: {failed}"
        );
        assert_eq!(failed["money_moved"], "no");
        assert!(account.ledger().await.is_empty());
    }
}

#[tokio::test]
async fn a_price_above_the_limit_is_not_paid() {
    let (account, failed) = place(|body| body["max_price"] = json!(2000)).await;
    assert_eq!(failed["code"], "max_price_exceeded");
    assert_eq!(failed["data"]["max_price"], 2000);
    assert!(failed["data"]["price_components"]["total"].as_u64() > Some(2000));
    assert!(account.ledger().await.is_empty());
}

#[tokio::test]
async fn a_wrong_password_is_the_shops_word() {
    let (_, failed) =
        place(|body| body["retailer_credentials"]["password"] = json!(canaries::password())).await;
    assert_eq!(failed["code"], "invalid_login_credentials");
}

#[tokio::test]
async fn criteria_that_no_offer_meets_name_the_product() {
    let (_, failed) = place(|body| {
        body["products"][0]["seller_selection_criteria"] = json!({"max_item_price": 1});
    })
    .await;
    assert_eq!(failed["code"], "product_unavailable");
    assert_eq!(failed["data"]["product_id"], "B0016NHH56");
}

#[tokio::test]
async fn a_shop_that_hangs_up_before_buying_is_not_asked_again() {
    let api = Api::first();
    let account = ShopAccount::new().await;
    account.behave("submit_before_commit", json!({"drop": true, "times": 1})).await;
    let failed =
        api.ended_within(&api.order(&order(&account)).await, Duration::from_secs(90)).await;
    assert_eq!(
        (&failed["code"], &failed["data"]["placed"]),
        (&json!("internal_error"), &json!(false)),
        "{failed}"
    );
    assert!(account.ledger().await.is_empty());
    let submits = account.journal().await.iter().filter(|entry| entry["kind"] == "submit").count();
    assert_eq!(submits, 1);
}

#[tokio::test]
async fn a_shop_that_hangs_up_after_buying_is_believed_by_its_history() {
    let api = Api::first();
    let account = ShopAccount::new().await;
    account.behave("submit_after_commit", json!({"drop": true, "times": 1})).await;
    let placed = api.ended(&api.order(&order(&account)).await).await;
    assert_eq!(placed["_type"], "order_response", "{placed}");
    assert_eq!(account.ledger().await.len(), 1);
}

#[tokio::test]
async fn a_history_of_several_pages_is_read_to_its_end() {
    const PAGE: usize = 20;
    let api = Api::first();
    let account = ShopAccount::new().await;
    let mut before = Vec::new();
    for _ in 0..=PAGE {
        before.push(api.order(&order(&account)).await);
    }
    for id in &before {
        let placed = api.ended_within(id, Duration::from_secs(90)).await;
        assert_eq!(placed["_type"], "order_response", "{placed}");
    }
    account.behave("submit_after_commit", json!({"drop": true, "times": 1})).await;
    let last = api.ended(&api.order(&order(&account)).await).await;
    assert_eq!(last["_type"], "order_response", "{last}");
    assert_eq!(account.ledger().await.len(), before.len() + 1);
    let histories =
        account.journal().await.iter().filter(|entry| entry["kind"] == "history").count();
    // Only the last order needs two pages: before it presses, and when it looks what it pressed.
    assert!(histories >= before.len() + 4, "{histories}");
}

#[tokio::test]
async fn one_purchase_does_not_count_for_two_equal_orders() {
    let api = Api::first();
    let account = ShopAccount::new().await;
    // The first purchase is not in the history yet when the second worker looks what was there before.
    account.behave("history", json!({"history_lag_ms": 2000})).await;
    let first = api.ended(&api.order(&order(&account)).await).await;
    account.behave("submit_before_commit", json!({"drop": true, "times": 1})).await;
    let second = api.order(&order(&account)).await;
    let second = api.ended_within(&second, Duration::from_secs(90)).await;
    assert_eq!(first["_type"], "order_response", "{first}");
    assert_eq!(
        (&second["code"], &second["data"]["placed"]),
        (&json!("internal_error"), &json!(false)),
        "{second}"
    );
    assert_eq!(account.ledger().await.len(), 1);
}

#[tokio::test]
async fn a_shop_that_is_down_for_a_moment_costs_only_time() {
    let api = Api::first();
    let account = ShopAccount::new().await;
    account.behave("cart", json!({"drop": true, "times": 1})).await;
    let placed = api.ended(&api.order(&order(&account)).await).await;
    assert_eq!(placed["_type"], "order_response", "{placed}");
    let attempts: Vec<_> = placed["status_updates"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|one| one["type"] == "request.started")
        .cloned()
        .collect();
    assert_eq!(attempts.len(), 2);
}

#[tokio::test]
async fn foreign_unknown_and_malformed_ids_answer_alike() {
    let id = Api::first().order(&order(&ShopAccount::new().await)).await;
    let other = Api::second();
    let mut answers = Vec::new();
    for id in [id.as_str(), "3f1c939065cf58e7b9f0aea70640dffc", "no-id"] {
        let answer = other.v1(Method::GET, &format!("/v1/orders/{id}"), None).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND);
        assert_eq!(answer.json()["code"], "invalid_request_id");
        answers.push(answer.text);
    }
    answers.dedup();
    assert_eq!(answers.len(), 1);
    Api::first().ended(&id).await;
}

#[tokio::test]
async fn a_list_is_newest_first_filtered_and_paged() {
    // No other test of this client orders at this retailer.
    let api = Api::second();
    let account = ShopAccount::new().await;
    let mut body = order(&account);
    body["retailer"] = json!("amazon_mx");
    body["payment_method"] = json!({"use_gift": false});
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(api.order(&body).await);
    }
    for id in &ids {
        api.ended(id).await;
    }
    ids.reverse();
    let listed = async |query: &str| {
        let list =
            api.v1(Method::GET, &format!("/v1/orders?retailer=amazon_mx&{query}"), None).await.ok();
        list["orders"].as_array().unwrap().clone()
    };
    let all = listed("limit=5000").await;
    let listed_ids: Vec<_> =
        all.iter().map(|one| one["request_id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(listed_ids, ids);
    for one in &all {
        assert_eq!(one["_type"], "order_response");
        for field in ["_created_at", "request", "price_components"] {
            assert!(!one[field].is_null(), "{field}");
        }
    }
    assert_eq!(listed("limit=1&skip=1").await[0]["request_id"], ids[1].as_str());
    let newest: jiff::Timestamp = all[0]["_created_at"].as_str().unwrap().parse().unwrap();
    let before = listed(&format!("ending_before={}", newest.as_millisecond())).await;
    assert!(before.iter().all(|one| one["request_id"] != ids[0].as_str()));
    assert!(listed(&format!("starting_after={}", newest.as_millisecond())).await.is_empty());
}
