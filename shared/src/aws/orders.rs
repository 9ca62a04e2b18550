//! Orders, their idempotency records and their outbox: one table, so that an order and the news of it are written
//! together or not at all.
//!
//! | item | pk | sk |
//! |---|---|---|
//! | order | owner | `ORDER#<id>` |
//! | idempotency record | owner | `IDEMPOTENCY#<hash of the key>` |
//! | delivery | owner | `DELIVERY#<order>#<id>` |
//! | claim | `CLAIM#<account>` | the retailer's order id |
//!
//! A claim says which of our orders a purchase in an account's history belongs to. Two equal orders in a row look
//! alike there, and one purchase must not count for both.
//!
//! What something must still happen to also carries `due_shard` and `due_at`, and so shows in the index `due`.

use aws_config::SdkConfig;
use aws_sdk_dynamodb::{
    Client,
    operation::transact_write_items::TransactWriteItemsError,
    types::{CancellationReason, Put, TransactWriteItem},
};
use backon::Retryable;
use data_encoding::HEXLOWER;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{
    AwsError, Item,
    card_codes::CardCodes,
    key,
    leases::{Lease, Leases},
    meeting_retries, number, text,
    vault::Context,
};
use crate::{
    accounts::{AccountRef, Owner},
    clock,
    email::Email,
    error::chain,
    id::{DeliveryId, OrderId},
    orders::{LoginSource, Order, Status, StatusUpdate},
    retailers::{PastOrder, RetailerCode, Site},
    sealed::Sealed,
    webhooks::{Delivery, DeliveryState, Target},
};

/// The table of orders.
#[derive(Clone)]
pub struct Orders {
    db: Client,
    table: String,
}

/// What an order's own secrets are sealed for.
pub fn secrets_context(owner: &Owner, order: &OrderId, purpose: &'static str) -> Context {
    Context { client: owner.partition(), account: order.to_string(), purpose }
}

/// What makes a repeated request the same request.
pub struct Idempotency {
    /// The client's key.
    pub key: String,
    /// A keyed hash of the body.
    pub fingerprint: String,
}

/// What became of a new order.
#[derive(Debug, PartialEq, Eq)]
pub enum Created {
    /// It was stored.
    New,
    /// An equal request was stored before: this is its order.
    Before(OrderId),
    /// The key belongs to another request.
    KeyTaken,
}

/// A change of one order, to be written whole or not at all.
pub struct Change<'a> {
    /// The order as it shall be; its `version` is still the one that was read.
    pub order: Order,
    /// The news of it.
    pub deliveries: Vec<Delivery>,
    /// The lease that must still be held.
    pub lease: Option<(&'a Leases, &'a Lease)>,
    /// Where its card code is forgotten.
    pub forget_card_code: Option<&'a CardCodes>,
}

/// Something that is due, by its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Due {
    /// An order that has not ended.
    Order(Owner, OrderId),
    /// A webhook to be delivered.
    Delivery(Owner, OrderId, DeliveryId),
}

/// Which part of an owner's orders is wanted.
#[derive(Debug, Default)]
pub struct Page {
    /// How many at the most.
    pub limit: usize,
    /// How many of the newest to leave out.
    pub skip: usize,
    /// Only orders accepted at or after this.
    pub from: Option<Timestamp>,
    /// Only orders accepted before this.
    pub before: Option<Timestamp>,
    /// Only orders of this retailer.
    pub retailer: Option<RetailerCode>,
}

/// In how many partitions of the index what is due is spread.
const DUE_SHARDS: u32 = 4;
const ORDER_SHARDS: &str = "order";
const DELIVERY_SHARDS: &str = "delivery";

