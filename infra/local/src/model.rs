//! What a template describes, ready to run: plain values without a trace of YAML.

use crate::intrinsics::{ACCOUNT, REGION};
use serde_json::Value;
use std::{collections::BTreeMap, time::Duration};

/// A Lambda function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    /// Its id in the template.
    pub logical_id: String,
    /// Its name in Lambda.
    pub name: String,
    /// File name of its bootstrap.
    pub binary: String,
    /// Handler setting, `bootstrap` as a rule.
    pub handler: String,
    /// When an invocation is stopped.
    pub timeout: Duration,
    /// Memory size in MB; shown to the function, not enforced.
    pub memory_mb: u64,
    /// The template's environment variables.
    pub environment: BTreeMap<String, String>,
    /// Name of its log group.
    pub log_group: String,
    /// How often an event that failed is tried again.
    pub retries: u64,
    /// The queue, by its ARN, that is told of an event that failed for good.
    pub failures: Option<String>,
}

impl Function {
    /// Its ARN.
    pub fn arn(&self) -> String {
        function_arn(&self.name)
    }
}

/// One route of an HTTP API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Logical id of the API.
    pub api: String,
    /// `ANY`, a method, or nothing for the `$default` route.
    pub method: Option<String>,
    /// Path with `{parameters}`.
    pub path: String,
    /// Name of the function that answers.
    pub function: String,
    /// Name of the authorizer, if any.
    pub authorizer: Option<String>,
    /// How long the API waits for the function.
    pub timeout: Duration,
}

/// A Lambda authorizer of an HTTP API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorizer {
    /// ARN of its function.
    pub function_arn: String,
    /// Request headers that identify the caller, in lower case.
    pub identity_headers: Vec<String>,
    /// How long an answer is kept for an identity.
    pub cache: Duration,
}

/// An HTTP API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpApi {
    /// Its id in the template.
    pub logical_id: String,
    /// Its authorizers by name.
    pub authorizers: BTreeMap<String, Authorizer>,
    /// The authorizer of routes that name none.
    pub default_authorizer: Option<String>,
}

impl HttpApi {
    /// The id API Gateway would have given it.
    pub fn id(&self) -> String {
        self.logical_id.to_lowercase()
    }
}

/// A queue that Lambda polls for a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueSource {
    /// Name of the function.
    pub function: String,
    /// ARN of the queue.
    pub queue_arn: String,
    /// Most messages in one invocation.
    pub batch_size: u64,
    /// Whether the function's answer says which messages failed.
    pub reports_failures: bool,
    /// Most invocations at once.
    pub concurrency: Option<u64>,
}

/// A schedule that invokes a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// Name of the function.
    pub function: String,
    /// Name of the rule.
    pub rule: String,
    /// Time between two invocations.
    pub every: Duration,
    /// What is sent in place of the event.
    pub input: Option<String>,
}

/// What invokes functions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Events {
    /// Routes of HTTP APIs.
    pub routes: Vec<Route>,
    /// Polled queues.
    pub queues: Vec<QueueSource>,
    /// Schedules.
    pub schedules: Vec<Schedule>,
    /// Events of kinds the local stack does not have.
    pub skipped: Vec<String>,
}

/// A queue to create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queue {
    /// Its id in the template.
    pub logical_id: String,
    /// Its name in SQS.
    pub name: String,
    /// Its attributes, as `CreateQueue` takes them.
    pub attributes: BTreeMap<String, String>,
    /// Whether another queue must exist before it: its dead-letter queue.
    pub redrives: bool,
}

/// A table to create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Its id in the template.
    pub logical_id: String,
    /// Its name in `DynamoDB`.
    pub name: String,
    /// The `CreateTable` request.
    pub definition: Value,
    /// The attribute that says when an item expires.
    pub expires_by: Option<String>,
}

/// A KMS key to create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Its id in the template.
    pub logical_id: String,
    /// The `CreateKey` request.
    pub definition: Value,
}

/// A KMS alias to create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alias {
    /// Its name, starting with `alias/`.
    pub name: String,
    /// Id of the key it names.
    pub key_id: String,
}

/// A bucket to create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    /// Its id in the template.
    pub logical_id: String,
    /// Its name in S3.
    pub name: String,
}

/// What SES does with the mail that it receives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiptRule {
    /// Addresses and domains it is for; none for all.
    pub recipients: Vec<String>,
    /// Whether spam and viruses are looked for.
    pub scans: bool,
    /// What happens, in this order.
    pub actions: Vec<ReceiptAction>,
}

/// A step of a receipt rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReceiptAction {
    /// Puts the mail into a bucket.
    Store {
        /// The bucket's name.
        bucket: String,
        /// What its key begins with.
        prefix: String,
    },
    /// Tells a function of it, and does not wait.
    Invoke {
        /// The function.
        function_arn: String,
    },
}

/// The ARN of a bucket.
pub fn bucket_arn(name: &str) -> String {
    format!("arn:aws:s3:::{name}")
}

/// The ARN of a function.
pub fn function_arn(name: &str) -> String {
    format!("arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}")
}

/// The ARN of a table.
pub fn table_arn(name: &str) -> String {
    format!("arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{name}")
}

/// The ARN of a key.
pub fn key_arn(id: &str) -> String {
    format!("arn:aws:kms:{REGION}:{ACCOUNT}:key/{id}")
}

/// The ARN of a queue.
pub fn queue_arn(name: &str) -> String {
    format!("arn:aws:sqs:{REGION}:{ACCOUNT}:{name}")
}
