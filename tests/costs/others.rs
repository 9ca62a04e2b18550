//! Requests about anything but orders.

use http::Method;
use serde_json::{Value, json};
use tests::{ShopAccount, canaries, prepaid::Client, products::ShopProduct};

use crate::meter::Meter;

pub(crate) async fn measure(meter: &mut Meter) {
    managed_accounts(meter).await;
    money(meter).await;
    products(meter).await;
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

fn completed(answer: &Value) {
    assert_eq!(answer["status"], "completed", "{answer}");
}
