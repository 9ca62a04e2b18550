//! What the shop's journal says of presses of the button.

use std::{collections::BTreeMap, time::Duration};

use serde_json::Value;

use crate::overlap::Entry;

/// What the journal calls a press of the button.
pub(crate) const PRESS: &str = "submit";
/// A worker has at least so long until its deadline when it writes the marker.
const LEFT_AT_THE_MARKER_MS: i64 = 3_000;
/// So soon after its invocation began a worker says that it has started: it has only read the order and taken the account.
/// The machine is busy.
const STARTS_WITHIN_MS: i64 = 5_000;
/// And so long after that deadline, for clocks that differ and for a history that lags, an order that the shop does not
/// show may not be said not to be placed.
const SILENCE_MS: i64 = 5_000 + 5_000;

/// That an order was about to be bought, as its public view has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Marker {
    /// When the attempt started, if that is known.
    pub(crate) started_at_ms: Option<i64>,
    /// When the marker was written, which is just before the press.
    pub(crate) written_at_ms: i64,
}

impl Marker {
    /// None if the button was never to be pressed.
    pub(crate) fn of(order: &Value) -> Option<Self> {
        let mut updates = order.get("status_updates")?.as_array()?.iter().rev();
        let mut last = |kind: &str| {
            let is_it = |update: &&Value| update.get("type").is_some_and(|found| found == kind);
            let at = updates.find(is_it)?.get("_created_at")?.as_str()?;
            Some(at.parse::<jiff::Timestamp>().ok()?.as_millisecond())
        };
        let written_at_ms = last("order.submitting")?;
        Some(Self { written_at_ms, started_at_ms: last("request.started") })
    }

    /// Until when the press may still buy, and the shop not show it, at the least. An attempt that waited for a mailed code
    /// started in an earlier invocation: its deadline came later than is reckoned here, never sooner.
    fn open_until_ms(self, job: Duration) -> i64 {
        let job_ms = i64::try_from(job.as_millis()).unwrap_or(i64::MAX);
        let deadline = |started_at_ms: i64| started_at_ms.saturating_add(job_ms) - STARTS_WITHIN_MS;
        let at_least = self.written_at_ms + LEFT_AT_THE_MARKER_MS;
        self.started_at_ms.map_or(at_least, |at_ms| deadline(at_ms).max(at_least)) + SILENCE_MS
    }

    /// Whether an order of a stack with such jobs failed while it still could be placed, although its press had
    /// reached the shop: one of those in `journal`. Nobody else is at the account so soon, so the press is the order's.
    pub(crate) fn is_too_soon<'a>(
        self,
        journal: impl IntoIterator<Item = &'a Entry>,
        said_at_ms: i64,
        job: Duration,
    ) -> bool {
        let is_its = |entry: &Entry| {
            entry.kind == PRESS && (self.written_at_ms..=said_at_ms).contains(&entry.started_at_ms)
        };
        said_at_ms <= self.open_until_ms(job) && journal.into_iter().any(is_its)
    }
}

