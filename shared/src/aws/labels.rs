//! The table of return labels. It has no backups, and DynamoDB deletes what has expired.

use aws_config::SdkConfig;
use aws_sdk_dynamodb::{Client, primitives::Blob, types::AttributeValue};
use jiff::Timestamp;

use super::{AwsError, key, number};
use crate::{id::LabelId, labels::Label};

/// The table of labels.
#[derive(Clone)]
pub struct Labels {
    db: Client,
    table: String,
}

impl Labels {
    /// The table `table`.
    pub fn new(config: &SdkConfig, table: String) -> Self {
        Self { db: Client::new(config), table }
    }

    /// Keeps a label.
    pub async fn put(&self, id: &LabelId, label: &Label) -> Result<(), AwsError> {
        self.db
            .put_item()
            .table_name(&self.table)
            .set_item(Some(key([("pk", id.to_string())])))
            .item("pdf", AttributeValue::B(Blob::new(label.pdf.clone())))
            // Seconds since 1970, as DynamoDB's time to live wants them.
            .item("expires_at", number(label.expires_at.as_second()))
            .send()
            .await
            .map_err(AwsError::call("dynamodb:PutItem"))?;
        Ok(())
    }

    /// The label `id`. DynamoDB deletes it some days after it has expired.
    pub async fn get(&self, id: &LabelId) -> Result<Option<Label>, AwsError> {
        let found = self
            .db
            .get_item()
            .table_name(&self.table)
            .consistent_read(true)
            .set_key(Some(key([("pk", id.to_string())])))
            .send()
            .await
            .map_err(AwsError::call("dynamodb:GetItem"))?;
        let Some(item) = found.item else { return Ok(None) };
        let pdf = item.get("pdf").and_then(|value| value.as_b().ok());
        let seconds = item.get("expires_at").and_then(|value| value.as_n().ok()?.parse().ok());
        let label = pdf.zip(seconds).and_then(|(pdf, seconds)| {
            let expires_at = Timestamp::from_second(seconds).ok()?;
            Some(Label { pdf: pdf.as_ref().to_vec(), expires_at })
        });
        label
            .map(Some)
            .ok_or_else(|| AwsError::Corrupt("a label", "an attribute is missing".into()))
    }
}
