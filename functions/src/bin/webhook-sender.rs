//! The queue `webhooks`.

use std::time::Duration;

use functions::jobs::deliver_webhook::DeliverWebhook;
use spelter::{
    aws::{self, orders::Orders, queue::Webhooks, vault::Vault},
    clock,
    config::required,
    http::client,
    sqs, telemetry,
};

/// Receivers are told to answer fast.
const TIMEOUT: Duration = Duration::from_secs(15);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    telemetry::init();
    let aws = aws::config().await;
    sqs::serve(DeliverWebhook {
        outbox: Orders::new(&aws, required("ORDERS_TABLE")?).outbox(),
        vault: Vault::new(&aws, required("CREDENTIALS_KEY_ID")?),
        webhooks: Webhooks::new(&aws, required("WEBHOOKS_QUEUE_URL")?),
        client: client::build(TIMEOUT)?,
        now: clock::system,
    })
    .await
}
