//! `DynamoDB`: the emulator of the local stack, as a library.

use std::{
    collections::HashMap,
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher},
    iter,
    sync::Arc,
};

use dynoxide::{
    AttributeValue, Database, DynoxideError,
    actions::{
        batch_get_item::BatchGetItemRequest, get_item::GetItemRequest, query::QueryRequest,
        transact_write_items::TransactWriteItemsRequest, update_item::UpdateItemRequest,
    },
    storage_backend::Clock,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
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
        "GetItem" => run(body, |request: GetItemRequest| {
            must_be_consistent(request.consistent_read, body);
            db.get_item(request)
        }),
        "PutItem" => run(body, |request| db.put_item(request)),
        "DeleteItem" => run(body, |request| db.delete_item(request)),
        "UpdateItem" => update_item(world, read(body)),
        "Query" => run(body, |request: QueryRequest| {
            // An index cannot be read in any other way.
            if request.index_name.is_none() {
                must_be_consistent(request.consistent_read, body);
            }
            db.query(request)
        }),
        "BatchGetItem" => run(body, |request: BatchGetItemRequest| {
            for keys in request.request_items.values() {
                must_be_consistent(keys.consistent_read, body);
            }
            db.batch_get_item(request)
        }),
        "TransactWriteItems" => transact_write_items(world, body),
        other => Answer::error(400, "UnknownOperationException", other),
    }
}

/// Nothing reads a table in a way that may leave out what was just written: here such a read would see it.
fn must_be_consistent(consistent_read: Option<bool>, body: &[u8]) {
    let text = String::from_utf8_lossy(body);
    assert_eq!(consistent_read, Some(true), "a read without ConsistentRead: {text}");
}

/// Whether `operation` changes anything.
pub fn writes(operation: &str) -> bool {
    matches!(operation, "PutItem" | "DeleteItem" | "UpdateItem" | "TransactWriteItems")
}

/// What has more than this is taken to have something that is due: to look through all of it, once a minute, was a tenth of
/// what an account with 130,000 jobs takes.
const LOOKED_AT: usize = 2_000;

/// Whether anything in the index of what is due may be due by now; `table` is the one of orders.
pub fn is_anything_due(db: &Database, table: &str) -> bool {
    let request = json!({
        "TableName": table,
        "IndexName": "due",
        "Limit": LOOKED_AT,
        "FilterExpression": "due_at <= :now",
        "ExpressionAttributeValues": {":now": {"N": world::now().as_millisecond().to_string()}},
    });
    let request = serde_json::from_value(request).expect("a scan");
    let found = db.scan(request).expect("the index of what is due");
    // There may be more of it.
    found.count > 0 || found.last_evaluated_key.is_some()
}

/// Whether a query asks the index of what is due, and nothing is.
pub fn finds_nothing_due(body: &[u8]) -> bool {
    let request: QueryRequest = read(body);
    let is_due = request.index_name.as_deref() == Some("due");
    is_due && world::with(|world| world.db.query(request)).is_ok_and(|found| found.count == 0)
}

/// What is answered to a write of an item that another transaction is at; of several items the first is.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html>
pub fn conflict(operation: &str, body: &[u8]) -> Answer {
    const TEXT: &str = "Transaction is ongoing for the item";
    if operation != "TransactWriteItems" {
        let kind = "com.amazonaws.dynamodb.v20120810#TransactionConflictException";
        return Answer::error(400, kind, TEXT);
    }
    let request: Value = read(body);
    let items = request["TransactItems"].as_array().map_or(0, Vec::len);
    let first = json!({"Code": "TransactionConflict", "Message": TEXT});
    let others = iter::repeat_n(json!({"Code": "None"}), items.saturating_sub(1));
    let reasons: Vec<_> = iter::once(first).chain(others).collect();
    let codes: Vec<_> = reasons.iter().filter_map(|reason| reason["Code"].as_str()).collect();
    let why = "Transaction cancelled, please refer cancellation reasons for specific reasons";
    let body = json!({
        "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
        "CancellationReasons": reasons,
        "Message": format!("{why} [{}]", codes.join(", ")),
    });
    Answer { status: 400, body: body.to_string() }
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

/// The function that works at retailers.
const WORKER: &str = "order-processor";

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
    let written_for = order_accounts(&request);
    let result = world.db.transact_write_items(request);
    if result.is_ok() {
        world.written.insert(token, (now, hash));
        if is_of_account {
            note_writer(world, &written_for);
        }
    }
    told(result)
}

/// The accounts of the orders that `request` writes.
fn order_accounts(request: &TransactWriteItemsRequest) -> Vec<String> {
    let text = |item: &HashMap<String, AttributeValue>, name: &str| match item.get(name) {
        Some(AttributeValue::S(text)) => Some(text.clone()),
        _ => None,
    };
    let orders = request.transact_items.iter().filter_map(|write| {
        let item = &write.put.as_ref()?.item;
        text(item, "sk").filter(|sk| sk.starts_with("ORDER#")).and_then(|_| text(item, "account"))
    });
    orders.collect()
}

/// A worker writes orders of the account it holds, and of no other.
fn note_writer(world: &mut World, accounts: &[String]) {
    let Some(actor) = actor::current() else { return };
    let (id, held) = (actor.id(), actor.account());
    if actor.name() == WORKER {
        let others = accounts.iter().filter(|account| Some(*account) != held.as_ref());
        let others = others.map(|account| format!("{id} wrote for {account} and holds {held:?}"));
        world.shop.overlapped.extend(others);
    }
    let Some(account) = held else { return };
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

#[cfg(test)]
mod tests {
    use std::panic;

    use super::*;

    #[test]
    fn a_transaction_that_meets_another_says_at_which_item() {
        let body = br#"{"TransactItems": [{}, {}]}"#;
        let answer: Value =
            serde_json::from_str(&conflict("TransactWriteItems", body).body).unwrap();
        let codes = ["/CancellationReasons/0/Code", "/CancellationReasons/1/Code"];
        let codes = codes.map(|path| answer.pointer(path).and_then(Value::as_str));
        assert_eq!(codes, [Some("TransactionConflict"), Some("None")]);
        assert!(conflict("PutItem", b"{}").body.contains("#TransactionConflictException"));
    }

    #[test]
    fn a_read_that_may_be_old_is_noticed() {
        for (consistent_read, is_noticed) in
            [(None, true), (Some(false), true), (Some(true), false)]
        {
            let read = panic::catch_unwind(|| must_be_consistent(consistent_read, b"{}"));
            assert_eq!(read.is_err(), is_noticed);
        }
    }
}
