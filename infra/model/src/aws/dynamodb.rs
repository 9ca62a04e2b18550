//! `DynamoDB`: the emulator of the local stack, as a library.

use dynoxide::{Database, DynoxideError, storage_backend::Clock};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use spelter_local::template::Template;

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
pub fn tables(template: &Template) -> anyhow::Result<Database> {
    let db = Database::memory_with_clock(std::sync::Arc::new(RunClock))?;
    for table in template.tables()? {
        db.create_table(serde_json::from_value(table.definition)?)?;
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
        "UpdateItem" => {
            let answer = run(body, |request| db.update_item(request));
            note_lease(world, body, answer.status);
            answer
        }
        "Query" => run(body, |request| db.query(request)),
        "BatchGetItem" => run(body, |request| db.batch_get_item(request)),
        "TransactWriteItems" => {
            let answer = run(body, |request| db.transact_write_items(request));
            note_writer(world, body, answer.status);
            answer
        }
        other => Answer::error(400, "UnknownOperationException", other),
    }
}

fn run<Q: DeserializeOwned, A: Serialize>(
    body: &[u8],
    act: impl FnOnce(Q) -> Result<A, DynoxideError>,
) -> Answer {
    let request = serde_json::from_slice(body).expect("a request that the emulator knows");
    match act(request) {
        Ok(answer) => Answer::ok(serde_json::to_string(&answer).expect("an answer")),
        Err(error) => Answer { status: error.status_code(), body: error.to_json() },
    }
}

/// Who takes an account, as the judge sees it.
fn note_lease(world: &mut World, body: &[u8], status: u16) {
    let Some(actor) = actor::current().filter(|_| status == 200) else { return };
    let request: Value = serde_json::from_slice(body).unwrap_or_default();
    let takes = request["UpdateExpression"]
        .as_str()
        .is_some_and(|text| text.contains("fence = if_not_exists"));
    let account = request["Key"]["pk"]["S"].as_str().filter(|_| takes);
    if let Some(account) = account {
        actor.took(account);
        world.shop.holders.insert(account.to_owned(), actor.id());
    }
}

/// Who writes an order while somebody else holds its account.
fn note_writer(world: &mut World, body: &[u8], status: u16) {
    let Some(actor) = actor::current().filter(|_| status == 200) else { return };
    let request: Value = serde_json::from_slice(body).unwrap_or_default();
    let token = request["ClientRequestToken"].as_str().unwrap_or_default();
    if !world.written.insert(token.to_owned()) {
        // Asked for again by the SDK, and written before.
        return;
    }
    let Some(account) = actor.account() else { return };
    if is_of_backlog(&request) {
        // A job that is done leaves whoever holds its account by then.
        return;
    }
    if world.shop.holders.get(&account).is_some_and(|holder| *holder != actor.id()) {
        world
            .shop
            .overlapped
            .push(format!("{} wrote for {account}, which it holds no more", actor.id()));
    }
}

fn is_of_backlog(request: &Value) -> bool {
    let writes = request["TransactItems"].as_array();
    let mut keys = writes.into_iter().flatten().filter_map(Value::as_object).flatten();
    keys.all(|(_, write)| {
        let item = write.get("Key").or_else(|| write.get("Item"));
        let pk = item.and_then(|item| item["pk"]["S"].as_str());
        pk.is_some_and(|pk| pk.starts_with("BACKLOG#"))
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
