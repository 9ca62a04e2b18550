//! What products are and who sells them: the documented fields, one visit for all who ask at once, and no waiting for
//! those who do not want to.

use std::time::Duration;

use futures::future::join_all;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use tests::{
    Answer, Api, RETAILERS, ShopAccount, invoke, new_client, order, products::ShopProduct, tables,
    wait,
};

/// The document's example of a product's details, as it stands there.
const EXAMPLE: &str = include_str!("../fixtures/seeds/product_details.json");

async fn ask(api: &Api, path: &str) -> Answer {
    api.v1(Method::GET, &format!("/v1/products/{path}"), None).await
}

async fn ok(path: &str) -> Value {
    ask(&Api::first(), path).await.ok()
}

/// The answer once it is no longer being read.
async fn ended(path: &str) -> Value {
    wait(Duration::from_secs(40), path, async || {
        let answer = ok(path).await;
        (answer["status"] != "processing").then_some(answer)
    })
    .await
}

/// The same with every number as a fraction: the document writes 4 for what is 4.0.
fn with_fractions(value: &Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_f64()),
        Value::Array(items) => items.iter().map(with_fractions).collect(),
        Value::Object(members) => {
            members.iter().map(|(name, value)| (name.clone(), with_fractions(value))).collect()
        }
        other => other.clone(),
    }
}

