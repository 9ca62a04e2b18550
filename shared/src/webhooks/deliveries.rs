//! One event on its way to one receiver: what was tried, and what follows from it.

use std::time::Duration;

use http::StatusCode;
use jiff::{Timestamp, fmt::rfc2822};
use serde::{Deserialize, Serialize};

use super::{
    events::EventName,
    lanes::{Destination, LaneKey, Waiting},
};
use crate::{
    accounts::Owner,
    clock,
    id::{DeliveryId, PayloadId, RequestId},
};

/// What deliveries say, the same for all receivers of one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    /// Which.
    pub id: PayloadId,
    /// Whose request it tells of.
    pub owner: Owner,
    /// Which request it tells of.
    pub request: RequestId,
    /// JSON text.
    pub body: String,
    /// Until when it can be sent again.
    pub expires_at: Timestamp,
}

/// One event on its way to one receiver.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    /// `webhook-id`: the same on every try.
    pub id: DeliveryId,
    /// Whose request it tells of.
    pub owner: Owner,
    /// Which request it tells of.
    pub request: RequestId,
    /// What it tells.
    pub event: EventName,
    /// Where it goes.
    pub destination: Destination,
    /// What it says.
    pub payload: PayloadId,
    /// How it stands.
    pub state: DeliveryState,
    /// What was tried, the last [`MAX_ATTEMPTS_KEPT`], oldest first.
    pub attempts: Vec<Attempt>,
    /// When the event happened.
    pub created_at: Timestamp,
    /// Until when it is kept.
    pub expires_at: Timestamp,
}

impl Delivery {
    /// The lane it goes in.
    pub fn lane(&self) -> LaneKey {
        LaneKey::new(self.request.clone(), &self.destination)
    }

    /// How it waits there.
    pub fn waiting(&self) -> Waiting {
        Waiting { delivery: self.id.clone(), payload: self.payload.clone() }
    }
}

/// How a delivery stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum DeliveryState {
    /// Waits in its lane.
    Pending,
    /// The receiver took it.
    Delivered {
        /// When.
        #[serde(with = "clock::millis")]
        at: Timestamp,
    },
    /// It is not tried any more: visible, and to be replayed.
    Undelivered {
        /// Since when.
        #[serde(with = "clock::millis")]
        at: Timestamp,
        /// Why.
        reason: String,
    },
}

impl DeliveryState {
    /// As it stands in the delivery log.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered { .. } => "delivered",
            Self::Undelivered { .. } => "undelivered",
        }
    }
}

/// One try.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// When it began.
    #[serde(with = "clock::millis")]
    pub at: Timestamp,
    /// How long it took.
    pub latency_ms: u64,
    /// What the receiver answered, if it did.
    pub status: Option<u16>,
    /// Why it did not count as received.
    pub error: Option<String>,
    /// The beginning of what the receiver said.
    pub answer: String,
}

/// What has ended is kept for so long.
pub const KEPT_FOR: Duration = Duration::from_hours(30 * 24);
/// What waits, and what it says: longer than it can wait behind others that are not received.
pub const KEPT_WAITING_FOR: Duration = Duration::from_hours(180 * 24);
/// So much is kept of what went wrong: some errors quote what a receiver says of itself.
pub const MAX_ERROR_CHARS: usize = 300;
/// A delivery that is replayed again and again must still fit its item.
pub const MAX_ATTEMPTS_KEPT: usize = 20;
/// So much of an answer is kept.
pub const MAX_ANSWER_BYTES: usize = 1024;

/// What a try means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The receiver took it.
    Received,
    /// It may work later.
    Failed {
        /// Not before this, says the receiver.
        retry_after: Option<Duration>,
    },
    /// The same, and it was not the receiver's fault: it was not even asked.
    Unsent,
    /// The receiver wants nothing more at this URL.
    Gone,
    /// We do not send there, now or later.
    Refused,
}

/// What an answer means. Only 2xx is a receipt (Standard Webhooks 1.0.0, "Deliverability"); a redirect is not followed.
pub fn verdict(status: StatusCode, retry_after: Option<&str>, now: Timestamp) -> Verdict {
    if status.is_success() {
        return Verdict::Received;
    }
    if status == StatusCode::GONE {
        return Verdict::Gone;
    }
    Verdict::Failed { retry_after: retry_after.and_then(|text| wait_asked_for(text, now)) }
}

