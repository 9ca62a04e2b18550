//! `PUT /webhooks/endpoint` says where the client's own endpoint is.
//!
//! The secret is made with the first URL and stays when the URL changes. An endpoint that was disabled is enabled again.

use deserr::Deserr;
use http::StatusCode;
use spelter::{
    accounts::Owner,
    aws::{
        AwsError,
        outbox::Outbox,
        vault::Vault,
        webhook_settings::{Settings, WebhookSettings, userinfo_context},
    },
    clock::Clock,
    error::ApiError,
    fields::{self, Faults, FieldError, Unfit},
    http::{Endpoint, Request},
    webhooks::{address::Reach, lanes::ReceiverKey, receiver_url, split_userinfo},
};

use super::endpoint::{View, newest_secret};

/// What this function may touch.
pub struct SetEndpoint {
    /// Where it is written down.
    pub settings: WebhookSettings,
    /// Where it is forgotten that it failed.
    pub outbox: Outbox,
    /// Seals the user and password, and the secret.
    pub vault: Vault,
    /// How far webhooks go.
    pub reach: Reach,
    /// The time.
    pub now: Clock,
}

#[derive(Deserr)]
#[deserr(error = Faults)]
struct Body {
    url: String,
}

impl Endpoint for SetEndpoint {
    const SUCCESS: StatusCode = StatusCode::OK;
    type Answer = View;

    async fn handle(&self, owner: Owner, request: Request) -> Result<View, ApiError> {
        let body = fields::without_blanks(request.json()?);
        let Body { url } = fields::read(body).map_err(ApiError::Invalid)?;
        let url = receiver_url(&url, self.reach).map_err(unfit)?;
        let (url, userinfo) = split_userinfo(url);
        let userinfo = self.vault.seal_userinfo(&userinfo_context(&owner), userinfo).await?;
        let settings = loop {
            let before = self.settings.get(&owner).await?;
            let before = self.settings.with_secret(&owner, before, &self.vault).await?;
            let (url, userinfo) = (Some(url.to_string()), userinfo.clone());
            let enabled = self.outbox.forget_endpoint(&owner, &ReceiverKey::account())?;
            let after = Settings { url, userinfo, ..before };
            match self.settings.save(&owner, after, vec![enabled]).await {
                // A delivery needed the first secret, or somebody has the same wish.
                Err(AwsError::Conflict) => {}
                saved => break saved?,
            }
        };
        let secret = newest_secret(&owner, &settings, &self.vault).await?;
        Ok(View::new(&settings, secret.as_ref(), None, (self.now)()))
    }
}

/// The fault of `url`, which may hold a password and is not repeated.
pub(super) fn unfit(Unfit(message): Unfit) -> ApiError {
    ApiError::Invalid(vec![FieldError::at("url", "value_error", message)])
}
