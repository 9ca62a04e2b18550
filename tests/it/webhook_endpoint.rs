//! The client's own endpoint: where it is, the secret that signs, and what it is told.

use std::{collections::BTreeSet, time::Duration};

use http::{Method, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};
use tests::{
    Answer, Api, ShopAccount, at_the_shop, canaries, merchant_order_ids, order,
    prepaid::Client,
    receiver::{Arrival, Receiver},
    wait, when_due,
};

const PATH: &str = "/webhooks/endpoint";

async fn get(api: &Api) -> Value {
    api.modern(Method::GET, PATH, None).await.ok()
}

async fn put(api: &Api, url: &str) -> Answer {
    api.modern(Method::PUT, PATH, Some(&json!({"url": url}))).await
}

async fn rotate(api: &Api, body: Option<&Value>) -> Answer {
    api.modern(Method::POST, "/webhooks/endpoint/rotate", body).await
}

fn secret(endpoint: &Value) -> &str {
    endpoint["webhook_secret"].as_str().unwrap()
}

/// An endpoint that works, at `url`.
fn working(url: &Value, endpoint: &Value) -> Value {
    json!({
        "webhook_url": url,
        "webhook_secret": endpoint["webhook_secret"],
        "previous_secret_expires_at": null,
        "failing_since": null,
        "disabled_at": null,
        "disabled_reason": null,
    })
}

/// Has a test event sent to the client's own endpoint.
async fn send_test(api: &Api) -> String {
    let sent = api.v1(Method::POST, "/v1/webhooks/test", None).await.ok();
    sent["id"].as_str().unwrap().to_owned()
}

/// The `count`th event of that name.
async fn event(receiver: &Receiver, name: &str, count: usize) -> Arrival {
    wait(Duration::from_mins(1), &format!("{name} number {count}"), async || {
        let mut arrivals = receiver.arrivals("/own").into_iter();
        arrivals.by_ref().filter(|arrival| arrival.body["event"] == name).nth(count - 1)
    })
    .await
}

/// A client whose own endpoint is `/own` at a receiver, and its secret.
async fn client() -> (Client, Receiver, String) {
    let (client, receiver) = (Client::new(), Receiver::start().await);
    let endpoint = put(&client.api, &receiver.url("/own")).await.ok();
    let secret = secret(&endpoint).to_owned();
    (client, receiver, secret)
}

#[tokio::test]
async fn the_secret_is_made_with_the_first_url_and_outlives_it() {
    let api = Client::new().api;
    assert_eq!(get(&api).await, working(&Value::Null, &json!({"webhook_secret": null})));
    let receiver = Receiver::start().await;
    let userinfo = format!("me:{}", canaries::WEBHOOK_PASSWORD);
    let first = put(&api, &receiver.url_with_login(&userinfo, "/own?a=b")).await.ok();
    assert_eq!(first, working(&json!(receiver.url("/own?a=b")), &first));
    assert!(secret(&first).starts_with("zn_whsec_"));
    assert_eq!(get(&api).await, first);

    let second = put(&api, "http://example.com/x").await.ok();
    assert_eq!(second, working(&json!("http://example.com/x"), &first), "the secret stays");
    for _ in 0..2 {
        let answer = api.modern(Method::DELETE, PATH, None).await;
        assert_eq!((answer.status, answer.text.as_str()), (StatusCode::NO_CONTENT, ""));
    }
    assert_eq!(get(&api).await, working(&Value::Null, &first));
    assert_eq!(put(&api, &receiver.url("/own")).await.ok()["webhook_secret"], secret(&first));
    assert_ne!(
        put(&Client::new().api, "https://example.com/").await.ok()["webhook_secret"],
        secret(&first)
    );
}

#[tokio::test]
async fn a_login_in_the_url_becomes_basic_auth() {
    let api = Client::new().api;
    let receiver = Receiver::start().await;
    let userinfo = format!("me:{}", canaries::WEBHOOK_PASSWORD);
    put(&api, &receiver.url_with_login(&userinfo, "/own")).await.ok();
    send_test(&api).await;
    let arrival = event(&receiver, "webhook.test", 1).await;
    let credentials = data_encoding::BASE64.encode(userinfo.as_bytes());
    assert_eq!(arrival.headers["authorization"], format!("Basic {credentials}"));
    // It goes with its URL.
    put(&api, &receiver.url("/own")).await.ok();
    send_test(&api).await;
    assert!(!event(&receiver, "webhook.test", 2).await.headers.contains_key("authorization"));
}

