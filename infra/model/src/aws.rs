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
use tokio::time::{Duration, sleep};

use crate::{
    actor,
    faults::{Callee, Fault, call},
    journal::note,
    world::{self, World},
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
    let asked = Asked::of(request);
    let time = world::a_while(1, 9);
    if actor::current().is_some_and(|actor| actor.is_without(asked.service)) {
        sleep(time).await;
        note(asked.operation, || format!("{} is down", asked.service));
        return asked.denied();
    }
    let answer = call(
        asked.callee(),
        asked.operation,
        || asked.subject(),
        time,
        |world, fault| asked.done(world, fault),
        |fault| asked.refused(fault),
    );
    match answer.await {
        Some(answer) => answer,
        None => std::future::pending().await,
    }
}

const DYNAMODB: &str = "DynamoDB_20120810";
const SQS: &str = "AmazonSQS";
const KMS: &str = "TrentService";
const S3: &str = "S3";

/// A service that is down is so for the caller for so long.
const DOWN: Duration = Duration::from_secs(20);

/// A request.
struct Asked<'a> {
    service: &'a str,
    operation: &'a str,
    body: &'a [u8],
    /// Of an object, where there is no operation.
    key: &'a str,
}

impl<'a> Asked<'a> {
    fn of(request: &'a HttpRequest) -> Self {
        let target = request.headers().get("x-amz-target").and_then(|text| text.split_once('.'));
        let (service, operation) = target.unwrap_or((S3, "GetObject"));
        let key = request.uri().split('?').next().unwrap_or_default();
        Self { service, operation, body: request.body().bytes().unwrap_or_default(), key }
    }

    fn callee(&self) -> Callee {
        match (self.service, self.operation) {
            (DYNAMODB, "Query") if dynamodb::finds_nothing_due(self.body) => Callee::Idle,
            (DYNAMODB, operation) if dynamodb::writes(operation) => Callee::Write,
            (SQS, "SendMessage") => Callee::Send,
            _ => Callee::Aws,
        }
    }

    /// What it is about, for the journal.
    fn subject(&self) -> String {
        match self.service {
            DYNAMODB => dynamodb::subject(self.body),
            SQS => String::from_utf8_lossy(self.body).into_owned(),
            KMS => String::new(),
            _ => self.key.to_owned(),
        }
    }

    fn done(&self, world: &mut World, fault: Option<Fault>) -> Answer {
        match self.service {
            DYNAMODB => dynamodb::answer(world, self.operation, self.body),
            SQS => world.queues.answer(self.operation, self.body, fault),
            KMS => kms::answer(self.operation, self.body),
            _ => s3::answer(world, self.key),
        }
    }

    fn refused(&self, fault: Fault) -> Answer {
        if fault == Fault::Conflict {
            return dynamodb::conflict(self.operation, self.body);
        }
        if let Some(actor) = actor::current() {
            actor.does_without(self.service, DOWN);
        }
        self.denied()
    }

    /// An answer after which the SDK does not ask again, as it does after being throttled: that would hide most of it. And
    /// those retries are counted for the whole process, so that no run could be repeated by itself.
    fn denied(&self) -> Answer {
        match self.service {
            S3 => Answer { status: 403, body: s3::denied() },
            _ => Answer::error(400, "AccessDeniedException", "not now"),
        }
    }
}
