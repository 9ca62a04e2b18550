//! The function that makes the stack's receipt rule set the active one, called as CloudFormation calls it.

use http::{Method, StatusCode};
use serde_json::{Value, json};
use tests::{invoke, receipt_rules, receiver::Receiver};
use uuid::Uuid;

/// CloudFormation, and the one place where it waits for answers.
struct CloudFormation {
    receiver: Receiver,
}

impl CloudFormation {
    async fn start() -> Self {
        Self { receiver: Receiver::start().await }
    }

    /// Asks for something, and returns what it is told.
    async fn ask(&self, kind: &str, properties: &Value, before: Option<&Value>) -> Value {
        let request_id = Uuid::new_v4().to_string();
        let path = format!("/{request_id}?signature=secret");
        let mut event = json!({
            "RequestType": kind,
            "ServiceToken": "arn:aws:lambda:us-east-1:000000000000:function:activate",
            "RequestId": request_id,
            "ResponseURL": self.receiver.url(&path),
            "StackId": "arn:aws:cloudformation:us-east-1:000000000000:stack/spelter/1",
            "ResourceType": "Custom::ActiveReceiptRuleSet",
            "LogicalResourceId": "ActiveReceiptRuleSet",
            "ResourceProperties": properties,
        });
        if kind != "Create" {
            event["PhysicalResourceId"] = json!("active-receipt-rule-set");
        }
        if let Some(before) = before {
            event["OldResourceProperties"] = before.clone();
        }
        invoke("ActivateReceiptRulesFunction", &event).await;
        let arrived = self.receiver.wait_for(&path, 1).await.remove(0);
        assert_eq!(arrived.method, Method::PUT);
        assert_eq!(arrived.headers.get("content-type"), None, "the URL is signed for none");
        let answer = arrived.body;
        for name in ["RequestId", "StackId", "LogicalResourceId"] {
            assert_eq!(answer[name], event[name], "{answer}");
        }
        assert_eq!(answer["PhysicalResourceId"], "active-receipt-rule-set", "{answer}");
        assert!(answer["Reason"].is_string(), "{answer}");
        answer
    }
}

fn set(name: &str, may_replace: &str) -> Value {
    json!({"ServiceToken": "arn", "RuleSetName": name, "MayReplace": may_replace})
}

#[tokio::test]
async fn the_stacks_receipt_rules_become_active_and_no_others_are_replaced_unasked() {
    let before = receipt_rules::active().await;
    let name = |what: &str| format!("{what}-{}", Uuid::new_v4().simple());
    let [ours, newer, theirs] = ["ours", "newer", "theirs"].map(name);
    for name in [&ours, &newer, &theirs] {
        receipt_rules::create(name).await;
    }
    let cloud = CloudFormation::start().await;
    let active = async || receipt_rules::active().await.unwrap_or_default();

    receipt_rules::activate(Some(&theirs)).await;
    let told = cloud.ask("Create", &set(&ours, ""), None).await;
    assert_eq!(told["Status"], "FAILED");
    let advice = format!("ReplaceActiveRuleSet={theirs}");
    assert!(told["Reason"].as_str().unwrap().contains(&advice), "{told}");
    assert_eq!(active().await, theirs);
    // CloudFormation deletes what it could not make.
    assert_eq!(cloud.ask("Delete", &set(&ours, ""), None).await["Status"], "SUCCESS");
    assert_eq!(active().await, theirs);

    let told = cloud.ask("Create", &set(&ours, &theirs), None).await;
    assert_eq!((&told["Status"], active().await), (&json!("SUCCESS"), ours.clone()));
    let (now, then) = (set(&newer, ""), set(&ours, &theirs));
    let told = cloud.ask("Update", &now, Some(&then)).await;
    assert_eq!((&told["Status"], active().await), (&json!("SUCCESS"), newer.clone()));
    receipt_rules::activate(Some(&theirs)).await;
    assert_eq!(cloud.ask("Update", &now, Some(&now)).await["Status"], "FAILED");
    assert_eq!(cloud.ask("Delete", &now, None).await["Status"], "SUCCESS");
    assert_eq!(active().await, theirs, "it is not ours to end");

    receipt_rules::activate(None).await;
    for _ in 0..2 {
        assert_eq!(cloud.ask("Create", &now, None).await["Status"], "SUCCESS");
        assert_eq!(active().await, newer);
    }
    assert_eq!(cloud.ask("Delete", &now, None).await["Status"], "SUCCESS");
    assert_eq!(active().await, "");

    // What SES refuses, and what cannot be read, is told, too.
    let told = cloud.ask("Create", &set("nobodys", ""), None).await;
    assert_eq!(told["Status"], "FAILED");
    assert!(told["Reason"].as_str().unwrap().contains("SetActiveReceiptRuleSet"), "{told}");
    assert_eq!(cloud.ask("Create", &json!({}), None).await["Status"], "FAILED");
    assert_eq!(cloud.ask("Delete", &json!({}), None).await["Status"], "SUCCESS");
    receipt_rules::activate(before.as_deref()).await;
}

#[tokio::test]
async fn an_answer_that_does_not_arrive_fails_the_call_which_is_then_repeated() {
    let receiver = Receiver::start().await;
    receiver.answer_first(&[StatusCode::FORBIDDEN]);
    let event = json!({
        "RequestType": "Delete",
        "RequestId": "1",
        "ResponseURL": receiver.url("/?signature=secret"),
        "StackId": "1",
        "ResourceType": "Custom::ActiveReceiptRuleSet",
        "LogicalResourceId": "ActiveReceiptRuleSet",
        "PhysicalResourceId": "active-receipt-rule-set",
        "ResourceProperties": {},
    });
    let told = invoke("ActivateReceiptRulesFunction", &event).await;
    let error = told["errorMessage"].as_str().unwrap_or_default();
    assert!(error.contains("403") && !error.contains("signature"), "{told}");
}