#[tokio::test]
async fn a_secret_that_a_delivery_needed_is_shown() {
    let api = Client::new().api;
    let receiver = Receiver::start().await;
    let mut body = order(&ShopAccount::new().await);
    body["webhooks"] = json!({"order_placed": receiver.url("/placed")});
    api.order(&body).await;
    let arrival = &receiver.wait_for("/placed", 1).await[0];
    let endpoint = get(&api).await;
    assert_eq!(endpoint["webhook_url"], Value::Null);
    assert!(arrival.verifies(secret(&endpoint)) && arrival.is_signed_by(secret(&endpoint)));
    assert_eq!(arrival.headers["x-webhook-event"], "request_succeeded");
    let later = put(&api, &receiver.url("/own")).await.ok();
    assert_eq!(secret(&later), secret(&endpoint));
}

#[tokio::test]
async fn after_a_rotation_both_secrets_sign_until_the_old_one_expires() {
    let (client, receiver, first) = client().await;
    let api = &client.api;
    for (number, (overlap, expected)) in
        [(None, 86_400), (Some(json!({"overlap_seconds": 3600})), 3600)].into_iter().enumerate()
    {
        if number > 0 {
            // A repeated call must not take away the only secret that receivers know.
            let refused = rotate(api, overlap.as_ref()).await;
            assert_eq!(refused.status, StatusCode::CONFLICT, "{}", refused.text);
            rotate(api, Some(&json!({"overlap_seconds": 0}))).await.ok();
        }
        let before = secret(&get(api).await).to_owned();
        let rotated = rotate(api, overlap.as_ref()).await.ok();
        assert_eq!(get(api).await, rotated);
        assert_ne!(secret(&rotated), before);
        let expires: Timestamp =
            rotated["previous_secret_expires_at"].as_str().unwrap().parse().unwrap();
        #[expect(clippy::disallowed_methods, reason = "when the secret expires is real time")]
        let left = expires.duration_since(Timestamp::now()).as_secs();
        assert!((expected - 60..=expected).contains(&left), "{left}");

        send_test(api).await;
        let arrival = event(&receiver, "webhook.test", number + 1).await;
        for live in [secret(&rotated), &before] {
            assert!(arrival.verifies(live));
        }
        assert!(arrival.is_signed_by(secret(&rotated)) && !arrival.is_signed_by(&before));
        assert_eq!(arrival.verifies(&first), before == first, "never more than two");
    }
    let before = secret(&get(api).await).to_owned();
    let rotated = rotate(api, Some(&json!({"overlap_seconds": 0}))).await.ok();
    assert_eq!(rotated, working(&json!(receiver.url("/own")), &rotated));
    send_test(api).await;
    let arrival = event(&receiver, "webhook.test", 3).await;
    assert!(arrival.verifies(secret(&rotated)) && !arrival.verifies(&before));
}

