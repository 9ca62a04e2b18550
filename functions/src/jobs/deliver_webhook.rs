//! Delivers one webhook.
//!
//! The message is a hint; the delivery itself is an item that says when it is due. It is claimed before it is sent,
//! so that two hints do not make two deliveries, and a claim whose worker died runs out.

use std::time::Duration;

use http::header;
use spelter::{
    aws::{
        AwsError,
        orders::secrets_context,
        outbox::Outbox,
        queue::{MAX_DELAY, WebhookMessage, Webhooks},
        vault::Vault,
    },
    clock::{self, Clock},
    error::{BoxError, chain},
    sqs::{Job, Outcome, Received},
    webhooks::{Delivery, DeliveryState, after_failure},
};

/// What this function may touch.
pub struct DeliverWebhook {
    /// The deliveries.
    pub outbox: Outbox,
    /// Opens a URL's user and password.
    pub vault: Vault,
    /// Where a later try is asked for.
    pub webhooks: Webhooks,
    /// The way out.
    pub client: reqwest::Client,
    /// The time.
    pub now: Clock,
}

/// How long a claim holds: longer than a try can take.
const CLAIM: Duration = Duration::from_mins(1);

impl Job for DeliverWebhook {
    type Message = WebhookMessage;

    async fn run(&self, received: Received<WebhookMessage>) -> Result<Outcome, BoxError> {
        let WebhookMessage::Deliver { owner, request, delivery: id } = received.message;
        let Some(delivery) = self.outbox.get(&owner, &request, &id).await? else {
            return Err(format!("no delivery {id}").into());
        };
        let Some((delivery, attempts)) = self.claim(delivery).await? else {
            return Ok(Outcome::Done);
        };
        let sent = self.send(&delivery).await;
        self.conclude(delivery, attempts, sent).await?;
        Ok(Outcome::Done)
    }

    /// Nothing here asks for it.
    async fn postpone(&self, _: &str, _: Duration) -> Result<(), BoxError> {
        Err("deliveries are not postponed but sent again".into())
    }
}

impl DeliverWebhook {
    /// The delivery and the number of this try, unless it is not due or somebody else is at it.
    async fn claim(&self, mut delivery: Delivery) -> Result<Option<(Delivery, u32)>, BoxError> {
        let now = (self.now)();
        let attempts = match delivery.state {
            DeliveryState::Pending { attempts, due_at, .. } if due_at <= now => {
                attempts.saturating_add(1)
            }
            DeliveryState::Pending { .. }
            | DeliveryState::Delivered { .. }
            | DeliveryState::Undelivered { .. } => {
                return Ok(None);
            }
        };
        delivery.state = DeliveryState::Pending {
            attempts,
            due_at: clock::after(now, CLAIM),
            last_error: Some("no answer was recorded".to_owned()),
        };
        match self.outbox.save(delivery).await {
            Ok(delivery) => Ok(Some((delivery, attempts))),
            Err(AwsError::Conflict) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Sends it; the error says why it does not count as received.
    async fn send(&self, delivery: &Delivery) -> Result<(), BoxError> {
        let mut request = self
            .client
            .post(&delivery.target.url)
            .header(header::CONTENT_TYPE, "application/json")
            .header("webhook-id", delivery.id.as_str())
            .body(delivery.body.clone());
        if let Some(sealed) = &delivery.target.userinfo {
            let context = secrets_context(&delivery.owner, &delivery.request, "webhook");
            let userinfo = String::from_utf8(self.vault.open(&context, sealed).await?)?;
            let (user, password) = userinfo.split_once(':').unwrap_or((&userinfo, ""));
            request = request.basic_auth(user, Some(password));
        }
        // The URL may hold what its owner would not like to see in a log or a table.
        let response = request.send().await.map_err(reqwest::Error::without_url)?;
        let status = response.status();
        if status.is_success() {
            Ok(())
        } else {
            Err(format!("the receiver answered {status}").into())
        }
    }

    async fn conclude(
        &self,
        mut delivery: Delivery,
        attempts: u32,
        sent: Result<(), BoxError>,
    ) -> Result<(), BoxError> {
        let now = (self.now)();
        delivery.state = match sent {
            Ok(()) => DeliveryState::Delivered { attempts, at: now },
            Err(error) => {
                let error = chain(&*error);
                let id = &delivery.id;
                tracing::warn!(delivery.id = %id, attempts, error, "{id} was not received");
                after_failure(attempts, error, now)
            }
        };
        let delivery = self.outbox.save(delivery).await?;
        if let DeliveryState::Undelivered { .. } = delivery.state {
            let id = &delivery.id;
            tracing::error!(delivery.id = %id, request.id = %delivery.request, "{id} is given up");
        }
        let DeliveryState::Pending { due_at, .. } = delivery.state else {
            return Ok(());
        };
        let wait = clock::until(due_at, now);
        // What is due later than a queue can wait, the sweeper finds.
        if wait <= MAX_DELAY {
            let message = WebhookMessage::Deliver {
                owner: delivery.owner,
                request: delivery.request,
                delivery: delivery.id,
            };
            self.webhooks.send(&message, wait).await?;
        }
        Ok(())
    }
}
