//! Thousands of events to a hundred receivers, of which ten hang: the others do not notice.
//!
//! `SPELTER_WEBHOOK_EVENTS=10000 cargo xtask test load::` takes four minutes more.

use std::{
    collections::{BTreeSet, HashMap},
    fs,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{Router, extract::State};
use futures::{StreamExt, stream};
use http::{HeaderMap, Method, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};
use tests::{STACK, http, pause, prepaid::Client, send, wait};
use tokio::{net::TcpListener, sync::Semaphore};

use crate::ALONE;

/// Unless `SPELTER_WEBHOOK_EVENTS` says another number: CI tells a fifth of what is promised.
const EVENTS: usize = 2_000;
const RECEIVERS: usize = 100;
const HANGING: usize = 10;
/// So many events are on their way to receivers that answer; more would measure this machine's queue, not ours.
const ON_THEIR_WAY: usize = 6;
/// Calls of the API at once.
const CALLERS: usize = 4;
/// Longer than a try is waited for.
const HANGS_FOR: Duration = Duration::from_secs(30);
/// Half of what the template gives the sender.
const MEMORY_LIMIT_KB: u64 = 128 * 1024;

/// When what arrived, by its `webhook-id`.
#[derive(Clone)]
struct Arrivals {
    at: Arc<Mutex<HashMap<String, Timestamp>>>,
    room: Arc<Semaphore>,
}

#[expect(
    clippy::disallowed_methods,
    reason = "the time of an arrival is compared with its event's"
)]
fn now() -> Timestamp {
    Timestamp::now()
}

async fn receive(State(arrivals): State<Arrivals>, headers: HeaderMap) -> StatusCode {
    let id = headers["webhook-id"].to_str().unwrap().to_owned();
    if arrivals.at.lock().unwrap().insert(id, now()).is_none() {
        arrivals.room.add_permits(1);
    }
    StatusCode::OK
}

async fn hang() -> StatusCode {
    pause(HANGS_FOR).await;
    StatusCode::OK
}

/// The URL of a receiver on a port of its own.
async fn receiver(app: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    url
}

/// Has an event told to `url`: its id, and when it happened.
async fn tell(client: &Client, url: &str) -> (String, Timestamp) {
    let body = json!({"url": url});
    let told = client.api.v1(Method::POST, "/v1/webhooks/test", Some(&body)).await.ok();
    let text = |name: &str| told[name].as_str().unwrap().to_owned();
    (text("id"), text("created_at").parse().unwrap())
}

/// The most memory that each sender which is alive has used so far, in KB, by its process.
async fn memory() -> Vec<(u64, u64)> {
    let url = format!("{}/_local/environments", STACK.lambda_url);
    let environments = send(http().get(url)).await.ok();
    let senders = environments.as_array().unwrap().iter().filter(|one| is_sender(one));
    senders
        .filter_map(|one| {
            let pid = one["pid"].as_u64()?;
            let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
            let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
            Some((pid, line.split_whitespace().nth(1)?.parse().ok()?))
        })
        .collect()
}

fn is_sender(environment: &Value) -> bool {
    environment["function"].as_str().is_some_and(|name| name.ends_with("webhook-sender"))
}

fn percentile(sorted: &[i128], percent: usize) -> i128 {
    sorted[(sorted.len() - 1) * percent / 100]
}

#[expect(clippy::disallowed_methods, reason = "how much there is to measure")]
fn events() -> usize {
    let number = std::env::var("SPELTER_WEBHOOK_EVENTS").ok();
    number.map_or(EVENTS, |number| number.parse().unwrap())
}

#[tokio::test]
async fn receivers_that_hang_are_noticed_by_nobody_else() {
    let _alone = ALONE.lock().await;
    let (client, events) = (Client::new(), events());
    let arrivals = Arrivals { at: Arc::default(), room: Arc::new(Semaphore::new(ON_THEIR_WAY)) };
    let answers = Router::new().fallback(receive).with_state(arrivals.clone());
    let hangs = Router::new().fallback(hang);
    let mut urls = Vec::new();
    for place in 0..RECEIVERS {
        let app = if place < HANGING { hangs.clone() } else { answers.clone() };
        urls.push(receiver(app).await);
    }

    let started = Instant::now();
    let told: Vec<_> = stream::iter(0..events)
        .map(|number| {
            let (client, url, arrivals) = (&client, &urls[number % RECEIVERS], &arrivals);
            async move {
                let answers = number % RECEIVERS >= HANGING;
                if answers {
                    arrivals.room.acquire().await.unwrap().forget();
                }
                (answers, tell(client, url).await)
            }
        })
        .buffer_unordered(CALLERS)
        .collect()
        .await;
    let wanted: HashMap<_, _> =
        told.into_iter().filter(|(answers, _)| *answers).map(|(_, event)| event).collect();
    wait(Duration::from_mins(2), "the last to arrive", async || {
        (arrivals.at.lock().unwrap().len() >= wanted.len()).then_some(())
    })
    .await;
    let took = started.elapsed();

    let memory = memory().await;
    let most = memory.iter().map(|(_, kb)| *kb).max().unwrap();
    let arrived = arrivals.at.lock().unwrap().clone();
    let missing: BTreeSet<_> = wanted.keys().filter(|id| !arrived.contains_key(*id)).collect();
    let mut waits: Vec<i128> = wanted
        .iter()
        .filter_map(|(id, at)| Some(arrived.get(id)?.duration_since(*at).as_millis()))
        .collect();
    waits.sort_unstable();
    let [median, p90, p99, longest] = [50, 90, 99, 100].map(|percent| percentile(&waits, percent));
    println!(
        "{events} events in {:.0} s, to {RECEIVERS} receivers of which {HANGING} hang: {} of {} arrived at the others, \
         after {median} ms (median), {p90} ms (90 %), {p99} ms (99 %), {longest} ms (longest); {} senders, of which none \
         used more than {most} KB",
        took.as_secs_f64(),
        waits.len(),
        wanted.len(),
        memory.len(),
    );
    assert_eq!(missing.len(), 0);
    assert_eq!(wanted.len(), events / RECEIVERS * (RECEIVERS - HANGING));
    assert!(median < 1000, "the median is {median} ms");
    assert!(most < MEMORY_LIMIT_KB, "a sender used {most} KB");
}
