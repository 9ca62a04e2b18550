//! The only place that names AWS types: clients, stores, queues and the vault.
//!
//! Each store is a concrete struct over one table. Nothing here decides anything.

pub mod accounts;
pub mod card_codes;
pub mod clients;
pub mod keyed_hash;
pub mod leases;
pub mod orders;
pub mod queue;
pub mod vault;

use std::{collections::HashMap, fmt::Display, time::Duration};

use aws_config::{BehaviorVersion, SdkConfig, timeout::TimeoutConfig};
use aws_sdk_dynamodb::types::AttributeValue;
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, rustls_provider::CryptoMode},
};
use backon::ExponentialBuilder;

use crate::error::{ApiError, BoxError};

/// Far above what AWS takes, far below what a function has.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(4);

/// A DynamoDB item.
pub type Item = HashMap<String, AttributeValue>;

/// The configuration every client of this process is made from: one HTTP client, one set of credentials.
pub async fn config() -> SdkConfig {
    let https = Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
    // A frozen function thaws with connections that nobody answers on any more.
    let timeouts = TimeoutConfig::builder().operation_attempt_timeout(ATTEMPT_TIMEOUT).build();
    aws_config::defaults(BehaviorVersion::latest())
        .http_client(https)
        .timeout_config(timeouts)
        .load()
        .await
}

/// A call to AWS that did not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum AwsError {
    /// The item is not as the caller read it; nothing was written.
    #[error("the item changed in between")]
    Conflict,
    /// The service did not do it; it may work later.
    #[error("the AWS call {0} failed")]
    Call(&'static str, #[source] BoxError),
    /// What is stored cannot be read.
    #[error("a stored item of {0} cannot be read")]
    Corrupt(&'static str, #[source] BoxError),
}

impl AwsError {
    /// For `map_err`: the failed call by its name.
    pub fn call<E: Into<BoxError>>(name: &'static str) -> impl FnOnce(E) -> Self {
        move |error| Self::Call(name, error.into())
    }

    /// For `map_err`: the unreadable item by its kind.
    pub fn corrupt<E: Into<BoxError>>(kind: &'static str) -> impl FnOnce(E) -> Self {
        move |error| Self::Corrupt(kind, error.into())
    }
}

impl From<AwsError> for ApiError {
    fn from(error: AwsError) -> Self {
        match error {
            AwsError::Conflict => {
                Self::Conflict("somebody changed this at the same time, try again")
            }
            AwsError::Call(..) => Self::Unavailable(error.into()),
            AwsError::Corrupt(..) => Self::Internal(error.into()),
        }
    }
}

/// How long a meeting with another transaction is waited for: two seconds in all, well below a function's time.
fn meeting_retries() -> ExponentialBuilder {
    ExponentialBuilder::default()
        .with_jitter()
        .with_min_delay(Duration::from_millis(50))
        .with_max_delay(Duration::from_millis(400))
        .with_max_times(8)
}

fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

fn number<N: Display>(value: N) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

fn key<const N: usize>(parts: [(&str, String); N]) -> Item {
    parts.into_iter().map(|(name, value)| (name.to_owned(), text(value))).collect()
}
