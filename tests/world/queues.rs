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

/// Takes messages out of a queue, ten at the most, and returns their bodies. Nobody else gets them while this test looks.
pub async fn receive(queue_url: &str) -> Vec<Value> {
    let request = json!({"QueueUrl": queue_url, "MaxNumberOfMessages": 10});
    let answer = sqs("ReceiveMessage", &request).await;
    let messages = answer["Messages"].as_array().cloned().unwrap_or_default();
    let body =
        |message: &Value| message["Body"].as_str().and_then(|text| serde_json::from_str(text).ok());
    messages.iter().filter_map(body).collect()
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
