//! Managed accounts beyond the documents' examples: merging, searching, tenancy, the lock, and orders that use them.

use http::{Method, StatusCode};
use serde_json::{Value, json};
use std::time::Duration;
use tests::{Api, STACK, ShopAccount, canaries, order, order_with_account, tables, wait};

async fn create(api: &Api, body: &Value) -> Value {
    let answer = api.modern(Method::POST, "/managed-accounts", Some(body)).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
    answer.json()
}

async fn update(api: &Api, account: &Value, body: &Value) -> Value {
    let path = format!("/managed-accounts/{}", account["short_id"].as_str().unwrap());
    api.modern(Method::PUT, &path, Some(body)).await.ok()
}

async fn find(api: &Api, email: &str) -> Value {
    api.modern(Method::GET, &format!("/managed-accounts?search={email}"), None).await.ok()
}

/// A managed account for a retailer that this test alone uses, made from a shop account.
fn body(account: &ShopAccount, retailer: Option<&str>) -> Value {
    json!({"email": account.email, "password": account.password, "totp_secret": account.totp_secret, "retailer": retailer})
}

#[tokio::test]
async fn an_update_changes_what_it_names_and_merges_the_config() {
    let api = Api::first();
    let account = ShopAccount::with_totp().await;
    let mut wanted = body(&account, Some("amazon"));
    wanted["retailer_config"] = json!({"keep": 1, "change": {"deep": [1]}, "delete": true});
    let stored = create(&api, &wanted).await;
    assert_eq!(stored["has_totp"], true);

    let changed = update(
        &api,
        &stored,
        &json!({"retailer_config": {"change": 2, "delete": null, "new": "x"}}),
    )
    .await;
    assert_eq!(changed["retailer_config"], json!({"keep": 1, "change": 2, "new": "x"}));
    for field in
        ["id", "short_id", "email", "retailer", "has_totp", "forwarding_email", "created_at"]
    {
        assert_eq!(changed[field], stored[field], "{field}");
    }
    assert!(changed["updated_at"].as_str() > stored["updated_at"].as_str());

    let changed = update(&api, &stored, &json!({"retailer": null, "totp_secret": null})).await;
    assert_eq!((&changed["retailer"], &changed["has_totp"]), (&Value::Null, &json!(false)));
    let unchanged = update(&api, &stored, &json!({})).await;
    assert_eq!(unchanged["email"], stored["email"]);
}

#[tokio::test]
async fn a_new_password_is_used_and_the_totp_secret_kept() {
    let api = Api::first();
    let account = ShopAccount::with_totp().await;
    let stored = create(&api, &body(&account, Some("amazon"))).await;
    let password = canaries::password();
    account.put(&password).await;
    let failed = api.ended(&api.order(&order_with_account(&account, &stored)).await).await;
    assert_eq!(failed["code"], "invalid_login_credentials", "{failed}");
    update(&api, &stored, &json!({"password": password})).await;
    let placed = api.ended(&api.order(&order_with_account(&account, &stored)).await).await;
    assert_eq!(placed["_type"], "order_response", "{placed}");
    assert_eq!(placed["merchant_order_ids"][0]["account"], account.email);
}

#[tokio::test]
async fn lists_are_paged_searched_and_newest_first() {
    let api = Api::second();
    let marker = uuid::Uuid::new_v4().simple().to_string();
    for number in 0..3 {
        create(
            &api,
            &json!({"email": format!("{number}.{marker}@example.com"), "retailer": "costco"}),
        )
        .await;
    }
    let page = api
        .modern(Method::GET, &format!("/managed-accounts?search={marker}&limit=2&offset=1"), None)
        .await
        .ok();
    assert_eq!(page["total"], 3);
    let emails: Vec<_> =
        page["credentials"].as_array().unwrap().iter().map(|one| one["email"].clone()).collect();
    assert_eq!(emails, [format!("1.{marker}@example.com"), format!("0.{marker}@example.com")]);
    let by_retailer = find(&api, "COSTCO").await;
    assert!(by_retailer["total"].as_u64() >= Some(3));
    assert_eq!(find(&Api::first(), &marker).await, json!({"credentials": [], "total": 0}));
}

