//! Requests about anything but orders.

use std::time::Duration;

use http::{Method, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};
use tests::{
    ShopAccount, canaries, prepaid::Client, products::ShopProduct, receiver::Receiver, wait,
};

use crate::meter::Meter;

pub(crate) async fn measure(meter: &mut Meter) {
    managed_accounts(meter).await;
    money(meter).await;
    products(meter).await;
    endpoint(meter).await;
    deliveries(meter).await;
}

async fn managed_accounts(meter: &mut Meter) {
    let client = Client::new();
    let account = ShopAccount::with_totp().await;
    let body = json!({"email": account.email, "password": account.password});
    let call = client.api.modern(Method::POST, "/managed-accounts", Some(&body));
    let stored =
        meter.request("`POST /managed-accounts`", "create-managed-account", &client, call).await;
    let call = client.api.modern(Method::GET, "/managed-accounts", None);
    meter.request("`GET /managed-accounts`", "list-managed-accounts", &client, call).await;

    let path = format!("/managed-accounts/{}", stored["short_id"].as_str().unwrap());
    for (change, body) in [
        ("", json!({"email": account.email, "retailer": "amazon"})),
        (" with a new password", json!({"password": canaries::password()})),
        (" with a TOTP secret beside the password", json!({"totp_secret": account.totp_secret})),
    ] {
        let call = client.api.modern(Method::PUT, &path, Some(&body));
        let what = format!("`PUT /managed-accounts/{{short_id}}`{change}");
        meter.request(&what, "update-managed-account", &client, call).await;
    }
    let mails = format!("{path}/mails");
    let call = client.api.modern(Method::GET, &mails, None);
    let what = "`GET /managed-accounts/{short_id}/mails`";
    meter.request(what, "list-account-mails", &client, call).await;
    let call = client.api.modern(Method::DELETE, &path, None);
    let what = "`DELETE /managed-accounts/{short_id}`";
    meter.request(what, "delete-managed-account", &client, call).await;
}

async fn money(meter: &mut Meter) {
    let client = Client::new();
    client.deposit(1000, "wire");
    for (what, function, path) in [
        ("`GET /v1/addax/balance`", "get-balance", "/v1/addax/balance"),
        ("`GET /v1/addax/transactions`", "list-transactions", "/v1/addax/transactions"),
        (
            "`GET /v1/addax/transactions` of one currency",
            "list-transactions",
            "/v1/addax/transactions?currency=USD",
        ),
    ] {
        meter.request(what, function, &client, client.api.v1(Method::GET, path, None)).await;
    }
}

async fn products(meter: &mut Meter) {
    let client = Client::new();
    let get = |path: String| {
        let api = client.api.clone();
        async move { api.v1(Method::GET, &path, None).await }
    };
    let retailers = "`GET /v1/retailers`";
    meter.request(retailers, "list-retailers", &client, get("/v1/retailers".to_owned())).await;

    let (details, offers) = (ShopProduct::new().id, ShopProduct::new().id);
    for (what, function, path) in [
        ("`GET /v1/products/{product_id}`", "get-product", format!("/v1/products/{details}")),
        (
            "`GET /v1/products/{product_id}/offers`",
            "list-product-offers",
            format!("/v1/products/{offers}/offers"),
        ),
    ] {
        let path = format!("{path}?retailer=amazon");
        let unread = format!("{what} of a page that must be read");
        completed(&meter.request(&unread, function, &client, get(path.clone())).await);
        completed(&meter.request(what, function, &client, get(path)).await);
    }
    let later = ShopProduct::new().id;
    let path = format!("/v1/products/{later}?retailer=amazon&async=true");
    let what = "`GET /v1/products/{product_id}` without waiting for the page";
    let answer = meter.request(what, "get-product", &client, get(path)).await;
    assert_eq!(answer["status"], "processing", "{answer}");
    let read = |line: &Value| line["message"].as_str().unwrap_or_default().contains(&later);
    let line = tests::logs::next("product-reader", 0, read).await;
    meter.note("reading a page", "product-reader", &line);
}

