//! What happens seldom, each tried on purpose: messages that are lost again within the five minutes in which a queue
//! drops duplicates, more days than a queue keeps messages, a message that nobody can read, and an account with more jobs
//! than a queue looks through. Nothing may be lost, and other accounts must not notice.

use std::{fmt, rc::Rc};

use anyhow::{Context, Result};
use crash_verdict::Verdict;
use futures::stream::{self, StreamExt};
use jiff::Timestamp;
use serde_json::{Value, json};
use spelter::backlog::CALLED_AT_ONCE;
use tokio::time::{Duration, sleep};

use crate::{
    aws::sqs::{self, DEAD, JOBS},
    clients::{Buyer, Wanted, Whims, order},
    faults::Faults,
    platform::{self, Call, Deployment},
    run::{self, Asked, Outcome, Setting},
    verdict::Limits,
    world,
};

/// Such an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edge {
    /// The queue loses every message for a while.
    Lost(Loss),
    /// Nobody works for longer than a queue keeps messages.
    FifteenDays,
    /// There is a message that nobody can read in front of the orders of an account.
    Unreadable,
    /// An account has more jobs than a queue looks through.
    Crowded(Crowd),
}

impl Edge {
    /// The first messages are lost, and the sweeper sends others before the queue takes a message of the same id again.
    pub const LOST: Self =
        Self::Lost(Loss { lasts: Duration::from_secs(100), within: Duration::from_mins(5) });
    /// And these are lost, too.
    pub const LOST_AGAIN: Self =
        Self::Lost(Loss { lasts: Duration::from_secs(200), within: Duration::from_mins(10) });
}

/// A queue that loses messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loss {
    lasts: Duration,
    /// So long an order may take all the same.
    within: Duration,
}

/// One account with many jobs, and others beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crowd {
    /// How many.
    pub jobs: usize,
    /// So many messages the queue looks through for others.
    pub window: usize,
    /// So many of an account's jobs have messages at the same time.
    pub called_at_once: usize,
}

impl Crowd {
    /// More than AWS's queues look through.
    pub const WHOLE: Self =
        Self { jobs: 130_000, window: sqs::WINDOW, called_at_once: CALLED_AT_ONCE };
    /// Three thousandths of that.
    pub const SMALL: Self =
        Self { jobs: 390, window: sqs::WINDOW / 1_000 * 3, called_at_once: CALLED_AT_ONCE };
}

/// What came of it.
pub struct Found {
    /// Whether the promise was kept.
    pub outcome: Outcome,
    /// Of a crowd: how long the others waited, without it and with it.
    pub waits: Option<[Waits; 2]>,
}

impl Found {
    /// What went wrong: nothing, if everything was bought, nobody had to wait for others, and the crowd waited elsewhere
    /// than in the queue.
    pub fn faults(&self) -> Vec<&'static str> {
        let verdict = &self.outcome.verdict;
        let Verdict { attempted, acknowledged, placed, .. } = verdict;
        let (mut is_fair, mut is_shallow) = (true, true);
        if let Some([alone, beside]) = &self.waits {
            let is_as_quick = |of: fn(&Waits) -> Duration| of(beside) <= of(alone) * 5 / 4;
            is_fair = is_as_quick(Waits::median) && is_as_quick(Waits::late);
            is_shallow = beside.deepest <= beside.deepest_allowed;
        }
        let asked = [
            (verdict.is_good(), "the promise was not kept"),
            ([acknowledged, placed] == [attempted; 2], "not everything was bought"),
            (is_fair, "others waited for the crowd"),
            (is_shallow, "an account had too many messages"),
        ];
        asked.into_iter().filter(|(is_good, _)| !is_good).map(|(_, fault)| fault).collect()
    }
}

/// From acceptance to the end, of orders of several accounts.
#[derive(Debug, Clone)]
pub struct Waits {
    sorted: Vec<Duration>,
    /// The most messages of one account that the jobs queue held.
    pub deepest: usize,
    /// And how many it may have held.
    pub deepest_allowed: usize,
}

impl Waits {
    fn at(&self, hundredth: usize) -> Duration {
        let place = self.sorted.len() * hundredth / 100;
        self.sorted.get(place).or(self.sorted.last()).copied().unwrap_or_default()
    }

    /// Half of them waited for less.
    pub fn median(&self) -> Duration {
        self.at(50)
    }

