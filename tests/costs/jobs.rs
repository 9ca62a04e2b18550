//! Jobs, and what the schedule starts.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::{Value, json};
use tests::{
    STACK, ShopAccount, canaries, code_mails, hours, invoke, logs, mail, order, order_with_account,
    prepaid::Client, queues, receiver::Receiver, tables,
};

use crate::{
    meter::Meter,
    orders::{store, with_card, without_login},
};

const WORKER: &str = "order-processor";
const MAIL: &str = "inbound-email";

pub(crate) async fn measure(meter: &mut Meter) {
    orders(meter).await;
    mailed_codes(meter).await;
    bundles(meter).await;
    webhooks(meter).await;
    leftovers(meter).await;
}

/// Notes what became of the job of the order `id`.
async fn placed(meter: &mut Meter, what: &str, id: &str) {
    let begin = format!("place_order {id}");
    meter.job(what, WORKER, [&begin, "is done"]).await;
}

async fn orders(meter: &mut Meter) {
    let client = Client::new();
    let api = &client.api;
    let account = ShopAccount::new().await;
    let stored = store(api, &account).await;
    let mut managed = without_login(&account);
    managed["retailer_credentials_id"] = json!(stored);
    let mut dear = order(&account);
    dear["max_price"] = json!(1);
    for (what, body, ends) in [
        ("placing an order with a login", order(&account), "order_response"),
        ("placing an order with a login and a card", with_card(&order(&account)), "order_response"),
        ("placing an order on a managed account", managed.clone(), "order_response"),
        (
            "placing an order on a managed account with a card",
            with_card(&managed),
            "order_response",
        ),
        ("placing an order that costs too much", dear, "error"),
    ] {
        let id = api.order(&body).await;
        let ended = api.ended(&id).await;
        assert_eq!(ended["_type"], ends, "{what}: {ended}");
        placed(meter, what, &id).await;
    }

    account.behave("submit_after_commit", json!({"drop": true, "times": 1})).await;
    let id = api.order(&order(&account)).await;
    assert_eq!(api.ended(&id).await["_type"], "order_response");
    let begin = format!("place_order {id}");
    let what = "placing an order without getting an answer";
    meter.job(what, WORKER, [&begin, "comes back"]).await;
    placed(meter, "finding an order in the account's history", &id).await;

    let job = tables::job(&id, "place_order", "order", &id).await;
    let seen = logs::of(WORKER).len();
    queues::send_fifo(&STACK.queues["JobsQueue"], &account.email, &job).await;
    let again = |line: &Value| line["message"].as_str().unwrap_or_default().starts_with(&begin);
    let line = logs::next(WORKER, seen, again).await;
    meter.note("a second message of an order that has ended", WORKER, &line);
}

async fn mailed_codes(meter: &mut Meter) {
    let client = Client::new();
    let account = ShopAccount::new().await;
    let body = json!({"email": account.email, "password": account.password, "retailer": "amazon"});
    let stored = client.api.modern(Method::POST, "/managed-accounts", Some(&body)).await.json();
    account.mails_codes("nobody@elsewhere.example").await;
    let id = client.api.order(&order_with_account(&account, &stored)).await;
    let begin = format!("place_order {id}");
    meter.job("waiting for a mailed code", WORKER, [&begin, "waits"]).await;
    let code = code_mails::newest(&account.email).await;
    let forwarding = stored["forwarding_email"].as_str().unwrap();
    let mail_id = mail::send("a@elsewhere.example", forwarding, &code.raw).await.unwrap();
    assert_eq!(client.api.ended(&id).await["_type"], "order_response");
    meter.job("going on with a mailed code", WORKER, [&begin, "is done"]).await;

    let read = |id: &str| format!("mail {id}");
    meter.job("a mail with a code that is waited for", MAIL, [&read(&mail_id), "is done"]).await;
    let nobody = mail::address("nobody");
    let raw = mail::plain("a@elsewhere.example", &nobody, "Hello", "Hello");
    let mail_id = mail::send("a@elsewhere.example", &nobody, &raw).await.unwrap();
    meter.job("a mail for nobody", MAIL, [&read(&mail_id), "is done"]).await;
    let mail_id = mail::send("a@elsewhere.example", forwarding, &raw).await.unwrap();
    meter.job("a mail that is refused", MAIL, [&read(&mail_id), "is done"]).await;
}

