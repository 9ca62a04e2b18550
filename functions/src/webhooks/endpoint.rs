//! The client's own endpoint as the client sees it.

use jiff::Timestamp;
use serde::Serialize;
use spelter::{
    accounts::Owner,
    aws::{
        AwsError,
        vault::Vault,
        webhook_settings::{Settings, open_secret},
    },
    clock::modern_text,
    webhooks::{
        endpoints::{Disabled, Endpoint, Reason},
        signing::SigningSecret,
    },
};

/// The documented fields, and how the endpoint does. It holds a secret, so it has no `Debug`.
#[derive(Serialize)]
pub struct View {
    webhook_url: Option<String>,
    webhook_secret: Option<String>,
    previous_secret_expires_at: Option<String>,
    failing_since: Option<String>,
    disabled_at: Option<String>,
    disabled_reason: Option<Reason>,
}

impl View {
    /// Of `settings`, whose newest secret is `secret`, and of what is known of their endpoint.
    pub(super) fn new(
        settings: &Settings,
        secret: Option<&SigningSecret>,
        endpoint: Option<&Endpoint>,
        now: Timestamp,
    ) -> Self {
        let mut replaced = settings.live(now).filter_map(|secret| secret.until);
        let endpoint = endpoint.filter(|_| settings.url.is_some());
        let disabled = endpoint.and_then(|endpoint| endpoint.disabled.as_ref());
        Self {
            webhook_url: settings.url.clone(),
            webhook_secret: secret.map(|secret| secret.expose().to_owned()),
            previous_secret_expires_at: replaced.next().map(modern_text),
            failing_since: endpoint.map(|endpoint| modern_text(endpoint.failing_since)),
            disabled_at: disabled.map(|Disabled { at, .. }| modern_text(*at)),
            disabled_reason: disabled.map(|Disabled { reason, .. }| *reason),
        }
    }
}

/// The newest secret of `settings`.
pub(super) async fn newest_secret(
    owner: &Owner,
    settings: &Settings,
    vault: &Vault,
) -> Result<Option<SigningSecret>, AwsError> {
    match settings.secrets.first() {
        Some(secret) => open_secret(owner, secret, vault).await.map(Some),
        None => Ok(None),
    }
}
