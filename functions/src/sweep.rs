//! Every minute: sends again what a crash left without a message, and what is due.
//!
//! A message too many does no harm: workers and senders look at the item first.

use std::time::Duration;

use spelter::{
    accounts::Owner,
    aws::{
        AwsError,
        orders::{Change, Due, Orders},
        queue::{JobMessage, Jobs, WebhookMessage, Webhooks},
    },
    clock::{self, Clock},
    error::{BoxError, chain},
    id::OrderId,
};

/// What this function may touch.
pub struct Sweep {
    /// What is due.
    pub orders: Orders,
    /// The way to the worker.
    pub jobs: Jobs,
    /// The way to the sender.
    pub webhooks: Webhooks,
    /// The time.
    pub now: Clock,
}

/// What one sweep did.
#[derive(Debug, Default, serde::Serialize)]
pub struct Swept {
    /// Orders that got another message.
    pub orders: usize,
    /// Deliveries that got another message.
    pub deliveries: usize,
    /// What could not be sent; the next sweep finds it again.
    pub failed: usize,
}

/// Of each part of the index; the rest waits a minute.
const AT_ONCE: i32 = 250;
/// Messages of one order are at most so far apart.
const LONGEST_WAIT: Duration = Duration::from_hours(6);
/// Messages of one order are at least so far apart; the wait doubles each time, since most often nothing was lost
/// and the account is merely busy.
const SHORTEST_WAIT: Duration = Duration::from_mins(2);

impl Sweep {
    /// One sweep.
    pub async fn run(&self) -> Result<Swept, BoxError> {
        let mut swept = Swept::default();
        for due in self.orders.due((self.now)(), AT_ONCE).await? {
            let sent = match &due {
                Due::Order(owner, order) => self.resend_order(owner, order).await,
                Due::Delivery(owner, order, delivery) => {
                    let message = WebhookMessage::Deliver {
                        owner: owner.clone(),
                        order: order.clone(),
                        delivery: delivery.clone(),
                    };
                    self.webhooks.send(&message, Duration::ZERO).await
                }
            };
            match (sent, due) {
                (Ok(()), Due::Order(..)) => swept.orders += 1,
                (Ok(()), Due::Delivery(..)) => swept.deliveries += 1,
                // A worker was faster, so nothing was lost.
                (Err(AwsError::Conflict), _) => {}
                (Err(error), _) => {
                    tracing::error!(error = chain(&error), "not sent again");
                    swept.failed += 1;
                }
            }
        }
        Ok(swept)
    }

    async fn resend_order(&self, owner: &Owner, id: &OrderId) -> Result<(), AwsError> {
        let Some(mut order) = self.orders.get(owner, id).await? else {
            return Ok(());
        };
        if order.status.is_final() {
            return Ok(());
        }
        let wait = SHORTEST_WAIT * 2_u32.saturating_pow(order.dispatches.min(10));
        order.dispatches = order.dispatches.saturating_add(1);
        order.due_at = Some(clock::after((self.now)(), wait.min(LONGEST_WAIT)));
        // Written first: a message whose number is not written would be dropped as a duplicate next time.
        let change = Change { order, deliveries: vec![], lease: None, forget_card_code: None };
        let order = self.orders.save(change).await?;
        let message = JobMessage::PlaceOrder { owner: owner.clone(), order: id.clone() };
        self.jobs.send(&order.account, &message, order.dispatches).await
    }
}
