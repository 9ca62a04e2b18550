//! What outlives `down` and `up`: accounts, orders and queued work.
//!
//! `cargo xtask test` runs `before`, restarts the stack, and runs `after`.

use std::{fs, time::Duration};

use http::Method;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tests::{Api, ShopAccount, order, restart_notes, wait};

#[tokio::test]
async fn before() {
    let api = Api::first();
    let account = ShopAccount::new().await;
    let stored =
        json!({"email": account.email, "password": account.password, "retailer": "amazon"});
    let stored = api.modern(Method::POST, "/managed-accounts", Some(&stored)).await.ok();
    let mut body = order(&account);
    body.as_object_mut().unwrap().remove("retailer_credentials");
    body["retailer_credentials_id"] = stored["short_id"].clone();
    let placed = api.order(&body).await;
    let placed = api.ended(&placed).await;

    // The shop keeps the first of these busy past the end of the stack; the others wait in the queue.
    account.behave("review", json!({"delay_ms": 30_000, "times": 1})).await;
    let mut queued = Vec::new();
    for _ in 0..3 {
        queued.push(api.order(&body).await);
    }
    wait(Duration::from_secs(20), "the first order to be worked on", async || {
        let reviews =
            account.journal().await.iter().filter(|entry| entry["kind"] == "review").count();
        (reviews == 2).then_some(())
    })
    .await;
    let notes_text =
        json!({"email": account.email, "account": stored, "placed": placed, "queued": queued});
    fs::write(restart_notes(), notes_text.to_string()).unwrap();
}

#[tokio::test]
async fn after() {
    let api = Api::first();
    let notes: Value = serde_json::from_str(&fs::read_to_string(restart_notes()).unwrap()).unwrap();
    let email = notes["email"].as_str().unwrap();
    let listed =
        api.modern(Method::GET, &format!("/managed-accounts?search={email}"), None).await.ok();
    assert_eq!(listed["credentials"][0]["id"], notes["account"]["id"]);
    let placed = &notes["placed"];
    assert_eq!(&api.get(placed["request_id"].as_str().unwrap()).await, placed);
    for id in notes["queued"].as_array().unwrap() {
        let ended = api.ended_within(id.as_str().unwrap(), Duration::from_mins(2)).await;
        assert_eq!(ended["_type"], "order_response", "{ended}");
        // The queue itself brought it back: the sweeper sends nothing again before two minutes have passed.
        let time = |name: &str| ended[name].as_str().unwrap().parse::<Timestamp>().unwrap();
        let took = time("_finalized_at").duration_since(time("_created_at"));
        assert!(took < SignedDuration::from_mins(2), "{ended}");
    }
    let account =
        ShopAccount { email: email.to_owned(), password: String::new(), totp_secret: None };
    assert_eq!(account.ledger().await.len(), 4);
}
