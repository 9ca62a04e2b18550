//! What a run leaves behind once nothing goes wrong any more.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use ::tests::{STACK, queues, tables};
use anyhow::Result;
use crash_verdict::{Ending, says_where_to_look};
use futures::{StreamExt, stream};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::{
    client::{Client, Found},
    clock,
    overlap::Entry,
    presses::Marker,
    stack::Stack,
};

/// Of calls that only look.
const AT_ONCE: usize = 8;
/// How long everything may take to end.
const SETTLE_LIMIT: Duration = Duration::from_mins(10);
/// What lost its message is found by the sweeper after ten minutes. Once nothing else goes wrong, its clock is turned
/// forward by a little more.
const SWEEP_AHEAD_SECONDS: i64 = 11 * 60;
/// And so often.
const SWEEP_EVERY: Duration = Duration::from_secs(20);
/// What is empty when nothing is left to be done: items of the table of orders, by the beginning of their sort keys.
const TO_BE_EMPTY: [&str; 3] = ["LANE#", "JOB#", "HEAD"];
/// What the sort key of an order begins with.
const ORDER: &str = "ORDER#";

/// What is left.
#[derive(Default)]
pub(crate) struct Aftermath {
    /// How each order ended; one that nobody knows is missing.
    pub(crate) endings: BTreeMap<String, Ending>,
    /// The markers of those that had one.
    pub(crate) markers: BTreeMap<String, Marker>,
    /// Orders of which nobody knows and which do not say where to look.
    pub(crate) lead_nowhere: BTreeSet<String>,
    /// What is still to be done, in words.
    pub(crate) left: Vec<String>,
    /// Hints that no sender could act on.
    pub(crate) dead_hints: u64,
    /// Every order there is.
    pub(crate) stored: BTreeSet<String>,
}

/// Waits until the orders `open` have ended and nothing is left to be done, or until nobody waits for that any more.
pub(crate) async fn settle(
    client: &Client,
    stack: &Stack,
    mut open: Vec<String>,
) -> Result<Aftermath> {
    let deadline = Instant::now() + SETTLE_LIMIT;
    let mut swept_at = None;
    let mut aftermath = Aftermath::default();
    loop {
        open = aftermath.ask(client, open).await;
        let left = if open.is_empty() { left().await } else { Vec::new() };
        if open.is_empty() && left.is_empty() || Instant::now() > deadline {
            let keys = tables::keys("OrdersTable", &[ORDER]).await;
            let ids = keys.iter().filter_map(|(_, sort_key)| sort_key.strip_prefix(ORDER));
            let stored = ids.map(str::to_owned).collect();
            return Ok(Aftermath { left, dead_hints: dead_hints().await, stored, ..aftermath });
        }
        if swept_at.is_none_or(|at: Instant| at.elapsed() > SWEEP_EVERY) {
            swept_at = Some(Instant::now());
            let event = json!({"time": clock::in_seconds(SWEEP_AHEAD_SECONDS)});
            stack.invoke("SweeperFunction", &event, true).await?;
        }
        sleep(Duration::from_secs(1)).await;
    }
}

impl Aftermath {
    /// Whether an order failed while it still could be placed, as its account's journal shows.
    pub(crate) fn failed_too_soon(&self, id: &str, journal: &[Entry], job: Duration) -> bool {
        let Some(Ending::Failed { ended_at: Some(ended_at), is_not_placed, .. }) =
            self.endings.get(id)
        else {
            return false;
        };
        // What the shop has refused can fail at once.
        let is_open = |entry: &&Entry| *is_not_placed || entry.ended_at_ms.is_none();
        self.markers.get(id).is_some_and(|marker| {
            let open = journal.iter().filter(is_open);
            marker.is_too_soon(open, ended_at.as_millisecond(), job)
        })
    }

