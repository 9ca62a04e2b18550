//! The stack's tables, read and written past the API: what a crash leaves behind, and what nobody may find there.

use std::time::Duration;

use data_encoding::HEXLOWER;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
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

/// The keys, `pk` and `sk`, of all items of a table whose sort keys begin with one of `prefixes`, whoever has them.
pub async fn keys(table: &str, prefixes: &[&str]) -> Vec<(String, String)> {
    let names: Vec<_> = (0..prefixes.len()).map(|place| format!(":prefix{place}")).collect();
    let filter: Vec<_> = names.iter().map(|name| format!("begins_with(sk, {name})")).collect();
    let values =
        names.iter().zip(prefixes).map(|(name, prefix)| (name.clone(), json!({"S": prefix})));
    let values: Value = values.collect::<serde_json::Map<_, _>>().into();
    let mut keys = Vec::new();
    let mut start = Value::Null;
    loop {
        let mut request = json!({
            "TableName": STACK.tables[table],
            "ConsistentRead": true,
            "ProjectionExpression": "pk, sk",
            "FilterExpression": filter.join(" OR "),
            "ExpressionAttributeValues": values,
        });
        if !start.is_null() {
            request["ExclusiveStartKey"] = start;
        }
        let page = dynamodb("Scan", &request).await;
        let text = |item: &Value, name: &str| item[name]["S"].as_str().map(str::to_owned);
        let items = page["Items"].as_array().into_iter().flatten();
        keys.extend(items.filter_map(|item| Some((text(item, "pk")?, text(item, "sk")?))));
        start = page["LastEvaluatedKey"].clone();
        if start.is_null() {
            return keys;
        }
    }
}