#[tokio::test]
async fn another_clients_account_answers_like_none() {
    let (owner, other) = (Api::first(), Api::second());
    let account = ShopAccount::new().await;
    let stored = create(&owner, &body(&account, Some("amazon"))).await;
    let foreign = format!("/managed-accounts/{}", stored["short_id"].as_str().unwrap());
    let unknown = "/managed-accounts/zn_acct_000000000000";
    for method in [Method::PUT, Method::DELETE] {
        let change = (method == Method::PUT).then(|| json!({"password": canaries::password()}));
        let answers = [
            other.modern(method.clone(), &foreign, change.as_ref()).await,
            other.modern(method.clone(), unknown, change.as_ref()).await,
        ];
        assert_eq!(answers[0].status, StatusCode::NOT_FOUND);
        assert_eq!((answers[0].status, &answers[0].text), (answers[1].status, &answers[1].text));
    }
    let refused =
        other.v1(Method::POST, "/v1/orders", Some(&order_with_account(&account, &stored))).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert_eq!(find(&owner, &account.email).await["total"], 1);
}

#[tokio::test]
async fn a_deleted_account_is_gone_and_its_waiting_orders_fail() {
    let api = Api::first();
    let account = ShopAccount::new().await;
    let stored = create(&api, &body(&account, Some("amazon"))).await;
    account.behave("review", json!({"delay_ms": 1500, "times": 1})).await;
    let ids = [
        api.order(&order_with_account(&account, &stored)).await,
        api.order(&order_with_account(&account, &stored)).await,
    ];
    wait(Duration::from_secs(20), "the first order to be worked on", async || {
        account.journal().await.iter().any(|entry| entry["kind"] == "review").then_some(())
    })
    .await;
    let path = format!("/managed-accounts/{}", stored["short_id"].as_str().unwrap());
    assert_eq!(api.modern(Method::DELETE, &path, None).await.status, StatusCode::NO_CONTENT);
    assert_eq!(api.modern(Method::DELETE, &path, None).await.status, StatusCode::NOT_FOUND);
    assert_eq!(api.ended(&ids[0]).await["_type"], "order_response");
    assert_eq!(api.ended(&ids[1]).await["code"], "account_login_failed");
    assert_eq!(account.ledger().await.len(), 1);
}

#[tokio::test]
async fn an_order_does_not_follow_its_account_to_another_email() {
    let api = Api::first();
    let (account, other) = (ShopAccount::new().await, ShopAccount::new().await);
    let stored = create(&api, &body(&account, Some("amazon"))).await;
    account.behave("review", json!({"delay_ms": 1500, "times": 1})).await;
    let first = api.order(&order_with_account(&account, &stored)).await;
    let second = api.order(&order_with_account(&account, &stored)).await;
    wait(Duration::from_secs(20), "the first order to be worked on", async || {
        account.journal().await.iter().any(|entry| entry["kind"] == "review").then_some(())
    })
    .await;
    // The second order waits in the first account's turn; it must not buy with the other account out of turn.
    update(&api, &stored, &json!({"email": other.email, "password": other.password})).await;
    assert_eq!(api.ended(&first).await["_type"], "order_response");
    assert_eq!(api.ended(&second).await["code"], "account_login_failed");
    assert!(other.journal().await.is_empty());
}

#[tokio::test]
async fn the_lock_shows_the_owner_which_order_holds_the_account() {
    let api = Api::first();
    let account = ShopAccount::new().await;
    let stored = create(&api, &body(&account, None)).await;
    assert_eq!(stored["locked_by_job_id"], Value::Null);
    let seen_by_other = create(&Api::second(), &body(&account, None)).await;
    account.behave("review", json!({"delay_ms": 2000, "times": 1})).await;
    let id = api.order(&order_with_account(&account, &stored)).await;
    wait(Duration::from_secs(20), "the lock", async || {
        let listed = find(&api, &account.email).await;
        (listed["credentials"][0]["locked_by_job_id"] == id).then_some(())
    })
    .await;
    let listed = find(&Api::second(), &account.email).await;
    assert_eq!(listed["credentials"][0]["short_id"], seen_by_other["short_id"]);
    assert_eq!(
        listed["credentials"][0]["locked_by_job_id"],
        Value::Null,
        "whose job it is stays private"
    );
    api.ended(&id).await;
    wait(Duration::from_secs(5), "the lock to go", async || {
        find(&api, &account.email).await["credentials"][0]["locked_by_job_id"]
            .is_null()
            .then_some(())
    })
    .await;
    // Default accounts would serve other tests' orders.
    remove(&api, &stored).await;
    remove(&Api::second(), &seen_by_other).await;
}

