//! The cancellation of one of the retailer's orders, before it ships. Everything here is a decision: no clock, no
//! storage, no network.

use std::time::Duration;

use deserr::Deserr;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    aftersale::{AfterSale, Next, Stage},
    clock,
    error::{Code, Refusal},
    fields::{Faults, FieldError},
    id,
    orders::Placement,
    refunds::{RefundReason, Wish},
    retailers::PastOrder,
    webhooks::{EventKind, events::AccountNews},
};

/// A request to cancel.
pub type Cancellation = AfterSale<Status>;

/// Where a cancellation stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Status {
    /// Waits for its account's turn, or for a retailer that lets nobody in. It was not asked to cancel yet.
    Queued,
    /// The retailer may have been asked. What it answers is not known yet, or its worker died.
    Asked,
    /// The retailer tries, and is asked what came of it.
    Attempting {
        /// When it said so first.
        #[serde(with = "clock::millis")]
        since: Timestamp,
    },
    /// It will never come.
    Cancelled,
    /// It was not cancelled.
    Failed(Refusal),
}

/// What happens to a cancellation.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The retailer is about to be asked.
    Ask,
    /// The retailer says that it tries.
    Attempt(Timestamp),
    /// The retailer says that it is done.
    Succeed,
    /// It was not done.
    Refuse(Refusal),
}

/// What a client asks for.
#[derive(Debug, Deserr)]
#[deserr(error = Faults)]
pub struct Wanted {
    /// Which of the retailer's orders; may be left out if there is only one.
    #[deserr(default)]
    pub merchant_order_id: Option<String>,
}

/// The retailer is asked after an attempt this soon at first, and then after as long again as it took so far.
const FIRST_QUESTION: Duration = Duration::from_mins(1);
const LONGEST_PAUSE: Duration = Duration::from_hours(6);
/// Nobody tries for longer. The cancellation stays as it is: what became of it is for a person to find out.
const LAST_QUESTION: Duration = Duration::from_hours(30 * 24);

impl Stage for Status {
    type Kind = id::Cancellation;
    type Event = Event;

    fn first() -> Self {
        Self::Queued
    }

    fn on(self, event: Event) -> Option<Self> {
        match (self, event) {
            (Self::Queued, Event::Ask) => Some(Self::Asked),
            // Told again, it is the same attempt.
            (Self::Queued | Self::Asked, Event::Attempt(since))
            | (Self::Attempting { since }, Event::Attempt(_)) => Some(Self::Attempting { since }),
            (Self::Queued | Self::Asked | Self::Attempting { .. }, Event::Succeed) => {
                Some(Self::Cancelled)
            }
            (Self::Queued | Self::Asked | Self::Attempting { .. }, Event::Refuse(refusal)) => {
                Some(Self::Failed(refusal))
            }
            (Self::Asked | Self::Attempting { .. }, Event::Ask)
            | (Self::Cancelled | Self::Failed(_), _) => None,
        }
    }

    /// As the document has it, an attempt is told as a failure, and what becomes of it is told again.
    fn news(before: &Self, after: &Self) -> Vec<EventKind> {
        match (before, after) {
            (_, Self::Queued | Self::Asked)
            | (Self::Attempting { .. }, Self::Attempting { .. }) => vec![],
            (_, Self::Attempting { .. } | Self::Failed(_)) => {
                vec![EventKind::RequestFailed, EventKind::StatusUpdated]
            }
            (_, Self::Cancelled) => vec![EventKind::RequestSucceeded, EventKind::StatusUpdated],
        }
    }

    /// That the purchase is cancelled, the order itself tells.
    fn account_news(_: &Self, _: &Self) -> Vec<AccountNews> {
        vec![]
    }

    fn refused(refusal: Refusal) -> Event {
        Event::Refuse(refusal)
    }

    fn is_final(&self) -> bool {
        match self {
            Self::Queued | Self::Asked | Self::Attempting { .. } => false,
            Self::Cancelled | Self::Failed(_) => true,
        }
    }

    fn next(&self, now: Timestamp) -> Next {
        match self {
            Self::Queued | Self::Asked => Next::Work,
            Self::Attempting { since } => {
                next_question(*since, now).map_or(Next::Nothing, Next::Ask)
            }
            Self::Cancelled | Self::Failed(_) => Next::Nothing,
        }
    }

    /// The sweeper asks after an attempt again.
    fn given_up(&self) -> Option<Event> {
        match self {
            Self::Queued | Self::Asked => Some(Event::Refuse(not_known())),
            Self::Attempting { .. } | Self::Cancelled | Self::Failed(_) => None,
        }
    }
}

/// When to ask what came of an attempt that began at `since`; `None` after thirty days.
pub fn next_question(since: Timestamp, now: Timestamp) -> Option<Timestamp> {
    let age = clock::until(now, since);
    (age < LAST_QUESTION).then(|| clock::after(now, age.clamp(FIRST_QUESTION, LONGEST_PAUSE)))
}

/// How an attempt is answered.
pub fn attempting() -> Refusal {
    Refusal::new(Code::AttemptingToCancel).with(json!({"msg": "Attempting to cancel order"}))
}

/// How it ends when the retailer could not be reached, or no worker could finish.
pub fn not_known() -> Refusal {
    let text = "The retailer could not be asked to cancel the order, or did not say whether it did. Look at the \
                order, or ask again: cancelling twice does no harm.";
    Refusal::new(Code::InternalError).saying(text)
}