#[derive(Serialize, Deserialize)]
struct StoredOrder {
    pk: String,
    sk: String,
    id: OrderId,
    owner: Owner,
    retailer: RetailerCode,
    site: Site,
    account: AccountRef,
    email: Email,
    login: LoginSource,
    secrets: Option<Sealed>,
    has_card_code: bool,
    /// JSON text: it may nest deeper than DynamoDB allows.
    request: String,
    webhooks: Vec<Target>,
    /// JSON text, for the details a retailer gives with a refusal.
    status: String,
    updates: Vec<StatusUpdate>,
    dispatches: u32,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    due_shard: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    due_at: Option<i64>,
    #[serde(with = "clock::millis")]
    created_at: Timestamp,
    version: u64,
}

#[derive(Serialize, Deserialize)]
struct StoredIdempotency {
    pk: String,
    sk: String,
    order: OrderId,
    fingerprint: String,
}

#[derive(Serialize, Deserialize)]
struct StoredClaim {
    pk: String,
    sk: String,
    order: OrderId,
}

#[derive(Serialize, Deserialize)]
struct StoredDelivery {
    pk: String,
    sk: String,
    id: DeliveryId,
    owner: Owner,
    order: OrderId,
    target: Target,
    body: String,
    state: DeliveryState,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    due_shard: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    due_at: Option<i64>,
    #[serde(with = "clock::millis")]
    created_at: Timestamp,
    version: u64,
}

impl Orders {
    /// The table `table`.
    pub fn new(config: &SdkConfig, table: String) -> Self {
        Self { db: Client::new(config), table }
    }

    /// Stores a new order with its idempotency record and its card code.
    pub async fn create(
        &self,
        order: &Order,
        idempotency: Option<&Idempotency>,
        card_code: Option<(&CardCodes, Sealed)>,
    ) -> Result<Created, AwsError> {
        let mut writes = Vec::new();
        if let Some(idempotency) = idempotency {
            writes.push(
                self.put_new(&stored_idempotency(order, idempotency), "an idempotency record")?,
            );
        }
        writes.push(self.put_new(&stored_order(order, order.version)?, "an order")?);
        if let Some((card_codes, code)) = card_code {
            writes.push(card_codes.put(&order.id, code, order.created_at)?);
        }
        match (self.transact(writes).await, idempotency) {
            (Ok(()), _) => Ok(Created::New),
            (Err(AwsError::Conflict), Some(idempotency)) => {
                self.before(&order.owner, idempotency).await
            }
            (Err(error), _) => Err(error),
        }
    }

    /// What the request with this idempotency key was answered, if there was one.
    pub async fn replay(
        &self,
        owner: &Owner,
        idempotency: &Idempotency,
    ) -> Result<Option<Created>, AwsError> {
        let found = self
            .item(key([("pk", owner.partition()), ("sk", idempotency_sk(&idempotency.key))]))
            .await?;
        let Some(item) = found else { return Ok(None) };
        let stored: StoredIdempotency =
            serde_dynamo::from_item(item).map_err(AwsError::corrupt("an idempotency record"))?;
        if stored.fingerprint == idempotency.fingerprint {
            Ok(Some(Created::Before(stored.order)))
        } else {
            Ok(Some(Created::KeyTaken))
        }
    }

    async fn before(&self, owner: &Owner, idempotency: &Idempotency) -> Result<Created, AwsError> {
        self.replay(owner, idempotency).await?.ok_or(AwsError::Conflict)
    }

    /// The order `id` of `owner`.
    pub async fn get(&self, owner: &Owner, id: &OrderId) -> Result<Option<Order>, AwsError> {
        let found = self.item(key([("pk", owner.partition()), ("sk", order_sk(id))])).await?;
        found.map(read_order).transpose()
    }

