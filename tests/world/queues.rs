//! The stack's queues, read past their workers.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::{STACK, http};

/// How many messages a queue holds, whether anybody may receive them now or not.
pub async fn depth(queue_url: &str) -> u64 {
    let names =
        ["", "NotVisible", "Delayed"].map(|kind| format!("ApproximateNumberOfMessages{kind}"));
    let request = json!({"QueueUrl": queue_url, "AttributeNames": names});
    let answer = sqs("GetQueueAttributes", &request).await;
    let count = |name: &String| {
        answer["Attributes"][name].as_str().and_then(|text| text.parse::<u64>().ok())
    };
    names.iter().map(|name| count(name).expect("a count")).sum()
}

/// Puts a message into a FIFO queue.
pub async fn send_fifo(queue_url: &str, group: &str, body: &Value) {
    let request = json!({
        "QueueUrl": queue_url,
        "MessageGroupId": group,
        "MessageDeduplicationId": Uuid::new_v4().simple().to_string(),
        "MessageBody": body.to_string(),
    });
    sqs("SendMessage", &request).await;
}

/// Calls SQS. The emulator checks no signature.
async fn sqs(operation: &str, body: &Value) -> Value {
    let response = http()
        .post(&STACK.aws_url)
        .header("x-amz-target", format!("AmazonSQS.{operation}"))
        .header("content-type", "application/x-amz-json-1.0")
        .body(body.to_string())
        .send()
        .await
        .expect("an answer of SQS");
    let status = response.status();
    let text = response.text().await.expect("a body");
    assert!(status.is_success(), "{operation}: {status} {text}");
    serde_json::from_str(&text).expect("JSON")
}
