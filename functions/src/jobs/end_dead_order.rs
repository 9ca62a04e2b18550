//! Ends the order of a job that no worker could finish, so that its client hears of it.
//!
//! Messages that cannot be read stay in the dead-letter queue, where the alarm sees them.

use std::time::Duration;

use serde_json::json;
use spelter::{
    aws::queue::JobMessage,
    clock,
    error::{BoxError, Code, Refusal},
    orders::{Event, Order, Status},
    sqs::{Job, Outcome, Received},
};

use crate::orders::progress::Progress;

/// What this function may touch.
pub struct EndDeadOrder {
    /// The orders.
    pub progress: Progress,
}

impl Job for EndDeadOrder {
    type Message = JobMessage;

    async fn run(&self, received: Received<JobMessage>) -> Result<Outcome, BoxError> {
        let JobMessage::PlaceOrder { owner, order: id } = received.message;
        let Some(order) = self.progress.orders.get(&owner, &id).await? else {
            return Err(format!("no order {id}").into());
        };
        let Some(event) = last_event(&order) else {
            return Ok(Outcome::Done);
        };
        tracing::error!(order.id = %id, "{id} ended from the dead-letter queue");
        self.progress.advance(order, event, None).await?;
        Ok(Outcome::Done)
    }

    /// Nothing here asks for it.
    async fn postpone(&self, _: &str, _: Duration) -> Result<(), BoxError> {
        Err("dead letters are not postponed".into())
    }
}

/// How an order ends that nobody could finish; `None` if it has ended.
fn last_event(order: &Order) -> Option<Event> {
    match &order.status {
        Status::Queued | Status::Working(_) => {
            let text = "The order could not be worked on. Nothing was bought, and it is safe to order again.";
            Some(Event::Refuse(Refusal::new(Code::InternalError).saying(text)))
        }
        Status::Submitting(marker) => {
            let data = json!({"look_at": order.email, "since": clock::v1_text(marker.written_at)});
            Some(Event::GiveUp(Refusal::new(Code::OrderProbablyPlaced).with(data)))
        }
        Status::Placed(_) | Status::Failed(_) | Status::ProbablyPlaced(_) => None,
    }
}
