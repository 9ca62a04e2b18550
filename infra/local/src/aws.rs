//! A small client for the emulators: the few calls the stack itself makes, in AWS's JSON protocol.
//!
//! The SDKs would be more code and minutes of building for a dozen calls to this machine. Nothing is
//! signed: the emulators read the region and the service from the header and check no signature.

use crate::{clock, intrinsics::REGION};
use axum::{
    body::{Body, Bytes},
    http::{Request, Uri, header},
};
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::Value;

/// A call that did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum AwsError {
    /// No answer.
    #[error("{action}: the emulator does not answer")]
    Unreachable {
        /// The call.
        action: String,
        /// What went wrong.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// An error answer.
    #[error("{action}: {code}: {message}")]
    Refused {
        /// The call.
        action: String,
        /// AWS's error code.
        code: String,
        /// AWS's words.
        message: String,
    },
}

impl AwsError {
    /// Whether this is the error answer of the given code.
    pub fn is(&self, wanted: &str) -> bool {
        matches!(self, Self::Refused { code, .. } if code == wanted)
    }
}

/// The services the stack speaks to.
#[derive(Debug, Clone, Copy)]
pub enum Service {
    /// Queues.
    Sqs,
    /// Keys.
    Kms,
    /// Tables.
    DynamoDb,
}

impl Service {
    fn target(self) -> &'static str {
        match self {
            Self::Sqs => "AmazonSQS",
            Self::Kms => "TrentService",
            Self::DynamoDb => "DynamoDB_20120810",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Sqs => "sqs",
            Self::Kms => "kms",
            Self::DynamoDb => "dynamodb",
        }
    }
}

/// Calls one emulator.
#[derive(Clone)]
pub struct Aws {
    client: Client<HttpConnector, Full<Bytes>>,
    endpoint: Uri,
}

impl Aws {
    /// A client of the emulator at the given address.
    pub fn new(endpoint: Uri) -> Self {
        // Idle connections would hold up the emulator's end, and cost nothing to make again.
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build_http();
        Self { client, endpoint }
    }

    /// Makes a call.
    pub async fn call(
        &self,
        service: Service,
        action: &str,
        input: &Value,
    ) -> Result<Value, AwsError> {
        let unreachable = |source: Box<dyn std::error::Error + Send + Sync>| {
            AwsError::Unreachable { action: action.to_owned(), source }
        };
        let request =
            self.request(service, action, input).map_err(|error| unreachable(error.into()))?;
        let answer =
            self.client.request(request).await.map_err(|error| unreachable(error.into()))?;
        let (head, body) = answer.into_parts();
        let body = body.collect().await.map_err(|error| unreachable(error.into()))?.to_bytes();
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        if head.status.is_success() { Ok(body) } else { Err(refusal(action, &body)) }
    }

    /// Whether the emulator answers HTTP at all.
    pub async fn is_up(&self) -> bool {
        self.client.get(self.endpoint.clone()).await.is_ok()
    }

    fn request(
        &self,
        service: Service,
        action: &str,
        input: &Value,
    ) -> Result<Request<Full<Bytes>>, axum::http::Error> {
        let now = clock::now();
        let day = now.strftime("%Y%m%d");
        let name = service.name();
        Request::post(&self.endpoint)
            .header(header::CONTENT_TYPE, "application/x-amz-json-1.0")
            .header("x-amz-target", format!("{}.{action}", service.target()))
            .header("x-amz-date", now.strftime("%Y%m%dT%H%M%SZ").to_string())
            .header(
                header::AUTHORIZATION,
                format!(
                    "AWS4-HMAC-SHA256 Credential=local/{day}/{REGION}/{name}/aws4_request, \
                     SignedHeaders=host;x-amz-date, Signature=none"
                ),
            )
            .body(Full::new(Bytes::from(input.to_string())))
    }
}

fn refusal(action: &str, body: &Value) -> AwsError {
    let field = |names: &[&str]| {
        let value = names.iter().find_map(|name| body.get(name).and_then(Value::as_str));
        value.unwrap_or("unknown").to_owned()
    };
    let code = field(&["__type", "code"]);
    // Some services prefix the code with a namespace: `com.amazonaws.sqs#QueueDoesNotExist`.
    let code = code.rsplit('#').next().unwrap_or_default().to_owned();
    AwsError::Refused { action: action.to_owned(), code, message: field(&["message", "Message"]) }
}

/// A body for the servers of this package.
pub fn json_body(value: &Value) -> Body {
    Body::from(value.to_string())
}
