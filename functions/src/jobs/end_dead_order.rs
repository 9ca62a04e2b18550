//! Ends the order of a job that no worker could finish, so that its client hears of it.
//!
//! Messages that cannot be read stay in the dead-letter queue, where the alarm sees them.

use std::time::Duration;

use spelter::{
    aws::{leases::Leases, queue::JobMessage},
    clock::{self, Clock},
    error::{BoxError, Code, Refusal},
    orders::{Event, Order, Status},
    sqs::{Job, Outcome, Received},
};

use crate::orders::progress::Progress;

/// What this function may touch.
pub struct EndDeadOrder {
    /// The orders.
    pub progress: Progress,
    /// Who holds an account.
    pub leases: Leases,
    /// The time.
    pub now: Clock,
}

impl Job for EndDeadOrder {
    type Message = JobMessage;

    async fn run(&self, received: Received<JobMessage>) -> Result<Outcome, BoxError> {
        let JobMessage::PlaceOrder { owner, order: id } = received.message;
        let Some(order) = self.progress.orders.get(&owner, &id).await? else {
            return Err(format!("no order {id}").into());
        };
        let Some(event) = last_event(&order) else { return Ok(Outcome::Done) };
        let holders =
            self.leases.holders(std::slice::from_ref(&order.account), (self.now)()).await?;
        if let Some(holder) = holders.values().find(|holder| holder.job == id) {
            // Another message of the same order is being worked on; what its worker finds out counts more.
            return Ok(Outcome::Later(clock::until(holder.until, (self.now)())));
        }
        tracing::error!(order.id = %id, "{id} ended from the dead-letter queue");
        self.progress.advance(order, event, None).await?;
        Ok(Outcome::Done)
    }

    /// The queue's own time is as good.
    async fn postpone(&self, _: &str, _: Duration) -> Result<(), BoxError> {
        Ok(())
    }
}

/// How an order ends that nobody could finish; `None` if it has ended.
fn last_event(order: &Order) -> Option<Event> {
    match &order.status {
        Status::Queued | Status::Working(_) => {
            let text = "The order could not be worked on. Nothing was bought, and it is safe to order again.";
            Some(Event::Refuse(Refusal::new(Code::InternalError).saying(text)))
        }
        Status::Submitting(marker) => Some(Event::GiveUp(order.probably_placed(marker, &[]))),
        Status::Placed(_) | Status::Failed(_) | Status::ProbablyPlaced(_) => None,
    }
}