    /// One in twenty waited for longer.
    pub fn late(&self) -> Duration {
        self.at(95)
    }
}

impl fmt::Display for Waits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, median, late) = (self.sorted.len(), self.median(), self.late());
        write!(f, "{count} orders: median {median:.1?}, 95 % within {late:.1?}; ")?;
        write!(f, "at most {} messages of an account", self.deepest)?;
        write!(f, ", {} are allowed", self.deepest_allowed)
    }
}

/// As long as a few orders take to end.
const HOURS: Duration = Duration::from_hours(12);
const DAY: Duration = Duration::from_hours(24);

/// Tries `edge`; the journal's text is kept if it `is_told`.
pub fn tried(deployment: &Rc<Deployment>, edge: Edge, is_told: bool) -> Result<Found> {
    let plain = |outcome| Found { outcome, waits: None };
    let setting = Setting { is_told, ..SETTING };
    Ok(match edge {
        Edge::Lost(loss) => plain(run::in_a_world(deployment, setting, lost(deployment, loss))?),
        Edge::FifteenDays => plain(run::in_a_world(deployment, setting, fifteen_days(deployment))?),
        Edge::Unreadable => plain(run::in_a_world(deployment, setting, unreadable(deployment))?),
        Edge::Crowded(crowd) => {
            let setting = || Setting { called_at_once: crowd.called_at_once, is_told, ..SETTING };
            let nobody = Crowd { jobs: 0, ..crowd };
            let (_, alone) = run::in_a_world(deployment, setting(), crowded(deployment, nobody))?;
            let (outcome, beside) =
                run::in_a_world(deployment, setting(), crowded(deployment, crowd))?;
            Found { outcome, waits: Some([alone, beside]) }
        }
    })
}

/// Without any other fault.
const SETTING: Setting = Setting {
    seed: 1,
    faults: Faults::At(Vec::new()),
    is_told: false,
    called_at_once: CALLED_AT_ONCE,
};

/// Three orders each of three buyers.
async fn nine_orders() -> Result<Vec<Wanted>> {
    let mut wanted = Vec::new();
    for number in 0..3 {
        let buyer = Buyer::open(number, false).await?;
        for again in 0..3 {
            wanted.extend(order(number + 3 * again, &buyer, Whims::None).await);
        }
    }
    Ok(wanted)
}

/// The first messages are lost, and a client that is patient gets what it wants all the same.
async fn lost(deployment: &Deployment, Loss { lasts, within }: Loss) -> Result<Outcome> {
    world::with(|world| world.queues.named(JOBS).loses = usize::MAX);
    let wanted = nine_orders().await?;
    sleep(lasts).await;
    world::with(|world| world.queues.named(JOBS).loses = 0);
    let limits = Limits { within, ..Limits::NONE };
    run::conclude(deployment, &wanted, Asked { patience: HOURS, limits }).await
}

async fn fifteen_days(deployment: &Deployment) -> Result<Outcome> {
    world::with(|world| world.is_idle = true);
    let wanted = nine_orders().await?;
    sleep(DAY * 15).await;
    world::with(|world| world.is_idle = false);
    run::conclude(deployment, &wanted, Asked::to_end(DAY * 15 + HOURS)).await
}

async fn unreadable(deployment: &Deployment) -> Result<Outcome> {
    let orders = deployment.table("OrdersTable")?;
    let buyer = Buyer::open(0, false).await?;
    let mut wanted = order(0, &buyer, Whims::None).await;
    let account = run::accounts_in(&orders)?.pop().context("the account of the first order")?;
    let message = json!({
        "QueueUrl": format!("http://sqs/1/{JOBS}"),
        "MessageBody": UNREADABLE,
        "MessageGroupId": account,
        "MessageDeduplicationId": "unreadable",
    });
    world::with(|world| world.queues.answer("SendMessage", message.to_string().as_bytes(), None));
    wanted.extend(nine_orders_but_the_first(&buyer).await?);
    let mut outcome = run::conclude(deployment, &wanted, Asked::to_end(HOURS)).await?;
    // It stays where the alarm sees it.
    let is_it = |left: &String| left.contains(UNREADABLE) && left.contains(DEAD);
    let left = &mut outcome.verdict.orphans;
    let before = left.len();
    left.retain(|left| !is_it(left));
    if left.len() + 1 != before {
        left.push("the message that nobody can read is gone".to_owned());
    }
    let others = outcome.orders.values().filter(|order| order.email != buyer.email);
    let late = others.filter(|order| order.took.is_none_or(|took| took > UNHINDERED));
    let late = late.map(|order| format!("{} waited for another account", order.reference));
    outcome.verdict.lost.extend(late);
    Ok(outcome)
}

