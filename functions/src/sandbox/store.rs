//! The shop's table: all keys are made here, and only here AWS types are named.

use aws_config::SdkConfig;
use aws_sdk_dynamodb::{
    Client,
    error::SdkError,
    operation::{
        put_item::PutItemError, transact_write_items::TransactWriteItemsError,
        update_item::UpdateItemError,
    },
    types::{AttributeValue, Put, TransactWriteItem, Update},
};
use serde::{Serialize, de::DeserializeOwned};
use spelter::aws::{AwsError, Item};

/// One table with the keys `pk` and `sk` and the time to live `expires_at`.
pub struct Store {
    db: Client,
    table: String,
}

/// Where one item is.
pub struct Key {
    pk: String,
    sk: String,
}

/// Which items of one partition.
pub struct Range {
    pk: String,
    from: String,
    to: String,
    newest_first: bool,
    limit: usize,
}

/// More items than any partition has: for the admin, who reads everything.
const ALL: usize = usize::MAX;

/// Sorts behind every digit and letter of a key.
const END: char = '~';

impl Key {
    /// An account.
    pub fn account(email: &str) -> Self {
        Self { pk: "accounts".to_owned(), sk: email.to_owned() }
    }

    /// A session, by the hash of its token.
    pub fn session(hash: &str) -> Self {
        Self { pk: format!("session#{hash}"), sk: "session".to_owned() }
    }

    /// The cart of an account.
    pub fn cart(email: &str) -> Self {
        Self { pk: format!("account#{email}"), sk: "cart".to_owned() }
    }

    /// A reviewed checkout of an account.
    pub fn checkout(email: &str, id: &str) -> Self {
        Self { pk: format!("account#{email}"), sk: format!("checkout#{id}") }
    }

    /// A purchase of an account.
    pub fn order(email: &str, placed_at_ms: i64, order_id: &str) -> Self {
        Self {
            pk: format!("account#{email}"),
            sk: format!("order#{}#{order_id}", sortable(placed_at_ms)),
        }
    }

    /// A request in an account's journal.
    pub fn journal(email: &str, started_at_ms: i64, id: &str) -> Self {
        Self { pk: format!("journal#{email}"), sk: format!("{}#{id}", sortable(started_at_ms)) }
    }

    /// How the shop behaves towards `target` at a step.
    pub fn behaviour(target: &str, step: &str) -> Self {
        Self { pk: format!("behaviour#{target}"), sk: step.to_owned() }
    }

    fn to_item(&self) -> Item {
        [("pk", &self.pk), ("sk", &self.sk)]
            .map(|(name, value)| (name.to_owned(), text(value)))
            .into()
    }
}

impl Range {
    /// All accounts.
    pub fn accounts() -> Self {
        let [from, to] = [String::new(), END.to_string()];
        Self { pk: "accounts".to_owned(), from, to, newest_first: false, limit: ALL }
    }

    /// An account's purchases since a time, oldest first.
    pub fn orders(email: &str, since_ms: i64) -> Self {
        Self {
            pk: format!("account#{email}"),
            from: format!("order#{}", sortable(since_ms)),
            to: format!("order#{END}"),
            newest_first: false,
            limit: ALL,
        }
    }

    /// An account's journal since a time, oldest first.
    pub fn journal(email: &str, since_ms: i64) -> Self {
        let [from, to] = [sortable(since_ms), END.to_string()];
        Self { pk: format!("journal#{email}"), from, to, newest_first: false, limit: ALL }
    }

    /// The same, newest first, and not more than `limit`.
    #[must_use]
    pub fn newest(self, limit: usize) -> Self {
        Self { newest_first: true, limit, ..self }
    }
}

impl Store {
    /// Over the table `table`.
    pub fn new(config: &SdkConfig, table: String) -> Self {
        Self { db: Client::new(config), table }
    }

    /// What is at `key`.
    pub async fn get<T: DeserializeOwned>(&self, key: &Key) -> Result<Option<T>, AwsError> {
        let get = self
            .db
            .get_item()
            .table_name(&self.table)
            .consistent_read(true)
            .set_key(Some(key.to_item()));
        let item = get.send().await.map_err(AwsError::call("dynamodb:GetItem"))?.item;
        item.map(read).transpose()
    }

    /// Puts `value` at `key`, over what was there.
    pub async fn put<T: Serialize>(&self, key: &Key, value: &T) -> Result<(), AwsError> {
        let put = self.db.put_item().table_name(&self.table).set_item(Some(write(key, value)?));
        put.send().await.map_err(AwsError::call("dynamodb:PutItem"))?;
        Ok(())
    }

    /// Puts `value` at `key` unless something is there.
    pub async fn put_new<T: Serialize>(&self, key: &Key, value: &T) -> Result<(), AwsError> {
        let put = self.db.put_item().table_name(&self.table).set_item(Some(write(key, value)?));
        match put.condition_expression("attribute_not_exists(pk)").send().await {
            Ok(_) => Ok(()),
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(PutItemError::is_conditional_check_failed_exception) =>
            {
                Ok(())
            }
            Err(error) => Err(AwsError::call("dynamodb:PutItem")(error)),
        }
    }

