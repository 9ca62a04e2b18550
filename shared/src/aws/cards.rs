//! Cards with their verification codes, sealed together with the login of their order, from acceptance until the order
//! ends. The table has no backups and no streams.

use aws_config::SdkConfig;
use aws_sdk_dynamodb::{
    Client,
    types::{Delete, Put},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{AwsError, key, transaction::Write};
use crate::{id::OrderId, sealed::Sealed};

/// The table of cards.
#[derive(Clone)]
pub struct Cards {
    db: Client,
    table: String,
}

/// DynamoDB deletes what every other way of deleting missed.
const KEPT_FOR: jiff::SignedDuration = jiff::SignedDuration::from_hours(7 * 24);

#[derive(Serialize, Deserialize)]
struct Stored {
    pk: String,
    secrets: Sealed,
    /// Seconds since 1970, as DynamoDB's time to live wants them.
    expires_at: i64,
}

impl Cards {
    /// The table `table`.
    pub fn new(config: &SdkConfig, table: String) -> Self {
        Self { db: Client::new(config), table }
    }

    /// What `order` is paid and bought with.
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
        let stored: Stored = serde_dynamo::from_item(item).map_err(AwsError::corrupt("a card"))?;
        Ok(Some(stored.secrets))
    }

    /// For the transaction that accepts `order`.
    pub fn put(&self, order: &OrderId, secrets: Sealed, now: Timestamp) -> Result<Write, AwsError> {
        let expires_at = now.checked_add(KEPT_FOR).unwrap_or(now).as_second();
        let stored = Stored { pk: order.to_string(), secrets, expires_at };
        let item = serde_dynamo::to_item(stored).map_err(AwsError::corrupt("a card"))?;
        Write::put(Put::builder().table_name(&self.table).set_item(Some(item)))
    }

    /// For the transaction that ends `order`.
    pub fn delete(&self, order: &OrderId) -> Result<Write, AwsError> {
        let key = key([("pk", order.to_string())]);
        Write::delete(Delete::builder().table_name(&self.table).set_key(Some(key)))
    }
}
