//! Taking goods back: labels, what stands in the way, and that nothing goes back twice.

use http::{Method, StatusCode};
use serde_json::{Value, json};
use tests::{
    Api, STACK, ShopAccount, at_the_shop, fetch, merchant_order_ids, order, prepaid::Client,
    queues, receiver::Receiver, split_order, tables, url, when_due,
};

const PRODUCT: &str = "B0000001234";

/// An order that was delivered, and the retailer's id of it.
async fn delivered(api: &Api, account: &ShopAccount) -> (String, String) {
    let mut body = order(account);
    body["products"] = json!([{"product_id": PRODUCT, "quantity": 2}]);
    body["max_price"] = json!(9_000);
    let id = api.order(&body).await;
    let merchant_id = merchant_order_ids(&api.ended(&id).await).remove(0);
    at_the_shop(&format!("orders/{merchant_id}/deliver"), &json!({})).await;
    (id, merchant_id)
}

/// The request of the document.
fn wish() -> Value {
    json!({
        "products": [{"product_id": PRODUCT, "quantity": 1}],
        "reason_code": "inaccurate website description",
        "method_code": "UPS Dropoff",
        "explanation": "Additional details for Amazon seller",
        "cancel_pending": false,
    })
}

fn with(change: &Value) -> Value {
    let mut body = wish();
    for (name, value) in change.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

fn path(order: &str) -> String {
    format!("/v1/orders/{order}/return")
}

async fn ended(api: &Api, order: &str, body: &Value) -> Value {
    let id = api.post(&path(order), Some(body)).await;
    api.processed(&format!("/v1/returns/{id}")).await
}

/// The returns of an order that the shop knows of.
async fn at_shop(merchant_id: &str) -> Vec<Value> {
    tests::shops_order(merchant_id).await["returns"].as_array().unwrap().clone()
}

/// As a reader of PDF opens it: the trailer at the end says where the table of contents is.
#[track_caller]
fn assert_opens(pdf: &[u8]) {
    assert!(pdf.starts_with(b"%PDF-"), "the header");
    let text = String::from_utf8_lossy(pdf);
    let trailer = text.trim_end().strip_suffix("%%EOF").expect("the end").trim_end();
    let (_, place) = trailer.rsplit_once("startxref").expect("a trailer");
    let place: usize = place.trim().parse().unwrap();
    assert!(pdf[place..].starts_with(b"xref"), "the table of contents");
}

#[tokio::test]
async fn the_documents_return_gets_a_label() {
    let api = Api::first();
    let receiver = Receiver::start().await;
    let account = ShopAccount::new().await;
    let (order_id, merchant_id) = delivered(&api, &account).await;
    let body = with(&json!({"webhooks": {
        "request_succeeded": receiver.url("/success"),
        "request_failed": receiver.url("/failed"),
        "status_updated": receiver.url("/status"),
    }}));
    let answer = api.v1(Method::POST, &path(&order_id), Some(&body)).await.ok();
    let id = answer["request_id"].as_str().unwrap();
    assert_eq!(answer, json!({"request_id": id}));
    let told = &receiver.wait_for("/success", 1).await[0].body;
    let known = at_shop(&merchant_id).await;
    let label = told["label_urls"][0].as_str().unwrap();
    let expected = json!({
        "_type": "return_response",
        "merchant_return_id": known[0]["return_id"],
        "return_by": known[0]["return_by"],
        "label_urls": [label],
        "request": body,
        "request_id": id,
        "_created_at": told["_created_at"],
        "_finalized_at": told["_finalized_at"],
    });
    assert_eq!(*told, expected);
    assert_eq!(api.processed(&format!("/v1/returns/{id}")).await, *told);
    assert_eq!(receiver.wait_for("/status", 1).await[0].body, *told);
    assert!(receiver.arrivals("/failed").is_empty());
    assert!(told["return_by"].as_str().unwrap().ends_with("T00:00:00"), "{told}");

    assert!(label.starts_with(&url("/v1/labels/")), "{label}");
    let (status, kind, pdf) = fetch(label).await;
    assert_eq!((status, kind.as_str()), (StatusCode::OK, "application/pdf"));
    assert_opens(&pdf);
}

#[tokio::test]
async fn a_label_is_gone_after_its_time_and_its_address_cannot_be_guessed() {
    let api = Api::first();
    let (order_id, _) = delivered(&api, &ShopAccount::new().await).await;
    let started = ended(&api, &order_id, &wish()).await;
    let label = started["label_urls"][0].as_str().unwrap();
    let id = label.rsplit('/').next().unwrap();
    assert_eq!(id.len(), 64);
    assert_eq!(fetch(label).await.0, StatusCode::OK);
    tables::expire_label(id).await;
    let unknown = url(&format!("/v1/labels/{}", "0".repeat(64)));
    for address in [label, &unknown, &url("/v1/labels/x")] {
        let (status, kind, body) = fetch(address).await;
        assert_eq!((status, kind.as_str()), (StatusCode::NOT_FOUND, "application/json"));
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["code"], "invalid_request_id", "{address}");
    }
}

