//! `GET /v1/webhooks/deliveries/{delivery_id}` shows what is sent, what was tried and when it is tried next.

use http::StatusCode;
use serde_json::Value;
use spelter::{
    accounts::Owner,
    aws::outbox::Outbox,
    error::ApiError,
    http::{Endpoint, Request},
};

use super::delivery;

/// What this function may touch.
pub struct GetDelivery {
    /// The log.
    pub outbox: Outbox,
}

impl Endpoint for GetDelivery {
    const SUCCESS: StatusCode = StatusCode::OK;
    type Answer = Value;

    async fn handle(&self, owner: Owner, request: Request) -> Result<Value, ApiError> {
        let id = delivery::named(&request)?;
        delivery::find(&self.outbox, &owner, &id).await
    }
}
