//! Sending to the queues, and giving a message back for later.

use std::{fmt, time::Duration};

use aws_config::SdkConfig;
use aws_sdk_sqs::{
    Client, error::SdkError, operation::change_message_visibility::ChangeMessageVisibilityError,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{AwsError, keys::BundleKey};
use crate::{
    accounts::{AccountRef, Owner},
    backlog::Place,
    guards::Guard,
    id::{CancellationId, OrderId, ReturnId},
    products::PageKey,
    random,
    webhooks::lanes::LaneKey,
};

/// A job, by ids only. Whatever touches a retailer account is one of these.
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
    /// Buy these orders together.
    PlaceBundle {
        /// Whose.
        owner: Owner,
        /// Which.
        bundle: BundleKey,
    },
    /// Cancel, or ask what came of it.
    CancelOrder {
        /// Whose.
        owner: Owner,
        /// Which.
        cancellation: CancellationId,
    },
    /// Start this return, or ask whether it has arrived.
    StartReturn {
        /// Whose.
        owner: Owner,
        /// Which.
        return_id: ReturnId,
    },
    /// Ask after the parcels of this order.
    TrackOrder {
        /// Whose.
        owner: Owner,
        /// Which.
        order: OrderId,
    },
}

/// A job of `account`, as it stands in a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    /// Whose turn it needs.
    pub account: AccountRef,
    /// Where it stands in the account's backlog.
    pub place: Place,
    /// What is to be done.
    #[serde(flatten)]
    pub job: JobMessage,
}

impl Ticket {
    /// For a job that comes at `now`.
    pub fn new(account: AccountRef, job: JobMessage, now: Timestamp) -> Self {
        let place = Place::new(now, &format!("{}-{}", job.kind(), job.subject()));
        Self { account, place, job }
    }
}

impl fmt::Display for Ticket {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.job.fmt(formatter)
    }
}

impl JobMessage {
    const fn kind(&self) -> &'static str {
        match self {
            Self::PlaceOrder { .. } => "place_order",
            Self::PlaceBundle { .. } => "place_bundle",
            Self::TrackOrder { .. } => "track_order",
            Self::CancelOrder { .. } => "cancel_order",
            Self::StartReturn { .. } => "start_return",
        }
    }

    /// What the job is about.
    fn subject(&self) -> &str {
        match self {
            Self::PlaceOrder { order, .. } | Self::TrackOrder { order, .. } => order.as_str(),
            Self::PlaceBundle { bundle, .. } => bundle.id.as_str(),
            Self::CancelOrder { cancellation, .. } => cancellation.as_str(),
            Self::StartReturn { return_id, .. } => return_id.as_str(),
        }
    }
}

impl fmt::Display for JobMessage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.kind(), self.subject())
    }
}

/// A message of the webhooks queues: ids only. It is a hint; the lane says what is due.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum WebhookMessage {
    /// Try what is due in this lane.
    Deliver {
        /// Whose.
        owner: Owner,
        /// Which.
        lane: LaneKey,
        /// That much is due by the sweeper's clock, which may be ahead of the sender's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        as_of: Option<Timestamp>,
    },
    /// Have this lane tried: the queue that can wait has waited.
    Wake {
        /// Whose.
        owner: Owner,
        /// Which.
        lane: LaneKey,
    },
}

impl fmt::Display for WebhookMessage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deliver { lane, .. } => write!(formatter, "deliver {lane}"),
            Self::Wake { lane, .. } => write!(formatter, "wake {lane}"),
        }
    }
}

/// A message of the products queue: ids only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ProductMessage {
    /// Read this page.
    Read {
        /// Which.
        page: PageKey,
        /// The version of the claim under which it is to be read.
        claim: u64,
    },
}

