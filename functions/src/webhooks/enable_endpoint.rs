//! `POST /v1/webhooks/endpoints/{endpoint_id}/enable` forgets that an endpoint failed, so that it is sent to again.
//!
//! What was given up in the meantime can be replayed. Answers `{}`.

use http::StatusCode;
use serde_json::{Value, json};
use spelter::{
    accounts::Owner,
    aws::outbox::Outbox,
    error::{ApiError, Code, Refusal},
    http::{Endpoint, Request},
    webhooks::lanes::ReceiverKey,
};

/// What this function may touch.
pub struct EnableEndpoint {
    /// What is known of endpoints.
    pub outbox: Outbox,
}

impl Endpoint for EnableEndpoint {
    const SUCCESS: StatusCode = StatusCode::OK;
    type Answer = Value;

    async fn handle(&self, owner: Owner, request: Request) -> Result<Value, ApiError> {
        let unknown = || ApiError::Refused(Refusal::new(Code::InvalidEndpointId));
        let id = request.named::<ReceiverKey>("endpoint_id").ok_or_else(unknown)?;
        let was_known = self.outbox.enable_endpoint(&owner, &id).await?;
        if was_known { Ok(json!({})) } else { Err(unknown()) }
    }
}