async fn remove(api: &Api, account: &Value) {
    let path = format!("/managed-accounts/{}", account["short_id"].as_str().unwrap());
    let answer = api.modern(Method::DELETE, &path, None).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn without_a_login_an_order_uses_a_free_account_of_its_retailer() {
    // No other test of this client stores accounts for this retailer.
    let api = Api::second();
    let accounts = [ShopAccount::new().await, ShopAccount::new().await];
    for account in &accounts {
        create(&api, &body(account, Some("aliexpress"))).await;
        account.behave("review", json!({"delay_ms": 1000, "times": 1})).await;
    }
    let mut wanted = order(&accounts[0]);
    wanted.as_object_mut().unwrap().remove("retailer_credentials");
    wanted["retailer"] = json!("aliexpress");
    wanted["payment_method"] = json!({"use_gift": false});
    let ids = [api.order(&wanted).await, api.order(&wanted).await];
    let mut used = Vec::new();
    for id in &ids {
        let placed = api.ended(id).await;
        used.push(placed["merchant_order_ids"][0]["account"].as_str().expect("placed").to_owned());
    }
    used.sort();
    let mut emails = accounts.map(|account| account.email);
    emails.sort();
    assert_eq!(used, emails, "each account took one");
}

#[tokio::test]
async fn forwarding_addresses_differ_and_are_of_the_inbound_domain() {
    let api = Api::first();
    let account = ShopAccount::new().await;
    let first =
        create(&api, &body(&account, None)).await["forwarding_email"].as_str().unwrap().to_owned();
    let second =
        create(&api, &body(&account, None)).await["forwarding_email"].as_str().unwrap().to_owned();
    assert_ne!(first, second);
    for address in [first, second] {
        assert!(address.ends_with(&format!("@{}", STACK.inbound_domain)), "{address}");
    }
}

/// An account that failed this often in a row, the last time at the retailer's lock, and is paused until then.
fn locked_until(until_ms: i64) -> Value {
    json!({
        "last_sign_in": 1_500,
        "last_error": {"code": "account_locked", "message": "It is locked.", "at": 2_000},
        "failures": 3,
        "paused_until": until_ms,
    })
}

/// As stored: a failing account that is not paused any more, or not yet.
fn failing() -> Value {
    let error = json!({"code": "login_failed", "message": "Wrong password.", "at": 2_000});
    json!({"last_sign_in": null, "last_error": error, "failures": 2, "paused_until": null})
}

/// Milliseconds since 1970, in so many minutes.
fn in_minutes(minutes: i64) -> i64 {
    #[expect(clippy::disallowed_methods, reason = "from the real time")]
    let now = jiff::Timestamp::now();
    (now + jiff::SignedDuration::from_mins(minutes)).as_millisecond()
}

fn short_id(account: &Value) -> &str {
    account["short_id"].as_str().unwrap()
}

/// The members that say how an account does.
fn health(account: &Value) -> [&Value; 4] {
    ["last_sign_in", "last_error", "is_paused", "cooldown_minutes"].map(|name| &account[name])
}

const HEALTHY: [Value; 4] = [Value::Null, Value::Null, Value::Bool(false), Value::Null];

#[tokio::test]
async fn an_account_shows_how_its_sign_ins_go() {
    let api = Api::first();
    let account = ShopAccount::new().await;
    let stored = create(&api, &body(&account, Some("amazon"))).await;
    assert_eq!(health(&stored), HEALTHY.each_ref());

    tables::set_health(short_id(&stored), &locked_until(in_minutes(20))).await;
    let listed = find(&api, &account.email).await["credentials"][0].clone();
    let error = json!({
        "code": "account_locked",
        "message": "It is locked.",
        "at": "1970-01-01T00:00:02.000000Z",
    });
    let [last_sign_in, last_error, is_paused, cooldown_minutes] = health(&listed);
    assert_eq!((last_error, is_paused), (&error, &json!(true)));
    assert_eq!(last_sign_in, "1970-01-01T00:00:01.500000Z");
    assert!([19, 20].map(|minutes| json!(minutes)).contains(cooldown_minutes), "{listed}");

    tables::set_health(short_id(&stored), &locked_until(in_minutes(-1))).await;
    let listed = find(&api, &account.email).await["credentials"][0].clone();
    assert_eq!(health(&listed)[1..], [&error, &json!(false), &Value::Null], "the pause is over");
    remove(&api, &stored).await;
}

#[tokio::test]
async fn another_login_or_the_clients_word_ends_a_pause_and_nothing_else_does() {
    let api = Api::first();
    let account = ShopAccount::with_totp().await;
    let stored = create(&api, &body(&account, Some("amazon"))).await;
    let id = short_id(&stored);
    let other_email = format!("other.{}", account.email);
    for change in [
        json!({"retailer": "amazon_uk"}),
        json!({"retailer_config": {"x": 1}, "is_paused": null}),
        json!({"email": account.email}),
        json!({}),
    ] {
        tables::set_health(id, &locked_until(in_minutes(20))).await;
        let changed = update(&api, &stored, &change).await;
        assert_eq!(changed["is_paused"], true, "{change}");
    }
    for (change, keeps_sign_in) in [
        (json!({"password": canaries::password()}), true),
        (json!({"totp_secret": canaries::totp_secret()}), true),
        (json!({"totp_secret": null}), true),
        (json!({"is_paused": false}), true),
        (json!({"email": other_email}), false),
    ] {
        tables::set_health(id, &locked_until(in_minutes(20))).await;
        let changed = update(&api, &stored, &change).await;
        assert_eq!(health(&changed)[1..], [&Value::Null, &json!(false), &Value::Null], "{change}");
        assert_eq!(changed["last_sign_in"].is_string(), keeps_sign_in, "{change}");
        assert_eq!(find(&api, &other_email).await["total"] == 1, !keeps_sign_in);
    }
    // What failed before no longer counts, either.
    tables::set_health(id, &failing()).await;
    assert!(update(&api, &stored, &json!({})).await["last_error"].is_object());
    assert_eq!(
        health(&update(&api, &stored, &json!({"is_paused": false})).await),
        HEALTHY.each_ref()
    );
    remove(&api, &stored).await;
}

#[tokio::test]
async fn another_email_is_another_mailbox_which_forwards_nothing_yet() {
    let api = Api::first();
    let account = ShopAccount::new().await;
    let stored = create(&api, &body(&account, Some("amazon"))).await;
    tables::confirm_forwarding(short_id(&stored)).await;
    let changed = update(&api, &stored, &json!({"password": canaries::password()})).await;
    assert_eq!(changed["has_forwarding"], true);
    let email = format!("other.{}", account.email);
    let changed = update(&api, &stored, &json!({"email": email})).await;
    assert_eq!(changed["has_forwarding"], false);
    remove(&api, &stored).await;
}

#[tokio::test]
async fn an_order_that_names_a_paused_account_is_refused_at_once() {
    let api = Api::first();
    let account = ShopAccount::new().await;
    let stored = create(&api, &body(&account, Some("amazon"))).await;
    let mut wanted = order_with_account(&account, &stored);
    wanted["products"] = json!([{"product_id": "SANDBOX-PRODUCT-UNAVAILABLE"}]);
    let failed = api.order(&wanted).await;
    assert_eq!(api.ended(&failed).await["_type"], "error");

    tables::set_health(short_id(&stored), &locked_until(in_minutes(20))).await;
    let retry = format!("/v1/orders/{failed}/retry");
    for (path, body) in [("/v1/orders", Some(&wanted)), (retry.as_str(), None)] {
        let answer = api.v1(Method::POST, path, body).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text);
        let refused = answer.json();
        assert_eq!(refused["code"], "account_locked", "{path}: {refused}");
        let data = &refused["data"];
        assert_eq!((&data["account"], &data["is_paused"]), (&stored["short_id"], &json!(true)));
        assert_eq!(data["last_error"]["code"], "account_locked", "{refused}");
        assert!(data["cooldown_minutes"].as_u64() >= Some(19), "{refused}");
        assert_eq!(refused.get("request_id"), None, "{path}: {refused}");
    }
    update(&api, &stored, &json!({"is_paused": false})).await;
    let retried =
        api.post(&retry, Some(&json!({"products": [{"product_id": "B0016NHH56"}]}))).await;
    assert_eq!(api.ended(&retried).await["_type"], "order_response");
    remove(&api, &stored).await;
}

