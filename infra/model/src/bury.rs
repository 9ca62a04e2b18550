//! Jobs that become dead letters while their orders wait or are worked on, as they do when they were received too often.

use std::collections::BTreeMap;

use rand::seq::IndexedRandom;
use serde_json::Value;
use tokio::time::sleep;

use crate::{journal::note, run, world};

/// The states in which an order's job is made a dead letter, in turns.
pub const STATES: [&str; 3] = ["queued", "working", "submitting"];

/// No order stays in a state for longer than so many looks, but in a queue.
const LOOKS: u32 = 20;

/// Makes jobs dead letters, one after the other, as long as faults strike. `orders` is the table.
pub async fn now_and_then(orders: String) {
    for state in STATES.into_iter().cycle() {
        sleep(world::a_while(500, 3_000)).await;
        for _ in 0..LOOKS {
            if world::with(|world| world.is_calm) {
                return;
            }
            if is_one_buried(&orders, state) {
                break;
            }
            sleep(world::a_while(200, 800)).await;
        }
    }
}

/// Makes the job of an order in `state` a dead letter, if it has a message.
fn is_one_buried(orders: &str, state: &str) -> bool {
    let mut bodies = world::with(|world| world.queues.jobs());
    if bodies.is_empty() {
        return false;
    }
    let states = run::states(orders).expect("a table of orders");
    bodies.retain(|body| state_of(body, &states) == Some(state));
    let chosen = world::with(|world| {
        let chosen = bodies.choose(&mut world.rng)?;
        world.queues.bury(chosen);
        *world.buried.entry(state.to_owned()).or_default() += 1;
        Some(chosen)
    });
    if let Some(body) = chosen {
        note("buried", || format!("while {state}: {body}"));
    }
    chosen.is_some()
}

/// How the order is that a message asks to be placed.
fn state_of<'a>(body: &str, states: &'a BTreeMap<String, String>) -> Option<&'a str> {
    let ticket: Value = serde_json::from_str(body).ok()?;
    let order = ticket["order"].as_str().filter(|_| ticket["type"] == "place_order")?;
    states.get(order).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_as_its_order_is() {
        let states = BTreeMap::from([("1".to_owned(), "working".to_owned())]);
        assert_eq!(state_of(r#"{"type": "place_order", "order": "1"}"#, &states), Some("working"));
        for other in [
            r#"{"type": "track_order", "order": "1"}"#,
            r#"{"type": "place_order", "order": "2"}"#,
            "no job",
        ] {
            assert_eq!(state_of(other, &states), None);
        }
    }
}
