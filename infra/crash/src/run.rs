//! Thousands of orders while everything goes wrong, and what became of them.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use ::tests::{STACK, ShopAccount, http, order, queues, tables};
use anyhow::{Context, Result};
use crash_verdict::{Ending, Verdict};
use futures::{StreamExt, stream};
use serde_json::{Value, json};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::{JoinHandle, JoinSet},
    time::{Instant, interval, sleep, timeout},
};

use crate::{
    accounts::{self, Account},
    client::{Client, Found, Wanted},
    clock,
    judge::{Evidence, Purchase, judge},
    overlap::{self, Entry},
    plan::{self, Size, Whim},
    receiver::Receiver,
    stack::Stack,
    strikes::{Striker, Strikes, Terms},
};

/// Orders of one account that have not ended: enough that it always has something to do.
const AHEAD: usize = 5;
/// What an order costs at the most.
const MAX_PRICE: u64 = 2_300;
/// So long a client waits for a webhook before it asks.
const HEARS_WITHIN: Duration = Duration::from_secs(20);
/// Of calls that only look.
const AT_ONCE: usize = 8;
/// How often it is said how far things are.
const SAYS_EVERY: Duration = Duration::from_secs(5);
/// How long everything may take to end once nothing goes wrong any more.
const SETTLE_LIMIT: Duration = Duration::from_mins(10);
/// What lost its message is found by the sweeper after ten minutes. Once nothing else goes wrong, its clock is turned
/// forward by a little more.
const SWEEP_AHEAD_SECONDS: i64 = 11 * 60;
/// And so often.
const SWEEP_EVERY: Duration = Duration::from_secs(20);
/// What is empty when nothing is left to be done: items of the table of orders, by the beginning of their sort keys.
const TO_BE_EMPTY: [&str; 3] = ["LANE#", "JOB#", "HEAD"];

/// One run.
struct Run {
    size: Size,
    client: Client,
    client_id: String,
    stack: Stack,
    receiver: Receiver,
    webhook: String,
    strikes: Strikes,
    wanted: Mutex<Vec<(usize, Wanted)>>,
    started: Instant,
    accepted: AtomicUsize,
    ended: AtomicUsize,
    hang_ups: AtomicU64,
    repeats: AtomicU64,
}

/// Does all of it, and prints what came of it; whether the promise was kept.
pub(crate) async fn run(size: Size, stack: Stack, terms: Terms) -> Result<bool> {
    let client = Client::new(http(), &STACK.client_token);
    let (receiver, webhook) = Receiver::start().await?;
    let mut accounts = Vec::new();
    for number in 0..size.accounts {
        accounts.push(Arc::new(Account::open(&client, number).await?));
    }
    let run = Arc::new(Run {
        size,
        client_id: client_id(&client).await?,
        client,
        stack,
        receiver,
        webhook,
        strikes: Strikes::default(),
        wanted: Mutex::default(),
        started: Instant::now(),
        accepted: AtomicUsize::new(0),
        ended: AtomicUsize::new(0),
        hang_ups: AtomicU64::new(0),
        repeats: AtomicU64::new(0),
    });
    println!("   {} orders on {} accounts, seed {}", size.orders, size.accounts, size.seed);
    let progress = tokio::spawn(Arc::clone(&run).say_how_far());
    let striking = {
        let run = Arc::clone(&run);
        let striker = Striker { stack: run.stack.clone(), strikes: run.strikes.clone(), terms };
        let plan = plan::plan(size);
        tokio::spawn(async move {
            striker.strike_all(plan, size.seed, || run.ended.load(Ordering::Relaxed)).await;
        })
    };
    let mut first = 0;
    let mut buyers = JoinSet::new();
    for (account, count) in accounts.iter().zip(accounts::shares(size.orders, size.accounts)) {
        buyers.spawn(Arc::clone(&run).buy(Arc::clone(account), first..first + count));
        first += count;
    }
    let mut waiting = Vec::new();
    while let Some(bought) = buyers.join_next().await {
        waiting.extend(bought??);
    }
    striking.await?;
    // Everything is accepted, and nothing goes wrong any more. What has not ended yet is asked after from here on.
    for one in waiting {
        one.abort();
    }
    let took = run.started.elapsed();
    run.say();
    progress.abort();
    let verdict = run.judge(&accounts).await?;
    run.tell(&verdict, took);
    if !run.strikes.are_enough() {
        println!("   too few victims were met for this to say much");
    }
    Ok(verdict.is_good() && run.strikes.are_enough())
}