    /// Orders of `owner`, newest first.
    pub async fn list(&self, owner: &Owner, page: &Page) -> Result<Vec<Order>, AwsError> {
        if let (Some(from), Some(before)) = (page.from, page.before)
            && from > before
        {
            // DynamoDB refuses such a range.
            return Ok(Vec::new());
        }
        let bound = |time: Option<Timestamp>, or: &str| {
            // Ids begin with the milliseconds of their UUIDv7.
            let hex = time.map(|time| format!("{:012x}", time.as_millisecond().max(0)));
            format!("ORDER#{}", hex.as_deref().unwrap_or(or))
        };
        let mut pages = self
            .db
            .query()
            .table_name(&self.table)
            .key_condition_expression("pk = :owner AND sk BETWEEN :from AND :before")
            .expression_attribute_values(":owner", text(owner.partition()))
            .expression_attribute_values(":from", text(bound(page.from, "")))
            .expression_attribute_values(":before", text(bound(page.before, "~")))
            .scan_index_forward(false)
            .consistent_read(true)
            .into_paginator()
            .items()
            .send();
        let mut orders = Vec::new();
        let mut skipped = 0;
        while orders.len() < page.limit {
            let Some(item) = pages.next().await else {
                break;
            };
            let order = read_order(item.map_err(AwsError::call("dynamodb:Query"))?)?;
            if page.retailer.is_some_and(|retailer| retailer != order.retailer) {
                continue;
            }
            if skipped < page.skip {
                skipped += 1;
            } else {
                orders.push(order);
            }
        }
        Ok(orders)
    }

    /// Which of the purchases in an account's history belong to none of our orders yet.
    pub async fn unclaimed(
        &self,
        account: &AccountRef,
        history: Vec<PastOrder>,
    ) -> Result<Vec<PastOrder>, AwsError> {
        let mut unclaimed = Vec::new();
        for past in history {
            let key = key([("pk", claim_pk(account)), ("sk", past.merchant_order_id.clone())]);
            if self.item(key).await?.is_none() {
                unclaimed.push(past);
            }
        }
        Ok(unclaimed)
    }

    /// Writes a change and returns the order as it now stands; [`AwsError::Conflict`] if it is not as it was read, if
    /// the lease was lost, or if what it claims to have bought belongs to another order.
    pub async fn save(&self, change: Change<'_>) -> Result<Order, AwsError> {
        let Change { mut order, deliveries, lease, forget_card_code } = change;
        let read = order.version;
        order.version = read.saturating_add(1);
        let item = serde_dynamo::to_item(stored_order(&order, order.version)?)
            .map_err(AwsError::corrupt("an order"))?;
        let put = Put::builder()
            .table_name(&self.table)
            .set_item(Some(item))
            .condition_expression("version = :read")
            .expression_attribute_values(":read", number(read))
            .build()
            .map_err(AwsError::call("dynamodb:TransactWriteItems"))?;
        let mut writes = vec![TransactWriteItem::builder().put(put).build()];
        for delivery in &deliveries {
            writes.push(self.put_new(&stored_delivery(delivery), "a delivery")?);
        }
        if let Some((leases, lease)) = lease {
            writes.push(leases.still_held(lease)?);
        }
        if let Some(card_codes) = forget_card_code {
            writes.push(card_codes.delete(&order.id)?);
        }
        if let Status::Placed(placement) = &order.status {
            for past in &placement.merchant_orders {
                writes.push(self.put_new(&claim(&order, &past.merchant_order_id), "a claim")?);
            }
        }
        self.transact(writes).await?;
        Ok(order)
    }

    /// The delivery `id` of `order`.
    pub async fn delivery(
        &self,
        owner: &Owner,
        order: &OrderId,
        id: &DeliveryId,
    ) -> Result<Option<Delivery>, AwsError> {
        let found =
            self.item(key([("pk", owner.partition()), ("sk", delivery_sk(order, id))])).await?;
        found.map(read_delivery).transpose()
    }

