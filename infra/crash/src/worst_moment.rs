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
    receiver::Receiver,
    stack::{Stack, signal},
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
            if let Some(killed_at_ms) = self.kill_worker_of(&id, &account.shop, moment).await? {
                let wait_ms = next_job(&account.shop, killed_at_ms).await?;
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

    /// When the worker was killed, unless the moment has passed.
    async fn kill_worker_of(
        &self,
        id: &str,
        shop: &ShopAccount,
        moment: Moment,
    ) -> Result<Option<i64>> {
        let started = Instant::now();
        loop {
            ensure!(started.elapsed() < PATIENCE, "nobody works on {id}");
            sleep(Duration::from_millis(100)).await;
            let journal = journal(shop).await?;
            let mut entries = journal.iter().filter(|entry| entry.kind == moment.request());
            match entries.next().map(|entry| entry.ended_at_ms) {
                None => {}
                Some(Some(_)) => return Ok(None),
                Some(None) => {
                    if moment == Moment::Pressed && shop.ledger().await.is_empty() {
                        continue;
                    }
                    let processes = self.stack.processes().await?;
                    let its = |one: &&crate::stack::Process| {
                        one.is_busy() && one.ids().iter().any(|known| known == id)
                    };
                    let pid = processes.iter().find(its).and_then(|worker| worker.pid);
                    let Some(pid) = pid else { return Ok(None) };
                    let killed_at_ms = clock::now_ms();
                    return Ok(signal(pid, Signal::KILL).is_ok().then_some(killed_at_ms));
                }
            }
        }
    }
}

/// How long after a kill the account's next job starts at the shop.
async fn next_job(shop: &ShopAccount, killed_at_ms: i64) -> Result<i64> {
    let started = Instant::now();
    loop {
        let journal = journal(shop).await?;
        let next = journal.iter().find(|entry| entry.started_at_ms > killed_at_ms);
        if let Some(next) = next {
            return Ok(next.started_at_ms - killed_at_ms);
        }
        ensure!(started.elapsed() < PATIENCE, "the account has no job after {PATIENCE:?}");
        sleep(Duration::from_secs(2)).await;
    }
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
    fn too_long_is_said() {
        let (good, before) = (waits(100_000, 101_000), waits(500, 900));
        assert!(complaints(good, before, waits(999, 9_999)).is_empty());
        assert_eq!(complaints(waits(100_000, 120_001), before, before).len(), 1);
        assert_eq!(complaints(good, before, waits(500, 10_001)).len(), 1);
        assert_eq!(complaints(good, before, waits(1_001, 2_000)).len(), 1);
    }
}
