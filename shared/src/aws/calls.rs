//! How often AWS was called, for the line that a shell logs of each request and each job.
//!
//! A Lambda process works on one invocation at a time, so one count for the whole process is enough. Every attempt
//! counts: each is a round trip.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{Mutex, PoisonError},
};

use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::{
        connector_metadata::ConnectorMetadata,
        http::{
            HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings,
            SharedHttpClient, SharedHttpConnector,
        },
        orchestrator::HttpRequest,
        runtime_components::{RuntimeComponents, RuntimeComponentsBuilder},
    },
};
use aws_smithy_types::config_bag::ConfigBag;

static CALLS: Calls = Calls(Mutex::new(BTreeMap::new()));

/// What this process has called since it was last asked, like `dynamodb:GetItem=1 kms:Decrypt=1`; empty for nothing.
#[must_use]
pub fn take() -> String {
    CALLS.take()
}

/// The operations that were called, each with how often.
struct Calls(Mutex<BTreeMap<String, u32>>);

impl Calls {
    /// Counts a call by the header in which AWS's JSON protocols name the operation.
    fn count(&self, target: Option<&str>) {
        let mut calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = calls.entry(operation(target)).or_default();
        *count = count.saturating_add(1);
    }

    fn take(&self) -> String {
        let calls = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let mut text = String::new();
        for (operation, count) in calls {
            let space = if text.is_empty() { "" } else { " " };
            // Writing to a string cannot fail.
            let _ = write!(text, "{space}{operation}={count}");
        }
        text
    }
}

/// An operation by the name of its permission. What goes elsewhere, as for credentials, is `other`.
fn operation(target: Option<&str>) -> String {
    let Some((service, operation)) = target.and_then(|target| target.split_once('.')) else {
        return "other".to_owned();
    };
    let service = match service {
        "DynamoDB_20120810" => "dynamodb",
        "TrentService" => "kms",
        "AmazonSQS" => "sqs",
        other => other,
    };
    format!("{service}:{operation}")
}

/// An HTTP client that counts what goes through it.
#[derive(Debug)]
pub(super) struct Counted(pub(super) SharedHttpClient);

impl HttpClient for Counted {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(CountedConnector(self.0.http_connector(settings, components)))
    }

    fn validate_base_client_config(
        &self,
        components: &RuntimeComponentsBuilder,
        config: &ConfigBag,
    ) -> Result<(), BoxError> {
        self.0.validate_base_client_config(components, config)
    }

    fn validate_final_config(
        &self,
        components: &RuntimeComponents,
        config: &ConfigBag,
    ) -> Result<(), BoxError> {
        self.0.validate_final_config(components, config)
    }

    fn connector_metadata(&self) -> Option<ConnectorMetadata> {
        self.0.connector_metadata()
    }
}

#[derive(Debug)]
struct CountedConnector(SharedHttpConnector);

impl HttpConnector for CountedConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        CALLS.count(request.headers().get("x-amz-target"));
        self.0.call(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_by_operation_until_they_are_taken() {
        let calls = Calls(Mutex::default());
        assert_eq!(calls.take(), "");
        for target in ["TrentService.Decrypt", "DynamoDB_20120810.Query", "AmazonSQS.SendMessage"] {
            calls.count(Some(target));
        }
        calls.count(Some("DynamoDB_20120810.Query"));
        calls.count(None);
        assert_eq!(calls.take(), "dynamodb:Query=2 kms:Decrypt=1 other=1 sqs:SendMessage=1");
        assert_eq!(calls.take(), "");
    }
}