#[tokio::test]
async fn a_wrong_field_is_named_and_changes_nothing() {
    let (client, receiver, _) = client().await;
    let api = &client.api;
    let before = get(api).await;
    let long = format!("https://example.com/{}", "x".repeat(2048));
    let with_login = format!("ftp://me:{}@example.com/", canaries::WEBHOOK_PASSWORD);
    for body in [
        json!({}),
        json!({"url": null}),
        json!({"url": ""}),
        json!({"url": 7}),
        json!({"url": [receiver.url("/own")]}),
        json!({"url": "example.com"}),
        json!({"url": "/own"}),
        json!({"url": with_login}),
        json!({"url": "https://"}),
        json!({"url": long}),
        json!({"url": "http://10.0.0.1/"}),
        json!({"url": "https://169.254.169.254/latest/meta-data/"}),
        json!({"url": "https://[fd00::1]/"}),
        json!({"url": "https://[::ffff:127.0.0.1]/"}),
        json!({"url": "https://printer.local/"}),
        json!({"url": "https://intranet/"}),
        json!({"url": "https://example.com:22/"}),
        json!({"url": "http://example.com:8080/"}),
        json!({"url": "https://example.com:80/"}),
    ] {
        for (method, path) in [(Method::PUT, PATH), (Method::POST, "/v1/webhooks/test")] {
            // What is left out of a test goes to the client's own endpoint.
            let is_left_out = body["url"].is_null() || body["url"] == "";
            if method == Method::POST && is_left_out {
                continue;
            }
            let answer = api.modern(method.clone(), path, Some(&body)).await;
            let fields = if method == Method::PUT {
                assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
                answer.json()["error"]["details"]["fields"].clone()
            } else {
                assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{body}");
                answer.json()["data"]["validator_errors"].clone()
            };
            let paths: Vec<_> = fields.as_array().unwrap().iter().map(|one| &one["path"]).collect();
            assert_eq!(paths, ["url"], "{body}");
        }
    }
    for overlap in [json!(-1), json!(604_801), json!(1.5), json!("3600"), json!([]), json!(true)] {
        let answer = rotate(api, Some(&json!({"overlap_seconds": overlap}))).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{overlap}");
        assert_eq!(answer.json()["error"]["details"]["fields"][0]["path"], "overlap_seconds");
    }
    for (method, path) in [(Method::PUT, PATH), (Method::POST, "/webhooks/endpoint/rotate")] {
        for body in ["{", "[]", "7", "null"] {
            let answer = api.raw(method.clone(), path, body).await;
            assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{method} {body}");
        }
    }
    assert_eq!(get(api).await, before);
}

#[tokio::test]
async fn cancellations_and_returns_refuse_where_webhooks_do_not_go() {
    let api = Api::first();
    let mut wanted = order(&ShopAccount::new().await);
    wanted["webhooks"] = json!({"order_placed": "http://mywebsite.com/zinc/order_placed"});
    let id = api.order(&wanted).await;
    assert_eq!(api.ended(&id).await["_type"], "order_response", "http is taken");
    let failed = {
        let mut body = order(&ShopAccount::new().await);
        body["max_price"] = json!(1);
        let id = api.order(&body).await;
        api.ended(&id).await;
        id
    };
    let body = json!({
        "products": [{"product_id": "B0016NHH56", "quantity": 1}],
        "reason_code": "inaccurate website description",
        "method_code": "UPS Dropoff",
        "webhooks": {"request_failed": "https://192.168.1.1/"},
    });
    for (id, action) in [(&id, "cancel"), (&id, "return"), (&failed, "retry")] {
        let path = format!("/v1/orders/{id}/{action}");
        let answer = api.v1(Method::POST, &path, Some(&body)).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{action}: {}", answer.text);
        let fault = &answer.json()["data"]["validator_errors"][0];
        assert_eq!(fault["path"], "webhooks.request_failed", "{action}");
        assert!(fault["message"].as_str().unwrap().contains("192.168.1.1"), "{fault}");
    }
}

/// What an event of `id` is, apart from its name, status and data.
#[track_caller]
fn assert_tells(arrival: &Arrival, secret: &str, [order, return_id]: [&Value; 2], status: &str) {
    let body = &arrival.body;
    assert_eq!(arrival.method, Method::POST);
    assert_eq!(arrival.headers["content-type"], "application/json");
    assert_eq!(arrival.headers["x-webhook-event"], body["event"].as_str().unwrap());
    assert!(arrival.verifies(secret) && arrival.is_signed_by(secret));
    assert_eq!((&body["order_id"], &body["return_id"]), (order, return_id), "{body}");
    assert_eq!(body["status"], status, "{body}");
    assert!(body["timestamp"].as_str().unwrap().parse::<Timestamp>().is_ok());
    let names: BTreeSet<_> = body.as_object().unwrap().keys().map(String::as_str).collect();
    let documented = ["event", "order_id", "return_id", "status", "timestamp", "data"];
    assert_eq!(names, BTreeSet::from(documented));
}

