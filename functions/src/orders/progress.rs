//! Writing what happens to an order: its new state, the news of it and the forgetting of its secrets, all or nothing.

use std::time::Duration;

use spelter::{
    aws::{
        AwsError,
        card_codes::CardCodes,
        leases::{Lease, Leases},
        orders::{Change, Orders},
        queue::{WebhookMessage, Webhooks},
    },
    clock::{self, Clock},
    error::{BoxError, chain},
    id::DeliveryId,
    orders::{Event, IllegalTransition, Order},
    webhooks::{Delivery, DeliveryState, EventKind},
};
use uuid::Uuid;

use super::view;

/// What a change touches.
pub struct Progress {
    /// The orders and their outbox.
    pub orders: Orders,
    /// Forgotten when an order ends.
    pub card_codes: CardCodes,
    /// Told at once after a change; the sweeper tells it again if that fails.
    pub webhooks: Webhooks,
    /// The time.
    pub now: Clock,
}

/// A change that was not written.
#[derive(Debug, thiserror::Error)]
pub enum ProgressError {
    /// Somebody else changed the order, or holds its account now.
    #[error("the order or its account is in other hands")]
    Lost,
    /// The order does not take this event. A bug of ours.
    #[error(transparent)]
    Illegal(#[from] IllegalTransition),
    /// It could not be written.
    #[error("the change was not written")]
    Storage(#[source] AwsError),
}

impl From<AwsError> for ProgressError {
    fn from(error: AwsError) -> Self {
        match error {
            AwsError::Conflict => Self::Lost,
            AwsError::Call(..) | AwsError::Corrupt(..) => Self::Storage(error),
        }
    }
}

/// After this without a further change the sweeper sends another message: the one that caused the last change would
/// long be back by itself.
const UNATTENDED_AFTER: Duration = Duration::from_mins(10);

impl Progress {
    /// Writes `event`, provided that `lease`, if there is one, is still held.
    pub async fn advance(
        &self,
        order: Order,
        event: Event,
        lease: Option<(&Leases, &Lease)>,
    ) -> Result<Order, ProgressError> {
        let now = (self.now)();
        let forget_card_code = order.has_card_code.then_some(&self.card_codes);
        let (mut order, news) = order.on(event, now)?;
        let ended = order.status.is_final();
        order.due_at = (!ended).then(|| clock::after(now, UNATTENDED_AFTER));
        let deliveries = deliveries(&order, &news, now);
        let messages: Vec<_> = deliveries.iter().map(message).collect();
        let change = Change {
            order,
            deliveries,
            lease,
            forget_card_code: forget_card_code.filter(|_| ended),
        };
        let order = self.orders.save(change).await?;
        for message in messages {
            self.tell(&message).await;
        }
        Ok(order)
    }

    async fn tell(&self, message: &WebhookMessage) {
        if let Err(error) = self.webhooks.send(message, Duration::ZERO).await {
            let error: BoxError = error.into();
            tracing::warn!(error = chain(&*error), "a webhook waits for the sweeper");
        }
    }
}

fn deliveries(order: &Order, news: &[EventKind], now: jiff::Timestamp) -> Vec<Delivery> {
    let wanted = order.webhooks.iter().filter(|target| news.contains(&target.kind));
    let body = view::body(order).to_string();
    wanted
        .map(|target| Delivery {
            id: DeliveryId::new(Uuid::now_v7()),
            owner: order.owner.clone(),
            order: order.id.clone(),
            target: target.clone(),
            body: body.clone(),
            state: DeliveryState::Pending { attempts: 0, due_at: now, last_error: None },
            created_at: now,
            version: 1,
        })
        .collect()
}

fn message(delivery: &Delivery) -> WebhookMessage {
    WebhookMessage::Deliver {
        owner: delivery.owner.clone(),
        order: delivery.order.clone(),
        delivery: delivery.id.clone(),
    }
}
