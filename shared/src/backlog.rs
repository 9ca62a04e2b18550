//! The jobs of a retailer account that are not done yet, in the order in which they came.
//!
//! Only the first few have messages in the queue. SQS looks for other groups among its first 120,000 messages only, so
//! that an account with more jobs than that would stop every other one; and what waits in a queue for two weeks is gone.
//! The rest waits in the table, and is called up as jobs leave.
//!
//! <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html>

use std::{fmt, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::clock;

/// So many jobs of an account have messages at the same time, and a few more where jobs come in the same millisecond:
/// enough that the next one does not wait for a message.
pub const CALLED_AT_ONCE: usize = 8;

/// Whoever watches a backlog looks again after this at the latest: what was called up by somebody who died before
/// sending the message is found by then.
pub const WATCHED_EVERY: Duration = Duration::from_mins(2);

/// Messages of one job are at least so far apart; the wait doubles each time, since most often nothing was lost and
/// the account is merely busy.
const SHORTEST_WAIT: Duration = Duration::from_mins(2);
/// Messages of one job are at most so far apart.
const LONGEST_WAIT: Duration = Duration::from_hours(6);

/// A job's place in the backlog of its account. Places sort by when their jobs came.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Place(String);

impl Place {
    /// The place of a job that comes at `now` and is called `name`: letters, digits, dashes and underscores.
    pub fn new(now: Timestamp, name: &str) -> Self {
        Self(format!("{:012x}-{name}", now.as_millisecond().max(0)))
    }

    /// As a key and as a part of a message's deduplication id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// The messages of a job so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Calls {
    /// How many there were.
    pub count: u32,
    /// When the last one was sent, if there was one.
    pub last_at: Option<Timestamp>,
}

impl Calls {
    /// With one more, at `now`.
    #[must_use]
    pub fn next(self, now: Timestamp) -> Self {
        Self { count: self.count.saturating_add(1), last_at: Some(now) }
    }

    /// When the next message is due, if the job is still there and among the first.
    pub fn next_at(&self) -> Timestamp {
        let next = self.last_at.map(|last| clock::after(last, wait_after(self.count)));
        next.unwrap_or(Timestamp::MIN)
    }
}

/// How long is waited for what message number `count`, from 1, should bring about.
pub fn wait_after(count: u32) -> Duration {
    let doublings = count.saturating_sub(1).min(10);
    (SHORTEST_WAIT * 2_u32.saturating_pow(doublings)).min(LONGEST_WAIT)
}

/// When a backlog whose first jobs have had these messages is to be looked at again.
pub fn watch_again_at(called: impl Iterator<Item = Calls>, now: Timestamp) -> Timestamp {
    let latest = clock::after(now, WATCHED_EVERY);
    called.map(|calls| calls.next_at().max(now)).fold(latest, Timestamp::min)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    fn called(count: u32, seconds: i64) -> Calls {
        Calls { count, last_at: Some(at(seconds)) }
    }

    #[test]
    fn places_sort_by_time() {
        let [early, late] = [(9, "z"), (10, "a")].map(|(time, name)| Place::new(at(time), name));
        assert!(early < late);
        assert_eq!(early.as_str(), "000000002328-z");
    }

    #[test]
    fn waits_double_up_to_six_hours() {
        let minutes = |count| wait_after(count).as_secs() / 60;
        assert_eq!([1, 2, 3, 8].map(minutes), [2, 4, 8, 256]);
        assert_eq!([9, 11, 1_000].map(minutes), [360, 360, 360]);
    }

    #[test]
    fn a_job_without_a_message_is_called_at_once() {
        assert!(Calls { count: 0, last_at: None }.next_at() < at(0));
        assert_eq!(called(1, 100).next_at(), at(220));
        assert_eq!(called(2, 100).next_at(), at(340));
    }

    #[test]
    fn a_backlog_is_looked_at_when_the_first_message_is_due_and_every_two_minutes() {
        let again = |calls: &[Calls]| watch_again_at(calls.iter().copied(), at(1000));
        assert_eq!(again(&[]), at(1120));
        assert_eq!(again(&[called(1, 950), called(1, 940)]), at(1060));
        assert_eq!(again(&[called(5, 990)]), at(1120));
        assert_eq!(again(&[Calls { count: 0, last_at: None }]), at(1000));
    }
}
