//! `GET /webhooks/endpoint` shows the client's own endpoint, its signing secret, and whether it works.
//!
//! Both are null before the first registration; the secret is there earlier if something had to be signed.

use http::StatusCode;
use spelter::{
    accounts::Owner,
    aws::{outbox::Outbox, vault::Vault},
    clock::Clock,
    error::ApiError,
    http::{Endpoint, Request},
};

use super::endpoint::{View, newest_secret};

/// What this function may touch.
pub struct GetEndpoint {
    /// What is known of endpoints.
    pub outbox: Outbox,
    /// Opens the secret.
    pub vault: Vault,
    /// The time.
    pub now: Clock,
}

impl Endpoint for GetEndpoint {
    const SUCCESS: StatusCode = StatusCode::OK;
    type Answer = View;

    async fn handle(&self, owner: Owner, _: Request) -> Result<View, ApiError> {
        let (settings, endpoint) = self.outbox.own_endpoint(&owner).await?;
        let secret = newest_secret(&owner, &settings, &self.vault).await?;
        Ok(View::new(&settings, secret.as_ref(), endpoint.as_ref(), (self.now)()))
    }
}
