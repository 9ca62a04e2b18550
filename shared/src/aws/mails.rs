//! The bucket of raw mails. SES writes them, and S3 deletes them after a week.

use aws_config::SdkConfig;
use aws_sdk_s3::{Client, error::SdkError};

use super::AwsError;

/// Where in the bucket SES writes, as its receipt rule says.
const PREFIX: &str = "mail/";

/// The bucket of raw mails.
#[derive(Clone)]
pub struct Mails {
    s3: Client,
    bucket: String,
}

impl Mails {
    /// The bucket `bucket`.
    pub fn new(config: &SdkConfig, bucket: String) -> Self {
        Self { s3: Client::new(config), bucket }
    }

    /// The mail with SES's id `message_id` as it came, with SES's headers before it; none if it is gone. Of one that is
    /// longer than `limit_bytes`, one byte more than that: enough to see that it is too long.
    pub async fn raw(
        &self,
        message_id: &str,
        limit_bytes: usize,
    ) -> Result<Option<Vec<u8>>, AwsError> {
        const CALL: &str = "s3:GetObject";
        let get = self.s3.get_object().bucket(&self.bucket).key(format!("{PREFIX}{message_id}"));
        // The last byte of a range belongs to it.
        let found = match get.range(format!("bytes=0-{limit_bytes}")).send().await {
            Ok(found) => found,
            Err(SdkError::ServiceError(error)) if error.err().is_no_such_key() => return Ok(None),
            Err(error) => return Err(AwsError::call(CALL)(error)),
        };
        let body = found.body.collect().await.map_err(AwsError::call(CALL))?;
        Ok(Some(body.to_vec()))
    }
}
