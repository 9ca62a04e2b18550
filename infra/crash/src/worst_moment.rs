//! How long an account has no job when its worker dies at the worst moment, and whether other accounts notice.
//!
//! The times are those that are deployed. Two moments are tried: just after the worker pressed "buy", and just after it
//! took the account's lease, when all of its invocation is still to come. Neighbours order one thing after another, before
//! and meanwhile, and what is compared is how long each of their orders waits for the shop's first request.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use ::tests::{STACK, ShopAccount, http};
use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::{
    accounts::Account,
    client::Client,
    clock,
    overlap::Entry,
    plan::Victim,
    receiver::Receiver,
    stack::{Process, Stack, signal},
};

/// How often all of it is done.
const ROUNDS: usize = 2;
/// Of each moment, in one round.
const KILLS_AT_ONCE: usize = 4;
/// Accounts that order meanwhile. More would only wait for this machine.
const NEIGHBOURS: usize = 5;
/// How long they order before the first kill.
const UNDISTURBED: Duration = Duration::from_secs(45);
/// Between two orders of a neighbour.
const PAUSE: Duration = Duration::from_millis(1_500);
/// Longer than a kill takes, and shorter than the three seconds after which the shop no longer buys.
const SHOP_DELAY_MS: u64 = 2_800;
/// What is promised: an account's next job starts so soon after its worker's death.
const NEXT_JOB_WITHIN_MS: i64 = 120_000;
/// A neighbour's order must not wait longer than this.
const NEIGHBOURS_WAIT_MS: i64 = 10_000;
/// Nor half of them so many times as long as before.
const LARGEST_RATIO: f64 = 2.0;
/// After this nobody waits any more.
const PATIENCE: Duration = Duration::from_mins(4);

/// When a worker dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    /// It has pressed, and the shop has bought.
    Pressed,
    /// It has the account, and has done nothing with it.
    Leased,
}

impl Moment {
    const ALL: [Self; 2] = [Self::Pressed, Self::Leased];

    /// Where the shop is slow, so that there is time for the kill.
    const fn step(self) -> &'static str {
        match self {
            Self::Pressed => "submit_after_commit",
            Self::Leased => "sign_in",
        }
    }

    /// What the journal calls the request that is then under way.
    const fn request(self) -> &'static str {
        match self {
            Self::Pressed => "submit",
            Self::Leased => "sign_in",
        }
    }
}

/// How long some waited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Waits {
    count: usize,
    median_ms: i64,
    p95_ms: i64,
    longest_ms: i64,
}

impl Waits {
    /// None of nobody.
    fn of(mut waits: Vec<i64>) -> Option<Self> {
        waits.sort_unstable();
        let at =
            |percent: usize| waits.get((waits.len().saturating_sub(1)) * percent / 100).copied();
        Some(Self { count: waits.len(), median_ms: at(50)?, p95_ms: at(95)?, longest_ms: at(100)? })
    }
}

impl fmt::Display for Waits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { count, median_ms, p95_ms, longest_ms } = self;
        write!(
            f,
            "{count:>4} | median {median_ms:>6} ms | p95 {p95_ms:>6} ms | longest {longest_ms:>6} ms"
        )
    }
}

/// What is wrong with these waits, in words.
fn complaints(next_jobs: Waits, before: Waits, meanwhile: Waits) -> Vec<String> {
    let mut complaints = Vec::new();
    if next_jobs.longest_ms > NEXT_JOB_WITHIN_MS {
        complaints.push(format!("an account had no job for {} ms", next_jobs.longest_ms));
    }
    if meanwhile.longest_ms > NEIGHBOURS_WAIT_MS {
        complaints.push(format!("another account's order waited {} ms", meanwhile.longest_ms));
    }
    if ratio(before, meanwhile) > LARGEST_RATIO {
        complaints.push("the others noticed".to_owned());
    }
    complaints
}

fn ratio(before: Waits, meanwhile: Waits) -> f64 {
    let of = |waits: Waits| f64::from(i32::try_from(waits.median_ms.max(1)).unwrap_or(i32::MAX));
    of(meanwhile) / of(before)
}

/// An order of a neighbour.
#[derive(Debug, Clone, Copy)]
struct Ordered {
    posted_at_ms: i64,
    accepted_at_ms: i64,
}

/// A worker that was killed.
struct Killed {
    /// When.
    at_ms: i64,
    /// What the journal calls its visit.
    session: String,
}

/// Who orders.
#[derive(Clone)]
struct World {
    client: Client,
    stack: Stack,
    receiver: Receiver,
    webhook: String,
}