/// Whose orders these are, as the tables name it.
async fn client_id(client: &Client) -> Result<String> {
    let body = order(&ShopAccount::new().await);
    let (accepted, _) = client.post("/v1/orders", Some(&body)).await?;
    let id = accepted.get("request_id").and_then(Value::as_str).context("no order")?;
    let owner = tables::owner_of(id).await;
    Ok(owner.get("client").and_then(Value::as_str).context("no client")?.to_owned())
}

impl Run {
    fn wanted(&self) -> MutexGuard<'_, Vec<(usize, Wanted)>> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Orders one thing after another for `account`, some of them ahead. Returns once all are accepted, with who waits for
    /// the end of each.
    async fn buy(
        self: Arc<Self>,
        account: Arc<Account>,
        numbers: std::ops::Range<usize>,
    ) -> Result<Vec<JoinHandle<()>>> {
        let ahead = Arc::new(Semaphore::new(AHEAD));
        let mut orders = JoinSet::new();
        for number in numbers {
            let permit = Arc::clone(&ahead).acquire_owned().await?;
            orders.spawn(Arc::clone(&self).order(Arc::clone(&account), number, permit));
        }
        let mut waiting = Vec::new();
        while let Some(accepted) = orders.join_next().await {
            waiting.extend(accepted??);
        }
        Ok(waiting)
    }

    /// Has one order accepted, and returns who waits for its end. Only an order whose client asked in vain for minutes is an
    /// error: then nothing is tried out any more.
    async fn order(
        self: Arc<Self>,
        account: Arc<Account>,
        number: usize,
        permit: OwnedSemaphorePermit,
    ) -> Result<Option<JoinHandle<()>>> {
        let Whim { hangs_up_after, calls_off_after, is_stingy } =
            plan::whim(self.size.seed, number);
        let reference = format!("R{number}");
        let max_price = if is_stingy { 1 } else { MAX_PRICE };
        let body = account.order(&reference, max_price, &self.webhook);
        let mut wanted = Wanted { reference, ..Wanted::default() };
        if let Some(moment) = hangs_up_after
            && self.client.post_and_hang_up(&body, moment).await.is_ok()
        {
            self.hang_ups.fetch_add(1, Ordering::Relaxed);
        }
        let (answer, asked) = self.client.post("/v1/orders", Some(&body)).await?;
        self.repeats.fetch_add(asked.saturating_sub(1), Ordering::Relaxed);
        let id = answer.get("request_id").and_then(Value::as_str).map(str::to_owned);
        let id = id.filter(|_| answer.get("code").is_none());
        match &id {
            Some(id) => _ = wanted.accepted.insert(id.clone()),
            None => wanted.refused = Some(answer.to_string()),
        }
        self.wanted().push((account.number, wanted));
        let Some(id) = id else {
            self.ended.fetch_add(1, Ordering::Relaxed);
            return Ok(None);
        };
        self.accepted.fetch_add(1, Ordering::Relaxed);
        if let Some(moment) = calls_off_after {
            sleep(moment).await;
            let (body, _) = self.client.post(&format!("/v1/orders/{id}/abort"), None).await?;
            if body.get("code").and_then(Value::as_str) == Some("aborted_request") {
                self.note_called_off(&id);
            }
        }
        Ok(Some(tokio::spawn(async move {
            self.wait_for_end(&id).await;
            self.ended.fetch_add(1, Ordering::Relaxed);
            drop(permit);
        })))
    }

    fn note_called_off(&self, id: &str) {
        for (_, wanted) in self.wanted().iter_mut() {
            if wanted.accepted.contains(id) {
                wanted.is_called_off = true;
            }
        }
    }

    /// Waits until a webhook tells how an order ended; now and then it asks.
    async fn wait_for_end(&self, id: &str) {
        while timeout(HEARS_WITHIN, self.receiver.heard_of(id)).await.is_err() {
            let found = self.client.get(id).await;
            let is_open = match &found {
                Found::Order(body) => Ending::of(body) == Ending::Open,
                Found::Nothing => false,
                Found::NoAnswer => true,
            };
            if !is_open {
                break;
            }
        }
        for _ in 0..5 {
            if self.stack.leave_parcels(&self.client_id, id).await.is_ok() {
                return;
            }
            sleep(Duration::from_secs(2)).await;
        }
    }

    async fn say_how_far(self: Arc<Self>) {
        let mut ticks = interval(SAYS_EVERY);
        loop {
            ticks.tick().await;
            self.say();
        }
    }

    fn say(&self) {
        let seconds = self.started.elapsed().as_secs();
        let (accepted, ended) =
            (self.accepted.load(Ordering::Relaxed), self.ended.load(Ordering::Relaxed));
        println!(
            "   {seconds:>5} s: {accepted} orders accepted, {ended} ended, {}; {:.1} orders/s",
            self.strikes.told(),
            rate(ended, self.started.elapsed()),
        );
    }

