//! The stack's tables, read and written past the API: what a crash leaves behind, and what nobody may find there.

use std::time::Duration;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::{STACK, http, wait};

/// Every item of a table, by the table's name in the template, in DynamoDB's own JSON.
pub async fn items(table: &str) -> Vec<Value> {
    let mut items = Vec::new();
    let mut start = Value::Null;
    loop {
        let mut request = json!({"TableName": STACK.tables[table], "ConsistentRead": true});
        if !start.is_null() {
            request["ExclusiveStartKey"] = start;
        }
        let page = dynamodb("Scan", &request).await;
        items.extend(page["Items"].as_array().cloned().unwrap_or_default());
        start = page["LastEvaluatedKey"].clone();
        if start.is_null() {
            return items;
        }
    }
}

/// Writes an item, in DynamoDB's own JSON.
async fn put(table: &str, item: &Value) {
    dynamodb("PutItem", &json!({"TableName": STACK.tables[table], "Item": item})).await;
}

/// An order like the stored order `model`, but as it stands with `status` and no message in any queue; due at
/// `due_at_ms`. Its id.
pub async fn copy_order(model: &str, status: &Value, due_at_ms: i64) -> String {
    let id = Uuid::now_v7().simple().to_string();
    let items = items("OrdersTable").await;
    let is_model = |item: &&Value| item["sk"]["S"] == format!("ORDER#{model}");
    let mut item = items.iter().find(is_model).cloned().expect("the model");
    for (name, value) in [
        ("sk", json!({"S": format!("ORDER#{id}")})),
        ("id", json!({"S": id})),
        ("status", json!({"S": status.to_string()})),
        ("updates", json!({"L": []})),
        ("dispatches", json!({"N": "1"})),
        ("due_shard", json!({"S": "order-0"})),
        ("due_at", json!({"N": due_at_ms.to_string()})),
        ("version", json!({"N": "1"})),
    ] {
        item[name] = value;
    }
    put("OrdersTable", &item).await;
    id
}

/// Makes a delivery that was received one that was never tried and has no message, as it stands in the table when its
/// function dies just after the transaction.
pub async fn forget_delivery_of(order: &str) {
    let delivered = wait(Duration::from_secs(10), "the delivery to be written down", async || {
        let items = items("OrdersTable").await;
        items.into_iter().find(|item| {
            let key = item["sk"]["S"].as_str().unwrap_or_default();
            key.starts_with(&format!("DELIVERY#{order}#"))
                && item["state"]["M"]["state"]["S"] == "delivered"
        })
    });
    let mut item = delivered.await;
    item["state"] = json!({"M": {
        "state": {"S": "pending"},
        "attempts": {"N": "0"},
        "due_at": {"N": "1"},
        "last_error": {"NULL": true},
    }});
    item["due_shard"] = json!({"S": "delivery-0"});
    item["due_at"] = json!({"N": "1"});
    put("OrdersTable", &item).await;
}

/// Whose an order is, as a message names its owner.
pub async fn owner_of(order: &str) -> Value {
    let items = items("OrdersTable").await;
    let is_it = |item: &&Value| item["sk"]["S"] == format!("ORDER#{order}");
    let item = items.iter().find(is_it).expect("the order");
    json!({"client": item["owner"]["M"]["client"]["S"], "mode": item["owner"]["M"]["mode"]["S"]})
}

/// Calls DynamoDB. The emulator wants a signature but checks none.
async fn dynamodb(operation: &str, body: &Value) -> Value {
    let credential = "Credential=local/20260101/us-east-1/dynamodb/aws4_request";
    let signature = format!("AWS4-HMAC-SHA256 {credential}, SignedHeaders=host, Signature=00");
    let response = http()
        .post(&STACK.dynamodb_url)
        .header("x-amz-target", format!("DynamoDB_20120810.{operation}"))
        .header("content-type", "application/x-amz-json-1.0")
        .header("x-amz-date", "20260101T000000Z")
        .header("authorization", signature)
        .body(body.to_string())
        .send()
        .await
        .expect("an answer of DynamoDB");
    let status = response.status();
    let text = response.text().await.expect("a body");
    assert!(status.is_success(), "{operation}: {status} {text}");
    serde_json::from_str(&text).expect("JSON")
}
