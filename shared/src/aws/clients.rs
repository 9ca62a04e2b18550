//! Who may call: client keys, by their hashes.

use aws_config::SdkConfig;
use aws_sdk_dynamodb::Client;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{AwsError, key};
use crate::{accounts::Owner, client_key::ClientKey, clock, id::ClientId, retailers::Mode};

/// The table of client keys.
#[derive(Clone)]
pub struct Clients {
    db: Client,
    table: String,
}

/// The client whose orders run on the operator's internal accounts: managed accounts it stores serve every client
/// that has none of its own.
pub fn operator(mode: Mode) -> Owner {
    Owner { client: ClientId::new(uuid::Uuid::nil()), mode }
}

#[derive(Serialize, Deserialize)]
struct Stored {
    pk: String,
    client_id: ClientId,
    mode: Mode,
    name: String,
    #[serde(with = "clock::millis")]
    created_at: Timestamp,
}

impl Clients {
    /// The table `table`.
    pub fn new(config: &SdkConfig, table: String) -> Self {
        Self { db: Client::new(config), table }
    }

    /// Whose key it is.
    pub async fn find(&self, client_key: &ClientKey) -> Result<Option<Owner>, AwsError> {
        let found = self
            .db
            .get_item()
            .table_name(&self.table)
            .set_key(Some(key([("pk", pk(client_key))])))
            .send()
            .await
            .map_err(AwsError::call("dynamodb:GetItem"))?;
        let Some(item) = found.item else {
            return Ok(None);
        };
        let stored: Stored =
            serde_dynamo::from_item(item).map_err(AwsError::corrupt("a client key"))?;
        Ok(Some(Owner { client: stored.client_id, mode: stored.mode }))
    }

    /// Stores a new key of `client`.
    pub async fn insert(
        &self,
        client_key: &ClientKey,
        client: ClientId,
        name: String,
        now: Timestamp,
    ) -> Result<(), AwsError> {
        let stored = Stored {
            pk: pk(client_key),
            client_id: client,
            mode: client_key.mode(),
            name,
            created_at: now,
        };
        let item = serde_dynamo::to_item(stored).map_err(AwsError::corrupt("a client key"))?;
        self.db
            .put_item()
            .table_name(&self.table)
            .set_item(Some(item))
            .condition_expression("attribute_not_exists(pk)")
            .send()
            .await
            .map_err(AwsError::call("dynamodb:PutItem"))?;
        Ok(())
    }
}

fn pk(client_key: &ClientKey) -> String {
    format!("KEY#{}", client_key.hash())
}
