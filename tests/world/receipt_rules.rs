//! SES's receipt rule sets: which there are, and which one is active.

use crate::{STACK, http};

/// Makes an empty set.
pub async fn create(name: &str) {
    ses("CreateReceiptRuleSet", Some(name)).await;
}

/// Makes a set the active one, or none.
pub async fn activate(name: Option<&str>) {
    ses("SetActiveReceiptRuleSet", name).await;
}

/// The name of the active set.
pub async fn active() -> Option<String> {
    let described = ses("DescribeActiveReceiptRuleSet", None).await;
    let (_, rest) = described.split_once("<Name>")?;
    rest.split_once("</Name>").map(|(name, _)| name.to_owned())
}

/// Calls SES. The emulator finds the service in the signature and does not check it.
async fn ses(action: &str, rule_set: Option<&str>) -> String {
    let credential = "Credential=local/20260101/us-east-1/ses/aws4_request";
    let signature = format!("AWS4-HMAC-SHA256 {credential}, SignedHeaders=host, Signature=00");
    let rule_set = rule_set.map(|name| format!("&RuleSetName={name}")).unwrap_or_default();
    let response = http()
        .post(&STACK.aws_url)
        .header("authorization", signature)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(format!("Action={action}&Version=2010-12-01{rule_set}"))
        .send()
        .await
        .expect("an answer of SES");
    let status = response.status();
    let text = response.text().await.expect("a body");
    assert!(status.is_success(), "{action}: {status} {text}");
    text
}
