//! Thousands of orders while everything goes wrong, and what became of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use ::tests::{STACK, ShopAccount, http, order, tables};
use anyhow::{Context, Result};
use crash_verdict::{Ending, Verdict};
use serde_json::Value;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::{JoinHandle, JoinSet},
    time::{Instant, interval, sleep, timeout},
};

use crate::{
    accounts::{self, Account, Told},
    aftermath::{self, Aftermath},
    client::{Client, Found, Wanted},
    judge::{self, Evidence, Purchase},
    overlap::{self, Entry, Overlaps},
    plan::{self, AHEAD, Size, Trouble, Whim},
    presses,
    receiver::Receiver,
    stack::Stack,
    strikes::{Striker, Strikes, Terms},
};

/// What an order costs at the most.
const MAX_PRICE: u64 = 2_300;
/// So long a client waits for a webhook before it asks.
const HEARS_WITHIN: Duration = Duration::from_secs(20);
/// How often it is said how far things are.
const SAYS_EVERY: Duration = Duration::from_secs(5);
/// How long orders are made and waited for while everything goes wrong, besides what each order adds to it: what never
/// ends would be waited for for ever.
const LIMIT: Duration = Duration::from_mins(15);
const LIMIT_PER_ORDER: Duration = Duration::from_millis(500);

/// One run.
struct Run {
    size: Size,
    client: Client,
    known: Known,
    stack: Stack,
    receiver: Receiver,
    webhook: String,
    strikes: Strikes,
    terms: Terms,
    wanted: Mutex<Vec<(usize, Wanted)>>,
    started: Instant,
    deadline: Instant,
    accepted: AtomicUsize,
    ended: AtomicUsize,
    hang_ups: AtomicU64,
    repeats: AtomicU64,
}

/// Whose orders these are.
struct Known {
    /// As the tables name it.
    client_id: String,
    /// The order that this is known from.
    order: String,
}

