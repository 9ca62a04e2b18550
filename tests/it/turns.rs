//! One retailer account never runs two jobs at once, and different accounts never wait for each other.

use std::{collections::BTreeMap, time::Duration};

use futures::future::join_all;
use serde_json::{Value, json};
use tests::{Api, ShopAccount, order};

/// How long the shop takes for a review, so that the time a visit takes is the shop's and not this machine's.
const SHOP_DELAY_MS: u64 = 400;

/// When one visit (all requests of a session) began and ended.
#[derive(Debug)]
struct Visit {
    began_ms: i64,
    ended_ms: i64,
}

#[tokio::test]
async fn ten_orders_on_each_of_five_accounts_take_turns_and_run_in_parallel() {
    let api = Api::first();
    let mut accounts = Vec::new();
    for _ in 0..5 {
        let account = ShopAccount::new().await;
        account.behave("review", json!({"delay_ms": SHOP_DELAY_MS})).await;
        accounts.push(account);
    }

    // One client task for each account keeps the order of acceptance known; the five run at once.
    let post_ten = async |account: &ShopAccount| {
        let mut ids = Vec::new();
        for number in 1..=10 {
            let mut body = order(account);
            body["products"][0]["quantity"] = json!(number);
            body["max_price"] = json!(100_000);
            ids.push(api.order(&body).await);
        }
        ids
    };
    let posted: Vec<Vec<String>> = join_all(accounts.iter().map(post_ten)).await;

    for id in posted.iter().flatten() {
        let ended = api.ended_within(id, Duration::from_mins(2)).await;
        assert_eq!(ended["_type"], "order_response", "{ended}");
    }
    let mut all: Vec<Vec<Visit>> = Vec::new();
    for account in &accounts {
        let visits = visits(&account.journal().await);
        for pair in visits.windows(2) {
            assert!(
                pair[0].ended_ms <= pair[1].began_ms,
                "two visits of one account overlap: {pair:?}"
            );
        }
        assert_eq!(
            bought_quantities(account).await,
            (1..=10).collect::<Vec<_>>(),
            "in the order they were posted"
        );
        all.push(visits);
    }

    let span = |visits: &[Visit]| visits.last().unwrap().ended_ms - visits[0].began_ms;
    let longest_ms = all.iter().map(|visits| span(visits)).max().unwrap();
    let first_ms = all.iter().map(|visits| visits[0].began_ms).min().unwrap();
    let last_ms = all.iter().map(|visits| visits.last().unwrap().ended_ms).max().unwrap();
    let sum_ms: i64 = all.iter().map(|visits| span(visits)).sum();
    println!(
        "five accounts took {} ms together, the longest {longest_ms} ms, their sum {sum_ms} ms",
        last_ms - first_ms
    );
    assert!(last_ms - first_ms < 2 * longest_ms, "the accounts waited for each other");
    assert!(most_at_once(&all) >= 4, "the accounts did not work in parallel");
}

#[tokio::test]
async fn a_managed_account_and_the_same_login_in_an_order_are_one_account() {
    let api = Api::first();
    let account = ShopAccount::new().await;
    account.behave("review", json!({"delay_ms": SHOP_DELAY_MS})).await;
    let stored = json!({"email": account.email.to_uppercase(), "password": account.password, "retailer": "walmart"});
    let stored = api.modern(http::Method::POST, "/managed-accounts", Some(&stored)).await.ok();
    let mut managed = order(&account);
    managed.as_object_mut().unwrap().remove("retailer_credentials");
    managed["retailer"] = json!("walmart");
    managed["retailer_credentials_id"] = stored["short_id"].clone();

    let mut ids = Vec::new();
    for body in [order(&account), managed.clone(), order(&account), managed] {
        ids.push(api.order(&body).await);
    }
    for id in &ids {
        let ended = api.ended(id).await;
        assert_eq!(ended["_type"], "order_response", "{ended}");
    }
    for pair in visits(&account.journal().await).windows(2) {
        assert!(
            pair[0].ended_ms <= pair[1].began_ms,
            "two visits of one account overlap: {pair:?}"
        );
    }
}

/// The visits of a journal, by their beginning.
fn visits(journal: &[Value]) -> Vec<Visit> {
    let mut sessions: BTreeMap<&str, Visit> = BTreeMap::new();
    for entry in journal {
        let began_ms = entry["started_at_ms"].as_i64().unwrap();
        let ended_ms = entry["ended_at_ms"].as_i64().expect("nothing was killed here");
        let visit = sessions
            .entry(entry["session"].as_str().unwrap())
            .or_insert(Visit { began_ms, ended_ms });
        visit.began_ms = visit.began_ms.min(began_ms);
        visit.ended_ms = visit.ended_ms.max(ended_ms);
    }
    let mut visits: Vec<_> = sessions.into_values().collect();
    visits.sort_by_key(|visit| visit.began_ms);
    visits
}

async fn bought_quantities(account: &ShopAccount) -> Vec<i64> {
    let quantity =
        |purchase: &Value| purchase["orders"][0]["lines"][0]["quantity"].as_i64().unwrap();
    account.ledger().await.iter().map(quantity).collect()
}

/// How many accounts were being worked on at the same moment, at the most.
fn most_at_once(accounts: &[Vec<Visit>]) -> usize {
    let busy_at = |moment: i64| {
        let at_work = |visits: &&Vec<Visit>| {
            visits.iter().any(|visit| visit.began_ms <= moment && moment < visit.ended_ms)
        };
        accounts.iter().filter(at_work).count()
    };
    accounts.iter().flatten().map(|visit| busy_at(visit.began_ms)).max().unwrap_or_default()
}