/// The presses of an account, in words, that none of its orders explains: each may have one. `markers_ms` are the times at
/// which its markers were written.
///
/// A marker is written between what its worker asked for last and the press, and nobody else has the account then. If the
/// worker was frozen before it pressed, others may have followed, so the first is its.
pub(crate) fn unexplained(email: &str, journal: &[Entry], mut markers_ms: Vec<i64>) -> Vec<String> {
    markers_ms.sort_unstable();
    let mut asked_at_ms = BTreeMap::new();
    let mut unexplained = Vec::new();
    for Entry { session, kind, started_at_ms, .. } in journal {
        let before = asked_at_ms.insert(session, *started_at_ms);
        if kind != PRESS {
            continue;
        }
        let is_its =
            |marker: &i64| before.is_some_and(|at| at <= *marker) && marker <= started_at_ms;
        match markers_ms.iter().position(is_its) {
            Some(place) => {
                markers_ms.remove(place);
            }
            None => unexplained.push(format!(
                "{email}: {session} pressed at {started_at_ms}, for no order or for one that had been pressed for"
            )),
        }
    }
    unexplained
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const JOB: Duration = Duration::from_secs(15);

    fn press(started_at_ms: i64) -> Entry {
        let (session, kind) = ("a".to_owned(), PRESS.to_owned());
        Entry { session, kind, started_at_ms, ended_at_ms: None }
    }

    fn marker(started_at_ms: Option<i64>) -> Marker {
        Marker { started_at_ms, written_at_ms: 1_000 }
    }

    #[test]
    fn an_order_shows_when_its_marker_was_written_and_when_that_attempt_started() {
        let update = |kind, at| json!({"type": kind, "_created_at": at});
        let updates = json!([
            update("request.started", "1970-01-01T00:00:00.500Z"),
            update("request.started", "1970-01-01T00:00:01.000Z"),
            update("order.submitting", "1970-01-01T00:00:02.500Z"),
            update("request.finished", "1970-01-01T00:00:03.000Z"),
        ]);
        let marker = Marker { started_at_ms: Some(1_000), written_at_ms: 2_500 };
        assert_eq!(Marker::of(&json!({"status_updates": updates})), Some(marker));
        assert_eq!(Marker::of(&json!({"status_updates": []})), None);
    }

    #[test]
    fn what_was_pressed_is_not_said_not_to_be_placed_before_its_invocation_is_over() {
        let is_too_soon = |marker: Marker, at| marker.is_too_soon(&[press(1_010)], at, JOB);
        // It started at once, long ago (it waited for a mailed code, perhaps), or nobody knows when.
        for (started_at_ms, last) in [(Some(900), 20_900), (Some(-90_000), 14_000), (None, 14_000)]
        {
            assert!(is_too_soon(marker(started_at_ms), last), "{started_at_ms:?}");
            assert!(!is_too_soon(marker(started_at_ms), last + 1), "{started_at_ms:?}");
        }
    }

    #[test]
    fn what_never_reached_the_shop_may_be_said_not_to_be_placed_at_once() {
        let is_too_soon = |journal: &[Entry]| marker(None).is_too_soon(journal, 1_050, JOB);
        assert!(!is_too_soon(&[]));
        // Those of orders before and after it.
        assert!(!is_too_soon(&[press(900), press(1_100)]));
        let review = Entry { kind: "review".to_owned(), ..press(1_010) };
        assert!(!is_too_soon(&[review]));
    }

    #[test]
    fn each_order_has_one_press() {
        let entry = |session: &str, kind: &str, started_at_ms| Entry {
            session: session.to_owned(),
            kind: kind.to_owned(),
            ..press(started_at_ms)
        };
        let count = |journal: &[Entry], markers: &[i64]| {
            unexplained("a@example.com", journal, markers.to_vec()).len()
        };
        let mut journal = vec![
            entry("a", "history", 10),
            entry("a", PRESS, 20),
            entry("b", "history", 30),
            entry("b", PRESS, 40),
        ];
        assert_eq!(count(&journal, &[15, 35]), 0);
        // An order whose worker died before it pressed.
        assert_eq!(count(&journal, &[35, 15, 55]), 0);
        // Written after the press, or while another had the account.
        assert_eq!(count(&journal, &[15, 41]), 1);
        assert_eq!(count(&journal, &[15, 25]), 1);
        assert_eq!(count(&journal, &[15]), 1);
        journal.push(entry("b", PRESS, 50));
        assert_eq!(count(&journal, &[15, 35]), 1);
        assert_eq!(count(&[entry("a", PRESS, 20)], &[15]), 1);
    }

    #[test]
    fn a_press_of_a_worker_that_was_frozen_before_it_is_its_own_orders() {
        let press_of = |session: &str, started_at_ms| Entry {
            session: session.to_owned(),
            ..press(started_at_ms)
        };
        let history_of = |session: &str, started_at_ms| Entry {
            kind: "history".to_owned(),
            ..press_of(session, started_at_ms)
        };
        let journal =
            [history_of("a", 10), history_of("b", 30), press_of("b", 40), press_of("a", 50)];
        assert!(unexplained("a@example.com", &journal, vec![15, 35]).is_empty());
        assert_eq!(unexplained("a@example.com", &journal, vec![35]).len(), 1);
    }
}
