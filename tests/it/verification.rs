//! Orders on accounts whose retailer asks for a code: from an authenticator, or out of a mail.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use tests::{
    Api, ShopAccount, code_mails, logs, mail, order, order_with_account, prepaid::Client,
    receiver::Receiver, wait,
};

/// A shop account that mails codes, its managed account, and where its mail is forwarded to.
async fn with_mailed_codes(api: &Api, mailbox: Mailbox) -> (ShopAccount, Value) {
    let account = ShopAccount::new().await;
    let body = json!({"email": account.email, "password": account.password, "retailer": "amazon"});
    let stored = api.modern(Method::POST, "/managed-accounts", Some(&body)).await.json();
    let mailbox = match mailbox {
        Mailbox::Forwards => stored["forwarding_email"].as_str().unwrap().to_owned(),
        Mailbox::Keeps => format!("{}@elsewhere.example", account.email.split('@').next().unwrap()),
    };
    account.mails_codes(&mailbox).await;
    (account, stored)
}

enum Mailbox {
    /// To us.
    Forwards,
    /// To nobody: the test reads it.
    Keeps,
}

/// How often a worker was started for the order.
fn turns(id: &str) -> usize {
    let begin = format!("place_order {id}");
    let lines = logs::of("order-processor").into_iter();
    lines.filter(|line| line["message"].as_str().is_some_and(|m| m.starts_with(&begin))).count()
}

/// Well before the wait for a code ends by itself.
const AT_ONCE: Duration = Duration::from_secs(30);

async fn waits_for_code(api: &Api, id: &str) {
    wait(AT_ONCE, "the code to be asked for", async || {
        let updates = api.get(id).await["status_updates"].clone();
        let kinds = updates.as_array().unwrap().iter().map(|update| &update["type"]);
        kinds.into_iter().any(|kind| kind == "verification.requested").then_some(())
    })
    .await;
}

async fn listed(api: &Api, account: &ShopAccount) -> Value {
    let path = format!("/managed-accounts?search={}", account.email);
    api.modern(Method::GET, &path, None).await.ok()["credentials"][0].clone()
}

