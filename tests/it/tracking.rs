//! Parcels: asked after when it is due, shown with the order, and told once and again.

use http::Method;
use serde_json::{Value, json};
use tests::{
    Api, ShopAccount, at_the_shop, merchant_order_ids, order, receiver::Receiver, split_order,
    when_due,
};

#[tokio::test]
async fn a_parcel_is_told_when_it_leaves_when_its_number_comes_and_when_it_is_there() {
    let api = Api::first();
    let receiver = Receiver::start().await;
    let mut body = order(&ShopAccount::new().await);
    body["webhooks"] = json!({
        "tracking_obtained": receiver.url("/obtained"),
        "tracking_updated": receiver.url("/updated"),
        "status_updated": receiver.url("/status"),
    });
    let id = api.order(&body).await;
    let placed = api.ended(&id).await;
    assert_eq!(placed["tracking"], json!([]), "{placed}");
    let merchant_id = merchant_order_ids(&placed).remove(0);
    receiver.wait_for("/status", 2).await;

    at_the_shop(&format!("orders/{merchant_id}/ship"), &json!({"with_number": false})).await;
    when_due(&id).await;
    let left = &receiver.wait_for("/updated", 1).await[0].body;
    let parcel = json!({
        "merchant_order_id": merchant_id,
        "product_id": "B0016NHH56",
        "product_ids": ["B0016NHH56"],
        "carrier": null,
        "tracking_number": null,
        "tracking_url": null,
        "delivery_status": "InTransit",
        "obtained_at": null,
    });
    assert_eq!(left["tracking"], json!([parcel]), "{left}");
    assert!(receiver.arrivals("/obtained").is_empty());

    at_the_shop(&format!("orders/{merchant_id}/ship"), &json!({})).await;
    when_due(&id).await;
    let numbered = &receiver.wait_for("/obtained", 1).await[0].body;
    assert_eq!(receiver.wait_for("/updated", 2).await[1].body, *numbered);
    let parcel = &numbered["tracking"][0];
    let number = parcel["tracking_number"].as_str().unwrap();
    assert!(parcel["carrier"].is_string() && parcel["obtained_at"].is_string(), "{parcel}");
    assert!(parcel["tracking_url"].as_str().unwrap().contains(number), "{parcel}");
    let merchant_order = &numbered["merchant_order_ids"][0];
    assert_eq!(merchant_order["tracking"], json!([number]));
    assert!(merchant_order["tracking_url"].is_string(), "{merchant_order}");

    at_the_shop(&format!("orders/{merchant_id}/deliver"), &json!({})).await;
    when_due(&id).await;
    let there = &receiver.wait_for("/updated", 3).await[2].body;
    assert_eq!(there["tracking"][0]["delivery_status"], "Delivered", "{there}");
    assert_eq!(there["tracking"][0]["obtained_at"], parcel["obtained_at"]);
    assert_eq!(api.get(&id).await, *there);
    // Working, placed, and three times tracking.
    assert_eq!(receiver.wait_for("/status", 5).await.len(), 5);
    assert_eq!(receiver.arrivals("/obtained").len(), 1);
}

#[tokio::test]
async fn tracking_is_obtained_once_every_parcel_has_its_number() {
    let api = Api::first();
    let receiver = Receiver::start().await;
    let mut body = split_order(&ShopAccount::new().await);
    body["webhooks"] = json!({
        "tracking_obtained": receiver.url("/obtained"),
        "tracking_updated": receiver.url("/updated"),
    });
    let id = api.order(&body).await;
    let ids = merchant_order_ids(&api.ended(&id).await);
    let [first, second] = ids.as_slice() else { panic!("{ids:?}") };
    at_the_shop(&format!("orders/{first}/ship"), &json!({})).await;
    when_due(&id).await;
    receiver.wait_for("/updated", 1).await;
    at_the_shop(&format!("orders/{second}/ship"), &json!({})).await;
    when_due(&id).await;
    let obtained = &receiver.wait_for("/obtained", 1).await[0].body;
    let parcels = obtained["tracking"].as_array().unwrap();
    let mut seen: Vec<_> = parcels.iter().map(|one| one["merchant_order_id"].clone()).collect();
    seen.sort_by_key(ToString::to_string);
    let mut ids: Vec<_> = ids.iter().map(|id| json!(id)).collect();
    ids.sort_by_key(ToString::to_string);
    assert_eq!(seen, ids);
}

#[tokio::test]
async fn a_shop_that_does_not_answer_is_asked_again_when_it_is_due() {
    let api = Api::first();
    let account = ShopAccount::new().await;
    let receiver = Receiver::start().await;
    let mut body = order(&account);
    body["webhooks"] = json!({"tracking_obtained": receiver.url("/obtained")});
    let id = api.order(&body).await;
    let merchant_id = merchant_order_ids(&api.ended(&id).await).remove(0);
    at_the_shop(&format!("orders/{merchant_id}/ship"), &json!({})).await;
    account.behave("order_state", json!({"drop": true, "times": 1})).await;
    when_due(&id).await;
    account.journaled("order_state", 1).await;
    when_due(&id).await;
    receiver.wait_for("/obtained", 1).await;
}

#[tokio::test]
async fn parcels_of_a_login_that_is_gone_are_left_alone() {
    let api = Api::first();
    let account = ShopAccount::new().await;
    let stored =
        json!({"email": account.email, "password": account.password, "retailer": "amazon"});
    let stored = api.modern(Method::POST, "/managed-accounts", Some(&stored)).await.ok();
    let mut body = order(&account);
    body.as_object_mut().unwrap().remove("retailer_credentials");
    body["retailer_credentials_id"] = stored["short_id"].clone();
    let id = api.order(&body).await;
    let placed = api.ended(&id).await;
    let path = format!("/managed-accounts/{}", stored["short_id"].as_str().unwrap());
    api.modern(Method::DELETE, &path, None).await;
    let visits = account.journal().await.len();
    when_due(&id).await;
    // The account's next job has its turn after the question.
    let next = api.order(&order(&account)).await;
    api.ended(&next).await;
    assert_eq!(api.get(&id).await, placed);
    let asked = |entry: &Value| entry["kind"] == "order_state";
    assert!(!account.journal().await.iter().skip(visits).any(asked));
}