#[tokio::test]
async fn an_equal_request_finds_its_order_although_the_account_is_paused_by_now() {
    let api = Api::first();
    let account = ShopAccount::new().await;
    let stored = create(&api, &body(&account, Some("amazon"))).await;
    let mut wanted = order_with_account(&account, &stored);
    wanted["idempotency_key"] = json!(uuid::Uuid::new_v4().to_string());
    let accepted = api.order(&wanted).await;
    api.ended(&accepted).await;
    tables::set_health(short_id(&stored), &locked_until(in_minutes(20))).await;
    assert_eq!(api.order(&wanted).await, accepted);
    remove(&api, &stored).await;
}

#[tokio::test]
async fn an_order_without_a_login_passes_over_paused_accounts() {
    let client = tests::prepaid::Client::new();
    let api = &client.api;
    let accounts = [ShopAccount::new().await, ShopAccount::new().await];
    let mut stored = Vec::new();
    for account in &accounts {
        stored.push(create(api, &body(account, Some("amazon"))).await);
    }
    tables::set_health(short_id(&stored[0]), &locked_until(in_minutes(20))).await;
    let mut wanted = order(&accounts[0]);
    wanted.as_object_mut().unwrap().remove("retailer_credentials");
    for _ in 0..2 {
        let placed = api.ended(&api.order(&wanted).await).await;
        assert_eq!(placed["merchant_order_ids"][0]["account"], accounts[1].email, "{placed}");
    }
    tables::set_health(short_id(&stored[1]), &locked_until(in_minutes(10))).await;
    for bundled in [false, true] {
        if bundled {
            wanted["bundled"] = json!(true);
        }
        let refused = api.v1(Method::POST, "/v1/orders", Some(&wanted)).await.json();
        assert_eq!(refused["code"], "account_locked", "{refused}");
        assert_eq!(
            refused["data"]["account"], stored[1]["short_id"],
            "the first to be tried again"
        );
    }
}

