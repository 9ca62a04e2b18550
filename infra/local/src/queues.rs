//! SQS event sources: polls queues and invokes functions with what it finds, as Lambda does.
//!
//! Order within a FIFO group is the queue's doing: it hands out nothing of a group while a message
//! of it is in flight, so batches may run in parallel here without overtaking each other.

use crate::{
    aws::{Aws, AwsError, Service},
    intrinsics::{ACCOUNT, REGION},
    lambda::Lambdas,
    logs::Logs,
    model::{Function, Queue, QueueSource},
};
use serde_json::{Map, Value, json};
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use tokio::{
    sync::{Semaphore, watch},
    time::{sleep, timeout},
};

/// How long one poll waits for messages. Lambda waits 20 s; a poll that is cut off may take a
/// message with it, so `down` waits for polls to end, and this is kept short.
const POLL_SECONDS: u64 = 1;
/// Batches at once of a source without a limit of its own.
const DEFAULT_CONCURRENCY: u64 = 80;
/// SQS gives no more messages at once.
const RECEIVE_LIMIT: u64 = 10;

/// A source Lambda would refuse to create.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SourceError {
    /// The queue or function is not in the template.
    #[error("the event source of {0} names a queue that is not in the template: {1}")]
    UnknownQueue(String, String),
    /// A message could come back while it is still worked on.
    #[error(
        "Queue visibility timeout: {visibility} seconds is less than Function timeout: {timeout} \
         seconds ({function}); Lambda refuses such an event source"
    )]
    VisibilityTooShort {
        /// The function.
        function: String,
        /// The queue's visibility timeout.
        visibility: u64,
        /// The function's timeout.
        timeout: u64,
    },
}

/// A source ready to be polled.
#[derive(Clone)]
pub struct Poller {
    source: QueueSource,
    queue_url: String,
    slots: Arc<Semaphore>,
    slot_count: u32,
    aws: Aws,
    lambdas: Arc<Lambdas>,
    logs: Arc<Logs>,
}

impl Poller {
    /// A poller of one source.
    pub fn new(
        source: QueueSource,
        queue_url: String,
        aws: Aws,
        lambdas: Arc<Lambdas>,
        logs: Arc<Logs>,
    ) -> Self {
        let count = source.concurrency.unwrap_or(DEFAULT_CONCURRENCY).min(DEFAULT_CONCURRENCY);
        let slot_count = u32::try_from(count).unwrap_or(1).max(1);
        let slots = Arc::new(Semaphore::new(usize::try_from(slot_count).unwrap_or(1)));
        Self { source, queue_url, slots, slot_count, aws, lambdas, logs }
    }

    /// Polls until told to end; batches under way go on.
    pub async fn run(self, mut ending: watch::Receiver<bool>) {
        loop {
            let slot = tokio::select! {
                _ = ending.wait_for(|ending| *ending) => return,
                slot = Arc::clone(&self.slots).acquire_owned() => slot,
            };
            let Ok(slot) = slot else { return };
            match self.receive().await {
                Ok(messages) if messages.is_empty() => {}
                Ok(messages) => {
                    let poller = self.clone();
                    tokio::spawn(async move {
                        poller.process(&messages).await;
                        drop(slot);
                    });
                }
                Err(error) => {
                    self.logs.say(&format!("polling for {}: {error}", self.source.function));
                    sleep(Duration::from_secs(1)).await;
                }
            }
        }
    }

    /// Waits until no batch is under way, or for the given time.
    pub async fn settle(&self, limit: Duration) {
        let _ = timeout(limit, self.slots.acquire_many(self.slot_count)).await;
    }

    async fn receive(&self) -> Result<Vec<Value>, AwsError> {
        let request = json!({
            "QueueUrl": self.queue_url,
            "MaxNumberOfMessages": self.source.batch_size.clamp(1, RECEIVE_LIMIT),
            "WaitTimeSeconds": POLL_SECONDS,
            "AttributeNames": ["All"],
            "MessageAttributeNames": ["All"],
        });
        let mut answer = self.aws.call(Service::Sqs, "ReceiveMessage", &request).await?;
        match answer.get_mut("Messages").map(Value::take) {
            Some(Value::Array(messages)) => Ok(messages),
            _ => Ok(Vec::new()),
        }
    }

