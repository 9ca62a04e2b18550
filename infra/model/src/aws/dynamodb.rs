//! `DynamoDB`: the emulator of the local stack, as a library.

use std::{
    collections::HashMap,
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher},
    sync::Arc,
};

use dynoxide::{
    AttributeValue, Database, DynoxideError,
    actions::{transact_write_items::TransactWriteItemsRequest, update_item::UpdateItemRequest},
    storage_backend::Clock,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use spelter_local::model::Table;
use tokio::time::{Duration, Instant};

use super::Answer;
use crate::{
    actor,
    world::{self, World},
};

/// The time of the run.
struct RunClock;

impl Clock for RunClock {
    fn now_unix_secs(&self) -> u64 {
        u64::try_from(world::now().as_second()).unwrap_or_default()
    }

    #[expect(clippy::cast_precision_loss, clippy::as_conversions, reason = "as it is wanted")]
    fn now_unix_secs_f64(&self) -> f64 {
        world::now().as_millisecond() as f64 / 1000.0
    }
}

/// The template's tables, empty.
pub fn empty(tables: &[Table]) -> anyhow::Result<Database> {
    let db = Database::memory_with_clock(Arc::new(RunClock))?;
    for table in tables {
        db.create_table(serde_json::from_value(table.definition.clone())?)?;
    }
    Ok(db)
}

/// Does `operation`.
pub fn answer(world: &mut World, operation: &str, body: &[u8]) -> Answer {
    let db = &world.db;
    match operation {
        "GetItem" => run(body, |request| db.get_item(request)),
        "PutItem" => run(body, |request| db.put_item(request)),
        "DeleteItem" => run(body, |request| db.delete_item(request)),
        "UpdateItem" => update_item(world, read(body)),
        "Query" => run(body, |request| db.query(request)),
        "BatchGetItem" => run(body, |request| db.batch_get_item(request)),
        "TransactWriteItems" => transact_write_items(world, body),
        other => Answer::error(400, "UnknownOperationException", other),
    }
}

fn run<Q: DeserializeOwned, A: Serialize>(
    body: &[u8],
    act: impl FnOnce(Q) -> Result<A, DynoxideError>,
) -> Answer {
    told(act(read(body)))
}

fn read<Q: DeserializeOwned>(body: &[u8]) -> Q {
    serde_json::from_slice(body).expect("a request that the emulator knows")
}

fn told(result: Result<impl Serialize, DynoxideError>) -> Answer {
    match result {
        Ok(answer) => Answer::ok(serde_json::to_string(&answer).expect("an answer")),
        Err(error) => Answer { status: error.status_code(), body: error.to_json() },
    }
}

/// Changes an item, and notes who takes an account, as the judge sees it.
fn update_item(world: &mut World, request: UpdateItemRequest) -> Answer {
    let takes = request
        .update_expression
        .as_ref()
        .is_some_and(|text| text.contains("fence = if_not_exists"));
    let account = match request.key.get("pk") {
        Some(AttributeValue::S(account)) if takes => Some(account.clone()),
        _ => None,
    };
    let result = world.db.update_item(request);
    if let (Ok(_), Some(account), Some(actor)) = (&result, account, actor::current()) {
        actor.took(&account);
        world.shop.holders.insert(account, actor.id());
    }
    told(result)
}

/// The transactions that were written: by their tokens, when and which.
pub type Written = HashMap<String, (Instant, u64)>;

/// A token counts for so long.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html>
const TOKEN: Duration = Duration::from_mins(10);

/// Writes all or nothing, and notes who writes an order while somebody else holds its account. What the SDK asks for again
/// is known by its token. The emulator would know it, too, but by the machine's clock, and by looking at every token there
/// is.
fn transact_write_items(world: &mut World, body: &[u8]) -> Answer {
    let mut request: TransactWriteItemsRequest = read(body);
    let token = request.client_request_token.take().expect("the SDK's token");
    let (now, hash) =
        (Instant::now(), BuildHasherDefault::<DefaultHasher>::default().hash_one(body));
    if let Some((at, written)) = world.written.get(&token)
        && now - *at < TOKEN
    {
        return if *written == hash {
            Answer::ok("{}")
        } else {
            Answer::error(400, "IdempotentParameterMismatchException", "another transaction")
        };
    }
    let is_of_account = !only_leaves(&request);
    let result = world.db.transact_write_items(request);
    if result.is_ok() {
        world.written.insert(token, (now, hash));
        if is_of_account {
            note_writer(world);
        }
    }
    told(result)
}

fn note_writer(world: &mut World) {
    let Some(actor) = actor::current() else { return };
    let Some(account) = actor.account() else { return };
    if world.shop.holders.get(&account).is_some_and(|holder| *holder != actor.id()) {
        world
            .shop
            .overlapped
            .push(format!("{} wrote for {account}, which it holds no more", actor.id()));
    }
}

/// A job that is done leaves its backlog whoever holds the account by then.
fn only_leaves(request: &TransactWriteItemsRequest) -> bool {
    let of_backlog = |key: &HashMap<String, AttributeValue>| matches!(key.get("pk"), Some(AttributeValue::S(pk)) if pk.starts_with("BACKLOG#"));
    request.transact_items.iter().all(|write| match (&write.delete, &write.update) {
        (Some(delete), _) => of_backlog(&delete.key),
        (None, Some(update)) => of_backlog(&update.key),
        (None, None) => false,
    })
}

/// What a request is about, for who reads the journal.
pub fn subject(body: &[u8]) -> String {
    let request: Value = serde_json::from_slice(body).unwrap_or_default();
    let key = |item: &Value| {
        let part = |name: &str| item[name]["S"].as_str().unwrap_or_default().to_owned();
        format!("{} {}", part("pk"), part("sk"))
    };
    let mut subjects = vec![key(&request["Key"])];
    for write in request["TransactItems"].as_array().into_iter().flatten() {
        for (kind, write) in write.as_object().into_iter().flatten() {
            let item = if kind == "Put" { &write["Item"] } else { &write["Key"] };
            subjects.push(format!("{kind} {}", key(item)));
        }
    }
    subjects.join("; ")
}