async fn kinds(account: &ShopAccount) -> Vec<String> {
    let journal = account.journal().await;
    journal.iter().map(|entry| entry["kind"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn an_order_whose_code_is_mailed_goes_on_by_itself() {
    let (api, receiver) = (Client::new().api, Receiver::start().await);
    let (account, stored) = with_mailed_codes(&api, Mailbox::Forwards).await;
    let mut body = order_with_account(&account, &stored);
    body["webhooks"] = json!({"status_updated": receiver.url("/status")});
    let id = api.order(&body).await;
    let ended = api.ended(&id).await;
    assert_eq!(ended["_type"], "order_response", "{ended}");
    assert_eq!(account.ledger().await.len(), 1);
    let signed_in = kinds(&account).await.into_iter().filter(|kind| kind == "sign_in").count();
    assert_eq!(signed_in, 1, "the visit was taken up again");
    let updates = ended["status_updates"].as_array().unwrap();
    let types: Vec<_> = updates.iter().map(|update| update["type"].as_str().unwrap()).collect();
    assert_eq!(
        types[..3],
        ["request.started", "verification.requested", "account.signed_in"],
        "{types:?}"
    );
    let listed = listed(&api, &account).await;
    assert!(listed["last_sign_in"].is_string(), "{listed}");
    assert_eq!(listed["last_error"], Value::Null);
}

#[tokio::test]
async fn while_a_code_is_waited_for_the_account_is_locked_and_others_are_not() {
    let api = Client::new().api;
    let (account, stored) = with_mailed_codes(&api, Mailbox::Keeps).await;
    let first = api.order(&order_with_account(&account, &stored)).await;
    waits_for_code(&api, &first).await;
    let second = api.order(&order_with_account(&account, &stored)).await;
    let third = api.order(&order_with_account(&account, &stored)).await;
    let other = ShopAccount::new().await;
    let elsewhere = api.order(&order(&other)).await;
    assert_eq!(api.ended(&elsewhere).await["_type"], "order_response");
    assert_eq!(listed(&api, &account).await["locked_by_job_id"], json!(first));
    assert_eq!((turns(&second), turns(&third)), (0, 0));

    // Called off, it makes room for the next at once.
    let aborted = api.v1(Method::POST, &format!("/v1/orders/{first}/abort"), None).await.ok();
    assert_eq!(aborted["code"], "aborted_request");
    waits_for_code(&api, &second).await;
    assert_eq!(turns(&third), 0);
    for id in [&third, &second] {
        api.v1(Method::POST, &format!("/v1/orders/{id}/abort"), None).await.ok();
    }
    wait(AT_ONCE, "the account to be free", async || {
        listed(&api, &account).await["locked_by_job_id"].is_null().then_some(())
    })
    .await;
    assert!(account.ledger().await.is_empty());
}

#[tokio::test]
async fn without_the_mail_the_order_fails_and_a_code_sent_along_takes_up_the_visit() {
    let api = Client::new().api;
    let (account, stored) = with_mailed_codes(&api, Mailbox::Keeps).await;
    let id = api.order(&order_with_account(&account, &stored)).await;
    let failed = api.ended_within(&id, Duration::from_mins(3)).await;
    assert_eq!(failed["code"], "account_locked_verification_required", "{failed}");
    for member in ["verification_url", "text", "current_url"] {
        assert!(failed["data"][member].is_string(), "{failed}");
    }
    let listed = listed(&api, &account).await;
    assert_eq!(listed["last_error"]["code"], "account_verification_required", "{listed}");
    assert_eq!(listed["is_paused"], false);

    let mut again = order_with_account(&account, &stored);
    again["retailer_credentials"] = account.credentials();
    again.as_object_mut().unwrap().remove("retailer_credentials_id");
    again["retailer_credentials"]["verification_code"] =
        json!(code_mails::newest(&account.email).await.code);
    let ended = api.ended(&api.order(&again).await).await;
    assert_eq!(ended["_type"], "order_response", "{ended}");
    let signed_in = kinds(&account).await.into_iter().filter(|kind| kind == "sign_in").count();
    assert_eq!(signed_in, 1, "the visit was taken up again");
}

#[tokio::test]
async fn a_login_that_no_mail_can_reach_is_told_at_once_and_its_code_counts_once() {
    let api = Client::new().api;
    let account = ShopAccount::new().await;
    account.mails_codes("nobody@elsewhere.example").await;
    let failed = api.ended(&api.order(&order(&account)).await).await;
    assert_eq!(failed["code"], "account_locked_verification_required", "{failed}");

    let with_code = |code: &str| {
        let mut body = order(&account);
        body["retailer_credentials"]["verification_code"] = json!(code);
        body
    };
    let right = code_mails::newest(&account.email).await.code;
    let wrong = if right == "000000" { "000001" } else { "000000" };
    let failed = api.ended(&api.order(&with_code(wrong)).await).await;
    assert_eq!(failed["code"], "account_locked_verification_required", "{failed}");
    let ended = api.ended(&api.order(&with_code(&right)).await).await;
    assert_eq!(ended["_type"], "order_response", "{ended}");
    // The visit is over, so that the code answers nothing any more.
    let failed = api.ended(&api.order(&with_code(&right)).await).await;
    assert_eq!(failed["code"], "account_locked_verification_required", "{failed}");
    assert_eq!(account.ledger().await.len(), 1);
}

#[tokio::test]
async fn only_the_code_that_was_asked_for_is_used() {
    let api = Client::new().api;
    let (account, stored) = with_mailed_codes(&api, Mailbox::Keeps).await;
    let forwarding = stored["forwarding_email"].as_str().unwrap();
    let first = api.order(&order_with_account(&account, &stored)).await;
    waits_for_code(&api, &first).await;
    let before = code_mails::newest(&account.email).await;
    api.v1(Method::POST, &format!("/v1/orders/{first}/abort"), None).await.ok();

    let second = api.order(&order_with_account(&account, &stored)).await;
    waits_for_code(&api, &second).await;
    let asked = code_mails::newest_after(&account.email, &before.code).await;
    let (sandbox, domain) =
        (format!("no-reply@{}", mail::sandbox_domain()), mail::sandbox_domain());
    let text =
        |code: &str| format!("Your verification code is {code}. It is valid for 30 minutes.");
    let wrong = if asked.code == "000000" { "000001" } else { "000000" };
    let forge =
        |to: &str| mail::plain(&sandbox, to, "Your sandbox verification code", &text(wrong));
    let forged = [
        forge(&account.email),
        mail::sign("amazon.com", &forge(&account.email)),
        mail::sign(&domain, &forge("somebody@sandbox.example")),
        mail::sign(&domain, &forge(&account.email)).replace(wrong, "111111"),
        // Genuine, and of two hours ago.
        mail::sign(&domain, &code_mails::dated(&forge(&account.email), -7200)),
    ];
    for raw in forged {
        mail::send("a@elsewhere.example", forwarding, &raw).await.unwrap();
    }
    mail::send("a@elsewhere.example", forwarding, &asked.raw).await.unwrap();
    let ended = api.ended(&second).await;
    assert_eq!(ended["_type"], "order_response", "{ended}");
    let answers = kinds(&account).await.into_iter().filter(|kind| kind == "sign_in_code").count();
    assert_eq!(answers, 1, "no other code was tried");
}

#[tokio::test]
async fn a_wrong_code_is_tried_once_and_the_right_one_after_it() {
    let api = Client::new().api;
    let (account, stored) = with_mailed_codes(&api, Mailbox::Keeps).await;
    let forwarding = stored["forwarding_email"].as_str().unwrap();
    let id = api.order(&order_with_account(&account, &stored)).await;
    waits_for_code(&api, &id).await;
    let asked = code_mails::newest(&account.email).await;
    let wrong = if asked.code == "000000" { "000001" } else { "000000" };
    let sandbox = format!("no-reply@{}", mail::sandbox_domain());
    let text = format!("Your verification code is {wrong}.");
    let raw = mail::plain(&sandbox, &account.email, "Your sandbox verification code", &text);
    let raw = mail::sign(&mail::sandbox_domain(), &raw);
    mail::send("a@elsewhere.example", forwarding, &raw).await.unwrap();
    account.journaled("sign_in_code", 1).await;
    mail::send("a@elsewhere.example", forwarding, &asked.raw).await.unwrap();
    let ended = api.ended(&id).await;
    assert_eq!(ended["_type"], "order_response", "{ended}");
}

#[tokio::test]
async fn orders_of_one_authenticator_use_a_code_each() {
    let api = Client::new().api;
    let account = ShopAccount::with_totp().await;
    let ids = [api.order(&order(&account)).await, api.order(&order(&account)).await];
    for id in &ids {
        let ended = api.ended_within(id, Duration::from_mins(2)).await;
        assert_eq!(ended["_type"], "order_response", "{ended}");
        let types = ended["status_updates"].to_string();
        assert_eq!(types.matches("request.started").count(), 1, "a wait is no attempt: {types}");
    }
    // The shop takes no code twice and asks again, which would be a third.
    let answers = kinds(&account).await.into_iter().filter(|kind| kind == "sign_in_code").count();
    assert_eq!(answers, 2);
}

#[tokio::test]
async fn a_shop_whose_clock_is_wrong_gets_the_code_that_it_wants() {
    let api = Client::new().api;
    let account = ShopAccount::with_totp().await;
    account.is_ahead_by(-290).await;
    let ended = api.ended(&api.order(&order(&account)).await).await;
    assert_eq!(ended["_type"], "order_response", "{ended}");
}

#[tokio::test]
async fn an_account_that_keeps_failing_is_paused_until_its_password_is_changed() {
    let api = Client::new().api;
    let account = ShopAccount::new().await;
    let body = json!({"email": account.email, "password": "not it", "retailer": "amazon"});
    let stored = api.modern(Method::POST, "/managed-accounts", Some(&body)).await.json();
    for _ in 0..3 {
        let failed = api.ended(&api.order(&order_with_account(&account, &stored)).await).await;
        assert_eq!(failed["code"], "invalid_login_credentials", "{failed}");
    }
    let paused = listed(&api, &account).await;
    assert_eq!((&paused["is_paused"], &paused["cooldown_minutes"]), (&json!(true), &json!(15)));
    assert_eq!(paused["last_error"]["code"], "login_failed");
    let refused = api
        .v1(Method::POST, "/v1/orders", Some(&order_with_account(&account, &stored)))
        .await
        .json();
    assert_eq!(refused["code"], "account_login_failed", "{refused}");
    assert_eq!(refused["data"]["cooldown_minutes"], 15);

    let path = format!("/managed-accounts/{}", stored["short_id"].as_str().unwrap());
    let body = json!({"password": account.password});
    let changed = api.modern(Method::PUT, &path, Some(&body)).await.ok();
    assert_eq!(changed["is_paused"], false);
    let ended = api.ended(&api.order(&order_with_account(&account, &stored)).await).await;
    assert_eq!(ended["_type"], "order_response", "{ended}");
}
