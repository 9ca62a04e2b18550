//! What a client asks of an order after it was placed: to cancel it, or to take goods back.
//!
//! Both are requests of their own: they have a `request_id`, wait for their account's turn, end well or not, and are
//! told of. What happens to them in between stands in [`crate::cancellations`] and [`crate::returns`].

use std::{fmt::Debug, time::Duration};

use deserr::Deserr;
use jiff::Timestamp;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};

use crate::{
    accounts::{AccountRef, Owner},
    backlog::Place,
    clock,
    error::{Code, Refusal},
    fields::{self, Faults, FieldError, Unfit},
    id::{Id, OrderId, Requested},
    orders::{Placement, Status, request::bounded_key},
    webhooks::{EventKind, Subscription, Target, Webhooks, address::Reach, events::AccountNews},
};

/// One such request.
#[derive(Debug, Clone)]
pub struct AfterSale<S: Stage> {
    /// `request_id`.
    pub id: Id<S::Kind>,
    /// Whose it is.
    pub owner: Owner,
    /// The order it is about.
    pub order: OrderId,
    /// Which of the retailer's orders that was made of it.
    pub merchant_order_id: String,
    /// The retailer account that bought it: its turn in the queue and its lock.
    pub account: AccountRef,
    /// Who is told what became of it.
    pub webhooks: Vec<Target>,
    /// The request as it is echoed.
    pub request: Value,
    /// Where it stands.
    pub stage: S,
    /// How often it was seen to that it has a job; each time it is waited for twice as long.
    pub dispatches: u32,
    /// Where the last job that was made of it stands in the account's backlog, or stood.
    pub place: Option<Place>,
    /// When the sweeper sees to it.
    pub due_at: Option<Timestamp>,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When it was known how it ended.
    pub ended_at: Option<Timestamp>,
    /// Counts changes; a writer names the version it read.
    pub version: u64,
}

/// Where a request of one kind can stand, and what moves it.
pub trait Stage: Clone + Debug + PartialEq + Serialize + DeserializeOwned + Send + Sync {
    /// Of which kind of request.
    type Kind: Requested + Clone + Debug;
    /// What happens to it.
    type Event: Debug + Send;

    /// The stage as a request is accepted.
    fn first() -> Self;

    /// The whole lifecycle: `None` for what cannot happen.
    fn on(self, event: Self::Event) -> Option<Self>;

    /// Which webhooks a change calls for.
    fn news(before: &Self, after: &Self) -> Vec<EventKind>;

    /// What there is to tell the client's own endpoint.
    fn account_news(before: &Self, after: &Self) -> Vec<AccountNews>;

    /// Whether it is known how it ended.
    fn is_final(&self) -> bool;

    /// What must be done after `now`, if nothing else happens.
    fn next(&self, now: Timestamp) -> Next;

    /// What happens when it is refused.
    fn refused(refusal: Refusal) -> Self::Event;

    /// How it ends if no worker can finish it; `None` if there is nothing to end.
    fn given_up(&self) -> Option<Self::Event>;
}

/// What must be done about a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// A worker must take it up, or take it up again.
    Work,
    /// The retailer is to be asked at that time.
    Ask(Timestamp),
    /// Nothing.
    Nothing,
}

/// An event that cannot happen to a request as it stands.
#[derive(Debug, PartialEq, thiserror::Error)]
#[error("a request that is {stage} cannot take {event}")]
pub struct OutOfTurn {
    stage: String,
    event: String,
}

/// After this without a change another message is sent: the one that caused the last change would be back by itself.
pub const UNATTENDED_AFTER: Duration = Duration::from_mins(2);
/// A retailer that does not answer is asked again for so long.
pub const PATIENCE: Duration = Duration::from_hours(24);

impl<S: Stage> AfterSale<S> {
    /// The request after `event` at `now`, and which webhooks that calls for.
    pub fn on(
        mut self,
        event: S::Event,
        now: Timestamp,
    ) -> Result<(Self, Vec<EventKind>), OutOfTurn> {
        let before = self.stage.clone();
        let refused = OutOfTurn { stage: format!("{before:?}"), event: format!("{event:?}") };
        self.stage = before.clone().on(event).ok_or(refused)?;
        let news = S::news(&before, &self.stage);
        if self.stage.is_final() && self.ended_at.is_none() {
            self.ended_at = Some(now);
        }
        self.due_at = match self.stage.next(now) {
            Next::Work => Some(clock::after(now, UNATTENDED_AFTER)),
            Next::Ask(at) => Some(at),
            Next::Nothing => None,
        };
        Ok((self, news))
    }
}

