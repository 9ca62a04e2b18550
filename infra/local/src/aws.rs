//! A small client for the emulators: the few calls the stack itself makes, most of them in AWS's JSON protocol.
//!
//! The SDKs would be more code and minutes of building for a dozen calls to this machine. Nothing is
//! signed: the emulators read the region and the service from the header and check no signature.

use crate::{clock, intrinsics::REGION};
use axum::{
    body::{Body, Bytes},
    http::{HeaderName, Request, Response, StatusCode, Uri, header, request::Builder},
};
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::Value;

const JSON: &str = "application/x-amz-json-1.0";
const FORM: &str = "application/x-www-form-urlencoded";

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
    /// Buckets.
    S3,
    /// Mail.
    Ses,
}

impl Service {
    /// Where the name of a call stands; S3 and SES have no JSON protocol.
    fn target(self, action: &str) -> Option<(HeaderName, String)> {
        let prefix = match self {
            Self::Sqs => "AmazonSQS",
            Self::Kms => "TrentService",
            Self::DynamoDb => "DynamoDB_20120810",
            Self::S3 | Self::Ses => return None,
        };
        Some((HeaderName::from_static("x-amz-target"), format!("{prefix}.{action}")))
    }

    fn name(self) -> &'static str {
        match self {
            Self::Sqs => "sqs",
            Self::Kms => "kms",
            Self::DynamoDb => "dynamodb",
            Self::S3 => "s3",
            Self::Ses => "ses",
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

    /// Makes a call in the JSON protocol.
    pub async fn call(
        &self,
        service: Service,
        action: &str,
        input: &Value,
    ) -> Result<Value, AwsError> {
        let mut request = Self::signed(service).header(header::CONTENT_TYPE, JSON);
        if let Some((name, target)) = service.target(action) {
            request = request.header(name, target);
        }
        let request = request.method("POST").uri(&self.endpoint);
        let (head, body) = self.send(action, request, input.to_string().into()).await?.into_parts();
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        if head.status.is_success() { Ok(body) } else { Err(refusal(action, &body)) }
    }

    /// Makes a call in the query protocol, which SES speaks.
    pub async fn query(
        &self,
        service: Service,
        action: &str,
        input: &[(&str, &str)],
    ) -> Result<(), AwsError> {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.append_pair("Action", action).extend_pairs(input);
        let request = Self::signed(service).header(header::CONTENT_TYPE, FORM);
        let request = request.method("POST").uri(&self.endpoint);
        let answer = self.send(action, request, form.finish().into()).await?;
        succeeded(action, &answer)
    }

    /// Creates a bucket; one that is there already is left as it is.
    pub async fn create_bucket(&self, bucket: &str) -> Result<(), AwsError> {
        let request = Self::signed(Service::S3).method("PUT").uri(self.at(&format!("/{bucket}"))?);
        let answer = self.send("CreateBucket", request, Bytes::new()).await?;
        if answer.status() == StatusCode::CONFLICT {
            Ok(())
        } else {
            succeeded("CreateBucket", &answer)
        }
    }

    /// Puts an object into a bucket.
    pub async fn put_object(&self, bucket: &str, key: &str, body: Bytes) -> Result<(), AwsError> {
        let place = self.at(&format!("/{bucket}/{key}"))?;
        let request = Self::signed(Service::S3).method("PUT").uri(place);
        let answer = self.send("PutObject", request, body).await?;
        succeeded("PutObject", &answer)
    }

    /// Passes somebody's request on as it is, and the answer back.
    pub async fn forward(&self, request: Request<Bytes>) -> Result<Response<Bytes>, AwsError> {
        let (head, body) = request.into_parts();
        let place = head.uri.path_and_query().map_or("/", |place| place.as_str());
        let mut forwarded = Request::builder().method(head.method).uri(self.at(place)?);
        for (name, value) in &head.headers {
            // The connection's own are made anew.
            if ![header::HOST, header::CONTENT_LENGTH, header::TRANSFER_ENCODING].contains(name) {
                forwarded = forwarded.header(name, value);
            }
        }
        self.send("the request", forwarded, body).await
    }

    /// Whether the emulator answers HTTP at all.
    pub async fn is_up(&self) -> bool {
        self.client.get(self.endpoint.clone()).await.is_ok()
    }

    fn at(&self, place: &str) -> Result<Uri, AwsError> {
        let url = format!("{}{place}", self.endpoint.to_string().trim_end_matches('/'));
        url.parse().map_err(|error: axum::http::uri::InvalidUri| AwsError::Unreachable {
            action: place.to_owned(),
            source: error.into(),
        })
    }

    /// A request with what the emulators read the region and the service from.
    fn signed(service: Service) -> Builder {
        let now = clock::now();
        let day = now.strftime("%Y%m%d");
        let name = service.name();
        Request::builder().header("x-amz-date", now.strftime("%Y%m%dT%H%M%SZ").to_string()).header(
            header::AUTHORIZATION,
            format!(
                "AWS4-HMAC-SHA256 Credential=local/{day}/{REGION}/{name}/aws4_request, \
                 SignedHeaders=host;x-amz-date, Signature=none"
            ),
        )
    }

    async fn send(
        &self,
        action: &str,
        request: Builder,
        body: Bytes,
    ) -> Result<Response<Bytes>, AwsError> {
        let unreachable = |source: Box<dyn std::error::Error + Send + Sync>| {
            AwsError::Unreachable { action: action.to_owned(), source }
        };
        let request = request.body(Full::new(body)).map_err(|error| unreachable(error.into()))?;
        let answer =
            self.client.request(request).await.map_err(|error| unreachable(error.into()))?;
        let (head, body) = answer.into_parts();
        let body = body.collect().await.map_err(|error| unreachable(error.into()))?.to_bytes();
        Ok(Response::from_parts(head, body))
    }
}

/// The answer of a service that speaks XML.
fn succeeded(action: &str, answer: &Response<Bytes>) -> Result<(), AwsError> {
    if answer.status().is_success() {
        return Ok(());
    }
    let code = answer.status().to_string();
    let message = String::from_utf8_lossy(answer.body()).into_owned();
    Err(AwsError::Refused { action: action.to_owned(), code, message })
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
