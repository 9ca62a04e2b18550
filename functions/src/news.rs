//! The webhooks that tell of a request: written with the change, then sent.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use spelter::{
    accounts::Owner,
    aws::queue::{WebhookMessage, Webhooks},
    error::{BoxError, chain},
    id::{DeliveryId, RequestId},
    webhooks::{Delivery, DeliveryState, EventKind, Target},
};
use uuid::Uuid;

/// A request that there is news of.
pub(crate) struct About<'a> {
    /// Whose it is.
    pub(crate) owner: &'a Owner,
    /// Which it is.
    pub(crate) request: RequestId,
    /// Who wants to know.
    pub(crate) webhooks: &'a [Target],
    /// What a GET answers now.
    pub(crate) body: Value,
}

/// One delivery for each URL that wants to know.
pub(crate) fn deliveries(about: &About<'_>, news: &[EventKind], now: Timestamp) -> Vec<Delivery> {
    let wanted = about.webhooks.iter().filter(|target| news.contains(&target.kind));
    let body = about.body.to_string();
    wanted
        .map(|target| Delivery {
            id: DeliveryId::new(Uuid::now_v7()),
            owner: about.owner.clone(),
            request: about.request.clone(),
            target: target.clone(),
            body: body.clone(),
            state: DeliveryState::Pending { attempts: 0, due_at: now, last_error: None },
            created_at: now,
            version: 1,
        })
        .collect()
}

/// Has them sent at once; the sweeper does it if that fails.
pub(crate) async fn tell(webhooks: &Webhooks, deliveries: &[Delivery]) {
    for delivery in deliveries {
        let message = WebhookMessage::Deliver {
            owner: delivery.owner.clone(),
            request: delivery.request.clone(),
            delivery: delivery.id.clone(),
        };
        if let Err(error) = webhooks.send(&message, Duration::ZERO).await {
            let error: BoxError = error.into();
            tracing::warn!(error = chain(&*error), "a webhook waits for the sweeper");
        }
    }
}
