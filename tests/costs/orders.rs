//! Requests about orders.

use http::Method;
use serde_json::{Value, json};
use tests::{
    Api, ShopAccount, address, canaries, new_client, order, prepaid::Client, receiver::Receiver,
};
use uuid::Uuid;

use crate::meter::Meter;

const POST: &str = "`POST /v1/orders`";

pub(crate) async fn measure(meter: &mut Meter) {
    with_a_login(meter).await;
    with_a_managed_account(meter).await;
    with_the_operators_account(meter).await;
    afterwards(meter).await;
}

async fn post(meter: &mut Meter, what: &str, client: &Client, body: &Value) -> String {
    let call = client.api.v1(Method::POST, "/v1/orders", Some(body));
    let answer = meter.request(&format!("{POST} {what}"), "create-order", client, call).await;
    answer["request_id"].as_str().unwrap().to_owned()
}

async fn with_a_login(meter: &mut Meter) {
    let client = Client::new();
    let account = ShopAccount::new().await;
    let seen = tests::logs::of("authorizer").len();
    let plain = post(meter, "with a login", &client, &order(&account)).await;
    let is_clients = |line: &Value| line["client.id"] == client.id;
    let line = tests::logs::next("authorizer", seen, is_clients).await;
    meter.note("a key that API Gateway has not asked for lately", "authorizer", &line);

    let mut keyed = order(&account);
    keyed["idempotency_key"] = json!(Uuid::new_v4().to_string());
    let first = post(meter, "with a login and an idempotency key", &client, &keyed).await;
    let again = post(meter, "the same once more", &client, &keyed).await;
    assert_eq!(first, again);

    let paid = post(meter, "with a login and a card", &client, &with_card(&order(&account))).await;

    let receiver = Receiver::start().await;
    let userinfo = format!("me:{}", canaries::WEBHOOK_PASSWORD);
    let mut told = order(&account);
    told["webhooks"] = json!({"order_placed": receiver.url_with_login(&userinfo, "/placed")});
    let told = post(meter, "with a login and a webhook that has a password", &client, &told).await;
    for id in [plain, first, paid, told] {
        client.api.ended(&id).await;
    }
    receiver.wait_for("/placed", 1).await;
}

pub(crate) fn with_card(order: &Value) -> Value {
    let mut body = order.clone();
    body["payment_method"] = json!({
        "name_on_card": "Ben Bitdiddle",
        "number": canaries::CARD_NUMBER,
        "security_code": canaries::CARD_CODE,
        "expiration_month": 1,
        "expiration_year": 2030,
    });
    body["billing_address"] = address();
    body
}

/// An order that says nothing of the account.
pub(crate) fn without_login(account: &ShopAccount) -> Value {
    let mut body = order(account);
    body.as_object_mut().unwrap().remove("retailer_credentials");
    body
}

/// Stores an account that buys at any retailer, and returns its id.
pub(crate) async fn store(api: &Api, account: &ShopAccount) -> String {
    let body = json!({"email": account.email, "password": account.password});
    let stored = api.modern(Method::POST, "/managed-accounts", Some(&body)).await.ok();
    stored["short_id"].as_str().unwrap().to_owned()
}

async fn with_a_managed_account(meter: &mut Meter) {
    let client = Client::new();
    let accounts = [ShopAccount::new().await, ShopAccount::new().await];
    let stored = store(&client.api, &accounts[0]).await;
    let body = without_login(&accounts[0]);
    let mut named = body.clone();
    named["retailer_credentials_id"] = json!(stored);
    let named = post(meter, "naming a managed account", &client, &named).await;
    let only = post(meter, "on the client's only managed account", &client, &body).await;
    store(&client.api, &accounts[1]).await;
    let one = post(meter, "on one of the client's managed accounts", &client, &body).await;
    for id in [named, only, one] {
        client.api.ended(&id).await;
    }
}

async fn with_the_operators_account(meter: &mut Meter) {
    let operator = Api::with_key(&new_client(&["--operator"]));
    without_accounts(&operator).await;
    let account = ShopAccount::new().await;
    let stored = store(&operator, &account).await;
    let client = Client::new();
    let body = without_login(&account);
    let lent = post(meter, "on the operator's only account", &client, &body).await;

    client.deposit(2_300, "wire");
    let mut prepaid = body.clone();
    prepaid["addax"] = json!(true);
    prepaid.as_object_mut().unwrap().remove("payment_method");
    let paid = post(meter, "paid from the balance", &client, &prepaid).await;
    let refused = "paid from a balance that does not suffice";
    prepaid["max_price"] = json!(1_000_000);
    let refused = post(meter, refused, &client, &prepaid).await;
    for id in [&lent, &paid, &refused] {
        client.api.ended(id).await;
    }
    refund(meter, &client, &paid).await;
    delete(&operator, &stored).await;
}

/// Other tests leave some behind.
async fn without_accounts(api: &Api) {
    let listed = api.modern(Method::GET, "/managed-accounts?limit=500", None).await.ok();
    for account in listed["credentials"].as_array().unwrap() {
        delete(api, account["short_id"].as_str().unwrap()).await;
    }
}

async fn delete(api: &Api, account: &str) {
    let path = format!("/managed-accounts/{account}");
    let answer = api.modern(Method::DELETE, &path, None).await;
    assert!(answer.status.is_success(), "{answer:?}");
}

async fn refund(meter: &mut Meter, client: &Client, order: &str) {
    let path = format!("/v1/orders/{order}/refund");
    let get = || client.api.v1(Method::GET, &path, None);
    let what = "`GET /v1/orders/{request_id}/refund`";
    meter.request(&format!("{what} before one was asked for"), "get-refund", client, get()).await;
    let wish = json!({"reason": "other"});
    let call = client.api.v1(Method::POST, &path, Some(&wish));
    let asked = "`POST /v1/orders/{request_id}/refund`";
    meter.request(asked, "request-refund", client, call).await;
    meter.request(what, "get-refund", client, get()).await;
}

async fn afterwards(meter: &mut Meter) {
    let client = Client::new();
    let account = ShopAccount::new().await;
    let mut dear = order(&account);
    dear["max_price"] = json!(1);
    let failed = client.api.order(&dear).await;
    client.api.ended(&failed).await;
    let path = format!("/v1/orders/{failed}");
    let call = client.api.v1(Method::GET, &path, None);
    meter.request("`GET /v1/orders/{request_id}`", "get-order", &client, call).await;
    let call = client.api.v1(Method::GET, "/v1/orders", None);
    meter.request("`GET /v1/orders`", "list-orders", &client, call).await;

    // The second of these waits behind the first.
    account.behave("review", json!({"delay_ms": 2000, "times": 1})).await;
    let first = client.api.order(&order(&account)).await;
    let second = client.api.order(&order(&account)).await;
    let what = "`POST /v1/orders/{request_id}/abort`";
    let path = format!("/v1/orders/{second}/abort");
    let abort = || client.api.v1(Method::POST, &path, None);
    meter.request(what, "abort-order", &client, abort()).await;
    meter
        .request(&format!("{what} of one that was aborted"), "abort-order", &client, abort())
        .await;
    client.api.ended(&first).await;

    let what = "`POST /v1/orders/{request_id}/retry`";
    let path = format!("/v1/orders/{failed}/retry");
    let changes = json!({"max_price": 2300});
    let retry = || client.api.v1(Method::POST, &path, Some(&changes));
    let again = meter.request(what, "retry-order", &client, retry()).await;
    meter.request(&format!("{what} once more"), "retry-order", &client, retry()).await;
    client.api.ended(again["request_id"].as_str().unwrap()).await;
}