impl fmt::Display for ProductMessage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Read { page, claim: _ } = self;
        write!(formatter, "read {page}")
    }
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

    /// Sends message number `count` of a job. The number makes a later one another message: SQS drops what has a
    /// deduplication id of the last five minutes, even if that message is long gone.
    pub(super) async fn send(&self, ticket: &Ticket, count: u32) -> Result<(), AwsError> {
        let body = serde_json::to_string(ticket).map_err(AwsError::call("sqs:SendMessage"))?;
        let count = if Guard::Dispatch.stands() { count } else { 0 };
        self.sqs
            .send_message()
            .queue_url(&self.url)
            .message_group_id(ticket.account.as_str())
            .message_deduplication_id(format!("{}-{count}", ticket.place))
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

impl Jobs {
    /// Lets a message that waits come back now. One that has come back by itself needs it no more.
    pub async fn wake(&self, receipt_handle: &str) -> Result<(), AwsError> {
        let change = self
            .sqs
            .change_message_visibility()
            .queue_url(&self.url)
            .receipt_handle(receipt_handle)
            .visibility_timeout(0);
        match change.send().await.map_err(SdkError::into_service_error) {
            Ok(_) => Ok(()),
            Err(error) if is_back(&error) => Ok(()),
            Err(error) => Err(AwsError::Call("sqs:ChangeMessageVisibility", error.into())),
        }
    }
}

/// SQS has three words for a message that was received again or deleted; the last is the FIFO queues'.
fn is_back(error: &ChangeMessageVisibilityError) -> bool {
    error.is_message_not_inflight()
        || error.is_receipt_handle_is_invalid()
        || error.meta().code() == Some("InvalidParameterValue")
}

/// The webhooks queue: FIFO, a few message groups for each host, so that one that hangs holds up nobody else.
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

    /// Has what is due in a lane tried now.
    pub async fn deliver(&self, owner: &Owner, lane: &LaneKey) -> Result<(), AwsError> {
        // Each time another message: a hint that was acted on says nothing of what came after it.
        self.send(owner, lane, None, random::uuid().simple().to_string()).await
    }

    /// Has a lane tried that is due since `due_at` by a clock that shows `as_of`. The same lane, due since the same
    /// time, is one message in five minutes: nobody has tried it since the last.
    pub async fn deliver_due(
        &self,
        owner: &Owner,
        lane: &LaneKey,
        due_at: Timestamp,
        as_of: Timestamp,
    ) -> Result<(), AwsError> {
        let LaneKey { request, receiver, .. } = lane;
        let dedup = format!("{request}-{receiver}-{}", due_at.as_millisecond());
        self.send(owner, lane, Some(as_of), dedup).await
    }

    async fn send(
        &self,
        owner: &Owner,
        lane: &LaneKey,
        as_of: Option<Timestamp>,
        dedup: String,
    ) -> Result<(), AwsError> {
        let message = WebhookMessage::Deliver { owner: owner.clone(), lane: lane.clone(), as_of };
        let body = serde_json::to_string(&message).map_err(AwsError::call("sqs:SendMessage"))?;
        self.sqs
            .send_message()
            .queue_url(&self.url)
            .message_group_id(lane.group(owner))
            .message_deduplication_id(dedup)
            .message_body(body)
            .send()
            .await
            .map_err(AwsError::call("sqs:SendMessage"))?;
        Ok(())
    }
}

/// The queue in which lanes wait for their next try: a FIFO queue cannot hold back a single message.
#[derive(Clone)]
pub struct WebhookRetries {
    sqs: Client,
    url: String,
}

impl WebhookRetries {
    /// The queue at `url`.
    pub fn new(config: &SdkConfig, url: String) -> Self {
        Self { sqs: Client::new(config), url }
    }

    /// Has a lane tried after `delay`, which SQS limits to [`MAX_DELAY`].
    pub async fn wake(
        &self,
        owner: &Owner,
        lane: &LaneKey,
        delay: Duration,
    ) -> Result<(), AwsError> {
        let message = WebhookMessage::Wake { owner: owner.clone(), lane: lane.clone() };
        let body = serde_json::to_string(&message).map_err(AwsError::call("sqs:SendMessage"))?;
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

/// The products queue.
#[derive(Clone)]
pub struct ProductReads {
    sqs: Client,
    url: String,
}

impl ProductReads {
    /// The queue at `url`.
    pub fn new(config: &SdkConfig, url: String) -> Self {
        Self { sqs: Client::new(config), url }
    }

    /// Has a page read.
    pub async fn send(&self, message: &ProductMessage) -> Result<(), AwsError> {
        let body = serde_json::to_string(message).map_err(AwsError::call("sqs:SendMessage"))?;
        self.sqs
            .send_message()
            .queue_url(&self.url)
            .message_body(body)
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
