//! One run from an empty world to the judgement.

use std::{collections::BTreeMap, rc::Rc};

use anyhow::{Context, Result};
use crash_verdict::{Ending, Verdict, says_where_to_look};
use jiff::Timestamp;
use serde_json::{Value, json};
use spelter::{
    accounts::Owner,
    clock,
    guards::{self, Guard},
    id::ClientId,
    retailers::Mode,
};
use tokio::{
    runtime::Builder,
    task::LocalSet,
    time::{Duration, sleep},
};
use uuid::Uuid;

use crate::{
    aws::dynamodb,
    balance,
    clients::{self, Wanted, Whims},
    faults::{Callee, Faults},
    panics,
    platform::{self, Call, Deployment},
    verdict::{Cancelling, Ended, Evidence, Limits, judge},
    world::{self, World},
};

/// What is tried.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Orders that clients want.
    pub orders: usize,
    /// Accounts that they are bought with.
    pub accounts: usize,
    /// What clients do besides ordering.
    pub whims: Whims,
    /// One account in five is mailed codes at sign-in; the only one, if there is no other.
    pub mails_codes: bool,
    /// The last account is the operator's, and buys for a client that has paid in.
    pub has_balance: bool,
    /// So many jobs of an account have messages at the same time.
    pub called_at_once: usize,
    /// So many messages of jobs the queue forgets at first.
    pub forgotten: usize,
    /// Now and then a job becomes a dead letter.
    pub buries: bool,
}

impl Load {
    /// So many milliseconds clients take to order it: as fast as the accounts can buy, more or less.
    pub fn span(&self) -> Result<u64> {
        Ok(1_000 + u64::try_from(self.orders / self.accounts)? * 4_000)
    }
}

/// One run.
pub struct Run {
    /// What its chances follow from.
    pub seed: u64,
    /// What is tried.
    pub load: Load,
    /// What goes wrong.
    pub faults: Faults,
    /// Which guard is taken away.
    pub without: Option<Guard>,
    /// What else is asked.
    pub limits: Limits,
    /// Whether the journal's text is kept.
    pub is_told: bool,
}

/// What came of it.
#[derive(Default)]
pub struct Outcome {
    /// Whether the promise was kept.
    pub verdict: Verdict,
    /// Equal for equal runs.
    pub hash: u64,
    /// What was called, in order.
    pub callees: Vec<Callee>,
    /// How many faults struck.
    pub struck: u64,
    /// Every order there is.
    pub orders: BTreeMap<String, Ended>,
    /// How many jobs were made dead letters, by how their orders were.
    pub buried: BTreeMap<String, u64>,
    /// The journal's text, if it was kept.
    pub lines: Vec<String>,
    /// How long it took on the run's own clock.
    pub took: Duration,
}

/// So long after the last client has what it wants, faults may strike, unless all is over before.
const STRUCK_AFTER: Duration = Duration::from_hours(1);

/// Longer than any run takes.
const PATIENCE: Duration = Duration::from_hours(12);

/// Whose orders they are.
pub fn owner() -> Owner {
    Owner { client: ClientId::new(Uuid::from_u128(1)), mode: Mode::Test }
}

/// What a world begins with.
pub struct Setting {
    /// What its chances follow from.
    pub seed: u64,
    /// What goes wrong.
    pub faults: Faults,
    /// Whether the journal's text is kept.
    pub is_told: bool,
    /// So many jobs of an account have messages at the same time.
    pub called_at_once: usize,
}

/// Does `run`.
pub fn run(deployment: &Rc<Deployment>, run: Run) -> Result<Outcome> {
    let Run { seed, load, faults, without, limits, is_told } = run;
    let setting = Setting { seed, faults, is_told, called_at_once: load.called_at_once };
    guards::removed::set(without);
    let result = in_a_world(deployment, setting, live(deployment, load, limits));
    guards::removed::set(None);
    result
}

/// Does `life` in a world of its own.
pub fn in_a_world<T>(
    deployment: &Rc<Deployment>,
    setting: Setting,
    life: impl Future<Output = Result<T>>,
) -> Result<T> {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build()?;
    let Setting { seed, faults, is_told, called_at_once } = setting;
    let (db, queues) = (dynamodb::empty(&deployment.tables)?, deployment.empty_queues.clone());
    panics::watch();
    LocalSet::new().block_on(&runtime, async {
        // A client throws dice when it is made, and only the first run of a thread makes clients.
        platform::start(deployment, called_at_once)?;
        world::begin(seed, faults, db, queues, is_told);
        life.await
    })
}

async fn live(deployment: &Deployment, load: Load, limits: Limits) -> Result<Outcome> {
    let wanted = clients::buy(load, deployment).await?;
    // What makes up for faults is struck, too.
    let struck = Duration::from_millis(world::millis()) + STRUCK_AFTER;
    settle(&deployment.table("OrdersTable")?, struck).await?;
    conclude(deployment, &wanted, Asked { patience: PATIENCE, limits }).await
}