#[tokio::test]
async fn the_life_of_an_order_and_of_a_return_is_told_in_order() {
    let (client, receiver, secret) = client().await;
    let api = &client.api;
    let id = api.order(&order(&ShopAccount::new().await)).await;
    let placed = api.ended(&id).await;
    let merchant_id = merchant_order_ids(&placed).remove(0);
    let about = [&json!(id), &Value::Null];
    let started = event(&receiver, "order.started", 1).await;
    assert_tells(&started, &secret, about, "in_progress");
    assert_eq!(started.body["data"], json!({}));
    let told = event(&receiver, "order.placed", 1).await;
    assert_tells(&told, &secret, about, "order_placed");
    let mut prices = json!({});
    for name in ["subtotal", "shipping", "tax", "total"] {
        prices[name] = placed["price_components"][name].clone();
    }
    assert_eq!(told.body["data"], json!({"price_components": prices}));

    at_the_shop(&format!("orders/{merchant_id}/ship"), &json!({})).await;
    when_due(&id).await;
    let told = event(&receiver, "order.tracking_received", 1).await;
    assert_tells(&told, &secret, about, "shipped");
    let parcel = &api.get(&id).await["tracking"][0];
    let number =
        json!({"carrier": parcel["carrier"], "tracking_number": parcel["tracking_number"]});
    assert_eq!(told.body["data"], json!({"tracking_numbers": [number]}));

    let told = event(&receiver, "order.estimated_delivery_updated", 1).await;
    assert_tells(&told, &secret, about, "shipped");
    assert!(told.body["data"]["estimated_delivery_dates"][0].is_string(), "{}", told.body);

    at_the_shop(&format!("orders/{merchant_id}/deliver"), &json!({})).await;
    when_due(&id).await;
    assert_tells(&event(&receiver, "order.delivered", 1).await, &secret, about, "delivered");

    let body = json!({
        "products": [{"product_id": "B0016NHH56", "quantity": 1}],
        "reason_code": "inaccurate website description",
        "method_code": "UPS Dropoff",
    });
    let goods = api.post(&format!("/v1/orders/{id}/return"), Some(&body)).await;
    let returned = api.processed(&format!("/v1/returns/{goods}")).await;
    let about = [&json!(id), &json!(goods)];
    assert_tells(&event(&receiver, "return.created", 1).await, &secret, about, "open");
    for name in ["return.approved", "return.label_uploaded"] {
        let told = event(&receiver, name, 1).await;
        assert_tells(&told, &secret, about, "approved");
        for member in ["merchant_return_id", "label_urls"] {
            assert_eq!(told.body["data"][member], returned[member], "{name}");
        }
    }
    let told = receiver.arrivals("/own");
    let names: Vec<_> = told.iter().map(|one| one.body["event"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        [
            "order.started",
            "order.placed",
            "order.tracking_received",
            "order.estimated_delivery_updated",
            "order.delivered",
            "return.created",
            "return.approved",
            "return.label_uploaded",
        ]
    );
}

#[tokio::test]
async fn what_failed_what_was_called_off_and_what_was_cancelled_is_told() {
    let (client, receiver, secret) = client().await;
    let api = &client.api;
    let account = ShopAccount::new().await;
    let mut dear = order(&account);
    dear["max_price"] = json!(1);
    let id = api.order(&dear).await;
    let failed = api.ended(&id).await;
    let told = event(&receiver, "order.failed", 1).await;
    assert_tells(&told, &secret, [&json!(id), &Value::Null], "failed");
    let data = json!({"error_type": failed["code"], "error": failed["message"]});
    assert_eq!(told.body["data"], data);

    account.behave("review", json!({"delay_ms": 2000, "times": 1})).await;
    let first = api.order(&order(&account)).await;
    let second = api.order(&order(&account)).await;
    api.v1(Method::POST, &format!("/v1/orders/{second}/abort"), None).await.ok();
    let told = event(&receiver, "order.cancelled", 1).await;
    assert_tells(&told, &secret, [&json!(second), &Value::Null], "cancelled");

    assert_eq!(api.ended(&first).await["_type"], "order_response");
    api.post(&format!("/v1/orders/{first}/cancel"), None).await;
    let told = event(&receiver, "order.cancelled", 2).await;
    assert_tells(&told, &secret, [&json!(first), &Value::Null], "cancelled_by_retailer");

    let young = api.order(&order(&account)).await;
    api.ended(&young).await;
    let body = json!({
        "products": [{"product_id": "B0016NHH56", "quantity": 1}],
        "reason_code": "inaccurate website description",
        "method_code": "UPS Dropoff",
    });
    let goods = api.post(&format!("/v1/orders/{young}/return"), Some(&body)).await;
    let told = event(&receiver, "return.denied", 1).await;
    assert_tells(&told, &secret, [&json!(young), &json!(goods)], "denied");
    assert_eq!(told.body["data"]["error_type"], "return_not_allowed");
}

#[tokio::test]
async fn without_an_endpoint_nothing_is_told_and_what_waits_is_given_up() {
    let (client, receiver, _) = client().await;
    let api = &client.api;
    receiver.answer_first(&[StatusCode::INTERNAL_SERVER_ERROR]);
    let waiting = send_test(api).await;
    event(&receiver, "webhook.test", 1).await;
    let answer = api.modern(Method::DELETE, PATH, None).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    let path = format!("/v1/webhooks/deliveries/{waiting}");
    let given_up = wait(Duration::from_mins(1), "the test to be given up", async || {
        let found = api.v1(Method::GET, &path, None).await.ok();
        (found["state"] == "undelivered").then_some(found)
    })
    .await;
    let reason = given_up["reason"].as_str().unwrap();
    assert!(reason.contains("no endpoint of its own"), "{reason}");
    assert_eq!(given_up["next_attempt_at"], Value::Null);

    let mut body = order(&ShopAccount::new().await);
    body["webhooks"] = json!({"order_placed": receiver.url("/placed")});
    let id = api.order(&body).await;
    api.ended(&id).await;
    receiver.wait_for("/placed", 1).await;
    assert_eq!(receiver.arrivals("/own").len(), 1);
    let path = format!("/v1/webhooks/deliveries?request_id={id}");
    let told = api.v1(Method::GET, &path, None).await.ok();
    assert_eq!(told["deliveries"].as_array().unwrap().len(), 1, "{told}");
}

#[tokio::test]
async fn one_that_wants_nothing_more_is_disabled_until_it_is_named_again() {
    let (client, receiver, _) = client().await;
    let api = &client.api;
    receiver.answer_first(&[StatusCode::GONE]);
    send_test(api).await;
    let disabled = wait(Duration::from_mins(1), "the endpoint to be disabled", async || {
        let endpoint = get(api).await;
        endpoint["disabled_at"].is_string().then_some(endpoint)
    })
    .await;
    assert_eq!(disabled["disabled_reason"], "gone");
    assert!(disabled["failing_since"].is_string());
    let listed = api.v1(Method::GET, "/v1/webhooks/endpoints", None).await.ok();
    let endpoint = &listed["endpoints"][0];
    assert_eq!((&endpoint["id"], &endpoint["url"]), (&json!("account"), &Value::Null));
    assert_eq!(endpoint["reason"], "gone");

    let url = receiver.url("/own");
    assert_eq!(put(api, &url).await.ok(), working(&json!(url), &disabled));
    send_test(api).await;
    event(&receiver, "webhook.test", 2).await;
}

#[tokio::test]
async fn that_another_url_is_disabled_is_told() {
    let (client, receiver, secret) = client().await;
    let other = Receiver::start().await;
    other.answer_first(&[StatusCode::GONE]);
    let body = json!({"url": other.url("/gone")});
    client.api.v1(Method::POST, "/v1/webhooks/test", Some(&body)).await.ok();
    let told = event(&receiver, "endpoint.disabled", 1).await;
    assert_tells(&told, &secret, [&Value::Null, &Value::Null], "disabled");
    let data = &told.body["data"];
    assert_eq!((&data["url"], &data["reason"]), (&json!(other.url("/gone")), &json!("gone")));
    let listed = client.api.v1(Method::GET, "/v1/webhooks/deliveries", None).await.ok();
    let line = &listed["deliveries"][0];
    assert_eq!((&line["event"], &line["request_id"]), (&json!("endpoint.disabled"), &Value::Null));
}