    /// Asks how these orders ended: those that have not.
    async fn ask(&mut self, client: &Client, ids: Vec<String>) -> Vec<String> {
        let asked = stream::iter(ids).map(async |id| {
            let found = client.get(&id).await;
            (id, found)
        });
        let asked: Vec<_> = asked.buffer_unordered(AT_ONCE).collect().await;
        let mut open = Vec::new();
        for (id, found) in asked {
            let ending = match &found {
                Found::Order(body) => {
                    self.markers.extend(Marker::of(body).map(|marker| (id.clone(), marker)));
                    let ending = Ending::of(body);
                    if ending == Ending::Unknown && !says_where_to_look(body) {
                        self.lead_nowhere.insert(id.clone());
                    }
                    ending
                }
                Found::NoAnswer => Ending::Open,
                Found::Nothing => continue,
            };
            if ending == Ending::Open {
                open.push(id.clone());
            }
            self.endings.insert(id, ending);
        }
        open
    }
}

/// Hints that no sender could act on, for a person to see. What they hint at is told by the sweeper, or its lane is left.
const DEAD_HINTS: [&str; 2] = ["WebhooksDeadLetterQueue", "WebhookRetriesDeadLetterQueue"];

async fn dead_hints() -> u64 {
    let mut found = 0;
    for url in DEAD_HINTS.iter().filter_map(|name| STACK.queues.get(*name)) {
        found += queues::depth(url).await;
    }
    found
}

/// What is still to be done, in words.
async fn left() -> Vec<String> {
    let mut left = Vec::new();
    for (name, url) in STACK.queues.iter().filter(|(name, _)| !DEAD_HINTS.contains(&name.as_str()))
    {
        let depth = queues::depth(url).await;
        if depth > 0 {
            left.push(format!("{depth} messages in {name}"));
        }
    }
    left.extend(items_left(&tables::keys("OrdersTable", &TO_BE_EMPTY).await));
    left
}

/// What these items, by their keys, say is still to be done. Nobody but this test has any, so all of them count,
/// whoever has them: jobs are an account's and not a client's.
fn items_left(keys: &[(String, String)]) -> Vec<String> {
    let is_to_be_done =
        |sort_key: &str| TO_BE_EMPTY.iter().any(|prefix| sort_key.starts_with(prefix));
    let items = keys.iter().filter(|(_, sort_key)| is_to_be_done(sort_key));
    items.map(|(partition, sort_key)| format!("{partition} {sort_key} is left")).collect()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::presses::PRESS;

    #[test]
    fn only_what_the_shop_refused_fails_while_its_press_could_land() {
        let is_too_soon = |is_not_placed, ended_at_ms| {
            let ended_at = Timestamp::from_millisecond(1_100).ok();
            let failed = Ending::Failed { code: "code".to_owned(), ended_at, is_not_placed };
            let marker = Marker { started_at_ms: Some(900), written_at_ms: 1_000 };
            let aftermath = Aftermath {
                endings: BTreeMap::from([("1".to_owned(), failed)]),
                markers: BTreeMap::from([("1".to_owned(), marker)]),
                ..Aftermath::default()
            };
            let (session, kind) = ("a".to_owned(), PRESS.to_owned());
            let press = Entry { session, kind, started_at_ms: 1_010, ended_at_ms };
            aftermath.failed_too_soon("1", &[press], Duration::from_secs(15))
        };
        assert!(is_too_soon(true, Some(1_050)));
        assert!(is_too_soon(false, None));
        assert!(!is_too_soon(false, Some(1_050)));
    }

    #[test]
    fn jobs_and_lanes_are_left_whoever_has_them() {
        let key = |partition: &str, sort_key: &str| (partition.to_owned(), sort_key.to_owned());
        let keys = [
            key("BACKLOG#sandbox-1", "HEAD"),
            key("BACKLOG#sandbox-1", "JOB#1"),
            key("cl_1#test", "LANE#1#2#3#4"),
            key("cl_1#test", "ORDER#1"),
        ];
        assert_eq!(
            items_left(&keys),
            [
                "BACKLOG#sandbox-1 HEAD is left",
                "BACKLOG#sandbox-1 JOB#1 is left",
                "cl_1#test LANE#1#2#3#4 is left"
            ]
        );
    }
}