    /// Writes a delivery's new state; [`AwsError::Conflict`] if it is not as it was read.
    pub async fn save_delivery(&self, mut delivery: Delivery) -> Result<Delivery, AwsError> {
        let read = delivery.version;
        delivery.version = read.saturating_add(1);
        let item = serde_dynamo::to_item(stored_delivery(&delivery))
            .map_err(AwsError::corrupt("a delivery"))?;
        let names = due_clause(&item);
        let state = item.get("state").cloned().ok_or(AwsError::Conflict)?;
        let mut update = self
            .db
            .update_item()
            .table_name(&self.table)
            .set_key(Some(key([
                ("pk", delivery.owner.partition()),
                ("sk", delivery_sk(&delivery.order, &delivery.id)),
            ])))
            .update_expression(format!("SET #state = :state, version = :next{names}"))
            .condition_expression("version = :read")
            .expression_attribute_names("#state", "state")
            .expression_attribute_values(":state", state)
            .expression_attribute_values(":next", number(delivery.version))
            .expression_attribute_values(":read", number(read));
        if let Some(due_at) = item.get("due_at") {
            update = update.expression_attribute_values(":due_at", due_at.clone());
        }
        match update.send().await.map_err(aws_sdk_dynamodb::error::SdkError::into_service_error) {
            Ok(_) => Ok(delivery),
            Err(error) if error.is_conditional_check_failed_exception() => Err(AwsError::Conflict),
            Err(error) => Err(AwsError::Call("dynamodb:UpdateItem", error.into())),
        }
    }

    /// What is due at `now`, at most `limit` of each shard, the longest overdue first.
    pub async fn due(&self, now: Timestamp, limit: i32) -> Result<Vec<Due>, AwsError> {
        let mut found = Vec::new();
        // Orders first, and apart from deliveries: a receiver that hangs must not hide an order from the sweeper.
        let shards = |kind| (0..DUE_SHARDS).map(move |shard| format!("{kind}-{shard}"));
        for shard in shards(ORDER_SHARDS).chain(shards(DELIVERY_SHARDS)) {
            let output = self
                .db
                .query()
                .table_name(&self.table)
                .index_name("due")
                .key_condition_expression("due_shard = :shard AND due_at <= :now")
                .expression_attribute_values(":shard", text(shard))
                .expression_attribute_values(":now", number(now.as_millisecond()))
                .limit(limit)
                .send()
                .await
                .map_err(AwsError::call("dynamodb:Query"))?;
            for item in output.items.unwrap_or_default() {
                match read_due(&item) {
                    Ok(due) => found.push(due),
                    Err(error) => {
                        tracing::error!(error = chain(&error), "something due is skipped");
                    }
                }
            }
        }
        Ok(found)
    }

    async fn item(&self, key: Item) -> Result<Option<Item>, AwsError> {
        let found = self
            .db
            .get_item()
            .table_name(&self.table)
            .set_key(Some(key))
            .consistent_read(true)
            .send()
            .await
            .map_err(AwsError::call("dynamodb:GetItem"))?;
        Ok(found.item)
    }

    fn put_new<T: Serialize>(
        &self,
        stored: &T,
        kind: &'static str,
    ) -> Result<TransactWriteItem, AwsError> {
        let item = serde_dynamo::to_item(stored).map_err(AwsError::corrupt(kind))?;
        let put = Put::builder()
            .table_name(&self.table)
            .set_item(Some(item))
            .condition_expression("attribute_not_exists(pk)")
            .build()
            .map_err(AwsError::call("dynamodb:TransactWriteItems"))?;
        Ok(TransactWriteItem::builder().put(put).build())
    }

    /// Writes all or nothing. Another transaction on the same items is no reason to fail: it is waited for.
    async fn transact(&self, writes: Vec<TransactWriteItem>) -> Result<(), AwsError> {
        let send = || async {
            let sent = self
                .db
                .transact_write_items()
                .set_transact_items(Some(writes.clone()))
                .send()
                .await;
            sent.map(drop).map_err(aws_sdk_dynamodb::error::SdkError::into_service_error)
        };
        let written = send
            .retry(meeting_retries())
            .when(|error| refused_because(error, "TransactionConflict"))
            .await;
        written.map_err(|error| {
            if refused_because(&error, "ConditionalCheckFailed") {
                AwsError::Conflict
            } else {
                AwsError::Call("dynamodb:TransactWriteItems", error.into())
            }
        })
    }
}