/// What is asked of a run when its faults end.
pub struct Asked {
    /// What has not ended by then on the run's own clock never will.
    pub patience: Duration,
    /// What else.
    pub limits: Limits,
}

impl Asked {
    /// That it ends before it has taken `patience`.
    pub const fn to_end(patience: Duration) -> Self {
        Self { patience, limits: Limits::NONE }
    }
}

/// Lets faults end, waits until all is over, and judges.
pub async fn conclude(deployment: &Deployment, wanted: &[Wanted], asked: Asked) -> Result<Outcome> {
    Ok(conclude_and(deployment, wanted, asked, |_| ()).await?.0)
}

/// The same, and takes a last look at the world.
pub async fn conclude_and<T>(
    deployment: &Deployment,
    wanted: &[Wanted],
    Asked { patience, limits }: Asked,
    look: impl FnOnce(&mut World) -> T,
) -> Result<(Outcome, T)> {
    world::with(|world| world.is_calm = true);
    let (Records { orders: stored, cancellations: all }, mut left) =
        settle(&deployment.table("OrdersTable")?, patience).await?;
    let mut wanted = wanted.to_vec();
    for one in &mut wanted {
        one.learn_of(&all);
    }
    let is_somebodys = |id: &&String| wanted.iter().any(|one| one.cancellations.contains(id));
    let nobodys = all.values().flatten().filter(|id| !is_somebodys(id));
    left.extend(nobodys.map(|id| format!("the cancellation {id} is of no order")));
    let mut orders = BTreeMap::new();
    let mut is_balance_open = false;
    for Stored { owner, id, email } in stored {
        let found = platform::look(&owner, Call::Get(&id)).await;
        let (_, body) = found.with_context(|| format!("order {id} cannot be read"))?;
        let order = ended(&body, email);
        if order.ending == Ending::Unknown && !says_where_to_look(&body) {
            left.push(format!("{id} does not say where to look: {}", body["data"]));
        }
        is_balance_open |=
            owner == balance::client() && matches!(order.ending, Ending::Open | Ending::Unknown);
        orders.insert(id, order);
    }
    let mut cancellations = BTreeMap::new();
    for Wanted { owner, cancellations: ids, .. } in &wanted {
        for (owner, id) in owner.iter().flat_map(|owner| ids.iter().map(move |id| (owner, id))) {
            if let Some((200, body)) = platform::look(owner, Call::GetCancellation(id)).await {
                let at = time(&body, "_finalized_at");
                cancellations.insert(id.clone(), (Cancelling::of(&body), at));
            }
        }
    }
    left.extend(balance::faults(deployment, is_balance_open).await?);
    let (took, over_at) = (Duration::from_millis(world::millis()), world::now());
    let mut world = world::end().context("the world has ended twice")?;
    left.extend(world.queues.late());
    left.extend(panics::taken().into_iter().map(|panic| format!("a panic: {panic}")));
    let evidence = Evidence {
        wanted: &wanted,
        orders: &orders,
        cancellations: &cancellations,
        over_at,
        limits,
        shop: &world.shop,
        receiver: &world.receiver,
        faults: world.calls.struck,
        left,
    };
    let verdict = judge(&evidence);
    let seen = look(&mut world);
    let outcome = Outcome {
        verdict,
        hash: world.journal.hash(),
        struck: world.calls.struck,
        orders,
        buried: world.buried,
        lines: world.journal.lines().to_vec(),
        callees: world.calls.callees,
        took,
    };
    Ok((outcome, seen))
}

fn is_over(patience: Duration) -> bool {
    Duration::from_millis(world::millis()) > patience
}

/// Waits until nothing waits in a queue.
async fn idle(patience: Duration) {
    while !is_over(patience) && world::with(|world| !world.queues.are_empty()) {
        sleep(Duration::from_secs(5)).await;
    }
}

/// What the table holds at the end.
struct Records {
    orders: Vec<Stored>,
    /// The ids of all cancellations, by the orders that they are of.
    cancellations: BTreeMap<String, Vec<String>>,
}