async fn bundles(meter: &mut Meter) {
    let client = Client::new();
    let account = ShopAccount::new().await;
    let bundled = |account: &ShopAccount, product: &str| {
        let mut body = order(account);
        body["bundled"] = json!(true);
        body["products"] = json!([{"product_id": product, "quantity": 1}]);
        body["max_price"] = json!(10_000);
        body
    };
    // 19.99 and 34.99 wait; with 10.00 more they are enough.
    let mut ids = vec![];
    for (what, product) in [
        ("opening a bundle", "B0016NHH56"),
        ("joining a bundle", "B06XGHJ5H3"),
        ("joining a bundle, which is then bought, as the third order", "B0000001234"),
    ] {
        let id = client.api.order(&bundled(&account, product)).await;
        placed(meter, what, &id).await;
        ids.push(id);
    }
    for id in &ids {
        assert_eq!(client.api.ended(id).await["_type"], "order_response");
    }
    // What is not enough is bought after six hours. Ten minutes later its order is seen to, too.
    // Nothing else is to be done for its account then.
    let account = ShopAccount::new().await;
    let alone = client.api.order(&bundled(&account, "B0016NHH56")).await;
    until_bundled(&alone).await;
    let begin = format!("place_bundle {}", tables::bundle_of(&alone).await);
    hours().await.pass(Duration::from_mins(6 * 60 + 5)).await;
    client.api.ended(&alone).await;
    meter.job("placing a bundle of one order", WORKER, [&begin, "is done"]).await;
}

/// Waits until its job has put it into a bundle.
async fn until_bundled(id: &str) {
    let begin = format!("place_order {id}");
    let is_it = |line: &Value| line["message"].as_str().unwrap_or_default().starts_with(&begin);
    logs::next(WORKER, 0, is_it).await;
}

async fn webhooks(meter: &mut Meter) {
    let api = Client::new().api;
    let userinfo = format!("me:{}", canaries::WEBHOOK_PASSWORD);
    let receiver = Receiver::start().await;
    for (what, url, answers) in [
        ("delivering the first webhook of a client", receiver.url("/first"), vec![]),
        ("delivering a webhook", receiver.url("/plain"), vec![]),
        (
            "delivering a webhook to a URL with a password",
            receiver.url_with_login(&userinfo, "/password"),
            vec![],
        ),
        (
            "a webhook that is not received",
            receiver.url("/again"),
            vec![StatusCode::INTERNAL_SERVER_ERROR],
        ),
    ] {
        receiver.answer_first(&answers);
        let mut body = order(&ShopAccount::new().await);
        body["webhooks"] = json!({"order_placed": url});
        let id = api.order(&body).await;
        api.ended(&id).await;
        let begin = format!("deliver {id} to");
        meter.job(what, "webhook-sender", [&begin, "is done"]).await;
        if what == "delivering a webhook" {
            placed(meter, "placing an order with a login and a webhook", &id).await;
        }
    }
    receiver.wait_for("/again", 2).await;

    let url = json!({"url": receiver.url("/own")});
    api.modern(Method::PUT, "/webhooks/endpoint", Some(&url)).await.ok();
    let mut body = order(&ShopAccount::new().await);
    body["webhooks"] = json!({"order_placed": receiver.url("/placed")});
    let id = api.order(&body).await;
    api.ended(&id).await;
    let what = "placing an order with a login, a webhook and an endpoint of the client's own";
    placed(meter, what, &id).await;
    let account = format!("deliver {id} to account");
    let what = "delivering a webhook to the client's own endpoint";
    meter.job(what, "webhook-sender", [&account, "is done"]).await;
}

/// What a crash or a lost message leaves behind.
async fn leftovers(meter: &mut Meter) {
    let client = Client::new();
    let account = ShopAccount::new().await;
    let mut body = without_login(&account);
    body["retailer_credentials_id"] = json!(store(&client.api, &account).await);
    let model = client.api.order(&body).await;
    client.api.ended(&model).await;

    let queued = json!({"state": "queued"});
    let id = tables::copy_order(&model, &queued, tables::FAR_OFF).await;
    let job = tables::job(&id, "place_order", "order", &id).await;
    queues::send_fifo(&STACK.queues["JobsDeadLetterQueue"], &id, &job).await;
    let begin = format!("place_order {id}");
    meter.job("ending an order that nobody could place", "dead-letters", [&begin, "is done"]).await;

    // Long ago nothing was due, and on the first day just one order.
    sweep(meter, "a sweep that finds nothing", "1960-01-01T00:00:00Z").await;
    let lost = tables::copy_order(&model, &queued, 1).await;
    sweep(meter, "a sweep that finds an order without a job", "1970-01-01T00:00:01Z").await;
    client.api.ended(&lost).await;
}

async fn sweep(meter: &mut Meter, what: &str, time: &str) {
    let seen = logs::of("sweeper").len();
    let swept = invoke("SweeperFunction", &json!({"time": time})).await;
    assert_eq!(swept["failed"], 0, "{swept}");
    let at_time = |line: &Value| line["message"].as_str().unwrap_or_default().contains(time);
    let line = logs::next("sweeper", seen, at_time).await;
    meter.note(what, "sweeper", &line);
}