    async fn process(&self, messages: &[Value]) {
        let event = event(messages, &self.source.queue_arn).to_string();
        // A failed invocation leaves the whole batch to the visibility timeout.
        let Ok(answer) = self.lambdas.invoke(&self.source.function, event.into()).await else {
            return;
        };
        let failed = if self.source.reports_failures {
            let ids = messages.iter().filter_map(|message| text(message, "MessageId")).collect();
            let Some(failed) = failures(&answer, &ids) else {
                let function = &self.source.function;
                self.logs.say(&format!("{function}: its batch response is malformed; all retried"));
                return;
            };
            failed
        } else {
            BTreeSet::new()
        };
        if let Err(error) = self.delete(messages, &failed).await {
            let function = &self.source.function;
            self.logs.say(&format!("{function}: messages were not deleted: {error}"));
        }
    }

    async fn delete(&self, messages: &[Value], failed: &BTreeSet<&str>) -> Result<(), AwsError> {
        let done = messages
            .iter()
            .filter(|message| text(message, "MessageId").is_some_and(|id| !failed.contains(id)));
        let entries: Vec<Value> = done
            .enumerate()
            .map(|(index, message)| {
                json!({ "Id": index.to_string(), "ReceiptHandle": message.get("ReceiptHandle") })
            })
            .collect();
        if entries.is_empty() {
            return Ok(());
        }
        let request = json!({ "QueueUrl": self.queue_url, "Entries": entries });
        self.aws.call(Service::Sqs, "DeleteMessageBatch", &request).await?;
        Ok(())
    }
}

/// The URL of the queue with an ARN, at the emulator.
pub fn url(aws_url: &str, queue_arn: &str) -> String {
    let name = queue_arn.rsplit(':').next().unwrap_or_default();
    format!("{aws_url}/{ACCOUNT}/{name}")
}

/// Refuses what Lambda refuses when an event source is created.
pub fn check(
    source: &QueueSource,
    function: &Function,
    queues: &[Queue],
) -> Result<(), SourceError> {
    let queue = queues
        .iter()
        .find(|queue| crate::model::queue_arn(&queue.name) == source.queue_arn)
        .ok_or_else(|| {
            SourceError::UnknownQueue(source.function.clone(), source.queue_arn.clone())
        })?;
    let visibility = queue.attributes.get("VisibilityTimeout");
    let visibility = visibility.and_then(|seconds| seconds.parse().ok()).unwrap_or(30);
    let timeout = function.timeout.as_secs();
    if visibility < timeout {
        let function = source.function.clone();
        return Err(SourceError::VisibilityTooShort { function, visibility, timeout });
    }
    Ok(())
}

fn event(messages: &[Value], queue_arn: &str) -> Value {
    let records: Vec<Value> = messages.iter().map(|message| record(message, queue_arn)).collect();
    json!({ "Records": records })
}

fn record(message: &Value, queue_arn: &str) -> Value {
    let field = |name: &str| message.get(name).cloned().unwrap_or_default();
    let mut record = json!({
        "messageId": field("MessageId"),
        "receiptHandle": field("ReceiptHandle"),
        "body": field("Body"),
        "attributes": message.get("Attributes").cloned().unwrap_or_else(|| json!({})),
        "messageAttributes": message_attributes(message),
        "md5OfBody": field("MD5OfBody"),
        "eventSource": "aws:sqs",
        "eventSourceARN": queue_arn,
        "awsRegion": REGION,
    });
    if let (Some(digest), Value::Object(record)) =
        (message.get("MD5OfMessageAttributes"), &mut record)
    {
        record.insert("md5OfMessageAttributes".to_owned(), digest.clone());
    }
    record
}

fn message_attributes(message: &Value) -> Value {
    let attributes = message.get("MessageAttributes").and_then(Value::as_object);
    let mut converted = Map::new();
    for (name, attribute) in attributes.into_iter().flatten() {
        let mut entry = json!({
            "dataType": attribute.get("DataType"),
            "stringListValues": [],
            "binaryListValues": [],
        });
        for (theirs, ours) in [("StringValue", "stringValue"), ("BinaryValue", "binaryValue")] {
            if let (Some(value), Value::Object(entry)) = (attribute.get(theirs), &mut entry) {
                entry.insert(ours.to_owned(), value.clone());
            }
        }
        converted.insert(name.clone(), entry);
    }
    Value::Object(converted)
}

