//! Cancellations and returns, in the table of orders.

use std::marker::PhantomData;

use aws_sdk_dynamodb::{Client, types::Put};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    AwsError, Item,
    idempotency::{self, Created, Idempotency, New},
    keys::{self, DueKind},
    number,
    transaction::{self, Write},
};
use crate::{
    accounts::{AccountRef, Owner},
    aftersale::{AfterSale, Stage},
    backlog::Place,
    clock,
    id::{Id, OrderId},
    webhooks::Target,
};

/// The requests of one kind in the table of orders.
#[derive(Clone)]
pub struct AfterSales<S> {
    db: Client,
    table: String,
    kind: DueKind,
    stage: PhantomData<fn() -> S>,
}

#[derive(Serialize, Deserialize)]
#[serde(bound = "")]
struct Stored<S: Stage> {
    pk: String,
    sk: String,
    id: Id<S::Kind>,
    owner: Owner,
    order: OrderId,
    merchant_order_id: String,
    account: AccountRef,
    webhooks: Vec<Target>,
    /// JSON text: it may nest deeper than DynamoDB allows.
    request: String,
    /// JSON text, for the details a retailer gives with a refusal.
    stage: String,
    dispatches: u32,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    place: Option<Place>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    due_shard: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    due_at: Option<i64>,
    #[serde(with = "clock::millis")]
    created_at: Timestamp,
    #[serde(with = "clock::optional_millis", default)]
    ended_at: Option<Timestamp>,
    version: u64,
}

const KIND: &str = "a cancellation or return";

impl<S: Stage> AfterSales<S> {
    pub(super) fn new(db: Client, table: String, kind: DueKind) -> Self {
        Self { db, table, kind, stage: PhantomData }
    }

    /// Stores a new request with its idempotency record and `also` what belongs to it.
    pub async fn create(
        &self,
        request: &AfterSale<S>,
        idempotency: Option<&Idempotency>,
        also: Vec<Write>,
    ) -> Result<Created<S::Kind>, AwsError> {
        let put = Put::builder().condition_expression("attribute_not_exists(pk)");
        let put = self.put(request, put)?;
        let new = New { owner: &request.owner, id: &request.id, idempotency, put, also };
        idempotency::create(&self.db, &self.table, new).await
    }

    /// The request `id` of `owner`.
    pub async fn get(
        &self,
        owner: &Owner,
        id: &Id<S::Kind>,
    ) -> Result<Option<AfterSale<S>>, AwsError> {
        let found = self
            .db
            .get_item()
            .table_name(&self.table)
            .set_key(Some(keys::owned(owner, keys::aftersale_sk(self.kind, id))))
            .consistent_read(true)
            .send()
            .await
            .map_err(AwsError::call("dynamodb:GetItem"))?;
        found.item.map(read).transpose()
    }

    /// For a transaction: `request` in place of the version it was read from.
    pub fn replace(&self, request: &mut AfterSale<S>) -> Result<Write, AwsError> {
        let read = request.version;
        request.version = read.saturating_add(1);
        let replaced = Put::builder()
            .condition_expression("version = :read")
            .expression_attribute_values(":read", number(read));
        self.put(request, replaced)
    }

    /// Writes `request` and `also` what changes with it; [`AwsError::Conflict`] if it is not as it was read, or if
    /// another condition does not hold.
    pub async fn save(&self, request: &mut AfterSale<S>, also: Vec<Write>) -> Result<(), AwsError> {
        let mut writes = vec![self.replace(request)?];
        writes.extend(also);
        Ok(transaction::commit(&self.db, writes).await?)
    }

    fn put(
        &self,
        request: &AfterSale<S>,
        put: aws_sdk_dynamodb::types::builders::PutBuilder,
    ) -> Result<Write, AwsError> {
        let stored = stored(request, self.kind)?;
        let item = serde_dynamo::to_item(stored).map_err(AwsError::corrupt(KIND))?;
        Write::put(put.table_name(&self.table).set_item(Some(item)))
    }
}

fn stored<S: Stage>(request: &AfterSale<S>, kind: DueKind) -> Result<Stored<S>, AwsError> {
    let json = AwsError::corrupt::<serde_json::Error>;
    let AfterSale {
        id,
        owner,
        order,
        merchant_order_id,
        account,
        webhooks,
        request,
        stage,
        dispatches,
        place,
        due_at,
        created_at,
        ended_at,
        version,
    } = request.clone();
    Ok(Stored {
        pk: owner.partition(),
        sk: keys::aftersale_sk(kind, &id),
        due_shard: due_at.map(|_| kind.shard(id.as_str())),
        id,
        owner,
        order,
        merchant_order_id,
        account,
        webhooks,
        request: serde_json::to_string(&request).map_err(json(KIND))?,
        stage: serde_json::to_string(&stage).map_err(json(KIND))?,
        dispatches,
        place,
        due_at: due_at.map(Timestamp::as_millisecond),
        created_at,
        ended_at,
        version,
    })
}

fn read<S: Stage>(item: Item) -> Result<AfterSale<S>, AwsError> {
    let json = AwsError::corrupt::<serde_json::Error>;
    let stored: Stored<S> = serde_dynamo::from_item(item).map_err(AwsError::corrupt(KIND))?;
    Ok(AfterSale {
        id: stored.id,
        owner: stored.owner,
        order: stored.order,
        merchant_order_id: stored.merchant_order_id,
        account: stored.account,
        webhooks: stored.webhooks,
        request: serde_json::from_str(&stored.request).map_err(json(KIND))?,
        stage: serde_json::from_str(&stored.stage).map_err(json(KIND))?,
        dispatches: stored.dispatches,
        place: stored.place,
        due_at: stored.due_at.and_then(|millis| Timestamp::from_millisecond(millis).ok()),
        created_at: stored.created_at,
        ended_at: stored.ended_at,
        version: stored.version,
    })
}