fn refused_because(error: &TransactWriteItemsError, reason: &str) -> bool {
    match error {
        TransactWriteItemsError::TransactionCanceledException(canceled) => {
            let is = |why: &CancellationReason| why.code() == Some(reason);
            canceled.cancellation_reasons().iter().any(is)
        }
        _ => false,
    }
}

fn due_clause(item: &Item) -> &'static str {
    if item.contains_key("due_at") { ", due_at = :due_at" } else { " REMOVE due_at, due_shard" }
}

fn order_sk(id: &OrderId) -> String {
    format!("ORDER#{id}")
}

fn delivery_sk(order: &OrderId, id: &DeliveryId) -> String {
    format!("DELIVERY#{order}#{id}")
}

/// Clients choose their keys, so the key is hashed: any length, any characters.
fn idempotency_sk(key: &str) -> String {
    format!("IDEMPOTENCY#{}", HEXLOWER.encode(&Sha256::digest(key)))
}

fn claim_pk(account: &AccountRef) -> String {
    format!("CLAIM#{account}")
}

fn claim(order: &Order, merchant_order_id: &str) -> StoredClaim {
    StoredClaim {
        pk: claim_pk(&order.account),
        sk: merchant_order_id.to_owned(),
        order: order.id.clone(),
    }
}

fn due_shard(kind: &str, id: &str) -> String {
    let digit = id.chars().next_back().and_then(|digit| digit.to_digit(16)).unwrap_or_default();
    format!("{kind}-{}", digit % DUE_SHARDS)
}

fn stored_idempotency(order: &Order, idempotency: &Idempotency) -> StoredIdempotency {
    StoredIdempotency {
        pk: order.owner.partition(),
        sk: idempotency_sk(&idempotency.key),
        order: order.id.clone(),
        fingerprint: idempotency.fingerprint.clone(),
    }
}

fn stored_order(order: &Order, version: u64) -> Result<StoredOrder, AwsError> {
    let json = AwsError::corrupt::<serde_json::Error>;
    Ok(StoredOrder {
        pk: order.owner.partition(),
        sk: order_sk(&order.id),
        id: order.id.clone(),
        owner: order.owner.clone(),
        retailer: order.retailer,
        site: order.site,
        account: order.account.clone(),
        email: order.email.clone(),
        login: order.login.clone(),
        secrets: order.secrets.clone(),
        has_card_code: order.has_card_code,
        request: serde_json::to_string(&order.request).map_err(json("an order"))?,
        webhooks: order.webhooks.clone(),
        status: serde_json::to_string(&order.status).map_err(json("an order"))?,
        updates: order.updates.clone(),
        dispatches: order.dispatches,
        due_shard: order.due_at.map(|_| due_shard(ORDER_SHARDS, order.id.as_str())),
        due_at: order.due_at.map(Timestamp::as_millisecond),
        created_at: order.created_at,
        version,
    })
}

fn read_order(item: Item) -> Result<Order, AwsError> {
    let json = AwsError::corrupt::<serde_json::Error>;
    let stored: StoredOrder =
        serde_dynamo::from_item(item).map_err(AwsError::corrupt("an order"))?;
    let status: Status = serde_json::from_str(&stored.status).map_err(json("an order"))?;
    Ok(Order {
        id: stored.id,
        owner: stored.owner,
        retailer: stored.retailer,
        site: stored.site,
        account: stored.account,
        email: stored.email,
        login: stored.login,
        secrets: stored.secrets,
        has_card_code: stored.has_card_code,
        request: serde_json::from_str(&stored.request).map_err(json("an order"))?,
        webhooks: stored.webhooks,
        status,
        updates: stored.updates,
        dispatches: stored.dispatches,
        due_at: stored.due_at.and_then(|millis| Timestamp::from_millisecond(millis).ok()),
        created_at: stored.created_at,
        version: stored.version,
    })
}

