//! Which set of rules says what becomes of the mail that SES receives: one of the sets of a region, or none.

use aws_config::SdkConfig;
use aws_sdk_ses::Client;

use super::AwsError;

/// SES in this region.
#[derive(Clone)]
pub struct ReceiptRules {
    ses: Client,
}

impl ReceiptRules {
    /// Of the account and region of `config`.
    pub fn new(config: &SdkConfig) -> Self {
        Self { ses: Client::new(config) }
    }

    /// The name of the active set; none, if mail is not received.
    pub async fn active(&self) -> Result<Option<String>, AwsError> {
        let described = self
            .ses
            .describe_active_receipt_rule_set()
            .send()
            .await
            .map_err(AwsError::call("ses:DescribeActiveReceiptRuleSet"))?;
        // SES may answer an empty description.
        let active = described.metadata.and_then(|metadata| metadata.name);
        Ok(active.filter(|name| !name.is_empty()))
    }

    /// Makes `name` the active set in the place of any other; `None` ends the receiving of mail.
    pub async fn activate(&self, name: Option<&str>) -> Result<(), AwsError> {
        self.ses
            .set_active_receipt_rule_set()
            .set_rule_set_name(name.map(str::to_owned))
            .send()
            .await
            .map_err(AwsError::call("ses:SetActiveReceiptRuleSet"))?;
        Ok(())
    }
}
