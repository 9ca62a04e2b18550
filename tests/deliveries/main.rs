//! What webhooks promise: nothing is lost, nothing overtakes, nobody waits for another's receiver.
//!
//! It needs the stack for itself, since it turns the sweeper's clock, kills functions and measures how fast they are.

#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod kills;
mod load;
mod outage;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use http::Method;
use serde_json::Value;
use tests::{prepaid::Client, receiver::Arrival, tables, wait};
use tokio::sync::Mutex;

/// Each test has the stack for itself.
static ALONE: Mutex<()> = Mutex::const_new(());

/// A new secret that signs what `client` is told from now on.
async fn new_secret(client: &Client) -> String {
    let path = "/webhooks/endpoint/rotate";
    let rotated = client.api.modern(Method::POST, path, None).await.ok();
    rotated["webhook_secret"].as_str().unwrap().to_owned()
}

/// A client's deliveries as they are stored, in the order of their ids, which is that of their events.
async fn deliveries(client: &str) -> Vec<Value> {
    tables::owned(client, "DELIVERY#").await
}

/// A client's deliveries, once none of them waits any more.
async fn settled(client: &str, limit: Duration) -> Vec<Value> {
    wait(limit, "every lane to be empty", async || {
        tables::owned(client, "LANE#").await.is_empty().then_some(())
    })
    .await;
    deliveries(client).await
}

fn state(delivery: &Value) -> &str {
    delivery["state"]["M"]["state"]["S"].as_str().unwrap()
}

fn id(delivery: &Value) -> &str {
    delivery["id"]["S"].as_str().unwrap()
}

/// The `webhook-id` of what arrived.
fn webhook_id(arrival: &Arrival) -> &str {
    arrival.headers["webhook-id"].to_str().unwrap()
}

/// The ids of `deliveries` that never arrived.
fn lost<'a>(deliveries: &'a [Value], arrivals: &[Arrival]) -> Vec<&'a str> {
    let arrived: BTreeSet<_> = arrivals.iter().map(webhook_id).collect();
    deliveries.iter().map(id).filter(|id| !arrived.contains(id)).collect()
}

/// How many arrivals were not the first of their id. Those of one id must say the same.
fn repeated(arrivals: &[Arrival]) -> usize {
    let mut bodies = BTreeMap::new();
    let mut repeated = 0;
    for arrival in arrivals {
        if let Some(before) = bodies.insert(webhook_id(arrival), &arrival.body) {
            assert_eq!(*before, arrival.body, "{} says two things", webhook_id(arrival));
            repeated += 1;
        }
    }
    repeated
}

/// How many arrivals were overtaken by a later event of the same request. `arrivals` are of one URL; what arrived again
/// does not count.
fn overtaken(deliveries: &[Value], arrivals: &[Arrival]) -> usize {
    let request_of: BTreeMap<_, _> =
        deliveries.iter().map(|one| (id(one), one["request"]["S"].as_str().unwrap())).collect();
    let (mut latest, mut seen) = (BTreeMap::new(), BTreeSet::new());
    let first_times = arrivals.iter().map(webhook_id).filter(|id| seen.insert(*id));
    // Ids sort by the time of their events.
    first_times
        .filter(|id| latest.insert(request_of[id], *id).is_some_and(|before| before > *id))
        .count()
}