fn names(value: &Value) -> Vec<&str> {
    let mut names: Vec<_> = value.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn the_documents_example_is_answered_as_documented() {
    let example: Value = serde_json::from_str(EXAMPLE).unwrap();
    let answer = ok("B00KFP6NHO?retailer=amazon").await;
    for (name, value) in example.as_object().unwrap() {
        if name != "timestamp" {
            assert_eq!(with_fractions(&answer[name]), with_fractions(value), "{name}");
        }
    }
    assert!(answer["timestamp"].as_i64().unwrap() > 1_515_775_557, "{answer}");
    // What real answers have beside that.
    let beside: Vec<_> =
        names(&answer).into_iter().filter(|name| example.get(name).is_none()).collect();
    assert_eq!(beside, ["digital", "fresh", "handmade", "mpn", "pantry"]);
    assert_eq!(answer["mpn"], "5438");

    let other = ok("B00Q3H18EQ?retailer=amazon").await;
    assert_eq!(other["variant_specifics"], json!([{"dimension": "Size", "value": "2"}]));
    assert_eq!(other["all_variants"], answer["all_variants"]);
}

#[tokio::test]
async fn some_fields_are_some_retailers_only() {
    const AMAZON: [&str; 5] = ["asin", "price", "question_count", "review_count", "stars"];
    for retailer in RETAILERS {
        let answer = ok(&format!("0923568964?retailer={retailer}")).await;
        assert_eq!(
            (&answer["status"], &answer["retailer"], &answer["product_id"]),
            (&json!("completed"), &json!(retailer), &json!("0923568964"))
        );
        assert_eq!(answer["authors"], json!(["Archimedes", "Thomas Heath"]), "{retailer}");
        assert!(answer.get("brand").is_none(), "a book has none");
        for name in AMAZON {
            assert_eq!(
                answer.get(name).is_some(),
                retailer.starts_with("amazon"),
                "{retailer}: {name}"
            );
        }
        assert_eq!(answer.get("item_location").is_some(), retailer == "aliexpress", "{retailer}");
        assert_eq!(answer.get("item_number").is_some(), retailer == "costco", "{retailer}");
    }
}

#[tokio::test]
async fn offers_are_flat_with_prices_in_dollars() {
    let answer = ask(&Api::first(), "B0016NHH56/offers?retailer=amazon").await;
    assert!(answer.text.contains(r#""price":19.99,"ship_price":0.00,"#), "{}", answer.text);
    assert!(answer.text.contains(r#""price":16.49,"ship_price":5.99,"#), "{}", answer.text);
    let body = answer.ok();
    assert_eq!(names(&body), ["offers", "product_id", "retailer", "status", "timestamp"]);
    assert_eq!((&body["status"], &body["retailer"]), (&json!("completed"), &json!("amazon")));
    let offers = body["offers"].as_array().unwrap();
    assert_eq!(offers.len(), 5);
    let winners: Vec<_> = offers.iter().filter(|offer| offer["buy_box_winner"] == true).collect();
    let expected = json!({
        "product_id": "B0016NHH56",
        "addon": false,
        "buy_box_winner": true,
        "comments": null,
        "condition": "New",
        "currency": "USD",
        "greytext": "In stock.",
        "handling_days_max": 1,
        "handling_days_min": 0,
        "international": false,
        "merchant_id": "SANDBOX",
        "offerlisting_id": "ours",
        "price": 19.99,
        "ship_price": 0.0,
        "prime": true,
        "prime_only": false,
        "seller_name": "Sandbox",
        "seller_num_ratings": 1_000_000,
        "seller_percent_positive": 98,
    });
    assert_eq!(winners, [&expected]);
    let used = offers.iter().find(|offer| offer["condition"] == "Used - Good").unwrap();
    assert_eq!(used["comments"], "Some scratches, works well.");
}

#[tokio::test]
async fn offers_have_some_fields_at_some_retailers_only() {
    for retailer in RETAILERS {
        for version in ["1", "2"] {
            let path = format!("B07MEMBERS1/offers?retailer={retailer}&version={version}");
            let offer = ok(&path).await["offers"][0].clone();
            for name in ["greytext", "prime", "prime_only"] {
                let is_there = offer.get(name).is_some();
                assert_eq!(is_there, retailer.starts_with("amazon"), "{path}: {name}");
            }
            let expected = (retailer == "costco").then_some(json!(true));
            assert_eq!(offer.get("member_only"), expected.as_ref(), "{path}");
        }
    }
}

#[tokio::test]
async fn the_second_version_of_offers_is_nested_with_prices_in_cents() {
    let body = ok("B0016NHH56/offers?retailer=amazon&version=2&priority=5").await;
    let offers = body["offers"].as_array().unwrap();
    let sent = offers.iter().find(|offer| offer["offer_id"] == "sent").unwrap();
    let expected = json!({
        "offer_id": "sent",
        "product_id": "B0016NHH56",
        "available": true,
        "addon": false,
        "buy_box_winner": false,
        "comments": null,
        "condition": "New",
        "currency": "USD",
        "greytext": "Usually ships within 3 - 5 days.",
        "handling_days": {"min": 3, "max": 5},
        "international": false,
        "marketplace_fulfilled": false,
        "minimum_quantity": 1,
        "maximum_quantity": 30,
        "price": 1649,
        "prime": false,
        "prime_only": false,
        "seller": {
            "id": "A2ACME", "name": "Acme Outlet", "num_ratings": 4210, "percent_positive": 96,
            "first_party": false,
        },
        "shipping_options": [{"price": 599}],
    });
    assert_eq!(sent, &expected);
    let stocked = offers.iter().find(|offer| offer["offer_id"] == "stocked").unwrap();
    assert_eq!(stocked["marketplace_fulfilled"], true);
}

#[tokio::test]
async fn a_sold_out_product_has_no_offers() {
    let body = ok("B07SOLDOUT1/offers?retailer=walmart").await;
    assert_eq!((&body["status"], &body["offers"]), (&json!("completed"), &json!([])));
    let page = ok("B07SOLDOUT1?retailer=amazon").await;
    assert_eq!((&page["images"], &page["epids_map"]), (&json!([]), &json!({})));
    for name in ["price", "stars", "main_image", "package_dimensions", "mpn"] {
        assert!(page.get(name).is_none(), "{name}: {page}");
    }
}

#[tokio::test]
async fn a_page_of_several_products_has_no_choice_of_its_own() {
    let page = ok("B07VARIANTS?retailer=amazon").await;
    assert_eq!(page["variant_specifics"], json!([]));
    let variant = |id, size, color| {
        json!({
            "product_id": id,
            "variant_specifics": [
                {"dimension": "Size", "value": size}, {"dimension": "Color", "value": color},
            ],
        })
    };
    let variants = json!([
        variant("B07VARSRED1", "S", "Red"),
        variant("B07VARSBLU1", "S", "Blue"),
        variant("B07VARMRED1", "M", "Red"),
    ]);
    assert_eq!(page["all_variants"], variants);

    // Nor has it offers, for whoever looks or buys.
    let data = json!({"product_id": "B07VARIANTS", "all_variants": variants});
    let looked = ok("B07VARIANTS/offers?retailer=amazon").await;
    let api = Api::first();
    let mut body = order(&ShopAccount::new().await);
    body["products"][0]["product_id"] = json!("B07VARIANTS");
    let bought = api.ended(&api.order(&body).await).await;
    for answer in [looked, bought] {
        assert_eq!(
            (&answer["code"], &answer["data"]),
            (&json!("insufficient_variants"), &data),
            "{answer}"
        );
    }
    let chosen = ok("B07VARSBLU1/offers?retailer=amazon").await;
    assert_eq!(chosen["status"], "completed");
}

#[tokio::test]
async fn twenty_callers_at_once_cause_one_visit() {
    let apis = [Api::first(), Api::second()];
    for (page, path) in [("details", ""), ("offers", "/offers")] {
        let product = ShopProduct::new();
        product.behave(json!({"delay_ms": 1500})).await;
        let path = format!("{}{path}?retailer=amazon", product.id);
        let calls = (0..20).map(|number| ask(&apis[number % 2], &path));
        let mut texts = Vec::new();
        for answer in join_all(calls).await {
            assert_eq!(answer.ok()["status"], "completed", "{}", answer.text);
            texts.push(answer.text);
        }
        texts.dedup();
        assert_eq!(texts.len(), 1, "all are told the same");
        assert_eq!(product.views(page).await, 1);
        // Nor does a later one.
        ok(&path).await;
        assert_eq!(product.views(page).await, 1);
    }
}

#[tokio::test]
async fn pages_of_different_retailers_are_different() {
    let product = ShopProduct::new();
    for retailer in ["amazon", "amazon_uk", "amazon-uk"] {
        ok(&format!("{}?retailer={retailer}", product.id)).await;
    }
    assert_eq!(product.views("details").await, 2);
    assert_eq!(product.views("offers").await, 0);
}

#[tokio::test]
async fn who_does_not_wait_asks_again_until_it_is_there() {
    for (flag, path) in [("true", ""), ("1", "/offers")] {
        let product = ShopProduct::new();
        product.behave(json!({"delay_ms": 500})).await;
        let path = format!("{}{path}?retailer=amazon&async={flag}", product.id);
        let expected =
            json!({"status": "processing", "retailer": "amazon", "product_id": product.id});
        assert_eq!(ok(&path).await, expected);
        assert_eq!(ended(&path).await["status"], "completed");
        // What is known is answered at once.
        assert_eq!(ok(&path).await["status"], "completed");
        let views = product.views("details").await + product.views("offers").await;
        assert_eq!(views, 1);
    }
}

#[tokio::test]
async fn who_does_not_wait_for_the_newest_gets_it_in_the_end() {
    let product = ShopProduct::new();
    let path = format!("{}?retailer=amazon&async=true&max_age=0", product.id);
    assert_eq!(ok(&path).await["status"], "processing");
    assert_eq!(ended(&path).await["status"], "completed");
    assert_eq!(product.views("details").await, 1);
}

#[tokio::test]
async fn a_caller_who_waits_shares_the_visit_of_one_who_does_not() {
    let product = ShopProduct::new();
    product.behave(json!({"delay_ms": 500})).await;
    let path = format!("{}?retailer=amazon", product.id);
    assert_eq!(ok(&format!("{path}&async=true")).await["status"], "processing");
    assert_eq!(ok(&format!("{path}&async=false")).await["status"], "completed");
    assert_eq!(product.views("details").await, 1);
}

#[tokio::test]
async fn an_age_of_nothing_forces_a_visit() {
    let product = ShopProduct::new();
    let path = format!("{}/offers?retailer=amazon", product.id);
    for _ in 0..3 {
        assert_eq!(ok(&format!("{path}&max_age=0")).await["status"], "completed");
    }
    assert_eq!(product.views("offers").await, 3);
    for age in ["", "&max_age=600", "&max_age=600.5"] {
        ok(&format!("{path}{age}")).await;
    }
    assert_eq!(product.views("offers").await, 3);
}

#[tokio::test]
async fn a_time_forces_a_visit_if_nothing_is_newer() {
    let product = ShopProduct::new();
    let path = format!("{}?retailer=amazon", product.id);
    let first = ok(&path).await["timestamp"].as_i64().unwrap();
    for older in [first - 60, (first - 60) * 1000] {
        assert_eq!(ok(&format!("{path}&newer_than={older}")).await["timestamp"], first);
    }
    assert_eq!(product.views("details").await, 1);
    for (newer, views) in [(first + 1, 2), ((first + 60) * 1000, 3)] {
        let answer = ok(&format!("{path}&newer_than={newer}")).await;
        assert_eq!(answer["status"], "completed");
        assert_eq!(product.views("details").await, views);
    }
}

#[tokio::test]
async fn a_page_that_cannot_be_had_says_why() {
    let cases = [
        ("B000000000", "product_unavailable"),
        ("SANDBOX-EXPIRED-PRODUCT-ID", "expired_product_id"),
        ("SANDBOX-UNSUPPORTED-PRODUCT-ID", "unsupported_product_id"),
    ];
    for (id, code) in cases {
        for path in ["", "/offers", "/offers?version=2&async=0"] {
            let join = if path.contains('?') { '&' } else { '?' };
            let answer = ask(&Api::first(), &format!("{id}{path}{join}retailer=amazon")).await;
            assert_eq!(answer.status, StatusCode::OK);
            let body = answer.json();
            assert!(!body["message"].as_str().unwrap().is_empty());
            let expected = json!({
                "status": "failed",
                "retailer": "amazon",
                "product_id": id,
                "_type": "error",
                "code": code,
                "message": body["message"],
                "data": {"product_id": id},
                "retryable": false,
                "money_moved": "no",
            });
            assert_eq!(body, expected, "{path}");
        }
    }
}

#[tokio::test]
async fn a_refusal_is_kept_for_those_who_do_not_insist() {
    let product = ShopProduct::new();
    product.behave(json!({"fail": "product_unavailable"})).await;
    let path = format!("{}?retailer=amazon", product.id);
    let sync = ok(&path).await;
    assert_eq!((&sync["status"], &sync["code"]), (&json!("failed"), &json!("product_unavailable")));
    assert_eq!(ok(&format!("{path}&async=true")).await, sync);
    assert_eq!(product.views("details").await, 1);
    product.behave_well().await;
    assert_eq!(ok(&path).await["status"], "failed");
    assert_eq!(ok(&format!("{path}&max_age=0")).await["status"], "completed");
    assert_eq!(ok(&path).await["status"], "completed");
    assert_eq!(product.views("details").await, 2);
}

#[tokio::test]
async fn an_outage_is_forgotten_within_seconds_and_forgets_nothing() {
    for trouble in [json!({"drop": true}), json!({"fail": "internal_error"})] {
        let product = ShopProduct::new();
        let path = format!("{}?retailer=amazon", product.id);
        let before = ok(&path).await;
        product.behave(trouble).await;
        let failed = ok(&format!("{path}&max_age=0")).await;
        assert_eq!(
            (&failed["status"], &failed["code"], &failed["retryable"]),
            (&json!("failed"), &json!("internal_error"), &json!(true))
        );
        // Whoever insists does not make it worse, and what was known is still known.
        assert_eq!(ok(&format!("{path}&max_age=0")).await["status"], "failed");
        assert_eq!(product.views("details").await, 2);
        assert_eq!(ok(&path).await, before);
        product.behave_well().await;
        let fresh = format!("{path}&max_age=0");
        wait(Duration::from_secs(30), "the outage to be forgotten", async || {
            (ok(&fresh).await["status"] == "completed").then_some(())
        })
        .await;
        assert_eq!(product.views("details").await, 3);
    }
}

/// Leaves a new product's page claimed for so many seconds by a reader that does nothing.
async fn claimed_for(seconds: i64) -> ShopProduct {
    let now = ok(&format!("{}?retailer=amazon", ShopProduct::new().id)).await["timestamp"].clone();
    let product = ShopProduct::new();
    let until_ms = (now.as_i64().unwrap() + seconds) * 1000;
    tables::claim_page(&format!("sandbox#amazon#details#{}", product.id), 7, until_ms).await;
    product
}

#[tokio::test]
async fn a_reader_that_died_is_made_good() {
    let product = claimed_for(3).await;
    let path = format!("{}?retailer=amazon", product.id);
    assert_eq!(ok(&format!("{path}&async=true")).await["status"], "processing");
    assert_eq!(product.views("details").await, 0, "somebody says to be reading it");
    assert_eq!(ok(&path).await["status"], "completed");
    assert_eq!(product.views("details").await, 1);
}

#[tokio::test]
async fn who_has_waited_too_long_for_a_visit_of_its_own_leaves_it_to_the_queue() {
    let product = claimed_for(15).await;
    assert_eq!(ok(&format!("{}?retailer=amazon", product.id)).await["status"], "completed");
    assert_eq!(product.views("details").await, 1);
}

#[tokio::test]
async fn who_has_waited_in_vain_is_told_to_ask_again() {
    let product = claimed_for(600).await;
    assert_eq!(ok(&format!("{}?retailer=amazon", product.id)).await["status"], "processing");
    assert_eq!(product.views("details").await, 0);
}

#[tokio::test]
async fn a_message_causes_one_visit_however_often_it_comes() {
    let product = ShopProduct::new();
    let page = json!({
        "site": "sandbox", "retailer": "amazon", "product_id": product.id, "what": "details",
    });
    tables::claim_page(&format!("sandbox#amazon#details#{}", product.id), 7, 0).await;
    for claim in [6, 7, 7, 8] {
        let body = json!({"type": "read", "page": page, "claim": claim}).to_string();
        let event = json!({"Records": [{
            "messageId": "1", "receiptHandle": "1", "body": body, "attributes": {},
            "messageAttributes": {}, "eventSource": "aws:sqs", "awsRegion": "us-east-1",
        }]});
        let answer = invoke("ProductReaderFunction", &event).await;
        assert_eq!(answer, json!({"batchItemFailures": []}));
        assert_eq!(product.views("details").await, u64::from(claim > 6), "claim {claim}");
    }
    assert_eq!(ok(&format!("{}?retailer=amazon", product.id)).await["status"], "completed");
    assert_eq!(product.views("details").await, 1);
}

#[tokio::test]
async fn bad_input_is_named() {
    let api = Api::first();
    let product = ShopProduct::new();
    let long = "9".repeat(30);
    let cases: [(&str, &[&str]); 15] = [
        ("", &["retailer"]),
        ("retailer=", &["retailer"]),
        ("retailer=&max_age=x", &["max_age", "retailer"]),
        ("retailer=amazon&max_age=-1", &["max_age"]),
        ("retailer=amazon&max_age=1e3", &["max_age"]),
        ("retailer=amazon&max_age=NaN", &["max_age"]),
        ("retailer=amazon&max_age=soon", &["max_age"]),
        ("retailer=amazon&newer_than=yesterday", &["newer_than"]),
        ("retailer=amazon&newer_than=-5", &["newer_than"]),
        (&format!("retailer=amazon&newer_than={long}"), &["newer_than"]),
        ("retailer=amazon&max_age=1&newer_than=1515775557", &["max_age", "newer_than"]),
        ("retailer=amazon&max_age=0&newer_than=0", &["max_age", "newer_than"]),
        ("retailer=amazon&async=maybe", &["async"]),
        ("retailer=amazon&version=3", &["version"]),
        ("retailer=amazon&async=2&version=two", &["async", "version"]),
    ];
    for path in ["", "/offers"] {
        for (query, fields) in cases {
            let answer = ask(&api, &format!("{}{path}?{query}", product.id)).await;
            assert_invalid(&answer, query, fields);
        }
        for id in ["%20", "a%20b", "a%23b", &"x".repeat(129), "%F0%9F%8E%81"] {
            let answer = ask(&api, &format!("{id}{path}?retailer=amazon")).await;
            assert_invalid(&answer, id, &["product_id"]);
        }
        let answer = ask(&api, &format!("{}{path}?retailer=target&max_age=x", product.id)).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        let body = answer.json();
        assert_eq!(
            (&body["_type"], &body["code"], &body["data"]),
            (&json!("error"), &json!("unknown_retailer"), &json!({"retailer": "target"}))
        );
        assert!(body.get("status").is_none(), "nothing was looked up");
    }
    assert_eq!((product.views("details").await, product.views("offers").await), (0, 0));
}

#[tokio::test]
async fn a_live_key_is_told_that_there_is_no_way_yet() {
    let live = Api::with_key(&new_client(&["--mode", "live"]));
    for path in ["B0016NHH56", "B0016NHH56/offers"] {
        let answer = ask(&live, &format!("{path}?retailer=amazon")).await;
        assert_invalid(&answer, path, &["retailer"]);
    }
    let list = live.v1(Method::GET, "/v1/retailers", None).await.ok();
    assert_eq!(list["retailers"][0]["available"], false);
}

#[track_caller]
fn assert_invalid(answer: &Answer, case: &str, fields: &[&str]) {
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{case}: {}", answer.text);
    let body = answer.json();
    assert_eq!(body["code"], "invalid_request", "{case}");
    let faults = body["data"]["validator_errors"].as_array().unwrap();
    let mut named: Vec<_> = faults.iter().map(|fault| fault["path"].as_str().unwrap()).collect();
    named.sort_unstable();
    assert_eq!(named, fields, "{case}");
}

#[tokio::test]
async fn the_list_of_retailers_is_the_documents() {
    let list = Api::first().v1(Method::GET, "/v1/retailers", None).await.ok();
    let list = list["retailers"].as_array().unwrap();
    let codes: Vec<_> = list.iter().map(|one| one["retailer"].as_str().unwrap()).collect();
    assert_eq!(codes, RETAILERS);
    let expected = json!({
        "name": "Amazon United Kingdom",
        "retailer": "amazon_uk",
        "country": "GB",
        "available": true,
        "orders": true,
        "orders_beta": false,
        "product_details": true,
        "product_prices": true,
        "cancellations": true,
        "returns": true,
        "gift_balance": true,
        "bundling": true,
        "addax": true,
    });
    assert_eq!(list[2], expected);
    let with = |feature: &str| -> Vec<&str> {
        let some = list.iter().filter(|one| one[feature] == true);
        some.map(|one| one["retailer"].as_str().unwrap()).collect()
    };
    assert_eq!(with("gift_balance"), ["amazon", "amazon_uk", "amazon_ca", "walmart"]);
    assert_eq!(with("orders_beta"), ["walmart"]);
    for feature in ["orders", "product_details", "product_prices"] {
        assert_eq!(with(feature), RETAILERS, "{feature}");
    }
    for feature in ["cancellations", "returns", "bundling", "addax"] {
        assert_eq!(with(feature), ["amazon", "amazon_uk"], "{feature}");
    }
}
