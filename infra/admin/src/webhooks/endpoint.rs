//! The client's own endpoint at the API, and the secret it has.

use std::time::Duration;

use axum::http::HeaderMap;
use clap::Args;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::json;
use spelter::{error::BoxError, http::client};

use super::check::{Secret, Verdicts};

/// Whoever sends a webhook waits for the secret that it is checked with.
const LIMIT: Duration = Duration::from_secs(3);

/// The API, and a client of it.
#[derive(Args)]
pub(crate) struct Caller {
    /// The API whose client is told; `cargo xtask webhooks` fills in the local stack's.
    #[arg(long, env = "SPELTER_API_URL", value_name = "URL")]
    api_url: Option<String>,
    /// The client's token; `cargo xtask webhooks` fills in the local stack's.
    #[arg(long, env = "SPELTER_CLIENT_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    token: Option<SecretString>,
}

/// `/webhooks/endpoint` of one client.
pub(crate) struct Endpoint {
    client: reqwest::Client,
    url: String,
    token: SecretString,
}

/// What is registered there.
#[derive(Deserialize)]
pub(crate) struct Registration {
    /// Where the client is told.
    #[serde(rename = "webhook_url")]
    pub(crate) url: Option<String>,
    #[serde(rename = "webhook_secret")]
    secret: Option<SecretString>,
}

impl Endpoint {
    /// Of `caller`, if it is known.
    pub(crate) fn of(caller: &Caller) -> Result<Option<Self>, BoxError> {
        let (Some(api), Some(token)) = (&caller.api_url, &caller.token) else {
            return Ok(None);
        };
        let url = format!("{}/webhooks/endpoint", api.trim_end_matches('/'));
        Ok(Some(Self { client: client::build(LIMIT)?, url, token: token.clone() }))
    }

    /// What is registered.
    pub(crate) async fn get(&self) -> Result<Registration, BoxError> {
        self.call(self.client.get(&self.url)).await
    }

    /// Has the client told at `url` from now on.
    pub(crate) async fn put(&self, url: &str) -> Result<Registration, BoxError> {
        self.call(self.client.put(&self.url).json(&json!({ "url": url }))).await
    }

    async fn call(&self, request: reqwest::RequestBuilder) -> Result<Registration, BoxError> {
        let answer = request.bearer_auth(self.token.expose_secret()).send().await?;
        Ok(answer.error_for_status()?.json().await?)
    }
}

impl Registration {
    /// The secret, once there is one.
    pub(crate) fn secret(self) -> Result<Option<Secret>, BoxError> {
        Ok(self.secret.map(Secret::parse).transpose()?)
    }
}

/// Where the secret comes from.
pub(crate) enum Keyring {
    /// It was given, and is the only one.
    Given(Secret),
    /// The endpoint's, as it was when it was last asked for.
    Endpoint(Endpoint, Option<Secret>),
    /// Nowhere.
    Empty,
}

impl Keyring {
    /// Checks a webhook. What the endpoint's secret does not fit is checked again with the one it has now, for there may
    /// be a first one, or a new one. An error is one of asking for it.
    pub(crate) async fn check(
        &mut self,
        headers: &HeaderMap,
        body: &[u8],
    ) -> (Verdicts, Result<(), BoxError>) {
        let verdicts = self.verdicts(headers, body);
        match self {
            Self::Endpoint(endpoint, known) if !verdicts.are_valid() => {
                match endpoint.get().await.and_then(Registration::secret) {
                    Ok(Some(secret)) => *known = Some(secret),
                    // A secret is not taken back; what it says of this webhook stands.
                    Ok(None) => {}
                    Err(error) => return (verdicts, Err(error)),
                }
                (self.verdicts(headers, body), Ok(()))
            }
            Self::Endpoint(..) | Self::Given(_) | Self::Empty => (verdicts, Ok(())),
        }
    }

    fn verdicts(&self, headers: &HeaderMap, body: &[u8]) -> Verdicts {
        match self {
            Self::Given(secret) | Self::Endpoint(_, Some(secret)) => secret.check(headers, body),
            Self::Endpoint(_, None) | Self::Empty => Verdicts::NONE,
        }
    }
}