#[tokio::test]
async fn the_mails_of_an_account_are_listed_newest_first_and_for_its_owner_only() {
    let (api, other) = (Api::first(), Api::second());
    let account = ShopAccount::new().await;
    let stored = create(&api, &body(&account, Some("amazon"))).await;
    let id = short_id(&stored);
    let path = format!("/managed-accounts/{id}/mails");
    let list = async |query: &str| api.modern(Method::GET, &format!("{path}{query}"), None).await;
    assert_eq!(list("").await.ok(), json!({"mails": [], "total": 0}));

    tables::log_mail(id, "first", 999, None).await;
    tables::log_mail(id, "third", 86_400_000, None).await;
    tables::log_mail(id, "second", 1_000, Some("unsigned")).await;
    let mails = list("").await.ok();
    let ids = mails["mails"].as_array().unwrap().iter().map(|mail| mail["message_id"].clone());
    assert_eq!(ids.collect::<Value>(), json!(["third", "second", "first"]));
    assert_eq!(mails["total"], 3);
    let second = json!({
        "message_id": "second",
        "received_at": "1970-01-01T00:00:01.000000Z",
        "from_domain": "example.com",
        "kind": "forwarding_confirmation",
        "accepted": false,
        "reason": "unsigned",
    });
    assert_eq!(mails["mails"][1], second);
    let older = api.modern(Method::GET, &format!("/users{path}"), None).await.ok();
    assert_eq!(older, mails);
    let page = list("?limit=2").await.ok();
    assert_eq!((page["mails"].as_array().unwrap().len(), &page["total"]), (2, &json!(3)));

    let foreign = other.modern(Method::GET, &path, None).await;
    let unknown = other.modern(Method::GET, "/managed-accounts/zn_acct_000000000000/mails", None);
    let unknown = unknown.await;
    assert_eq!(foreign.status, StatusCode::NOT_FOUND);
    assert_eq!((foreign.status, foreign.text), (unknown.status, unknown.text));
    remove(&api, &stored).await;
    assert_eq!(list("").await.status, StatusCode::NOT_FOUND);
}