/// What a client has of one kind in the table of orders in test mode: every item whose sort key begins with `prefix`.
pub async fn owned(client: &str, prefix: &str) -> Vec<Value> {
    let mut items = Vec::new();
    let mut start = Value::Null;
    loop {
        let mut request = json!({
            "TableName": STACK.tables["OrdersTable"],
            "ConsistentRead": true,
            "KeyConditionExpression": "pk = :owner AND begins_with(sk, :prefix)",
            "ExpressionAttributeValues": {
                ":owner": {"S": format!("{client}#test")},
                ":prefix": {"S": prefix},
            },
        });
        if !start.is_null() {
            request["ExclusiveStartKey"] = start;
        }
        let page = dynamodb("Query", &request).await;
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

/// Leaves a page of a product as a reader that died leaves it: claimed until `until_ms`, under the version `claim`.
pub async fn claim_page(page: &str, claim: u64, until_ms: i64) {
    let item = json!({
        "pk": {"S": page},
        "version": {"N": claim.to_string()},
        "claimed_until": {"N": until_ms.to_string()},
        "expires_at": {"N": (until_ms / 1000 + 3600).to_string()},
    });
    put("ProductsTable", &item).await;
}

/// In the year 2650, in milliseconds since 1970: what is due then, the sweeper leaves alone.
pub const FAR_OFF: i64 = 21_474_836_470_000;

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
    forget_place(&mut item);
    put("OrdersTable", &item).await;
    id
}

/// Nothing is in a backlog for what is stored as `item`.
fn forget_place(item: &mut Value) {
    item.as_object_mut().expect("an item").remove("place");
}

/// Makes an account one whose sign-ins have gone like this, a `Health` as it is stored.
pub async fn set_health(account: &str, health: &Value) {
    let items = items("AccountsTable").await;
    let item = items.iter().find(|item| item["id"]["S"] == account).expect("the account");
    let request = json!({
        "TableName": STACK.tables["AccountsTable"],
        "Key": {"pk": item["pk"], "sk": item["sk"]},
        "UpdateExpression": "SET health = :health",
        "ExpressionAttributeValues": {":health": {"S": health.to_string()}},
    });
    dynamodb("UpdateItem", &request).await;
}

/// Makes an account one whose mail is forwarded to us.
pub async fn confirm_forwarding(account: &str) {
    let items = items("AccountsTable").await;
    let item = items.iter().find(|item| item["id"]["S"] == account).expect("the account");
    let request = json!({
        "TableName": STACK.tables["AccountsTable"],
        "Key": {"pk": item["pk"], "sk": item["sk"]},
        "UpdateExpression": "SET has_forwarding = :true",
        "ExpressionAttributeValues": {":true": {"BOOL": true}},
    });
    dynamodb("UpdateItem", &request).await;
}

/// Notes a mail that arrived at an account, refused for `refused` if that is a reason.
pub async fn log_mail(account: &str, message: &str, received_at_ms: i64, refused: Option<&str>) {
    let items = items("AccountsTable").await;
    let item = items.iter().find(|item| item["id"]["S"] == account).expect("the account");
    let partition = format!("{}#{account}", item["pk"]["S"].as_str().expect("a partition"));
    let received_at = jiff::Timestamp::from_millisecond(received_at_ms).expect("a time");
    let line = json!({
        "pk": {"S": partition},
        "sk": {"S": format!("{received_at:.3}#{message}")},
        "owner": item["owner"],
        "account": {"S": account},
        "message_id": {"S": message},
        "received_at": {"N": received_at_ms.to_string()},
        "from_domain": {"S": "example.com"},
        "kind": {"S": "forwarding_confirmation"},
        "refused": refused.map_or(json!({"NULL": true}), |reason| json!({"S": reason})),
        "expires_at": {"N": "4102444800"},
    });
    put("MailLogTable", &line).await;
}

/// Lets nothing be done about orders of others than `client` that have ended: whoever turns the clock by days would have the
/// parcels of all of them asked after, again and again.
pub async fn leave_parcels_of_others(client: &str) {
    for item in items("OrdersTable").await {
        let text = |name: &str| item[name]["S"].as_str().unwrap_or_default();
        let is_theirs = text("sk").starts_with("ORDER#") && !text("pk").starts_with(client);
        if !is_theirs || item["ended_at"].is_null() || item["due_at"].is_null() {
            continue;
        }
        let request = json!({
            "TableName": STACK.tables["OrdersTable"],
            "Key": {"pk": item["pk"], "sk": item["sk"]},
            "UpdateExpression": "REMOVE due_at, due_shard",
        });
        dynamodb("UpdateItem", &request).await;
    }
}

/// Brings forward the time at which something must be done about a request, which must have one.
pub async fn make_due(request_id: &str) {
    let items = items("OrdersTable").await;
    let is_it = |item: &&Value| item["id"]["S"] == request_id;
    let item = items.iter().find(is_it).expect("the request");
    assert!(!item["due_at"].is_null(), "nothing is to be done about {request_id}");
    let request = json!({
        "TableName": STACK.tables["OrdersTable"],
        "Key": {"pk": item["pk"], "sk": item["sk"]},
        "UpdateExpression": "SET due_at = :past",
        "ExpressionAttributeValues": {":past": {"N": "1"}},
    });
    dynamodb("UpdateItem", &request).await;
}

/// A cancellation or a return like the stored one `model`, but as it stands at `stage` and with no message in any queue;
/// due at `due_at_ms`. Its id.
pub async fn copy_after_sale(model: &str, stage: &Value, due_at_ms: i64) -> String {
    let id = Uuid::now_v7().simple().to_string();
    let items = items("OrdersTable").await;
    let mut item = items.iter().find(|item| item["id"]["S"] == model).cloned().expect("the model");
    let kind = item["sk"]["S"].as_str().and_then(|sk| sk.split('#').next()).expect("a kind");
    for (name, value) in [
        ("due_shard", json!({"S": format!("{}-0", kind.to_lowercase())})),
        ("sk", json!({"S": format!("{kind}#{id}")})),
        ("id", json!({"S": id})),
        ("stage", json!({"S": stage.to_string()})),
        ("ended_at", json!({"NULL": true})),
        ("dispatches", json!({"N": "1"})),
        ("due_at", json!({"N": due_at_ms.to_string()})),
        ("version", json!({"N": "1"})),
    ] {
        item[name] = value;
    }
    forget_place(&mut item);
    put("OrdersTable", &item).await;
    id
}

/// Makes a cancellation or a return one that was asked for this much earlier.
pub async fn make_older(request_id: &str, by: Duration) {
    let items = items("OrdersTable").await;
    let item = items.iter().find(|item| item["id"]["S"] == request_id).expect("the request");
    let request = json!({
        "TableName": STACK.tables["OrdersTable"],
        "Key": {"pk": item["pk"], "sk": item["sk"]},
        "UpdateExpression": "ADD created_at :by",
        "ExpressionAttributeValues": {":by": {"N": format!("-{}", by.as_millis())}},
    });
    dynamodb("UpdateItem", &request).await;
}

/// Makes a label one that has expired and that DynamoDB has not deleted yet.
pub async fn expire_label(id: &str) {
    let request = json!({
        "TableName": STACK.tables["LabelsTable"],
        "Key": {"pk": {"S": id}},
        "UpdateExpression": "SET expires_at = :past",
        "ConditionExpression": "attribute_exists(pk)",
        "ExpressionAttributeValues": {":past": {"N": "1"}},
    });
    dynamodb("UpdateItem", &request).await;
}

/// Makes a delivery that was received one that was never tried and has no message, as it stands in the table when its
/// function dies just after the transaction.
pub async fn forget_delivery_of(order: &str) {
    let delivered = wait(Duration::from_secs(10), "the delivery to be written down", async || {
        let items = items("OrdersTable").await;
        items.into_iter().find(|item| {
            item["sk"]["S"].as_str().unwrap_or_default().starts_with("DELIVERY#")
                && item["request"]["S"] == order
                && item["state"]["M"]["state"]["S"] == "delivered"
        })
    });
    let mut item = delivered.await;
    item["state"] = json!({"M": {"state": {"S": "pending"}}});
    item["attempts"] = json!({"L": []});
    put("OrdersTable", &item).await;
    let url = item["destination"]["M"]["url"]["S"].as_str().expect("a URL").to_owned();
    let endpoint = url.split('?').next().unwrap_or_default();
    let origin = url.split('/').take(3).collect::<Vec<_>>().join("/");
    let keys = [&*url, endpoint, &*origin].map(receiver_key).join("#");
    let lane = json!({
        "pk": item["pk"],
        "sk": {"S": format!("LANE#{order}#{keys}")},
        "waiting": {"L": [{"M": {"delivery": item["id"], "payload": item["payload"]}}]},
        "attempts": {"N": "0"},
        "due_shard": {"S": "lane-0"},
        "due_at": {"N": "1"},
    });
    put("OrdersTable", &lane).await;
}

/// What tells one receiver of webhooks from another.
fn receiver_key(url: &str) -> String {
    HEXLOWER.encode(&Sha256::digest(url)[..16])
}

/// Holds `cents` of a client's US dollars for an order, as accepting it would. The client must have that much.
pub async fn hold(client_id: &str, order: &str, cents: u64) {
    let posting = format!("txn_{}", Uuid::now_v7().simple());
    let entry =
        |account: &str, sign: &str| json!({"L": [{"S": account}, {"N": format!("{sign}{cents}")}]});
    let table = &STACK.tables["LedgerTable"];
    let key = |sk: String| json!({"pk": {"S": format!("{client_id}#test")}, "sk": {"S": sk}});
    let item = |sk: String, members: Value| {
        let mut item = key(sk);
        let members = members.as_object().expect("members").clone();
        item.as_object_mut().expect("an item").extend(members);
        json!({"Put": {"TableName": table, "Item": item}})
    };
    let posting_members = json!({
        "id": {"S": posting},
        "currency": {"S": "USD"},
        "kind": {"M": {"type": {"S": "hold"}, "order": {"S": order}}},
        "entries": {"L": [entry("available", "-"), entry("held", "")]},
        "at": {"N": "1"},
        "note": {"S": ""},
    });
    let funds_members = json!({
        "order": {"S": order},
        "currency": {"S": "USD"},
        "held": {"N": cents.to_string()},
        "funds": {"M": {"state": {"S": "held"}}},
    });
    let balance = json!({"Update": {
        "TableName": table,
        "Key": key("BALANCE#USD".to_owned()),
        "UpdateExpression": "ADD postings :one, available :minus, held :plus",
        "ConditionExpression": "available >= :plus",
        "ExpressionAttributeValues": {
            ":one": {"N": "1"},
            ":minus": {"N": format!("-{cents}")},
            ":plus": {"N": cents.to_string()},
        },
    }});
    let posting = item(format!("POSTING#USD#{posting}"), posting_members);
    let funds = item(format!("ORDER#{order}"), funds_members);
    dynamodb("TransactWriteItems", &json!({"TransactItems": [balance, posting, funds]})).await;
}

/// Adds a cent to what is available to a client in US dollars, and takes it from nowhere.
pub async fn make_money(client_id: &str) {
    let request = json!({
        "TableName": STACK.tables["LedgerTable"],
        "Key": {"pk": {"S": format!("{client_id}#test")}, "sk": {"S": "BALANCE#USD"}},
        "UpdateExpression": "ADD available :one",
        "ExpressionAttributeValues": {":one": {"N": "1"}},
    });
    dynamodb("UpdateItem", &request).await;
}

/// Makes an order one that ended when 1970 began, and is due since.
pub async fn end_long_ago(order: &str) {
    let item = order_item(order).await;
    let request = json!({
        "TableName": STACK.tables["OrdersTable"],
        "Key": {"pk": item["pk"], "sk": item["sk"]},
        "UpdateExpression": "SET ended_at = :then, due_at = :then",
        "ExpressionAttributeValues": {":then": {"N": "0"}},
    });
    dynamodb("UpdateItem", &request).await;
}

/// Whether a login that came with an order is kept.
pub async fn holds_login(order: &str) -> bool {
    order_item(order).await["secrets"]["S"].is_string()
}

/// How many jobs an order was given.
pub async fn dispatches(order: &str) -> u64 {
    let dispatches = &order_item(order).await["dispatches"]["N"];
    dispatches.as_str().and_then(|number| number.parse().ok()).expect("a number")
}

/// The bundle an order waits in.
pub async fn bundle_of(order: &str) -> String {
    let item = order_item(order).await;
    let status: Value = item["status"]["S"].as_str().expect("a status").parse().expect("JSON");
    status["bundle"].as_str().expect("an order that waits").to_owned()
}

async fn order_item(order: &str) -> Value {
    let items = items("OrdersTable").await;
    let is_it = |item: &Value| item["sk"]["S"] == format!("ORDER#{order}");
    items.into_iter().find(is_it).expect("the order")
}

/// A job of the account that `order` is bought with, as a message says it: `name` about what `member` says. It has no place
/// in the account's backlog.
pub async fn job(order: &str, name: &str, member: &str, id: &str) -> Value {
    json!({
        "account": order_item(order).await["account"]["S"],
        "place": format!("000000000000-{name}-{id}"),
        "type": name,
        "owner": owner_of(order).await,
        member: id,
    })
}

/// Whose an order is, as a message names its owner.
pub async fn owner_of(order: &str) -> Value {
    let item = order_item(order).await;
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
