//! The queues `webhooks.fifo` and `webhook-retries`.

use functions::jobs::deliver_webhook::{DeliverWebhook, TIMEOUT};
use spelter::{
    aws::{
        self,
        orders::Orders,
        queue::{WebhookRetries, Webhooks},
        vault::Vault,
    },
    clock,
    config::{optional, required},
    http::outbound::Outbound,
    sqs, telemetry,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    telemetry::init();
    let aws = aws::config().await;
    let orders = Orders::new(&aws, required("ORDERS_TABLE")?);
    sqs::serve(DeliverWebhook {
        outbox: orders.outbox(),
        settings: orders.webhook_settings(),
        vault: Vault::new(&aws, required("CREDENTIALS_KEY_ID")?),
        webhooks: Webhooks::new(&aws, required("WEBHOOKS_QUEUE_URL")?),
        retries: WebhookRetries::new(&aws, required("WEBHOOK_RETRIES_QUEUE_URL")?),
        courier: Outbound::new(required("WEBHOOK_REACH")?, optional("DNS_SERVER")?, TIMEOUT)?,
        now: clock::system,
    })
    .await
}
