//! `GET /v1/webhooks/endpoints` lists the endpoints that fail or are disabled; of one that works nothing is kept.
//!
//! `limit` (50, at most 100), and `cursor`, which the page before ended with.

use http::StatusCode;
use serde_json::{Value, json};
use spelter::{
    accounts::Owner,
    aws::outbox::Outbox,
    clock::v1_text,
    error::ApiError,
    http::{Endpoint, Request},
    webhooks::{
        endpoints::{self, Disabled},
        lanes::ReceiverKey,
    },
};

/// What this function may touch.
pub struct ListEndpoints {
    /// What is known of endpoints.
    pub outbox: Outbox,
}

const DEFAULT_LIMIT: usize = 50;
const MAX_LIMIT: usize = 100;

impl Endpoint for ListEndpoints {
    const SUCCESS: StatusCode = StatusCode::OK;
    type Answer = Value;

    async fn handle(&self, owner: Owner, request: Request) -> Result<Value, ApiError> {
        let limit = request.limit(DEFAULT_LIMIT, MAX_LIMIT)?;
        let cursor = request.query::<ReceiverKey>("cursor")?;
        let (endpoints, more) = self.outbox.endpoints(&owner, limit, cursor.as_ref()).await?;
        let next = endpoints.last().filter(|_| more).map(|endpoint| endpoint.key.clone());
        let endpoints: Vec<_> = endpoints.iter().map(view).collect();
        Ok(json!({"endpoints": endpoints, "next_cursor": next}))
    }
}

/// The client's own has no URL here: it is where the client says.
fn view(endpoint: &endpoints::Endpoint) -> Value {
    let endpoints::Endpoint { key, url, failing_since, last_failed_at: _, disabled } = endpoint;
    let is_own = *key == ReceiverKey::account();
    json!({
        "id": key,
        "url": (!is_own).then_some(url),
        "failing_since": v1_text(*failing_since),
        "disabled_at": disabled.as_ref().map(|Disabled { at, .. }| v1_text(*at)),
        "reason": disabled.as_ref().map(|Disabled { reason, .. }| reason),
    })
}
