//! `POST /v1/webhooks/test`

use functions::webhooks::send_test::SendTest;
use spelter::{
    aws::{self, orders::Orders, queue::Webhooks, vault::Vault},
    clock,
    config::required,
    http, telemetry,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    telemetry::init();
    let aws = aws::config().await;
    let orders = Orders::new(&aws, required("ORDERS_TABLE")?);
    http::serve(SendTest {
        outbox: orders.outbox(),
        settings: orders.webhook_settings(),
        vault: Vault::new(&aws, required("CREDENTIALS_KEY_ID")?),
        webhooks: Webhooks::new(&aws, required("WEBHOOKS_QUEUE_URL")?),
        reach: required("WEBHOOK_REACH")?,
        now: clock::system,
    })
    .await
}
