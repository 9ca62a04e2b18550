//! AWS, as far as the service calls it, where the SDK takes its HTTP client: the SDK's own retries, timeouts and reading
//! of answers are part of what is tried.

pub mod dynamodb;
pub mod kms;
pub mod s3;
pub mod sqs;

use aws_config::{
    BehaviorVersion, Region, SdkConfig, identity::IdentityCache,
    stalled_stream_protection::StalledStreamProtectionConfig,
};
use aws_sdk_dynamodb::config::{Credentials, SharedCredentialsProvider};
use aws_smithy_runtime_api::client::{
    http::{
        HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
    },
    orchestrator::{HttpRequest, HttpResponse},
    runtime_components::RuntimeComponents,
};
use aws_smithy_types::body::SdkBody;
use serde_json::json;

use crate::{
    faults::{Callee, call},
    world,
};

/// An answer of AWS's.
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// JSON; XML for S3.
    pub body: String,
}

impl Answer {
    /// It was done.
    pub fn ok(body: impl Into<String>) -> Self {
        Self { status: 200, body: body.into() }
    }

    /// A refusal in the words of AWS's JSON protocols.
    pub fn error(status: u16, kind: &str, message: &str) -> Self {
        Self { status, body: json!({"__type": kind, "message": message}).to_string() }
    }
}

/// The configuration of all clients.
pub fn config() -> SdkConfig {
    let credentials = Credentials::new("model", "model", None, None, "model");
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static("us-east-1"))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        // A cache would look at the machine's clock, and throw dice when it is filled.
        .identity_cache(IdentityCache::no_cache())
        // A body is there at once, or never.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .timeout_config(spelter::aws::timeouts())
        .sleep_impl(aws_smithy_async::rt::sleep::SharedAsyncSleep::new(
            aws_smithy_async::rt::sleep::TokioSleep::new(),
        ))
        .http_client(Model)
        .build()
}

#[derive(Debug)]
struct Model;

impl HttpClient for Model {
    fn http_connector(
        &self,
        _: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(Self)
    }
}

impl HttpConnector for Model {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        HttpConnectorFuture::new(async move {
            let answer = answer(&request).await;
            let mut response = HttpResponse::new(
                answer.status.try_into().expect("a status"),
                SdkBody::from(answer.body),
            );
            response.headers_mut().insert("content-type", "application/x-amz-json-1.0");
            Ok(response)
        })
    }
}

/// Whoever gets no answer waits until the SDK gives up.
async fn answer(request: &HttpRequest) -> Answer {
    let body = request.body().bytes().unwrap_or_default();
    let target = request.headers().get("x-amz-target").unwrap_or("S3.GetObject");
    let (service, operation) = target.split_once('.').expect("an operation");
    let time = world::a_while(1, 9);
    let throttled = || Answer::error(400, "ThrottlingException", "too fast");
    let answer = match service {
        "DynamoDB_20120810" => {
            let details = || dynamodb::subject(body);
            call(
                Callee::Aws,
                operation,
                details,
                time,
                |world, _| dynamodb::answer(world, operation, body),
                throttled,
            )
            .await
        }
        "AmazonSQS" => {
            let callee = if operation == "SendMessage" { Callee::Send } else { Callee::Aws };
            let details = || String::from_utf8_lossy(body).into_owned();
            let act = |world: &mut world::World, fault| world.queues.answer(operation, body, fault);
            call(callee, operation, details, time, act, throttled).await
        }
        "TrentService" => {
            let details = String::new;
            call(
                Callee::Aws,
                operation,
                details,
                time,
                |_, _| kms::answer(operation, body),
                throttled,
            )
            .await
        }
        _ => {
            let key = request.uri().split('?').next().unwrap_or_default().to_owned();
            let slow_down = || Answer { status: 503, body: s3::slow_down() };
            call(
                Callee::Aws,
                "GetObject",
                || key.clone(),
                time,
                |world, _| s3::answer(world, &key),
                slow_down,
            )
            .await
        }
    };
    match answer {
        Some(answer) => answer,
        None => std::future::pending().await,
    }
}