#[tokio::test]
async fn a_pending_return_stands_in_the_way_until_it_is_called_off() {
    let api = Api::first();
    let account = ShopAccount::new().await;
    let (order_id, merchant_id) = delivered(&api, &account).await;
    let first = ended(&api, &order_id, &wish()).await;
    // The document's way to ask for the status.
    let dummy = with(&json!({"method_code": "Dummy Method Code"}));
    for body in [&wish(), &dummy] {
        let refused = ended(&api, &order_id, body).await;
        let description = &refused["data"]["status"]["description"];
        assert!(description.as_str().unwrap().starts_with("Return started on"), "{refused}");
        let expected = json!({
            "_type": "error",
            "code": "return_in_progress",
            "message": "A return is currently in progress for the items you specified.",
            "data": {
                "status": {"status": "Return started", "description": description},
                "error": refused["data"]["error"],
            },
            "retryable": false,
            "money_moved": "yes",
            "request": body,
            "request_id": refused["request_id"],
            "_created_at": refused["_created_at"],
            "_finalized_at": refused["_finalized_at"],
        });
        assert_eq!(refused, expected);
    }
    let second = ended(&api, &order_id, &with(&json!({"cancel_pending": true}))).await;
    assert_eq!(second["_type"], "return_response", "{second}");
    assert_ne!(second["merchant_return_id"], first["merchant_return_id"]);
    assert_eq!(at_shop(&merchant_id).await.len(), 2);

    // What has been paid back cannot be called off.
    let both = with(&json!({
        "products": [{"product_id": PRODUCT, "quantity": 2}],
        "cancel_pending": true,
    }));
    let returned = second["merchant_return_id"].as_str().unwrap();
    at_the_shop(&format!("returns/{returned}/refund"), &json!({})).await;
    let refused = ended(&api, &order_id, &both).await;
    assert_eq!(refused["data"]["status"]["status"], "Refund issued", "{refused}");
    assert_eq!(refused["data"]["error"], "Tried to cancel but could not find cancel button");
    let description = refused["data"]["status"]["description"].as_str().unwrap();
    assert!(description.contains("refund issued on"), "{description}");
}

#[tokio::test]
async fn what_the_retailer_does_not_take_is_said_in_its_words() {
    let api = Api::first();
    let account = ShopAccount::new().await;
    let (order_id, _) = delivered(&api, &account).await;
    for (change, field) in [
        (json!({"method_code": "Dummy Method Code"}), "method_code"),
        (json!({"reason_code": "just so"}), "reason_code"),
        (json!({"reason_code": "other", "explanation": null}), "explanation"),
    ] {
        let refused = ended(&api, &order_id, &with(&change)).await;
        assert_eq!(refused["code"], "invalid_request", "{refused}");
        assert_eq!(refused["data"]["validator_errors"][0]["path"], field, "{refused}");
        assert_eq!(refused["money_moved"], "yes", "the order stands");
    }

    let young = api.order(&order(&account)).await;
    api.ended(&young).await;
    let body = with(&json!({"products": [{"product_id": "B0016NHH56", "quantity": 1}]}));
    let refused = ended(&api, &young, &body).await;
    assert_eq!(refused["code"], "return_not_allowed", "{refused}");
    assert_eq!(refused["data"], json!({"reason": "not_delivered"}));
}

