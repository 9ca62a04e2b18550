//! Card verification codes, sealed, from acceptance until their order ends. The table has no backups and no streams.

use aws_config::SdkConfig;
use aws_sdk_dynamodb::{
    Client,
    types::{Delete, Put, TransactWriteItem},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{AwsError, key};
use crate::{id::OrderId, sealed::Sealed};

/// The table of card codes.
#[derive(Clone)]
pub struct CardCodes {
    db: Client,
    table: String,
}

/// DynamoDB deletes what every other way of deleting missed.
const KEPT_FOR: jiff::SignedDuration = jiff::SignedDuration::from_hours(7 * 24);

#[derive(Serialize, Deserialize)]
struct Stored {
    pk: String,
    code: Sealed,
    /// Seconds since 1970, as DynamoDB's time to live wants them.
    expires_at: i64,
}

impl CardCodes {
    /// The table `table`.
    pub fn new(config: &SdkConfig, table: String) -> Self {
        Self { db: Client::new(config), table }
    }

    /// The code of `order`.
    pub async fn get(&self, order: &OrderId) -> Result<Option<Sealed>, AwsError> {
        let found = self
            .db
            .get_item()
            .table_name(&self.table)
            .set_key(Some(key([("pk", order.to_string())])))
            .consistent_read(true)
            .send()
            .await
            .map_err(AwsError::call("dynamodb:GetItem"))?;
        let Some(item) = found.item else {
            return Ok(None);
        };
        let stored: Stored =
            serde_dynamo::from_item(item).map_err(AwsError::corrupt("a card code"))?;
        Ok(Some(stored.code))
    }

    /// For the transaction that accepts `order`.
    pub(super) fn put(
        &self,
        order: &OrderId,
        code: Sealed,
        now: Timestamp,
    ) -> Result<TransactWriteItem, AwsError> {
        let expires_at = now.checked_add(KEPT_FOR).unwrap_or(now).as_second();
        let stored = Stored { pk: order.to_string(), code, expires_at };
        let item = serde_dynamo::to_item(stored).map_err(AwsError::corrupt("a card code"))?;
        let put = Put::builder()
            .table_name(&self.table)
            .set_item(Some(item))
            .build()
            .map_err(AwsError::call("dynamodb:TransactWriteItems"))?;
        Ok(TransactWriteItem::builder().put(put).build())
    }

    /// For the transaction that ends `order`.
    pub(super) fn delete(&self, order: &OrderId) -> Result<TransactWriteItem, AwsError> {
        let delete = Delete::builder()
            .table_name(&self.table)
            .set_key(Some(key([("pk", order.to_string())])))
            .build()
            .map_err(AwsError::call("dynamodb:TransactWriteItems"))?;
        Ok(TransactWriteItem::builder().delete(delete).build())
    }
}