/// Does all of it and prints the figures; whether the promise was kept.
pub(crate) async fn run(stack: Stack) -> Result<bool> {
    let client = Client::new(http(), &STACK.client_token);
    let (receiver, webhook) = Receiver::start().await?;
    let world = World { client, stack, receiver, webhook };
    let over = Arc::new(AtomicBool::new(false));
    let mut neighbours = Vec::new();
    for number in 0..NEIGHBOURS {
        let account = Account::open(&world.client, number * 2 + 1).await?;
        let (world, over) = (world.clone(), Arc::clone(&over));
        neighbours.push(tokio::spawn(async move { world.order_on_and_on(account, &over).await }));
    }
    // The first processes start, which is not what is compared.
    sleep(UNDISTURBED / 3).await;
    let undisturbed_from_ms = clock::now_ms();
    println!("   {NEIGHBOURS} accounts order one thing after another");
    sleep(UNDISTURBED).await;
    let disturbed_from_ms = clock::now_ms();
    let mut next_jobs = Vec::new();
    for round in 1..=ROUNDS {
        let kills = Moment::ALL.into_iter().flat_map(|moment| [moment; KILLS_AT_ONCE]);
        let kills = kills.enumerate().map(|(place, moment)| {
            let world = world.clone();
            async move { world.kill_at(moment, &format!("{round}x{place}")).await }
        });
        for (moment, wait_ms) in try_join_all(kills).await? {
            println!("   round {round}: {moment:?}: the account's next job after {wait_ms} ms");
            next_jobs.push(wait_ms);
        }
    }
    over.store(true, Ordering::Relaxed);
    let (mut before, mut meanwhile) = (Vec::new(), Vec::new());
    for neighbour in neighbours {
        for (ordered, wait_ms) in neighbour.await?? {
            if ordered.accepted_at_ms >= disturbed_from_ms {
                meanwhile.push(wait_ms);
            } else if ordered.accepted_at_ms >= undisturbed_from_ms {
                before.push(wait_ms);
            }
        }
    }
    let some = |waits| Waits::of(waits).context("nobody waited");
    let (next_jobs, before, meanwhile) = (some(next_jobs)?, some(before)?, some(meanwhile)?);
    println!(
        "   next job after a kill   {next_jobs}\n   other accounts, before  {before}\n   other accounts, then    {meanwhile}\n   \
         ratio of the medians    {:.2}",
        ratio(before, meanwhile)
    );
    let complaints = complaints(next_jobs, before, meanwhile);
    for complaint in &complaints {
        println!("   TOO LONG: {complaint}");
    }
    Ok(complaints.is_empty())
}

impl World {
    /// Orders and waits for the end, until it is `over`: each order, and how long it waited for the shop's first request.
    async fn order_on_and_on(
        &self,
        account: Account,
        over: &AtomicBool,
    ) -> Result<Vec<(Ordered, i64)>> {
        let mut ordered = Vec::new();
        while !over.load(Ordering::Relaxed) {
            let reference = format!("N{}x{}", account.number, ordered.len());
            let posted_at_ms = clock::now_ms();
            let id = self.order(&account, &reference).await?;
            ordered.push(Ordered { posted_at_ms, accepted_at_ms: clock::now_ms() });
            tokio::time::timeout(PATIENCE, self.receiver.heard_of(&id)).await?;
            sleep(PAUSE).await;
        }
        let journal = journal(&account.shop).await?;
        let wait = |ordered: Ordered| {
            let begins = |entry: &&Entry| entry.started_at_ms >= ordered.posted_at_ms;
            let first = journal.iter().find(begins).context("the shop heard of no order")?;
            // A worker may be faster than the answer to the client.
            Ok((ordered, (first.started_at_ms - ordered.accepted_at_ms).max(0)))
        };
        ordered.into_iter().map(wait).collect()
    }

    async fn order(&self, account: &Account, reference: &str) -> Result<String> {
        let body = account.order(reference, 2_300, &self.webhook);
        let (answer, _) = self.client.post("/v1/orders", Some(&body)).await?;
        let id = answer.get("request_id").and_then(Value::as_str);
        Ok(id.with_context(|| format!("not accepted: {answer}"))?.to_owned())
    }

    /// Kills the worker of an account of its own at `moment`: how long it takes until the account's next job starts.
    async fn kill_at(&self, moment: Moment, name: &str) -> Result<(Moment, i64)> {
        // The moment may pass too fast.
        for attempt in 0..5 {
            let account = Account::open(&self.client, 1).await?;
            let slow = json!({"delay_ms": SHOP_DELAY_MS, "times": 1});
            account.shop.behave(moment.step(), slow).await;
            let id = self.order(&account, &format!("K{name}x{attempt}")).await?;
            let behind = self.order(&account, &format!("B{name}x{attempt}")).await?;
            if let Some(killed) = self.kill_worker_of(&id, &account.shop, moment).await? {
                let wait_ms = next_job(&account.shop, &killed).await?;
                for id in [id, behind] {
                    tokio::time::timeout(PATIENCE, self.receiver.heard_of(&id)).await?;
                }
                let bought = account.shop.ledger().await.len();
                ensure!(bought == 2, "{bought} purchases of two orders after a kill at {moment:?}");
                return Ok((moment, wait_ms));
            }
        }
        anyhow::bail!("the moment {moment:?} was missed again and again")
    }

