//! `POST /v1/webhooks/deliveries/{delivery_id}/replay` has a delivery sent again, whatever became of it.
//!
//! One that has ended goes to the end of what waits for its receiver about its request; one that waits is tried now, if
//! it is its turn.

use http::StatusCode;
use serde_json::Value;
use spelter::{
    accounts::Owner,
    aws::{AwsError, outbox::Outbox, queue::Webhooks},
    clock::Clock,
    error::ApiError,
    http::{Endpoint, Request},
};

use super::delivery;
use crate::news::hurry;

/// What this function may touch.
pub struct ReplayDelivery {
    /// The log and the lanes.
    pub outbox: Outbox,
    /// The way to the sender.
    pub webhooks: Webhooks,
    /// The time.
    pub now: Clock,
}

impl Endpoint for ReplayDelivery {
    const SUCCESS: StatusCode = StatusCode::OK;
    type Answer = Value;

    async fn handle(&self, owner: Owner, request: Request) -> Result<Value, ApiError> {
        let id = delivery::named(&request)?;
        let found = self.outbox.get(&owner, &id).await?.ok_or_else(delivery::unknown)?;
        match self.outbox.replay(&found, (self.now)()).await {
            // Somebody else has just done it; or what it said has expired, which is told below.
            Ok(()) | Err(AwsError::Conflict) => {}
            Err(error) => return Err(error.into()),
        }
        hurry(&self.webhooks, [(owner.clone(), found.lane())]).await;
        delivery::find(&self.outbox, &owner, &id).await
    }
}
