//! The outbox: deliveries of webhooks, written together with the change that they tell of, and all that is due.

use aws_sdk_dynamodb::{Client, error::SdkError, types::Put};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    AwsError, Item,
    keys::{self, Due, DueKind},
    number, text,
    transaction::Write,
};
use crate::{
    accounts::Owner,
    clock,
    error::chain,
    id::{DeliveryId, RequestId},
    webhooks::{Delivery, DeliveryState, Target},
};

/// The outbox in the table of orders.
#[derive(Clone)]
pub struct Outbox {
    db: Client,
    table: String,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    pk: String,
    sk: String,
    id: DeliveryId,
    owner: Owner,
    #[serde(alias = "order")]
    request: RequestId,
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

impl Outbox {
    pub(super) fn new(db: Client, table: String) -> Self {
        Self { db, table }
    }

    /// For the transaction that writes what `delivery` tells of.
    pub fn put(&self, delivery: &Delivery) -> Result<Write, AwsError> {
        let item =
            serde_dynamo::to_item(stored(delivery)).map_err(AwsError::corrupt("a delivery"))?;
        let put = Put::builder()
            .table_name(&self.table)
            .set_item(Some(item))
            .condition_expression("attribute_not_exists(pk)");
        Write::put(put)
    }

    /// The delivery `id` of `request`.
    pub async fn get(
        &self,
        owner: &Owner,
        request: &RequestId,
        id: &DeliveryId,
    ) -> Result<Option<Delivery>, AwsError> {
        let found = self
            .db
            .get_item()
            .table_name(&self.table)
            .set_key(Some(keys::delivery(owner, request, id)))
            .consistent_read(true)
            .send()
            .await
            .map_err(AwsError::call("dynamodb:GetItem"))?;
        found.item.map(read).transpose()
    }

    /// Writes a delivery's new state; [`AwsError::Conflict`] if it is not as it was read.
    pub async fn save(&self, mut delivery: Delivery) -> Result<Delivery, AwsError> {
        let read = delivery.version;
        delivery.version = read.saturating_add(1);
        let item: Item =
            serde_dynamo::to_item(stored(&delivery)).map_err(AwsError::corrupt("a delivery"))?;
        let due = due_clause(&item);
        let state = item.get("state").cloned().ok_or(AwsError::Conflict)?;
        let mut update = self
            .db
            .update_item()
            .table_name(&self.table)
            .set_key(Some(keys::delivery(&delivery.owner, &delivery.request, &delivery.id)))
            .update_expression(format!("SET #state = :state, version = :next{due}"))
            .condition_expression("version = :read")
            .expression_attribute_names("#state", "state")
            .expression_attribute_values(":state", state)
            .expression_attribute_values(":next", number(delivery.version))
            .expression_attribute_values(":read", number(read));
        if let Some(due_at) = item.get("due_at") {
            update = update.expression_attribute_values(":due_at", due_at.clone());
        }
        match update.send().await.map_err(SdkError::into_service_error) {
            Ok(_) => Ok(delivery),
            Err(error) if error.is_conditional_check_failed_exception() => Err(AwsError::Conflict),
            Err(error) => Err(AwsError::Call("dynamodb:UpdateItem", error.into())),
        }
    }

    /// What is due at `now`, at most `limit` of each shard, the longest overdue first; deliveries come last.
    pub async fn due(&self, now: Timestamp, limit: i32) -> Result<Vec<Due>, AwsError> {
        let mut found = Vec::new();
        for shard in DueKind::shards() {
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
                match keys::read_due(&item) {
                    Ok(due) => found.push(due),
                    Err(error) => {
                        tracing::error!(error = chain(&error), "something due is skipped");
                    }
                }
            }
        }
        Ok(found)
    }
}

fn due_clause(item: &Item) -> &'static str {
    if item.contains_key("due_at") { ", due_at = :due_at" } else { " REMOVE due_at, due_shard" }
}

fn stored(delivery: &Delivery) -> Stored {
    let due_at = match &delivery.state {
        DeliveryState::Pending { due_at, .. } => Some(due_at.as_millisecond()),
        DeliveryState::Delivered { .. } | DeliveryState::Undelivered { .. } => None,
    };
    Stored {
        pk: delivery.owner.partition(),
        sk: keys::delivery_sk(&delivery.request, &delivery.id),
        id: delivery.id.clone(),
        owner: delivery.owner.clone(),
        request: delivery.request.clone(),
        target: delivery.target.clone(),
        body: delivery.body.clone(),
        state: delivery.state.clone(),
        due_shard: due_at.map(|_| DueKind::Delivery.shard(delivery.id.as_str())),
        due_at,
        created_at: delivery.created_at,
        version: delivery.version,
    }
}

fn read(item: Item) -> Result<Delivery, AwsError> {
    let stored: Stored = serde_dynamo::from_item(item).map_err(AwsError::corrupt("a delivery"))?;
    Ok(Delivery {
        id: stored.id,
        owner: stored.owner,
        request: stored.request,
        target: stored.target,
        body: stored.body,
        state: stored.state,
        created_at: stored.created_at,
        version: stored.version,
    })
}