/// Which messages a function reports as failed; none if its report cannot be relied on.
fn failures<'m>(answer: &[u8], ids: &BTreeSet<&'m str>) -> Option<BTreeSet<&'m str>> {
    let answer: Value = serde_json::from_slice(answer).ok()?;
    let report = match &answer {
        Value::Null => return Some(BTreeSet::new()),
        Value::Object(report) => report,
        _ => return None,
    };
    match report.get("batchItemFailures") {
        None | Some(Value::Null) => Some(BTreeSet::new()),
        Some(Value::Array(items)) => items
            .iter()
            .map(|item| ids.get(item.get("itemIdentifier")?.as_str()?).copied())
            .collect(),
        Some(_) => None,
    }
}

fn text<'v>(value: &'v Value, name: &str) -> Option<&'v str> {
    value.get(name).and_then(Value::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn a_record_is_what_lambda_makes_of_a_message() {
        let message = json!({
            "MessageId": "m-1",
            "ReceiptHandle": "r-1",
            "Body": "{}",
            "MD5OfBody": "99914b932bd37a50b983c5e7c90ae93b",
            "Attributes": {"ApproximateReceiveCount": "1", "MessageGroupId": "g"},
            "MessageAttributes": {"kind": {"DataType": "String", "StringValue": "x"}},
        });
        let expected = json!({"Records": [{
            "messageId": "m-1",
            "receiptHandle": "r-1",
            "body": "{}",
            "attributes": {"ApproximateReceiveCount": "1", "MessageGroupId": "g"},
            "messageAttributes": {"kind": {
                "dataType": "String",
                "stringValue": "x",
                "stringListValues": [],
                "binaryListValues": [],
            }},
            "md5OfBody": "99914b932bd37a50b983c5e7c90ae93b",
            "eventSource": "aws:sqs",
            "eventSourceARN": "arn:q",
            "awsRegion": "us-east-1",
        }]});
        assert_eq!(event(&[message], "arn:q"), expected);
    }

    #[test]
    fn batch_reports_are_read_as_lambda_reads_them() {
        let ids = BTreeSet::from(["a", "b"]);
        let cases = [
            (r#"{"batchItemFailures": []}"#, Some(vec![])),
            (r#"{"batchItemFailures": null}"#, Some(vec![])),
            ("{}", Some(vec![])),
            ("null", Some(vec![])),
            (r#"{"batchItemFailures": [{"itemIdentifier": "b"}]}"#, Some(vec!["b"])),
            (r#"{"batchItemFailures": [{"itemIdentifier": ""}]}"#, None),
            (r#"{"batchItemFailures": [{"itemIdentifier": null}]}"#, None),
            (r#"{"batchItemFailures": [{"itemIdentifier": "other"}]}"#, None),
            (r#"{"batchItemFailures": [{"id": "a"}]}"#, None),
            (r#"{"batchItemFailures": "a"}"#, None),
            ("", None),
        ];
        for (answer, expected) in cases {
            let expected = expected.map(|ids| ids.into_iter().collect());
            assert_eq!(failures(answer.as_bytes(), &ids), expected, "{answer}");
        }
    }

    #[test]
    fn a_visibility_below_the_timeout_is_refused() {
        let source = QueueSource {
            function: "worker".to_owned(),
            queue_arn: crate::model::queue_arn("jobs"),
            batch_size: 1,
            reports_failures: true,
            concurrency: None,
        };
        let function = Function {
            logical_id: "Worker".to_owned(),
            name: "worker".to_owned(),
            binary: "worker".to_owned(),
            handler: "bootstrap".to_owned(),
            timeout: Duration::from_secs(90),
            memory_mb: 128,
            environment: BTreeMap::new(),
            log_group: String::new(),
            retries: 2,
            failures: None,
        };
        let queue = |visibility: &str| Queue {
            logical_id: "Jobs".to_owned(),
            name: "jobs".to_owned(),
            attributes: BTreeMap::from([("VisibilityTimeout".to_owned(), visibility.to_owned())]),
            redrives: false,
        };
        assert_eq!(check(&source, &function, &[queue("90")]), Ok(()));
        let refused = check(&source, &function, &[queue("89")]);
        assert!(matches!(refused, Err(SourceError::VisibilityTooShort { visibility: 89, .. })));
        let unknown = check(&source, &function, &[]);
        assert!(matches!(unknown, Err(SourceError::UnknownQueue(..))));
    }
}