    /// Removes what is at `key`.
    pub async fn delete(&self, key: &Key) -> Result<(), AwsError> {
        let delete = self.db.delete_item().table_name(&self.table).set_key(Some(key.to_item()));
        delete.send().await.map_err(AwsError::call("dynamodb:DeleteItem"))?;
        Ok(())
    }

    /// What is in `range`.
    pub async fn list<T: DeserializeOwned>(&self, range: &Range) -> Result<Vec<T>, AwsError> {
        let query = self
            .db
            .query()
            .table_name(&self.table)
            .consistent_read(true)
            .key_condition_expression("pk = :pk AND sk BETWEEN :from AND :to")
            .expression_attribute_values(":pk", text(&range.pk))
            .expression_attribute_values(
                ":from",
                text(if range.from.is_empty() { " " } else { &range.from }),
            )
            .expression_attribute_values(":to", text(&range.to))
            .scan_index_forward(!range.newest_first);
        let mut found = Vec::new();
        let mut next = None;
        while found.len() < range.limit {
            let page = query.clone().set_exclusive_start_key(next).send().await;
            let page = page.map_err(AwsError::call("dynamodb:Query"))?;
            for item in page.items.unwrap_or_default() {
                found.push(read(item)?);
            }
            next = page.last_evaluated_key;
            if next.is_none() {
                break;
            }
        }
        found.truncate(range.limit);
        Ok(found)
    }

    /// Sets the number `name` of the item at `key`.
    pub async fn set(&self, key: &Key, name: &str, value: i64) -> Result<(), AwsError> {
        let update = self
            .db
            .update_item()
            .table_name(&self.table)
            .set_key(Some(key.to_item()))
            .update_expression("SET #name = :value")
            .expression_attribute_names("#name", name)
            .expression_attribute_values(":value", AttributeValue::N(value.to_string()));
        update.send().await.map_err(AwsError::call("dynamodb:UpdateItem"))?;
        Ok(())
    }

    /// Takes one from the number `name` of the item at `key`; false if there is none left.
    pub async fn take_one(&self, key: &Key, name: &str) -> Result<bool, AwsError> {
        let update = self
            .db
            .update_item()
            .table_name(&self.table)
            .set_key(Some(key.to_item()))
            .update_expression("SET #name = #name - :one")
            .condition_expression("#name >= :one")
            .expression_attribute_names("#name", name)
            .expression_attribute_values(":one", AttributeValue::N("1".to_owned()));
        match update.send().await {
            Ok(_) => Ok(true),
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(UpdateItemError::is_conditional_check_failed_exception) =>
            {
                Ok(false)
            }
            Err(error) => Err(AwsError::call("dynamodb:UpdateItem")(error)),
        }
    }

    /// Puts `value` at `key` and takes `amount` from the number `name` of the item at `purse`: both, or neither if
    /// there is not that much in it.
    pub async fn put_paid<T: Serialize>(
        &self,
        key: &Key,
        value: &T,
        purse: &Key,
        name: &str,
        amount: u64,
    ) -> Result<bool, AwsError> {
        const CALL: &str = "dynamodb:TransactWriteItems";
        let put = Put::builder().table_name(&self.table).set_item(Some(write(key, value)?));
        let pay = Update::builder()
            .table_name(&self.table)
            .set_key(Some(purse.to_item()))
            .update_expression("SET #name = #name - :amount")
            .condition_expression("#name >= :amount")
            .expression_attribute_names("#name", name)
            .expression_attribute_values(":amount", AttributeValue::N(amount.to_string()));
        let put =
            TransactWriteItem::builder().put(put.build().map_err(AwsError::call(CALL))?).build();
        let pay =
            TransactWriteItem::builder().update(pay.build().map_err(AwsError::call(CALL))?).build();
        match self.db.transact_write_items().transact_items(put).transact_items(pay).send().await {
            Ok(_) => Ok(true),
            Err(error) if lacks_money(&error) => Ok(false),
            Err(error) => Err(AwsError::call(CALL)(error)),
        }
    }
}

fn lacks_money<R>(error: &SdkError<TransactWriteItemsError, R>) -> bool {
    match error.as_service_error() {
        Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) => cancelled
            .cancellation_reasons()
            .iter()
            .any(|reason| reason.code() == Some("ConditionalCheckFailed")),
        _ => false,
    }
}

fn read<T: DeserializeOwned>(item: Item) -> Result<T, AwsError> {
    serde_dynamo::from_item(item).map_err(AwsError::corrupt("the sandbox"))
}

fn write<T: Serialize>(key: &Key, value: &T) -> Result<Item, AwsError> {
    let mut item: Item = serde_dynamo::to_item(value).map_err(AwsError::corrupt("the sandbox"))?;
    item.extend(key.to_item());
    Ok(item)
}

fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}

/// Milliseconds since 1970 as a text that sorts as they do, until the year 2286.
fn sortable(millis: i64) -> String {
    format!("{:013}", millis.max(0))
}