    /// The worker that was killed, unless the moment has passed.
    async fn kill_worker_of(
        &self,
        id: &str,
        shop: &ShopAccount,
        moment: Moment,
    ) -> Result<Option<Killed>> {
        let started = Instant::now();
        loop {
            ensure!(started.elapsed() < PATIENCE, "nobody works on {id}");
            sleep(Duration::from_millis(100)).await;
            let journal = journal(shop).await?;
            let mut entries = journal.iter().filter(|entry| entry.kind == moment.request());
            match entries.next() {
                None => {}
                Some(Entry { ended_at_ms: Some(_), .. }) => return Ok(None),
                Some(Entry { session, .. }) => {
                    if moment == Moment::Pressed && shop.ledger().await.is_empty() {
                        continue;
                    }
                    let processes = self.stack.processes().await?;
                    let worker = processes.iter().find(|one| is_worker_of(one, id));
                    let Some(pid) = worker.and_then(|worker| worker.pid) else { return Ok(None) };
                    let killed = Killed { at_ms: clock::now_ms(), session: session.clone() };
                    return Ok(signal(pid, Signal::KILL).is_ok().then_some(killed));
                }
            }
        }
    }
}

/// Whether a process works on an order. A sender works on the same orders as a worker does.
fn is_worker_of(process: &Process, id: &str) -> bool {
    process.is_busy()
        && process.function.ends_with(Victim::OrderProcessor.function())
        && process.ids().iter().any(|known| known == id)
}

/// How long after a kill the account's next job starts at the shop.
async fn next_job(shop: &ShopAccount, killed: &Killed) -> Result<i64> {
    let started = Instant::now();
    loop {
        if let Some(next_at_ms) = next_visit(&journal(shop).await?, killed) {
            return Ok(next_at_ms - killed.at_ms);
        }
        ensure!(started.elapsed() < PATIENCE, "the account has no job after {PATIENCE:?}");
        sleep(Duration::from_secs(2)).await;
    }
}

/// When the next visit began. What the killed worker had sent may come to the shop only afterwards.
fn next_visit(journal: &[Entry], killed: &Killed) -> Option<i64> {
    let is_next =
        |entry: &&Entry| entry.started_at_ms > killed.at_ms && entry.session != killed.session;
    journal.iter().find(is_next).map(|entry| entry.started_at_ms)
}

/// The shop's journal of an account, oldest first.
async fn journal(shop: &ShopAccount) -> Result<Vec<Entry>> {
    let journal = shop.journal().await.into_iter();
    Ok(journal.map(serde_json::from_value).collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(median_ms: i64, longest_ms: i64) -> Waits {
        Waits { count: 2, median_ms, p95_ms: longest_ms, longest_ms }
    }

    #[test]
    fn waits_are_sorted() {
        let all = Waits::of((1..=100).rev().collect());
        assert_eq!(all, Some(Waits { count: 100, median_ms: 50, p95_ms: 95, longest_ms: 100 }));
        assert_eq!(Waits::of(vec![]), None);
    }

    #[test]
    fn only_the_worker_of_an_order_is_killed_for_it() {
        let id = "0198f0c2d1b47a3ea0d1c2b3a4958677";
        let process = |function: &str, state: &str| Process {
            function: format!("spelter-local{function}"),
            pid: Some(1),
            state: state.to_owned(),
            messages: vec![id.to_owned()],
        };
        let (worker, sender) = (Victim::OrderProcessor, Victim::WebhookSender);
        assert!(is_worker_of(&process(worker.function(), "busy"), id));
        assert!(!is_worker_of(&process(worker.function(), "idle"), id));
        assert!(!is_worker_of(&process(sender.function(), "busy"), id));
        assert!(!is_worker_of(&process(worker.function(), "busy"), "another"));
    }

    #[test]
    fn the_next_visit_is_not_the_killed_workers_own() {
        let entry = |session: &str, started_at_ms| Entry {
            session: session.to_owned(),
            kind: "cart".to_owned(),
            started_at_ms,
            ended_at_ms: None,
        };
        let killed = Killed { at_ms: 10, session: "a".to_owned() };
        let mut journal = vec![entry("b", 5), entry("a", 9), entry("a", 11)];
        assert_eq!(next_visit(&journal, &killed), None);
        journal.push(entry("b", 90));
        assert_eq!(next_visit(&journal, &killed), Some(90));
    }

    #[test]
    fn too_long_is_said() {
        let (good, before) = (waits(100_000, 101_000), waits(500, 900));
        assert!(complaints(good, before, waits(999, 9_999)).is_empty());
        assert_eq!(complaints(waits(100_000, 120_001), before, before).len(), 1);
        assert_eq!(complaints(good, before, waits(500, 10_001)).len(), 1);
        assert_eq!(complaints(good, before, waits(1_001, 2_000)).len(), 1);
    }
}