/// What any such request may bring along.
#[derive(Deserr)]
#[deserr(error = Faults)]
struct Envelope {
    #[deserr(default)]
    webhooks: Webhooks,
    #[deserr(default, try_from(Option<String>) = bounded_key -> Unfit)]
    idempotency_key: Option<String>,
}

/// A request that was read.
pub struct Wish<W> {
    /// What it asks for.
    pub wanted: W,
    /// Who is to be told what became of it.
    pub webhooks: Vec<Subscription>,
    /// What makes a repetition of this request the same request.
    pub idempotency_key: Option<String>,
}

/// Reads a body, or says everything that is wrong with it. Its webhooks go as far as `reach`.
pub fn read<W: Deserr<Faults>>(
    body: Map<String, Value>,
    reach: Reach,
) -> Result<Wish<W>, Vec<FieldError>> {
    let body = fields::without_blanks(body.into());
    let wanted = fields::read::<W>(body.clone());
    let envelope = fields::read::<Envelope>(body);
    let webhooks = envelope.and_then(|Envelope { webhooks, idempotency_key }| {
        Ok((webhooks.subscriptions(reach)?, idempotency_key))
    });
    match (wanted, webhooks) {
        (Ok(wanted), Ok((webhooks, idempotency_key))) => {
            Ok(Wish { wanted, webhooks, idempotency_key })
        }
        (wanted, webhooks) => {
            let mut faults = wanted.err().unwrap_or_default();
            faults.extend(webhooks.err().unwrap_or_default());
            Err(faults)
        }
    }
}

/// What was bought with an order; refused while that is not known, and if nothing was.
pub fn placed(status: &Status) -> Result<&Placement, Refusal> {
    match status {
        Status::Placed(placement) => Ok(placement),
        Status::Queued | Status::Bundled { .. } | Status::Working(_) | Status::Submitting(_) => {
            Err(Refusal::new(Code::RequestProcessing))
        }
        Status::Failed(why) | Status::ProbablyPlaced(why) => {
            let text = format!("The order was not placed: {}", why.message);
            let data = json!({"order": {"code": why.code, "message": why.message}});
            Err(Refusal::new(Code::InvalidRequest).saying(text).with(data))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{fields, orders::tests::placement};

    #[derive(Debug, Deserr)]
    #[deserr(error = Faults)]
    struct Wanted {
        reason: String,
    }

    fn read_object(body: &Value) -> Result<Wish<Wanted>, Vec<FieldError>> {
        read(body.as_object().cloned().unwrap(), Reach::Public)
    }

    #[test]
    fn everything_that_is_wrong_with_a_body_is_said_at_once() {
        let Err(faults) = read_object(&json!({"webhooks": {"status_updated": 7}})) else {
            panic!("it was read")
        };
        let paths: Vec<_> = faults.iter().map(fields::FieldError::dotted_path).collect();
        assert_eq!(paths, ["reason", "webhooks.status_updated"]);
        let body = json!({"reason": "r", "webhooks": {"order_failed": "https://127.0.0.1/"}});
        let Err(faults) = read_object(&body) else { panic!("it was read") };
        assert_eq!(faults[0].dotted_path(), "webhooks.order_failed");
        let read = read_object(&json!({"reason": "r", "idempotency_key": "k", "webhooks": null}));
        let Ok(wish) = read else { panic!("it was not read") };
        assert_eq!((wish.wanted.reason, wish.idempotency_key), ("r".to_owned(), Some("k".into())));
        assert!(wish.webhooks.is_empty());
    }

    #[test]
    fn only_an_order_that_was_placed_can_be_cancelled_or_returned() {
        assert!(placed(&Status::Placed(placement())).is_ok());
        assert_eq!(placed(&Status::Queued).unwrap_err().code, Code::RequestProcessing);
        for status in [Status::Failed, Status::ProbablyPlaced] {
            let why = Refusal::new(Code::MaxPriceExceeded);
            let status = status(why.clone());
            let refused = placed(&status).unwrap_err();
            assert_eq!(refused.code, Code::InvalidRequest);
            assert!(refused.message.contains(&why.message), "{}", refused.message);
        }
    }
}
