//! `POST /webhooks/endpoint/rotate` makes a new signing secret. The one before signs on for `overlap_seconds` (86,400, at
//! most 604,800), so that receivers can be told in the meantime.

use std::time::Duration;

use deserr::Deserr;
use http::StatusCode;
use spelter::{
    accounts::Owner,
    aws::{
        outbox::Outbox,
        vault::Vault,
        webhook_settings::{WebhookSettings, new_secret},
    },
    clock::{self, Clock},
    error::ApiError,
    fields::{self, Faults, Unfit},
    http::{Endpoint, Request},
};

use super::endpoint::View;

/// What this function may touch.
pub struct RotateSecret {
    /// Where secrets are written down.
    pub settings: WebhookSettings,
    /// What is known of endpoints.
    pub outbox: Outbox,
    /// Seals the new secret.
    pub vault: Vault,
    /// The time.
    pub now: Clock,
}

const DEFAULT_OVERLAP_SECONDS: u64 = 24 * 3600;
const MAX_OVERLAP_SECONDS: u64 = 7 * 24 * 3600;

/// A call that is repeated since its answer was lost must not take away the only secret that receivers know.
const STILL_LIVE: &str = "a secret that was replaced signs still; wait until it does not, or rotate with overlap_seconds 0";

#[derive(Deserr)]
#[deserr(error = Faults)]
struct Body {
    #[deserr(default = Duration::from_secs(DEFAULT_OVERLAP_SECONDS), try_from(u64) = overlap -> Unfit)]
    overlap_seconds: Duration,
}

fn overlap(seconds: u64) -> Result<Duration, Unfit> {
    if seconds > MAX_OVERLAP_SECONDS {
        return Err(Unfit(format!("must not be more than {MAX_OVERLAP_SECONDS}")));
    }
    Ok(Duration::from_secs(seconds))
}

impl Endpoint for RotateSecret {
    const SUCCESS: StatusCode = StatusCode::OK;
    type Answer = View;

    /// Of two at once, one is told to try again: neither wants a secret that is replaced at once.
    async fn handle(&self, owner: Owner, request: Request) -> Result<View, ApiError> {
        let body = fields::without_blanks(request.object_or_nothing()?.into());
        let Body { overlap_seconds } = fields::read(body).map_err(ApiError::Invalid)?;
        let (before, endpoint) = self.outbox.own_endpoint(&owner).await?;
        let now = (self.now)();
        if before.live(now).count() > 1 && !overlap_seconds.is_zero() {
            return Err(ApiError::Conflict(STILL_LIVE));
        }
        let (secret, sealed) = new_secret(&owner, &self.vault).await?;
        let after = before.rotated(sealed, clock::after(now, overlap_seconds));
        let settings = self.settings.save(&owner, after, vec![]).await?;
        Ok(View::new(&settings, Some(&secret), endpoint.as_ref(), now))
    }
}
