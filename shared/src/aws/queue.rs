//! Sending to the queues, and giving a message back for later.

use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_sqs::Client;
use serde::{Deserialize, Serialize};

use super::AwsError;
use crate::{
    accounts::{AccountRef, Owner},
    id::{DeliveryId, OrderId},
};

/// A message of the jobs queue: ids only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum JobMessage {
    /// Work on this order.
    PlaceOrder {
        /// Whose.
        owner: Owner,
        /// Which.
        order: OrderId,
    },
}

/// A message of the webhooks queue: ids only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum WebhookMessage {
    /// Try this delivery.
    Deliver {
        /// Whose.
        owner: Owner,
        /// Of which order.
        order: OrderId,
        /// Which.
        delivery: DeliveryId,
    },
}

/// SQS takes no longer delay.
pub const MAX_DELAY: Duration = Duration::from_mins(15);

/// The jobs queue: FIFO, one message group per retailer account.
#[derive(Clone)]
pub struct Jobs {
    sqs: Client,
    url: String,
}

impl Jobs {
    /// The queue at `url`.
    pub fn new(config: &SdkConfig, url: String) -> Self {
        Self { sqs: Client::new(config), url }
    }

    /// Queues a job of `account`. `dispatch` makes a later sending of the same job another message: SQS drops what
    /// has a deduplication id of the last five minutes, even if that message is long gone.
    pub async fn send(
        &self,
        account: &AccountRef,
        message: &JobMessage,
        dispatch: u32,
    ) -> Result<(), AwsError> {
        let JobMessage::PlaceOrder { order, .. } = message;
        let body = serde_json::to_string(message).map_err(AwsError::call("sqs:SendMessage"))?;
        self.sqs
            .send_message()
            .queue_url(&self.url)
            .message_group_id(account.as_str())
            .message_deduplication_id(format!("{order}-{dispatch}"))
            .message_body(body)
            .send()
            .await
            .map_err(AwsError::call("sqs:SendMessage"))?;
        Ok(())
    }

    /// Lets a received message come back after `wait` instead of the queue's own time.
    pub async fn return_after(&self, receipt_handle: &str, wait: Duration) -> Result<(), AwsError> {
        self.sqs
            .change_message_visibility()
            .queue_url(&self.url)
            .receipt_handle(receipt_handle)
            .visibility_timeout(whole_seconds(wait))
            .send()
            .await
            .map_err(AwsError::call("sqs:ChangeMessageVisibility"))?;
        Ok(())
    }
}

/// The webhooks queue.
#[derive(Clone)]
pub struct Webhooks {
    sqs: Client,
    url: String,
}

impl Webhooks {
    /// The queue at `url`.
    pub fn new(config: &SdkConfig, url: String) -> Self {
        Self { sqs: Client::new(config), url }
    }

    /// Has a delivery tried after `delay`, which SQS limits to [`MAX_DELAY`].
    pub async fn send(&self, message: &WebhookMessage, delay: Duration) -> Result<(), AwsError> {
        let body = serde_json::to_string(message).map_err(AwsError::call("sqs:SendMessage"))?;
        self.sqs
            .send_message()
            .queue_url(&self.url)
            .message_body(body)
            .delay_seconds(whole_seconds(delay.min(MAX_DELAY)))
            .send()
            .await
            .map_err(AwsError::call("sqs:SendMessage"))?;
        Ok(())
    }
}

/// Rounded up, so that nothing comes back too early.
fn whole_seconds(duration: Duration) -> i32 {
    let rounded = duration.as_secs().saturating_add(u64::from(duration.subsec_nanos() > 0));
    i32::try_from(rounded).unwrap_or(i32::MAX).min(43_200)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_rounded_up_and_kept_within_what_sqs_takes() {
        assert_eq!(whole_seconds(Duration::ZERO), 0);
        assert_eq!(whole_seconds(Duration::from_millis(1)), 1);
        assert_eq!(whole_seconds(Duration::from_secs(100)), 100);
        assert_eq!(whole_seconds(Duration::from_hours(100)), 43_200);
    }
}
