//! The only place that names AWS types: clients, stores, queues and the vault.
//!
//! Each store is a concrete struct over one table. What there is to decide is decided elsewhere, by pure functions.

pub mod accounts;
pub mod aftersales;
pub mod backlogs;
pub mod bundles;
pub mod calls;
pub mod cards;
pub mod clients;
#[cfg(test)]
mod emulator;
pub mod idempotency;
pub mod keyed_hash;
pub mod keys;
pub mod labels;
pub mod leases;
pub mod ledger;
pub mod mail_log;
pub mod mailer;
pub mod mails;
pub mod orders;
pub mod outbox;
pub mod products;
pub mod queue;
pub mod receipt_rules;
pub mod refunds;
pub mod transaction;
pub mod vault;
pub mod webhook_settings;

use std::{collections::HashMap, fmt::Display, time::Duration};

use aws_config::{BehaviorVersion, SdkConfig, timeout::TimeoutConfig};
use aws_sdk_dynamodb::{
    Client,
    error::SdkError,
    operation::update_item::{
        UpdateItemError, UpdateItemOutput, builders::UpdateItemFluentBuilder,
    },
    types::{AttributeValue, KeysAndAttributes},
};
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, rustls_provider::CryptoMode},
};
use backon::{ExponentialBuilder, Retryable};

use self::calls::Counted;
use crate::error::{ApiError, BoxError};

/// Far above what AWS takes, far below what a function has.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(4);

/// A DynamoDB item.
pub type Item = HashMap<String, AttributeValue>;

/// The configuration every client of this process is made from: one HTTP client, which counts their calls, and one set
/// of credentials.
pub async fn config() -> SdkConfig {
    let https = Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
    aws_config::defaults(BehaviorVersion::latest())
        .http_client(Counted(https))
        .timeout_config(timeouts())
        .load()
        .await
}

/// How long is waited for an answer of AWS's: a frozen function thaws with connections that nobody answers on any more.
pub fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder().operation_attempt_timeout(ATTEMPT_TIMEOUT).build()
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

/// How long a meeting with another transaction is waited for: two seconds of pauses in all, so that even who meets some
/// twice stays well below a function's time.
fn meeting_retries() -> ExponentialBuilder {
    ExponentialBuilder::default()
        .with_jitter()
        .with_min_delay(Duration::from_millis(50))
        .with_max_delay(Duration::from_millis(400))
        .with_max_times(8)
        .with_total_delay(Some(Duration::from_secs(2)))
}

/// Changes an item. A transaction that has it at this moment is waited for.
async fn update_item(update: UpdateItemFluentBuilder) -> Result<UpdateItemOutput, UpdateItemError> {
    let send = || async { update.clone().send().await.map_err(SdkError::into_service_error) };
    send.retry(meeting_retries()).when(UpdateItemError::is_transaction_conflict_exception).await
}

/// DynamoDB takes at most 100 keys at once.
const BATCH: usize = 100;

/// The items of `table` with these keys, in no order; what DynamoDB leaves for another call is asked for again.
async fn batch_get(db: &Client, table: &str, keys: Vec<Item>) -> Result<Vec<Item>, AwsError> {
    const CALL: &str = "dynamodb:BatchGetItem";
    let mut found = Vec::new();
    for batch in keys.chunks(BATCH) {
        let wanted = KeysAndAttributes::builder().set_keys(Some(batch.to_vec()));
        let wanted = wanted.consistent_read(true).build().map_err(AwsError::call(CALL))?;
        let mut asked = HashMap::from([(table.to_owned(), wanted)]);
        while !asked.is_empty() {
            let get = db.batch_get_item().set_request_items(Some(asked));
            let output = get.send().await.map_err(AwsError::call(CALL))?;
            found.extend(output.responses.unwrap_or_default().into_values().flatten());
            asked = output.unprocessed_keys.unwrap_or_default();
        }
    }
    Ok(found)
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