/// Waits until nothing is left to do, or until it is clear that it never will be. Answers with all there is, and with what
/// is left.
async fn settle(table: &str, patience: Duration) -> Result<(Records, Vec<String>)> {
    loop {
        // While something waits in a queue there is no need to read every order.
        idle(patience).await;
        let items = scan(table)?;
        let of = |prefix| with_prefix(&items, prefix);
        let is_open = |order: &&Value| {
            let status = order["status"]["S"].as_str().unwrap_or_default();
            !["placed", "failed", "probably_placed"].iter().any(|word| status.contains(word))
        };
        let open =
            of("ORDER#").filter(is_open).map(|order| format!("{} is open", order["id"]["S"]));
        let cancellations = of("CANCELLATION#").filter(|one| {
            let stage = one["stage"]["S"].as_str().unwrap_or_default();
            !["cancelled", "failed"].iter().any(|word| stage.contains(word))
        });
        let open = open.chain(cancellations.map(|one| format!("{} is open", one["id"]["S"])));
        let lanes = of("LANE#").map(|lane| format!("{} waits", lane["sk"]["S"]));
        let jobs = of("JOB#").chain(of("HEAD"));
        let jobs = jobs.map(|job| format!("{} {} is left", job["pk"]["S"], job["sk"]["S"]));
        let messages = world::with(|world| world.queues.left());
        let left: Vec<_> = open.chain(lanes).chain(jobs).chain(messages).collect();
        if left.is_empty() || is_over(patience) {
            let orders = of("ORDER#").filter_map(stored).collect();
            let mut cancellations = BTreeMap::<_, Vec<_>>::new();
            let text = |item: &Value, name: &str| item[name]["S"].as_str().map(str::to_owned);
            let ids = of("CANCELLATION#").map(|one| Some((text(one, "order")?, text(one, "id")?)));
            for (order, id) in ids.flatten() {
                cancellations.entry(order).or_default().push(id);
            }
            return Ok((Records { orders, cancellations }, left));
        }
        sleep(Duration::from_secs(30)).await;
    }
}

/// The accounts that have jobs.
pub fn accounts_in(table: &str) -> Result<Vec<String>> {
    let items = scan(table)?;
    let jobs = with_prefix(&items, "JOB#");
    Ok(jobs.filter_map(|job| job["account"]["S"].as_str().map(str::to_owned)).collect())
}

/// In which state each order is.
pub fn states(table: &str) -> Result<BTreeMap<String, String>> {
    let items = scan(table)?;
    let state = |order: &Value| {
        let status: Value = serde_json::from_str(order["status"]["S"].as_str()?).ok()?;
        Some((order["id"]["S"].as_str()?.to_owned(), status["state"].as_str()?.to_owned()))
    };
    Ok(with_prefix(&items, "ORDER#").filter_map(state).collect())
}

/// An order as it is found in the table.
struct Stored {
    owner: Owner,
    id: String,
    email: String,
}

fn stored(order: &Value) -> Option<Stored> {
    let text = |name: &str| order[name]["S"].as_str();
    let (client, mode) = text("pk")?.split_once('#')?;
    let owner = Owner { client: client.parse().ok()?, mode: mode.parse().ok()? };
    Some(Stored { owner, id: text("id")?.to_owned(), email: text("email")?.to_owned() })
}

fn time(body: &Value, name: &str) -> Option<Timestamp> {
    body[name].as_str()?.parse().ok()
}

/// What became of the order whose public view is `body`, which the account of `email` buys.
fn ended(body: &Value, email: String) -> Ended {
    let at = time(body, "_finalized_at");
    let took = time(body, "_created_at").zip(at);
    let reference = &body["request"]["shipping_address"]["first_name"];
    Ended {
        ending: Ending::of(body),
        reference: reference.as_str().unwrap_or_default().to_owned(),
        email,
        took: took.map(|(accepted_at, ended_at)| clock::until(ended_at, accepted_at)),
        at,
    }
}

/// Those of `items` whose sort keys begin with `prefix`.
fn with_prefix<'a>(items: &'a [Value], prefix: &'a str) -> impl Iterator<Item = &'a Value> {
    items.iter().filter(move |item| {
        item["sk"]["S"].as_str().is_some_and(|sort_key| sort_key.starts_with(prefix))
    })
}

/// What is read of each item: with a hundred thousand orders their bodies would fill the memory.
const READ: [&str; 8] = ["pk", "sk", "id", "account", "email", "order", "stage", "status"];

/// Every item of a table, as far as it is `READ`.
fn scan(table: &str) -> Result<Vec<Value>> {
    // Some of these names are reserved words in DynamoDB's expressions.
    let names = READ.map(|name| (format!("#{name}"), name));
    let expression = READ.map(|name| format!("#{name}")).join(", ");
    let mut request = json!({
        "TableName": table,
        "ProjectionExpression": expression,
        "ExpressionAttributeNames": BTreeMap::from(names),
    });
    let mut items = Vec::new();
    loop {
        let page = serde_json::from_value(request.clone())?;
        let page = world::with(|world| world.db.scan(page))?;
        let page = serde_json::to_value(page)?;
        items.extend(page["Items"].as_array().cloned().unwrap_or_default());
        match &page["LastEvaluatedKey"] {
            Value::Null => return Ok(items),
            last => request["ExclusiveStartKey"] = last.clone(),
        }
    }
}