/// Three orders of one account take less.
const UNHINDERED: Duration = Duration::from_secs(30);

const UNREADABLE: &str = "{\"type\": \"no job\"}";

async fn nine_orders_but_the_first(buyer: &Buyer) -> Result<Vec<Wanted>> {
    let mut wanted = Vec::new();
    for number in [3, 6] {
        wanted.extend(order(number, buyer, Whims::None).await);
    }
    for number in 1..3 {
        let buyer = Buyer::open(number, false).await?;
        for again in 0..3 {
            wanted.extend(order(number + 3 * again, &buyer, Whims::None).await);
        }
    }
    Ok(wanted)
}

/// So many messages an account with so many jobs may have.
///
/// Jobs that come in the same millisecond stand in any order, and each that comes to stand among the first gets a message:
/// the `i`-th of them with a chance of `CALLED_AT_ONCE / i`. Each may be there a second time, since it is sent again if it
/// has no effect for a while.
fn deepest_allowed(jobs: usize) -> usize {
    const MILLION: usize = 1_000_000;
    let millionths: usize =
        (CALLED_AT_ONCE..jobs).map(|i| CALLED_AT_ONCE * MILLION / (i + 1)).sum();
    2 * (CALLED_AT_ONCE + millionths / MILLION)
}

/// Buyers beside the crowd, and how often each orders.
const OTHERS: usize = 10;
const ROUNDS: usize = 10;

async fn crowded(deployment: &Deployment, crowd: Crowd) -> Result<(Outcome, Waits)> {
    world::with(|world| world.queues.named(JOBS).window = crowd.window);
    tokio::task::spawn_local(tell_each_day());
    let one = Buyer::open(0, false).await?;
    let mut others = Vec::new();
    for number in 1..=OTHERS {
        others.push(Buyer::open(number, false).await?);
    }
    let many = (0..crowd.jobs).map(|number| order(number, &one, Whims::None));
    let mut wanted: Vec<_> =
        stream::iter(many).buffer_unordered(50).collect::<Vec<_>>().await.concat();
    let mut waits = Vec::new();
    for round in 0..ROUNDS {
        let first = crowd.jobs + round * OTHERS;
        let ordered = others.iter().enumerate().map(|(place, buyer)| waited(first + place, buyer));
        for (order, wait) in futures::future::try_join_all(ordered).await? {
            wanted.push(order);
            waits.push(wait);
        }
    }
    waits.sort();
    // An order takes some seconds.
    let patience = HOURS + Duration::from_secs(20) * u32::try_from(crowd.jobs)?;
    let outcome = run::conclude_and(deployment, &wanted, Asked::to_end(patience), |world| Waits {
        sorted: waits,
        deepest: world.queues.named(JOBS).deepest,
        deepest_allowed: deepest_allowed(crowd.jobs),
    });
    outcome.await
}

/// Says how far a run is that takes long.
async fn tell_each_day() {
    let started = std::time::Instant::now();
    for day in 1.. {
        sleep(DAY).await;
        let (bought, told) = world::with(|world| (world.shop.ledger.len(), world.receiver.arrived));
        println!("  day {day}: {bought} bought, {told} told, in {:.0?}", started.elapsed());
    }
}

/// Orders, and waits until that has ended: how long it took.
async fn waited(number: usize, buyer: &Buyer) -> Result<(Wanted, Duration)> {
    let wanted = order(number, buyer, Whims::None).await.pop().context("an order")?;
    let id = wanted.accepted.first().context("an order that was accepted")?;
    loop {
        sleep(Duration::from_secs(1)).await;
        let answer = platform::look(&buyer.owner, Call::Get(id)).await;
        let (_, body) = answer.context("an answer")?;
        if body["code"] != "request_processing" {
            let time = |name: &str| time(&body, name);
            let took = time("_finalized_at")?.duration_since(time("_created_at")?);
            return Ok((wanted, took.try_into()?));
        }
    }
}

fn time(body: &Value, name: &str) -> Result<Timestamp> {
    let text = body[name].as_str().with_context(|| format!("no {name} in {body}"))?;
    Ok(text.parse()?)
}
