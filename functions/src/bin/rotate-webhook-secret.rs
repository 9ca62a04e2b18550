//! `POST /webhooks/endpoint/rotate`

use functions::webhooks::rotate_secret::RotateSecret;
use spelter::{
    aws::{self, orders::Orders, vault::Vault},
    clock,
    config::required,
    http, telemetry,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    telemetry::init();
    let aws = aws::config().await;
    let orders = Orders::new(&aws, required("ORDERS_TABLE")?);
    http::serve(RotateSecret {
        settings: orders.webhook_settings(),
        outbox: orders.outbox(),
        vault: Vault::new(&aws, required("CREDENTIALS_KEY_ID")?),
        now: clock::system,
    })
    .await
}