/// `Retry-After`: seconds or a date (RFC 9110, 10.2.3).
fn wait_asked_for(text: &str, now: Timestamp) -> Option<Duration> {
    let text = text.trim();
    let date = || rfc2822::DateTimeParser::new().parse_timestamp(text).ok();
    let seconds = text.parse().ok().map(Duration::from_secs);
    seconds.or_else(|| date().map(|date| clock::until(date, now)))
}

/// Waits after each try that did not succeed (Standard Webhooks 1.0.0, "Retry schedule").
const RETRY_WAITS: [Duration; 9] = [
    Duration::from_secs(5),
    Duration::from_mins(5),
    Duration::from_mins(30),
    Duration::from_hours(2),
    Duration::from_hours(5),
    Duration::from_hours(10),
    Duration::from_hours(14),
    Duration::from_hours(20),
    Duration::from_hours(24),
];

/// No receiver makes us wait for longer.
const LONGEST_RETRY_AFTER: Duration = Duration::from_hours(24);

/// A wait is longer by up to this part, so that what failed together is not tried together again.
const JITTER: f64 = 0.1;

/// A delivery that was claimed so often was never tried as it should: each time something went wrong before that could be
/// written down.
pub const MAX_CLAIMS: u32 = 20;

/// How long to wait after the try number `attempt` failed; `None` after the last one. `luck` is between 0 and 1.
pub fn wait_after(attempt: u32, retry_after: Option<Duration>, luck: f64) -> Option<Duration> {
    let index = usize::try_from(attempt.checked_sub(1)?).ok()?;
    let wait = RETRY_WAITS.get(index)?;
    let jittered = wait.mul_f64(1.0 + JITTER * luck.clamp(0.0, 1.0));
    Some(jittered.max(retry_after.unwrap_or_default().min(LONGEST_RETRY_AFTER)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delivery_is_tried_ten_times_over_three_days() {
        let waits: Vec<_> = (1..=10).map_while(|attempt| wait_after(attempt, None, 0.0)).collect();
        assert_eq!(waits.len(), 9);
        assert_eq!(waits.first(), Some(&Duration::from_secs(5)));
        assert_eq!(waits.iter().sum::<Duration>().as_secs() / 3600, 75);
        assert_eq!(wait_after(0, None, 0.0), None);
    }

    #[test]
    fn luck_makes_a_wait_longer_by_a_tenth_at_the_most() {
        let wait = |luck| wait_after(2, None, luck).unwrap();
        assert_eq!(wait(0.0), Duration::from_mins(5));
        assert!(wait(0.5) > wait(0.1) && wait(1.0) > wait(0.5));
        assert_eq!(wait(7.0), Duration::from_secs(330));
    }

    #[test]
    fn a_receiver_may_ask_for_a_longer_wait_but_not_for_a_shorter_or_an_endless_one() {
        let asked = |seconds| wait_after(2, Some(Duration::from_secs(seconds)), 0.0).unwrap();
        assert_eq!(asked(1), Duration::from_mins(5));
        assert_eq!(asked(3600), Duration::from_hours(1));
        assert_eq!(asked(u64::MAX), Duration::from_hours(24));
        assert_eq!(wait_after(10, Some(Duration::from_secs(1)), 0.0), None);
    }

    #[test]
    fn an_answer_is_a_receipt_an_end_or_a_failure() {
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        let of = |status: u16, header| verdict(status.try_into().unwrap(), header, now);
        let failed = |seconds: Option<u64>| Verdict::Failed {
            retry_after: seconds.map(Duration::from_secs),
        };
        assert_eq!(of(200, None), Verdict::Received);
        assert_eq!(of(204, Some("9")), Verdict::Received);
        assert_eq!(of(410, None), Verdict::Gone);
        assert_eq!(of(302, None), failed(None));
        assert_eq!(of(503, Some(" 120 ")), failed(Some(120)));
        assert_eq!(of(429, Some("Thu, 01 Jan 2026 00:01:30 GMT")), failed(Some(90)));
        assert_eq!(of(429, Some("Wed, 31 Dec 2025 00:00:00 GMT")), failed(Some(0)));
        assert_eq!(of(500, Some("soon")), failed(None));
    }
}
