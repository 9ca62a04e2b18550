//! A worker that is killed at the worst moment: every order ends, and none is bought twice.
//!
//! The shop is told to take its time at one step; while it does, the worker that waits for it is killed with SIGKILL.

use std::{process::Command, time::Duration};

use futures::future::join_all;
use serde_json::{Value, json};
use tests::{Api, STACK, ShopAccount, http, order, send, wait};

/// Kills for each moment.
const KILLS: usize = 20;
/// Of these, how many at once: more would only wait for this machine.
const AT_ONCE: usize = 10;
/// Longer than a kill takes; shorter than the three seconds after which the shop no longer buys.
const SHOP_DELAY_MS: u64 = 2800;
/// The worker's message must come back, and a press of the button that nobody saw must become certain.
const LIMIT: Duration = Duration::from_mins(3);

#[derive(Clone, Copy)]
struct Moment {
    /// Where the shop is slow.
    step: &'static str,
    /// Which request is then open in the journal.
    request: &'static str,
    /// Whether the shop has the order when the worker dies.
    bought: Option<bool>,
}

#[tokio::test]
async fn killed_before_submit_the_order_is_bought_once() {
    let ended = kill_at(Moment { step: "review", request: "review", bought: None }).await;
    assert!(ended.iter().all(|order| order["_type"] == "order_response"), "{ended:?}");
}

#[tokio::test]
async fn killed_during_submit_the_order_ends_and_is_not_bought_twice() {
    kill_at(Moment { step: "submit_before_commit", request: "submit", bought: Some(false) }).await;
}

#[tokio::test]
async fn killed_after_submit_the_order_is_found_in_the_history() {
    let ended =
        kill_at(Moment { step: "submit_after_commit", request: "submit", bought: Some(true) })
            .await;
    assert!(ended.iter().all(|order| order["_type"] == "order_response"), "{ended:?}");
}

/// Kills [`KILLS`] workers at `moment`, and returns their orders once they have ended.
///
/// An order whose moment passed before the kill was judged like the others, but does not count.
async fn kill_at(moment: Moment) -> Vec<Value> {
    let mut ended = Vec::new();
    let mut missed = 0;
    while ended.len() < KILLS {
        let count = AT_ONCE.min(KILLS - ended.len());
        let round = join_all((0..count).map(|_| kill_one(moment))).await;
        let killed: Vec<_> = round.into_iter().flatten().collect();
        missed += count - killed.len();
        assert!(missed <= KILLS, "the moment was missed {missed} times");
        ended.extend(killed);
    }
    println!("{KILLS} workers killed at {}, {missed} moments missed", moment.step);
    ended
}

/// One order, whose worker is killed at `moment`; `None` if the moment passed too fast.
async fn kill_one(moment: Moment) -> Option<Value> {
    let api = Api::first();
    let account = ShopAccount::new().await;
    account.behave(moment.step, json!({"delay_ms": SHOP_DELAY_MS, "times": 1})).await;
    let id = api.order(&order(&account)).await;
    let killed = kill_worker_of(&id, &account, moment).await;

    let ended = api.ended_within(&id, LIMIT).await;
    let ledger = account.ledger().await;
    assert!(ledger.len() <= 1, "order {id} was bought {} times", ledger.len());
    if ended["_type"] == "order_response" {
        assert_eq!(ledger.len(), 1, "{ended}");
        assert_eq!(
            ended["merchant_order_ids"][0]["merchant_order_id"],
            ledger[0]["orders"][0]["order_id"]
        );
    } else if ended["money_moved"] == "no" {
        assert_eq!(ledger.len(), 0, "{ended}");
    } else {
        assert_eq!(ended["code"], "order_probably_placed", "{ended}");
    }
    killed.then_some(ended)
}

/// Whether the worker was killed while the shop was at `moment`.
async fn kill_worker_of(id: &str, account: &ShopAccount, moment: Moment) -> bool {
    let at_step = wait(LIMIT, "the shop to be at the step", async || {
        let journal = account.journal().await;
        let committed = !account.ledger().await.is_empty();
        let entries = || journal.iter().filter(|entry| entry["kind"] == moment.request);
        let is_open = entries().any(|entry| entry["ended_at_ms"].is_null());
        if is_open && moment.bought.is_none_or(|bought| bought == committed) {
            return Some(true);
        }
        entries().any(|entry| !entry["ended_at_ms"].is_null()).then_some(false)
    })
    .await;
    let Some(pid) = (if at_step { worker_of(id).await } else { None }) else { return false };
    Command::new("kill").args(["-KILL", &pid.to_string()]).status().unwrap().success()
}

/// The process that works on an order now.
async fn worker_of(id: &str) -> Option<u64> {
    let url = format!("{}/_local/environments", STACK.lambda_url);
    let environments = send(http().get(url)).await.ok();
    let works_on_it =
        |one: &&Value| one["state"] == "busy" && one["messages"].to_string().contains(id);
    environments.as_array().unwrap().iter().find(works_on_it).and_then(|one| one["pid"].as_u64())
}
