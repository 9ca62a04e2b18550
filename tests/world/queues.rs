//! The stack's queues, read past their workers.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::{STACK, http};

/// The bodies of the messages that wait in a queue. They stay there.
pub async fn peek(queue_url: &str) -> Vec<String> {
    let mut bodies = Vec::new();
    loop {
        let request =
            json!({"QueueUrl": queue_url, "MaxNumberOfMessages": 10, "VisibilityTimeout": 5});
        let page = sqs("ReceiveMessage", &request).await;
        let Some(messages) = page["Messages"].as_array().filter(|messages| !messages.is_empty())
        else {
            return bodies;
        };
        bodies.extend(
            messages.iter().filter_map(|message| message["Body"].as_str().map(str::to_owned)),
        );
    }
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
