//! What is known of an endpoint: since when it fails, and whether anything is sent to it still.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{deliveries::Verdict, lanes::ReceiverKey};
use crate::clock;

/// An endpoint that fails or is disabled; nothing is kept of one that works.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Which.
    pub key: ReceiverKey,
    /// Where it is, without user and password, and without a query unless it answered 410; empty for the client's own, which is where the client says.
    pub url: String,
    /// Since when nothing was received there.
    #[serde(with = "clock::millis")]
    pub failing_since: Timestamp,
    /// When it failed last.
    #[serde(with = "clock::millis")]
    pub last_failed_at: Timestamp,
    /// Since when nothing is sent there, and why.
    pub disabled: Option<Disabled>,
}

/// That nothing is sent to an endpoint any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disabled {
    /// Since when.
    #[serde(with = "clock::millis")]
    pub at: Timestamp,
    /// Why.
    pub reason: Reason,
}

/// Why an endpoint is disabled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// It answered 410.
    Gone,
    /// Nothing was received there for [`PATIENCE`].
    Failing,
}

impl Reason {
    /// In words, as the delivery log says it.
    pub const fn as_text(self) -> &'static str {
        match self {
            Self::Gone => "the endpoint is disabled: it answered 410",
            Self::Failing => "the endpoint is disabled: it received nothing for five days",
        }
    }
}

/// An endpoint that received nothing for so long is disabled.
pub const PATIENCE: Duration = Duration::from_hours(5 * 24);

/// Tries are at most a day and a bit apart: what failed before a longer silence says nothing of now.
const SILENCE: Duration = Duration::from_hours(54);

/// What is known of the last failure may be so old: many that fail at once need not all be written down.
const FRESH: Duration = Duration::from_hours(1);

/// What a try changes about its endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Nothing.
    None,
    /// It works again: what was known of it is forgotten.
    Forget,
    /// This is known of it now.
    Keep(Endpoint),
}

/// What a try at `now` changes about the endpoint `key` at `url`, of which `known` was known.
pub fn after(
    known: Option<&Endpoint>,
    verdict: &Verdict,
    key: &ReceiverKey,
    url: &str,
    now: Timestamp,
) -> Change {
    let reason = match (known, verdict) {
        (None, Verdict::Received) | (_, Verdict::Refused | Verdict::Unsent) => return Change::None,
        (Some(_), Verdict::Received) => return Change::Forget,
        (_, Verdict::Gone) => Some(Reason::Gone),
        (_, Verdict::Failed { .. }) => None,
    };
    let recent = known.filter(|known| clock::until(now, known.last_failed_at) < SILENCE);
    let failing_since = recent.map_or(now, |known| known.failing_since);
    let is_over = clock::until(now, failing_since) >= PATIENCE;
    let before = known.and_then(|known| known.disabled.clone());
    let reason = reason.or(is_over.then_some(Reason::Failing));
    let disabled = before.clone().or(reason.map(|reason| Disabled { at: now, reason }));
    let is_known = recent.is_some_and(|known| clock::until(now, known.last_failed_at) < FRESH);
    if is_known && disabled == before {
        return Change::None;
    }
    let (key, url) = (key.clone(), url.to_owned());
    Change::Keep(Endpoint { key, url, failing_since, last_failed_at: now, disabled })
}

impl Endpoint {
    /// Whether it was disabled by the try at `now`.
    pub fn is_newly_disabled(&self, now: Timestamp) -> bool {
        self.disabled.as_ref().is_some_and(|disabled| disabled.at == now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "https://a.example/";

    fn next(known: Option<&Endpoint>, verdict: &Verdict, hours: i64) -> Change {
        let now = Timestamp::from_second(hours * 3600).unwrap();
        after(known, verdict, &ReceiverKey::account(), URL, now)
    }

    fn kept(change: Change) -> Endpoint {
        let Change::Keep(endpoint) = change else { panic!("{change:?}") };
        endpoint
    }

    const FAILED: Verdict = Verdict::Failed { retry_after: None };

    #[test]
    fn it_is_disabled_after_five_days_without_a_receipt() {
        let mut endpoint = kept(next(None, &FAILED, 0));
        for hours in [24, 48, 96, 119] {
            endpoint = kept(next(Some(&endpoint), &FAILED, hours));
            assert_eq!(endpoint.disabled, None, "after {hours} hours");
        }
        let disabled = kept(next(Some(&endpoint), &FAILED, 120));
        assert_eq!(disabled.disabled.as_ref().unwrap().reason, Reason::Failing);
        assert_eq!(disabled.failing_since, endpoint.failing_since);
        let at = |hours: i64| Timestamp::from_second(hours * 3600).unwrap();
        assert!(disabled.is_newly_disabled(at(120)));
        let again = kept(next(Some(&disabled), &FAILED, 121));
        assert!(!again.is_newly_disabled(at(121)), "it is told once");
        assert_eq!(again.disabled, disabled.disabled);
    }

    #[test]
    fn many_failures_at_once_are_written_down_once() {
        let failing = kept(next(None, &FAILED, 7));
        assert_eq!(next(Some(&failing), &FAILED, 7), Change::None);
        assert!(matches!(next(Some(&failing), &Verdict::Gone, 7), Change::Keep(_)));
    }

    #[test]
    fn one_failure_long_after_others_is_one_failure() {
        let failing = kept(next(None, &FAILED, 0));
        let again = kept(next(Some(&failing), &FAILED, 30 * 24));
        assert_eq!(again.disabled, None);
        assert_eq!(again.failing_since.as_second(), 30 * 24 * 3600);
    }

    #[test]
    fn a_receipt_forgets_everything() {
        let failing = kept(next(None, &FAILED, 0));
        assert_eq!(next(Some(&failing), &Verdict::Received, 1), Change::Forget);
        assert_eq!(next(None, &Verdict::Received, 1), Change::None);
    }

    #[test]
    fn one_that_says_it_is_gone_is_disabled_at_once() {
        let gone = kept(next(None, &Verdict::Gone, 3));
        assert_eq!(gone.disabled.unwrap().reason, Reason::Gone);
        assert_eq!(next(None, &Verdict::Refused, 3), Change::None);
        assert_eq!(next(None, &Verdict::Unsent, 3), Change::None);
    }
}