    /// How each order ended, once all have, or once nobody waits for that any more; and what is left to be done.
    async fn settle(&self) -> Result<(BTreeMap<String, Ending>, Vec<String>)> {
        println!("   waiting until all is over");
        let deadline = Instant::now() + SETTLE_LIMIT;
        let mut swept_at = None;
        let mut open: Vec<String> =
            self.wanted().iter().flat_map(|(_, wanted)| wanted.accepted.clone()).collect();
        let mut endings = BTreeMap::new();
        loop {
            let asked = stream::iter(open).map(async |id| {
                let found = self.client.get(&id).await;
                (id, found)
            });
            let asked: Vec<_> = asked.buffer_unordered(AT_ONCE).collect().await;
            open = Vec::new();
            for (id, found) in asked {
                let ending = match &found {
                    Found::Order(body) => Ending::of(body),
                    Found::NoAnswer => Ending::Open,
                    Found::Nothing => continue,
                };
                if ending == Ending::Open {
                    open.push(id.clone());
                }
                endings.insert(id, ending);
            }
            let left = if open.is_empty() { self.left().await } else { Vec::new() };
            if open.is_empty() && left.is_empty() || Instant::now() > deadline {
                return Ok((endings, left));
            }
            if swept_at.is_none_or(|at: Instant| at.elapsed() > SWEEP_EVERY) {
                swept_at = Some(Instant::now());
                let event = json!({"time": clock::in_seconds(SWEEP_AHEAD_SECONDS)});
                self.stack.invoke("SweeperFunction", &event, true).await?;
            }
            sleep(Duration::from_secs(1)).await;
        }
    }

    /// What is still to be done, in words.
    async fn left(&self) -> Vec<String> {
        let mut left = Vec::new();
        for (name, url) in &STACK.queues {
            let depth = queues::depth(url).await;
            if depth > 0 {
                left.push(format!("{depth} messages in {name}"));
            }
        }
        for prefix in TO_BE_EMPTY {
            let count = tables::owned(&self.client_id, prefix).await.len();
            if count > 0 {
                left.push(format!("{count} items {prefix}"));
            }
        }
        left
    }

    async fn judge(&self, accounts: &[Arc<Account>]) -> Result<Verdict> {
        let (endings, left) = self.settle().await?;
        let wanted = self.wanted().clone();
        let account_of: BTreeMap<_, _> = wanted
            .iter()
            .flat_map(|(place, wanted)| wanted.accepted.iter().map(|id| (id.as_str(), *place)))
            .collect();
        let blows = self.strikes.blows(accounts.len(), |id| account_of.get(id).copied());
        let (mut purchases, mut overlapped, mut late) = (Vec::new(), Vec::new(), 0);
        for (account, blows) in accounts.iter().zip(&blows) {
            let (ledger, journal) = tokio::join!(account.shop.ledger(), account.shop.journal());
            purchases.extend(ledger.iter().map(Purchase::of));
            let journal: Vec<Entry> =
                journal.into_iter().map(serde_json::from_value).collect::<Result<_, _>>()?;
            let found = overlap::overlaps(&account.shop.email, &journal, blows);
            overlapped.extend(found.found);
            late += found.late;
        }
        println!("   {late} requests were sent by workers that had thawed too late");
        for (place, wanted) in &wanted {
            if let Some(refused) = &wanted.refused {
                println!("   {} of account {place} was refused: {refused}", wanted.reference);
            }
        }
        let wanted: Vec<_> = wanted.into_iter().map(|(_, wanted)| wanted).collect();
        Ok(judge(Evidence {
            wanted: &wanted,
            endings: &endings,
            purchases: &purchases,
            told: &self.receiver.told(),
            overlapped,
            left,
            faults: self.strikes.count() + self.hang_ups.load(Ordering::Relaxed),
        }))
    }

    fn tell(&self, verdict: &Verdict, took: Duration) {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let ended = self.ended.load(Ordering::Relaxed);
        println!(
            "   {}\n   killed: {}\n   {} clients hung up, {} asked again\n   {ended} orders in {:.0} s: {:.1} orders/s; all \
             over after {:.0} s\n{verdict}",
            self.strikes.told(),
            self.strikes.told_kills(),
            count(&self.hang_ups),
            count(&self.repeats),
            took.as_secs_f64(),
            rate(ended, took),
            self.started.elapsed().as_secs_f64(),
        );
    }
}

fn rate(count: usize, time: Duration) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX)) / time.as_secs_f64().max(0.001)
}