fn stored_delivery(delivery: &Delivery) -> StoredDelivery {
    let due_at = match &delivery.state {
        DeliveryState::Pending { due_at, .. } => Some(due_at.as_millisecond()),
        DeliveryState::Delivered { .. } | DeliveryState::Undelivered { .. } => None,
    };
    StoredDelivery {
        pk: delivery.owner.partition(),
        sk: delivery_sk(&delivery.order, &delivery.id),
        id: delivery.id.clone(),
        owner: delivery.owner.clone(),
        order: delivery.order.clone(),
        target: delivery.target.clone(),
        body: delivery.body.clone(),
        state: delivery.state.clone(),
        due_shard: due_at.map(|_| due_shard(DELIVERY_SHARDS, delivery.id.as_str())),
        due_at,
        created_at: delivery.created_at,
        version: delivery.version,
    }
}

fn read_delivery(item: Item) -> Result<Delivery, AwsError> {
    let stored: StoredDelivery =
        serde_dynamo::from_item(item).map_err(AwsError::corrupt("a delivery"))?;
    Ok(Delivery {
        id: stored.id,
        owner: stored.owner,
        order: stored.order,
        target: stored.target,
        body: stored.body,
        state: stored.state,
        created_at: stored.created_at,
        version: stored.version,
    })
}

fn read_due(item: &Item) -> Result<Due, AwsError> {
    let part = |name: &str| item.get(name).and_then(|value| value.as_s().ok()).map(String::as_str);
    let due = || {
        let (client, mode) = part("pk")?.split_once('#')?;
        let owner = Owner { client: client.parse().ok()?, mode: mode.parse().ok()? };
        let mut sk = part("sk")?.split('#');
        match (sk.next()?, sk.next()?, sk.next()) {
            ("ORDER", order, None) => Some(Due::Order(owner, order.parse().ok()?)),
            ("DELIVERY", order, Some(id)) => {
                Some(Due::Delivery(owner, order.parse().ok()?, id.parse().ok()?))
            }
            _ => None,
        }
    };
    due().ok_or_else(|| AwsError::Corrupt("the index of what is due", "unknown key".into()))
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::types::{AttributeValue, error::TransactionCanceledException};

    use super::*;

    fn canceled(codes: &[&str]) -> TransactWriteItemsError {
        let reasons =
            codes.iter().map(|code| CancellationReason::builder().code(*code).build()).collect();
        let exception =
            TransactionCanceledException::builder().set_cancellation_reasons(Some(reasons)).build();
        TransactWriteItemsError::TransactionCanceledException(exception)
    }

    #[test]
    fn a_meeting_of_transactions_is_told_from_a_failed_condition() {
        assert!(refused_because(
            &canceled(&["None", "TransactionConflict"]),
            "TransactionConflict"
        ));
        assert!(!refused_because(&canceled(&["ConditionalCheckFailed"]), "TransactionConflict"));
        assert!(refused_because(
            &canceled(&["ConditionalCheckFailed", "None"]),
            "ConditionalCheckFailed"
        ));
    }

    #[test]
    fn keys_in_the_index_read_back() {
        let owner = "cl_0123456789abcdef0123456789abcdef#test";
        let order = "0123456789abcdef0123456789abcdef";
        let item = |sk: String| -> Item {
            [("pk", owner.to_owned()), ("sk", sk)]
                .map(|(name, value)| (name.to_owned(), AttributeValue::S(value)))
                .into()
        };
        assert!(matches!(read_due(&item(format!("ORDER#{order}"))), Ok(Due::Order(..))));
        assert!(matches!(
            read_due(&item(format!("DELIVERY#{order}#msg_{order}"))),
            Ok(Due::Delivery(..))
        ));
        assert!(read_due(&item("OTHER#1".to_owned())).is_err());
    }
}
