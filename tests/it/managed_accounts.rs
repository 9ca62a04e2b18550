//! Managed accounts beyond the documents' examples: merging, searching, tenancy, the lock, and orders that use them.

use http::{Method, StatusCode};
use serde_json::{Value, json};
use std::time::Duration;
use tests::{Api, STACK, ShopAccount, canaries, order, wait};

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

/// An order that names a managed account.
fn order_with(account: &ShopAccount, stored: &Value) -> Value {
    let mut body = order(account);
    body.as_object_mut().unwrap().remove("retailer_credentials");
    body["retailer_credentials_id"] = stored["short_id"].clone();
    body
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
    let failed = api.ended(&api.order(&order_with(&account, &stored)).await).await;
    assert_eq!(failed["code"], "invalid_login_credentials", "{failed}");
    update(&api, &stored, &json!({"password": password})).await;
    let placed = api.ended(&api.order(&order_with(&account, &stored)).await).await;
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
    let refused = other.v1(Method::POST, "/v1/orders", Some(&order_with(&account, &stored))).await;
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
        api.order(&order_with(&account, &stored)).await,
        api.order(&order_with(&account, &stored)).await,
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
    let first = api.order(&order_with(&account, &stored)).await;
    let second = api.order(&order_with(&account, &stored)).await;
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
    let id = api.order(&order_with(&account, &stored)).await;
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