/// Does all of it, and prints what came of it; whether the promise was kept.
pub(crate) async fn run(size: Size, stack: Stack, terms: Terms) -> Result<bool> {
    let client = Client::new(http(), &STACK.client_token);
    let (receiver, webhook) = Receiver::start().await?;
    let mut accounts = Vec::new();
    for number in 0..size.accounts {
        accounts.push(Arc::new(Account::open(&client, number).await?));
    }
    let (known, started) = (get_to_know(&client).await?, Instant::now());
    let run = Arc::new(Run {
        size,
        known,
        client,
        stack,
        receiver,
        webhook,
        strikes: Strikes::default(),
        terms,
        wanted: Mutex::default(),
        started,
        deadline: started + limit(size.orders),
        accepted: AtomicUsize::new(0),
        ended: AtomicUsize::new(0),
        hang_ups: AtomicU64::new(0),
        repeats: AtomicU64::new(0),
    });
    println!("   {} orders on {} accounts, seed {}", size.orders, size.accounts, size.seed);
    let progress = tokio::spawn(Arc::clone(&run).say_how_far());
    let striking = {
        let run = Arc::clone(&run);
        let striker = Striker {
            stack: run.stack.clone(),
            strikes: run.strikes.clone(),
            terms: run.terms,
            deadline: run.deadline,
        };
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
    let (verdict, shortcomings) = run.judge(&accounts).await?;
    run.tell(&verdict, took);
    for shortcoming in &shortcomings {
        println!("   PROVES TOO LITTLE: {shortcoming}");
    }
    Ok(verdict.is_good() && shortcomings.is_empty())
}

/// Orders something to see who orders.
async fn get_to_know(client: &Client) -> Result<Known> {
    let body = order(&ShopAccount::new().await);
    let (accepted, _) = client.post("/v1/orders", Some(&body)).await?;
    let order = accepted.get("request_id").and_then(Value::as_str).context("no order")?;
    let owner = tables::owner_of(order).await;
    let client_id = owner.get("client").and_then(Value::as_str).context("no client")?;
    Ok(Known { client_id: client_id.to_owned(), order: order.to_owned() })
}

fn limit(orders: usize) -> Duration {
    LIMIT + LIMIT_PER_ORDER * u32::try_from(orders).unwrap_or(u32::MAX)
}

/// What the shop knows.
#[derive(Default)]
struct Books {
    purchases: Vec<Purchase>,
    /// Orders that failed while they still could be placed.
    too_soon: BTreeSet<String>,
    /// Presses that no order explains.
    unexplained: Vec<String>,
    overlaps: Overlaps,
}

/// When the shop was told to cut something off.
fn cuts(troubles: &[Told]) -> Vec<i64> {
    let is_cut = |told: &&Told| matches!(told.trouble, Trouble::CutBefore | Trouble::CutAfter);
    troubles.iter().filter(is_cut).map(|told| told.at_ms).collect()
}

/// Says how often the shop was told to make trouble, and how often it cut something off.
fn say_troubles(accounts: &[Arc<Account>], cut: u64) {
    let troubles: Vec<_> = accounts.iter().flat_map(|account| account.troubles()).collect();
    let count = |is: fn(Trouble) -> bool| troubles.iter().filter(|told| is(told.trouble)).count();
    println!(
        "   the shop was told to cut {} presses off before it buys and {} after, and cut {cut}; {} times it was told to \
         let its history lag",
        count(|trouble| trouble == Trouble::CutBefore),
        count(|trouble| trouble == Trouble::CutAfter),
        count(|trouble| matches!(trouble, Trouble::Lag { .. })),
    );
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
            if self.is_late() {
                break;
            }
            orders.spawn(Arc::clone(&self).order(Arc::clone(&account), number, permit));
        }
        let mut waiting = Vec::new();
        while let Some(accepted) = orders.join_next().await {
            waiting.extend(accepted??);
        }
        Ok(waiting)
    }

    /// Has one order accepted, and returns who waits for its end. Only that somebody asked in vain for minutes is an error:
    /// then nothing is tried out any more.
    async fn order(
        self: Arc<Self>,
        account: Arc<Account>,
        number: usize,
        permit: OwnedSemaphorePermit,
    ) -> Result<Option<JoinHandle<()>>> {
        let Whim { hangs_up_after, calls_off_after, is_stingy, trouble } =
            plan::whim(self.size.seed, number);
        if let Some(trouble) = trouble {
            account.make(trouble, &self.stack).await?;
        }
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
            Some(id) => wanted.accepted = Some(id.clone()),
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
            if wanted.accepted.as_deref() == Some(id) {
                wanted.is_called_off = true;
            }
        }
    }

    /// Whether nothing is waited for any more.
    fn is_late(&self) -> bool {
        Instant::now() >= self.deadline
    }

    /// Waits until a webhook tells how an order ended; now and then it asks. It stops when time is up.
    async fn wait_for_end(&self, id: &str) {
        while timeout(HEARS_WITHIN, self.receiver.heard_of(id)).await.is_err() {
            if self.is_late() {
                return;
            }
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
            if self.stack.leave_parcels(&self.known.client_id, id).await.is_ok() {
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

    /// What is said of the run, and why it proves too little, if it does.
    async fn judge(&self, accounts: &[Arc<Account>]) -> Result<(Verdict, Vec<String>)> {
        println!("   waiting until all is over");
        let wanted = self.wanted().clone();
        let ids = wanted.iter().filter_map(|(_, wanted)| wanted.accepted.clone());
        let mut aftermath = aftermath::settle(&self.client, &self.stack, ids.collect()).await?;
        aftermath.stored.remove(&self.known.order);
        let books = self.read_books(accounts, &wanted, &aftermath).await?;
        let Books { purchases, too_soon, unexplained, overlaps } = books;
        let Overlaps { found, late, cut } = overlaps;
        println!("   {late} requests were sent by workers that had thawed too late");
        println!("   senders could not act on {} hints", aftermath.dead_hints);
        say_troubles(accounts, cut);
        let wanted: Vec<_> = wanted.into_iter().map(|(_, wanted)| wanted).collect();
        let verdict = judge::judge(Evidence {
            wanted: &wanted,
            endings: &aftermath.endings,
            purchases: &purchases,
            told: &self.receiver.told(),
            stored: &aftermath.stored,
            too_soon: &too_soon,
            lead_nowhere: &aftermath.lead_nowhere,
            unexplained,
            overlapped: found,
            left: aftermath.left,
            faults: self.strikes.count() + self.hang_ups.load(Ordering::Relaxed) + cut,
        });
        let orders = self.size.orders;
        let mut shortcomings = judge::shortcomings(orders, cut, &wanted, &verdict);
        shortcomings.extend(judge::too_many_dead_hints(orders, aftermath.dead_hints));
        shortcomings.extend(self.strikes.shortcomings(orders, late));
        Ok((verdict, shortcomings))
    }

    /// What the shop's books say of all accounts.
    async fn read_books(
        &self,
        accounts: &[Arc<Account>],
        wanted: &[(usize, Wanted)],
        aftermath: &Aftermath,
    ) -> Result<Books> {
        let accepted =
            wanted.iter().filter_map(|(place, one)| Some((one.accepted.as_deref()?, *place)));
        let account_of: BTreeMap<_, _> = accepted.collect();
        let blows = self.strikes.blows(accounts.len(), |id| account_of.get(id).copied());
        let mut books = Books::default();
        for (account, blows) in accounts.iter().zip(&blows) {
            let (ledger, journal) = tokio::join!(account.shop.ledger(), account.shop.journal());
            books.purchases.extend(ledger.iter().map(Purchase::of));
            let journal: Vec<Entry> =
                journal.into_iter().map(serde_json::from_value).collect::<Result<_, _>>()?;
            let is_its = |id: &str| account_of.get(id) == Some(&account.number);
            let markers = || aftermath.markers.iter().filter(|(id, _)| is_its(id));
            let ids = markers().map(|(id, _)| id);
            let too_soon = ids.filter(|id| aftermath.failed_too_soon(id, &journal, self.terms.job));
            books.too_soon.extend(too_soon.cloned());
            let (email, cuts) = (&account.shop.email, cuts(&account.troubles()));
            let written_at = markers().map(|(_, marker)| marker.written_at_ms).collect();
            books.unexplained.extend(presses::unexplained(email, &journal, written_at));
            books.overlaps += overlap::overlaps(email, &journal, blows, cuts);
        }
        Ok(books)
    }

    fn tell(&self, verdict: &Verdict, took: Duration) {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let ended = self.ended.load(Ordering::Relaxed);
        println!(
            "   {}\n   {}\n   {} clients hung up, {} asked again\n   {ended} orders in {:.0} s: {:.1} orders/s; all \
             over after {:.0} s\n{verdict}",
            self.strikes.told(),
            self.strikes.told_kinds(),
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