#[tokio::test]
async fn a_label_is_sent_from_the_address_that_was_given() {
    let api = Api::first();
    let (order_id, _) = delivered(&api, &ShopAccount::new().await).await;
    let mut address = tests::address();
    address["address_line1"] = json!("1 Other Street");
    let started = ended(&api, &order_id, &with(&json!({"return_address": address}))).await;
    assert_eq!(started["request"]["return_address"], address);
    let (_, _, pdf) = fetch(started["label_urls"][0].as_str().unwrap()).await;
    assert!(String::from_utf8_lossy(&pdf).contains("1 Other Street"));
}

#[tokio::test]
async fn a_return_whose_answer_was_lost_is_found_and_not_started_again() {
    let api = Api::first();
    for (step, known_before) in
        [("return", false), ("return_after_commit", false), ("return_after_commit", true)]
    {
        let account = ShopAccount::new().await;
        let (order_id, merchant_id) = delivered(&api, &account).await;
        if known_before {
            ended(&api, &order_id, &wish()).await;
        }
        account.behave(step, json!({"drop": true, "times": 1})).await;
        let body = with(&json!({"cancel_pending": known_before}));
        let started = ended(&api, &order_id, &body).await;
        assert_eq!(started["_type"], "return_response", "{step}: {started}");
        let known = at_shop(&merchant_id).await;
        assert_eq!(known.len(), 1 + usize::from(known_before), "{step}: {known:?}");
        let last = known.last().unwrap();
        assert_eq!(started["merchant_return_id"], last["return_id"]);
        assert_eq!(started["return_by"], last["return_by"]);
        assert_opens(&fetch(started["label_urls"][0].as_str().unwrap()).await.2);
    }
}

#[tokio::test]
async fn goods_of_several_merchant_orders_go_back_in_several_returns() {
    let api = Api::first();
    let order_id = api.order(&split_order(&ShopAccount::new().await)).await;
    let order = api.ended(&order_id).await;
    for id in merchant_order_ids(&order) {
        at_the_shop(&format!("orders/{id}/deliver"), &json!({})).await;
    }
    let (one, other) = (
        json!({"product_id": "B0016NHH56", "quantity": 1}),
        json!({"product_id": "B07SENT0001", "quantity": 1}),
    );
    let body = with(&json!({"products": [one, other]}));
    let answer = api.v1(Method::POST, &path(&order_id), Some(&body)).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    let fault = answer.json()["data"]["validator_errors"][0].clone();
    assert_eq!(fault["path"], "products");
    assert!(fault["message"].as_str().unwrap().contains("several merchant orders"), "{fault}");
    for product in [one, other] {
        let started = ended(&api, &order_id, &with(&json!({"products": [product]}))).await;
        assert_eq!(started["_type"], "return_response", "{started}");
    }
}

#[tokio::test]
async fn bad_input_is_refused_and_its_fields_are_named() {
    let api = Api::first();
    let (order_id, _) = delivered(&api, &ShopAccount::new().await).await;
    let item =
        |product: Value, quantity: Value| json!([{"product_id": product, "quantity": quantity}]);
    let mut address = tests::address();
    address.as_object_mut().unwrap().remove("city");
    for (change, field) in [
        (json!({"products": null}), "products"),
        (json!({"products": []}), "products"),
        (json!({"products": 7}), "products"),
        (json!({"products": item(json!(PRODUCT), json!(0))}), "products.0.quantity"),
        (json!({"products": item(json!(PRODUCT), json!(3))}), "products.0.quantity"),
        (json!({"products": item(json!("B0016NHH56"), json!(1))}), "products.0.product_id"),
        (json!({"products": item(json!(7), json!(1))}), "products.0.product_id"),
        (json!({"reason_code": null}), "reason_code"),
        (json!({"reason_code": 7}), "reason_code"),
        (json!({"method_code": ""}), "method_code"),
        (json!({"explanation": 7}), "explanation"),
        (json!({"explanation": "x".repeat(5001)}), "explanation"),
        (json!({"cancel_pending": "no"}), "cancel_pending"),
        (json!({"return_address": 7}), "return_address"),
        (json!({"return_address": address}), "return_address.city"),
        (json!({"webhooks": {"status_updated": "x"}}), "webhooks.status_updated"),
    ] {
        let answer = api.v1(Method::POST, &path(&order_id), Some(&with(&change))).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{change}");
        let error = answer.json();
        assert_eq!(error["code"], "invalid_request", "{change}");
        assert_eq!(error["data"]["validator_errors"][0]["path"], field, "{change}: {error}");
    }
    let answer = api.v1(Method::POST, &path(&order_id), None).await;
    let faults = answer.json()["data"]["validator_errors"].clone();
    let mut missing: Vec<_> = faults.as_array().unwrap().iter().map(|one| &one["path"]).collect();
    missing.sort_by_key(ToString::to_string);
    assert_eq!(missing, ["method_code", "products", "reason_code"]);
}

