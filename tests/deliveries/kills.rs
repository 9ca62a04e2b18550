//! The sender, and the function that writes the outbox, are killed again and again.

use std::{
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use futures::future::{join, join_all};
use rand::Rng;
use serde_json::{Value, json};
use tests::{
    STACK, ShopAccount, http, order, pause, prepaid::Client, receiver::Receiver, send, wait,
};

use crate::{ALONE, lost, new_secret, repeated, settled, state};

const KILLS: usize = 200;
/// So many buy one thing after another while the killing goes on: most of them wait for a message to come back.
const BUYERS: usize = 24;
/// Each of their orders is told to so many receivers: a killed sender's message keeps its receiver waiting until it comes
/// back.
const RECEIVERS: usize = 8;
/// Who writes events, and who sends them.
const VICTIMS: [&str; 2] = ["order-processor", "webhook-sender"];
/// Long enough for a sender to be met while it waits for an answer.
const RECEIVER_TAKES: Duration = Duration::from_millis(120);
/// A killed worker's order waits for its message, and may have to be looked for at the shop.
const LIMIT: Duration = Duration::from_mins(6);

/// Kills a process of `victim` that is at work; whether there was one.
async fn kill_one(victim: &str) -> bool {
    let url = format!("{}/_local/environments", STACK.lambda_url);
    let environments = send(http().get(url)).await.ok();
    let busy: Vec<_> = environments
        .as_array()
        .unwrap()
        .iter()
        .filter(|one| one["state"] == "busy")
        .filter(|one| one["function"].as_str().is_some_and(|name| name.ends_with(victim)))
        .filter_map(|one| one["pid"].as_u64())
        .collect();
    if busy.is_empty() {
        return false;
    }
    let pid = busy[rand::rng().random_range(0..busy.len())];
    Command::new("kill").args(["-KILL", &pid.to_string()]).status().unwrap().success()
}

/// Kills the victims in turn, each at any moment of its work.
async fn kill(count: usize) {
    for place in 0..count {
        let victim = VICTIMS[place % VICTIMS.len()];
        loop {
            pause(Duration::from_millis(rand::rng().random_range(1..60))).await;
            if kill_one(victim).await {
                break;
            }
        }
    }
}

/// Orders one thing after another until `over`, and returns each order with how it ended.
async fn buy(client: &Client, urls: &[String], over: &AtomicBool) -> Vec<(String, Value)> {
    let mut bought = Vec::new();
    while !over.load(Ordering::Relaxed) {
        let mut body = order(&ShopAccount::new().await);
        body["webhooks"] = json!({
            "request_succeeded": urls,
            "request_failed": urls,
            "status_updated": urls,
        });
        let id = client.api.order(&body).await;
        let ended = client.api.ended_within(&id, LIMIT).await;
        bought.push((id, ended));
    }
    bought
}

#[tokio::test]
async fn two_hundred_kills_lose_no_event() {
    let _alone = ALONE.lock().await;
    let client = Client::new();
    let receivers = join_all((0..RECEIVERS).map(|_| Receiver::start())).await;
    let over = AtomicBool::new(false);
    let secret = new_secret(&client).await;
    for receiver in &receivers {
        receiver.answer_after(RECEIVER_TAKES);
        receiver.expect_signed_with(&secret);
    }
    let urls: Vec<_> = receivers.iter().map(|receiver| receiver.url("/hook")).collect();
    let killing = async {
        kill(KILLS).await;
        over.store(true, Ordering::Relaxed);
    };
    let buyers = join_all((0..BUYERS).map(|_| buy(&client, &urls, &over)));
    let ((), bought) = join(killing, buyers).await;
    let orders: Vec<_> = bought.into_iter().flatten().collect();

    // What a killed sender had claimed comes due again, and the sweeper finds it.
    wait(LIMIT, "the sweeper to find what was left", async || {
        tests::invoke("SweeperFunction", &json!({})).await;
        let lanes = tests::tables::owned(&client.id, "LANE#").await;
        lanes.is_empty().then_some(())
    })
    .await;
    let deliveries = settled(&client.id, LIMIT).await;
    let (mut arrivals, mut ends_untold, mut overtaken) = (Vec::new(), 0, 0);
    for receiver in &receivers {
        let told = receiver.arrivals("/hook");
        let is_told = |ended: &Value| told.iter().any(|arrival| arrival.body == *ended);
        ends_untold += orders.iter().filter(|(_, ended)| !is_told(ended)).count();
        overtaken += crate::overtaken(&deliveries, &told);
        arrivals.extend(told);
    }
    println!(
        "{KILLS} kills of {} in turn: {} orders, {} events, {} arrived, {} lost, {} ends untold, {} repeated under their \
         id, {} overtaken",
        VICTIMS.join(" and "),
        orders.len(),
        deliveries.len(),
        arrivals.len(),
        lost(&deliveries, &arrivals).len(),
        ends_untold,
        repeated(&arrivals),
        overtaken,
    );
    assert!(deliveries.iter().all(|one| state(one) == "delivered"), "{deliveries:?}");
    assert_eq!(lost(&deliveries, &arrivals), [""; 0]);
    assert_eq!(ends_untold, 0);
    assert_eq!(overtaken, 0);
    assert_eq!(receivers.iter().map(Receiver::unsigned).sum::<usize>(), 0);
    // An id that arrives twice was sent twice; one that arrives under another id would be another event.
    let known: std::collections::BTreeSet<_> = deliveries.iter().map(crate::id).collect();
    assert!(arrivals.iter().all(|arrival| known.contains(crate::webhook_id(arrival))));
}
