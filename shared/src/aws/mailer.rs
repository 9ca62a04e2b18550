//! Sending mail, and sending it back.

use aws_config::SdkConfig;
use aws_sdk_ses::{
    Client,
    error::SdkError,
    primitives::Blob,
    types::{BounceType, BouncedRecipientInfo, RawMessage},
};

use super::AwsError;

/// SES.
#[derive(Clone)]
pub struct Mailer {
    ses: Client,
}

impl Mailer {
    /// The service as `config` knows it.
    pub fn new(config: &SdkConfig) -> Self {
        Self { ses: Client::new(config) }
    }

    /// Sends a whole mail from `sender`, whose domain SES has verified and signs for, to one mailbox, whatever its
    /// header says.
    pub async fn send(
        &self,
        sender: &str,
        mailbox: &str,
        message: Vec<u8>,
    ) -> Result<(), AwsError> {
        let message = RawMessage::builder().data(Blob::new(message)).build();
        self.ses
            .send_raw_email()
            .source(sender)
            .destinations(mailbox)
            .raw_message(message.map_err(AwsError::call("ses:SendRawEmail"))?)
            .send()
            .await
            .map_err(AwsError::call("ses:SendRawEmail"))?;
        Ok(())
    }

    /// Tells the sender of a mail that SES received under `message_id` that there are no mailboxes `recipients`: whether SES
    /// does so. It does not for a mail of yesterday or one that names no sender, and will not the next time.
    pub async fn bounce(
        &self,
        message_id: &str,
        sender: &str,
        recipients: &[&str],
    ) -> Result<bool, AwsError> {
        const CALL: &str = "ses:SendBounce";
        let nobody = |recipient: &&str| {
            let info = BouncedRecipientInfo::builder().recipient(*recipient);
            info.bounce_type(BounceType::DoesNotExist).build()
        };
        let nobodies: Result<Vec<_>, _> = recipients.iter().map(nobody).collect();
        let sent = self
            .ses
            .send_bounce()
            .original_message_id(message_id)
            .bounce_sender(sender)
            .set_bounced_recipient_info_list(Some(nobodies.map_err(AwsError::call(CALL))?))
            .send()
            .await;
        match sent.map_err(SdkError::into_service_error) {
            Ok(_) => Ok(true),
            Err(error) if error.is_message_rejected() => Ok(false),
            Err(error) => Err(AwsError::Call(CALL, error.into())),
        }
    }
}