#[tokio::test]
async fn only_amazon_takes_goods_back() {
    let api = Api::first();
    let mut body = order(&ShopAccount::new().await);
    body["retailer"] = json!("costco");
    body["payment_method"] = json!({"use_gift": false});
    let id = api.order(&body).await;
    api.ended(&id).await;
    let wish = with(&json!({"products": [{"product_id": "B0016NHH56", "quantity": 1}]}));
    let error = api.v1(Method::POST, &path(&id), Some(&wish)).await.json();
    assert_eq!(error["code"], "invalid_request");
    assert_eq!(error["message"], "Costco takes nothing back through this API.");
}

#[tokio::test]
async fn another_client_sees_nothing_of_a_return() {
    let api = Api::first();
    let (order_id, _) = delivered(&api, &ShopAccount::new().await).await;
    let id = api.post(&path(&order_id), Some(&wish())).await;
    let foreign = format!("/v1/returns/{id}");
    let answer = Api::second().v1(Method::GET, &foreign, None).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    api.processed(&foreign).await;
}

#[tokio::test]
async fn a_dead_return_says_what_can_be_said() {
    let api = Api::first();
    let (order_id, _) = delivered(&api, &ShopAccount::new().await).await;
    let started = ended(&api, &order_id, &wish()).await;
    let model = started["request_id"].as_str().unwrap();
    for (stage, said) in [
        (json!({"state": "queued"}), "It was not started"),
        (json!({"state": "starting", "known": null}), "did not say whether it was started"),
    ] {
        let id = tables::copy_after_sale(model, &stage, tables::FAR_OFF).await;
        let job = tables::job(&order_id, "start_return", "return_id", &id).await;
        queues::send_fifo(&STACK.queues["JobsDeadLetterQueue"], &id, &job).await;
        let ended = api.processed(&format!("/v1/returns/{id}")).await;
        assert_eq!(
            (&ended["code"], &ended["money_moved"]),
            (&json!("internal_error"), &json!("yes"))
        );
        assert!(ended["message"].as_str().unwrap().contains(said), "{ended}");
    }
}

#[tokio::test]
async fn what_the_balance_paid_is_asked_back_once_it_has_arrived() {
    let client = Client::paid_in(50_000);
    let receiver = Receiver::start().await;
    let (order_id, _) = delivered(&client.api, &ShopAccount::new().await).await;
    let order = client.api.get(&order_id).await;
    let price = |name: &str| order["price_components"][name].as_u64().unwrap();
    client.has_paid(&order_id, price("total")).await;
    let body = with(&json!({"webhooks": {"status_updated": receiver.url("/status")}}));
    let started = ended(&client.api, &order_id, &body).await;
    let id = started["request_id"].as_str().unwrap();
    receiver.wait_for("/status", 1).await;

    when_due(id).await;
    let under_way = &receiver.wait_for("/status", 2).await[1].body;
    assert_eq!(under_way["status"]["status"], "Return started", "{under_way}");
    assert_eq!(client.refund(&order_id, None).await["refund_state"], Value::Null);

    let merchant_return_id = started["merchant_return_id"].as_str().unwrap();
    at_the_shop(&format!("returns/{merchant_return_id}/receive"), &json!({})).await;
    when_due(id).await;
    let arrived = &receiver.wait_for("/status", 3).await[2].body;
    assert_eq!(arrived["_type"], "return_response");
    assert_eq!(arrived["label_urls"], started["label_urls"]);
    let refund = client.refund(&order_id, None).await;
    assert_eq!(refund["refund_state"], "requested", "{refund}");
    assert_eq!(refund["reason"], "return_delivered");
    assert_eq!(refund["amount"], u64::midpoint(price("subtotal"), price("tax")), "one of two");
}
