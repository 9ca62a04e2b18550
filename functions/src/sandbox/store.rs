//! The shop's table: all keys are made here, and only here AWS types are named.

use aws_config::SdkConfig;
use aws_sdk_dynamodb::{
    Client,
    error::{BuildError, SdkError},
    operation::{
        put_item::PutItemError, transact_write_items::TransactWriteItemsError,
        update_item::UpdateItemError,
    },
    types::{AttributeValue, Put, TransactWriteItem, Update},
};
use serde::{Serialize, de::DeserializeOwned};
use spelter::{
    aws::{AwsError, Item},
    error::BoxError,
};

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

/// One of several writes that happen together or not at all.
pub enum Write {
    /// A new item.
    Put(Item),
    /// An item in place of the one that has this version.
    Replace(Item, u64),
    /// So much less in the number of an item, which must have it.
    Take(Key, &'static str, u64),
    /// So much more in the number of an item.
    Give(Key, &'static str, u64),
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

    /// A sign-in that waits for a code, by the hash of its token.
    pub fn challenge(hash: &str) -> Self {
        Self { pk: format!("challenge#{hash}"), sk: "challenge".to_owned() }
    }

    /// Which code of its authenticator an account has used last.
    pub fn totp_steps(email: &str) -> Self {
        Self { pk: format!("account#{email}"), sk: "totp".to_owned() }
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
    pub fn purchase(email: &str, placed_at_ms: i64, purchase_id: &str) -> Self {
        Self {
            pk: format!("account#{email}"),
            sk: format!("purchase#{}#{purchase_id}", sortable(placed_at_ms)),
        }
    }

    /// What became of an order.
    pub fn order(order_id: &str) -> Self {
        Self { pk: format!("order#{order_id}"), sk: "order".to_owned() }
    }

    /// Which order a return is of.
    pub fn return_(return_id: &str) -> Self {
        Self { pk: format!("return#{return_id}"), sk: "return".to_owned() }
    }

    /// How the shop takes the cancellations of an account.
    pub fn cancelling(email: &str) -> Self {
        Self { pk: format!("account#{email}"), sk: "cancelling".to_owned() }
    }

    /// A request in an account's journal.
    pub fn journal(email: &str, started_at_ms: i64, id: &str) -> Self {
        Self { pk: format!("journal#{email}"), sk: format!("{}#{id}", sortable(started_at_ms)) }
    }

    /// How the shop behaves towards `target` at a step.
    pub fn behaviour(target: &str, step: &str) -> Self {
        Self { pk: format!("behaviour#{target}"), sk: step.to_owned() }
    }

    /// How often the pages of a product were asked for.
    pub fn page_views(product_id: &str) -> Self {
        Self { pk: format!("product#{product_id}"), sk: "views".to_owned() }
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
    pub fn purchases(email: &str, since_ms: i64) -> Self {
        Self {
            pk: format!("account#{email}"),
            from: format!("purchase#{}", sortable(since_ms)),
            to: format!("purchase#{END}"),
            newest_first: false,
            limit: ALL,
        }
    }

    /// An account's journal since a time, oldest first.
    pub fn journal(email: &str, since_ms: i64) -> Self {
        let [from, to] = [sortable(since_ms), END.to_string()];
        Self { pk: format!("journal#{email}"), from, to, newest_first: false, limit: ALL }
    }

    /// Of these, none after `last`.
    #[must_use]
    pub fn up_to(self, last: &Key) -> Self {
        // The table refuses a range that ends before it begins.
        Self { to: last.sk.clone().max(self.from.clone()), ..self }
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

    /// Sets the number `name` of the item at `key` to a larger one; false if it is that large already.
    pub async fn raise(&self, key: &Key, name: &str, value: i64) -> Result<bool, AwsError> {
        let update = self
            .db
            .update_item()
            .table_name(&self.table)
            .set_key(Some(key.to_item()))
            .update_expression("SET #name = :value")
            .condition_expression("attribute_not_exists(#name) OR #name < :value")
            .expression_attribute_names("#name", name)
            .expression_attribute_values(":value", AttributeValue::N(value.to_string()));
        was_possible(update.send().await)
    }

    /// Adds one to the number `name` of the item at `key`, which begins with none.
    pub async fn count(&self, key: &Key, name: &str) -> Result<(), AwsError> {
        let update = self
            .db
            .update_item()
            .table_name(&self.table)
            .set_key(Some(key.to_item()))
            .update_expression("ADD #name :one")
            .expression_attribute_names("#name", name)
            .expression_attribute_values(":one", AttributeValue::N("1".to_owned()));
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
        was_possible(update.send().await)
    }

    /// All of `writes` or none: false if a version is another one or a number too small.
    pub async fn transact(&self, writes: Vec<Write>) -> Result<bool, AwsError> {
        const CALL: &str = "dynamodb:TransactWriteItems";
        let items: Result<Vec<_>, _> = writes.into_iter().map(|write| self.item(write)).collect();
        let items = items.map_err(AwsError::call(CALL))?;
        match self.db.transact_write_items().set_transact_items(Some(items)).send().await {
            Ok(_) => Ok(true),
            Err(error) if is_refused(&error) => Ok(false),
            Err(error) => Err(AwsError::call(CALL)(error)),
        }
    }

    fn item(&self, write: Write) -> Result<TransactWriteItem, BuildError> {
        let put = |item| Put::builder().table_name(&self.table).set_item(Some(item));
        let update = |key: &Key, expression, name, amount: u64| {
            Update::builder()
                .table_name(&self.table)
                .set_key(Some(key.to_item()))
                .update_expression(expression)
                .expression_attribute_names("#name", name)
                .expression_attribute_values(":amount", AttributeValue::N(amount.to_string()))
        };
        let item = TransactWriteItem::builder();
        Ok(match write {
            Write::Put(new) => item.put(put(new).build()?),
            Write::Replace(new, version) => {
                let put = put(new)
                    .condition_expression("version = :version")
                    .expression_attribute_values(
                        ":version",
                        AttributeValue::N(version.to_string()),
                    );
                item.put(put.build()?)
            }
            Write::Take(key, name, amount) => {
                let take = update(&key, "SET #name = #name - :amount", name, amount)
                    .condition_expression("#name >= :amount");
                item.update(take.build()?)
            }
            Write::Give(key, name, amount) => {
                item.update(update(&key, "SET #name = #name + :amount", name, amount).build()?)
            }
        }
        .build())
    }
}

impl Write {
    /// A new item.
    pub fn put<T: Serialize>(key: &Key, value: &T) -> Result<Self, AwsError> {
        Ok(Self::Put(write(key, value)?))
    }

    /// An item in place of the one that has this version.
    pub fn replace<T: Serialize>(key: &Key, value: &T, version: u64) -> Result<Self, AwsError> {
        Ok(Self::Replace(write(key, value)?, version))
    }
}

/// False if its condition did not hold.
fn was_possible<T, R>(sent: Result<T, SdkError<UpdateItemError, R>>) -> Result<bool, AwsError>
where
    SdkError<UpdateItemError, R>: Into<BoxError>,
{
    match sent {
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

fn is_refused<R>(error: &SdkError<TransactWriteItemsError, R>) -> bool {
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