/// The retailer's order that is to be cancelled.
pub fn choose<'a>(placement: &'a Placement, wanted: &Wanted) -> Result<&'a PastOrder, FieldError> {
    let fault = |kind, text: String| FieldError::at("merchant_order_id", kind, text);
    let orders = &placement.merchant_orders;
    match (&wanted.merchant_order_id, orders.as_slice()) {
        (Some(id), _) => {
            let named = orders.iter().find(|past| past.merchant_order_id == *id);
            named.ok_or_else(|| {
                let text = "is none of the order's merchant order ids".to_owned();
                fault("value_error", text).with_value(json!(id))
            })
        }
        (None, [only]) => Ok(only),
        (None, several) => {
            let ids: Vec<_> = several.iter().map(|past| past.merchant_order_id.as_str()).collect();
            Err(fault("missing", format!("is required, as there are several: {}", ids.join(", "))))
        }
    }
}

/// The refund that is asked for once `past` is cancelled, if the balance paid.
pub fn refund(past: &PastOrder) -> Wish {
    Wish {
        reason: RefundReason::CancellationSucceeded,
        note: format!("{} was cancelled.", past.merchant_order_id),
        merchant_order_id: Some(past.merchant_order_id.clone()),
        amount: Some(past.total),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::orders::tests::{past_order, placement};

    fn refusal() -> Refusal {
        Refusal::new(Code::OrderNotCancellable)
    }

    fn since() -> Timestamp {
        Timestamp::UNIX_EPOCH
    }

    fn statuses() -> [Status; 5] {
        [
            Status::Queued,
            Status::Asked,
            Status::Attempting { since: since() },
            Status::Cancelled,
            Status::Failed(refusal()),
        ]
    }

    fn events() -> [Event; 4] {
        [Event::Ask, Event::Attempt(Timestamp::MAX), Event::Succeed, Event::Refuse(refusal())]
    }

    fn letter(status: &Status) -> char {
        match status {
            Status::Queued => 'Q',
            Status::Asked => 'K',
            Status::Attempting { .. } => 'A',
            Status::Cancelled => 'C',
            Status::Failed(_) => 'F',
        }
    }

    /// Row: status; column: event; the status that follows and the news of it (S: succeeded, F: failed, -: none), or
    /// `..` where it cannot happen.
    const TABLE: [[&str; 4]; 5] = [
        ["K-", "AF", "CS", "FF"],
        ["..", "AF", "CS", "FF"],
        ["..", "A-", "CS", "FF"],
        ["..", "..", "..", ".."],
        ["..", "..", "..", ".."],
    ];

    #[test]
    fn every_status_takes_exactly_the_events_of_the_table_and_tells_of_them() {
        for (status, row) in statuses().iter().zip(TABLE) {
            let actual = events().map(|event| {
                let Some(after) = status.clone().on(event) else { return "..".to_owned() };
                let news = match Status::news(status, &after).as_slice() {
                    [] => '-',
                    [EventKind::RequestSucceeded, EventKind::StatusUpdated] => 'S',
                    [EventKind::RequestFailed, EventKind::StatusUpdated] => 'F',
                    other => panic!("{other:?}"),
                };
                format!("{}{news}", letter(&after))
            });
            assert_eq!(actual, row, "{status:?}");
        }
    }

    #[test]
    fn an_attempt_began_when_the_retailer_first_said_so() {
        let again = Status::Attempting { since: since() }.on(Event::Attempt(Timestamp::MAX));
        assert_eq!(again, Some(Status::Attempting { since: since() }));
    }

    #[test]
    fn an_attempt_is_asked_after_less_and_less_often_for_thirty_days() {
        let (mut now, mut pauses) = (since(), vec![]);
        while let Some(next) = next_question(since(), now) {
            pauses.push(clock::until(next, now));
            now = next;
        }
        let minutes: Vec<_> = pauses.iter().take(5).map(Duration::as_secs).collect();
        assert_eq!(minutes, [60, 60, 120, 240, 480]);
        assert!(pauses.is_sorted() && pauses.len() < 140, "{}", pauses.len());
        assert_eq!(pauses.last(), Some(&LONGEST_PAUSE));
        assert!(clock::until(now, since()) >= LAST_QUESTION);
        assert_eq!(Status::Attempting { since: since() }.next(now), Next::Nothing);
    }

    #[test]
    fn one_of_several_orders_must_be_named() {
        let of = |ids: &[&str]| Placement {
            merchant_orders: ids.iter().map(|id| past_order(id, &[("P", 1)])).collect(),
            ..placement()
        };
        let chosen = |ids: &[&str], wanted: Option<&str>| {
            let wanted = Wanted { merchant_order_id: wanted.map(str::to_owned) };
            let placement = of(ids);
            let chosen = choose(&placement, &wanted).map(|past| past.merchant_order_id.clone());
            chosen.map_err(|fault| (fault.dotted_path(), fault.kind))
        };
        let fault = |kind| Err(("merchant_order_id".to_owned(), kind));
        assert_eq!(chosen(&["1"], None), Ok("1".to_owned()));
        assert_eq!(chosen(&["1"], Some("1")), Ok("1".to_owned()));
        assert_eq!(chosen(&["1"], Some("2")), fault("value_error"));
        assert_eq!(chosen(&["1", "2"], Some("2")), Ok("2".to_owned()));
        assert_eq!(chosen(&["1", "2"], None), fault("missing"));
    }

    #[test]
    fn a_status_reads_back_from_storage() {
        for status in statuses() {
            assert_eq!(serde_json::from_value::<Status>(json!(status)).unwrap(), status);
        }
    }
}
