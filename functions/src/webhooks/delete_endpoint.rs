//! `DELETE /webhooks/endpoint` forgets where the client's own endpoint is. The secret stays: other webhooks are signed
//! with it, too.

use http::StatusCode;
use spelter::{
    accounts::Owner,
    aws::{
        AwsError,
        outbox::Outbox,
        webhook_settings::{Settings, WebhookSettings},
    },
    error::ApiError,
    http::{Endpoint, Request},
    webhooks::lanes::ReceiverKey,
};

/// What this function may touch.
pub struct DeleteEndpoint {
    /// Where it is written down.
    pub settings: WebhookSettings,
    /// Where it is forgotten that it failed.
    pub outbox: Outbox,
}

impl Endpoint for DeleteEndpoint {
    const SUCCESS: StatusCode = StatusCode::NO_CONTENT;
    type Answer = ();

    async fn handle(&self, owner: Owner, _: Request) -> Result<(), ApiError> {
        loop {
            let before = self.settings.get(&owner).await?;
            if before.url.is_none() {
                return Ok(());
            }
            let forgotten = self.outbox.forget_endpoint(&owner, &ReceiverKey::account())?;
            let after = Settings { url: None, userinfo: None, ..before };
            match self.settings.save(&owner, after, vec![forgotten]).await {
                Err(AwsError::Conflict) => {}
                saved => return Ok(saved.map(drop)?),
            }
        }
    }
}