async fn endpoint(meter: &mut Meter) {
    let client = Client::new();
    let path = "/webhooks/endpoint";
    let url = json!({"url": "https://webhooks.example.com/"});
    for (what, method, function, body) in [
        ("PUT` for the first time", Method::PUT, "set-webhook-endpoint", Some(&url)),
        ("PUT`", Method::PUT, "set-webhook-endpoint", Some(&url)),
        ("GET`", Method::GET, "get-webhook-endpoint", None),
        ("DELETE`", Method::DELETE, "delete-webhook-endpoint", None),
    ] {
        let (method_name, more) = what.split_once('`').unwrap();
        let what = format!("`{method_name} {path}`{more}");
        meter.request(&what, function, &client, client.api.modern(method, path, body)).await;
    }
    let path = "/webhooks/endpoint/rotate";
    let call = client.api.modern(Method::POST, path, None);
    meter.request(&format!("`POST {path}`"), "rotate-webhook-secret", &client, call).await;
}

async fn deliveries(meter: &mut Meter) {
    let client = Client::new();
    let receiver = Receiver::start().await;
    receiver.answer_first(&[StatusCode::GONE]);
    let url = json!({"url": receiver.url("/gone")});
    let test = "/v1/webhooks/test";
    let call = client.api.v1(Method::POST, test, Some(&url));
    let sent =
        meter.request(&format!("`POST {test}` to a URL"), "send-test-webhook", &client, call).await;
    let id = sent["id"].as_str().unwrap();
    let log = "/v1/webhooks/deliveries";
    let path = format!("{log}/{id}");
    let given_up = wait(Duration::from_mins(1), "the test to be given up", async || {
        let found = client.api.v1(Method::GET, &path, None).await.ok();
        (found["state"] == "undelivered").then_some(found)
    });
    let at = given_up.await["created_at"].as_str().unwrap().parse::<Timestamp>().unwrap();
    let from = at.as_millisecond();

    let get = |path: String| {
        let api = client.api.clone();
        async move { api.v1(Method::GET, &path, None).await }
    };
    for (what, query) in [
        ("", String::new()),
        (" that are undelivered", "?state=undelivered".to_owned()),
        (" of one request", "?request_id=00000000000000000000000000000000".to_owned()),
    ] {
        let what = format!("`GET {log}`{what}");
        let call = get(format!("{log}{query}"));
        meter.request(&what, "list-webhook-deliveries", &client, call).await;
    }
    let what = format!("`GET {log}/{{delivery_id}}`");
    meter.request(&what, "get-webhook-delivery", &client, get(path.clone())).await;
    let endpoints = "/v1/webhooks/endpoints";
    let what = format!("`GET {endpoints}`");
    let call = get(endpoints.to_owned());
    let listed = meter.request(&what, "list-webhook-endpoints", &client, call).await;
    let endpoint = listed["endpoints"][0]["id"].as_str().unwrap();
    let path_of_endpoint = format!("{endpoints}/{endpoint}/enable");
    let call = client.api.v1(Method::POST, &path_of_endpoint, None);
    let what = format!("`POST {endpoints}/{{endpoint_id}}/enable`");
    meter.request(&what, "enable-webhook-endpoint", &client, call).await;

    let many = json!({"from": from, "until": from + 1});
    let path_of_many = format!("{log}/replay");
    let call = client.api.v1(Method::POST, &path_of_many, Some(&many));
    let what = format!("`POST {log}/replay` of one");
    let replayed = meter.request(&what, "replay-webhook-deliveries", &client, call).await;
    assert_eq!(replayed["replayed"], 1);
    wait(Duration::from_mins(1), "the test to be received", async || {
        let found = client.api.v1(Method::GET, &path, None).await.ok();
        (found["state"] == "delivered").then_some(())
    })
    .await;
    let path = format!("{path}/replay");
    let call = client.api.v1(Method::POST, &path, None);
    let what = format!("`POST {log}/{{delivery_id}}/replay`");
    meter.request(&what, "replay-webhook-delivery", &client, call).await;
    receiver.wait_for("/gone", 3).await;
}

fn completed(answer: &Value) {
    assert_eq!(answer["status"], "completed", "{answer}");
}
