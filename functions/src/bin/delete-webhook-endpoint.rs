//! `DELETE /webhooks/endpoint`

use functions::webhooks::delete_endpoint::DeleteEndpoint;
use spelter::{
    aws::{self, orders::Orders},
    config::required,
    http, telemetry,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    telemetry::init();
    let aws = aws::config().await;
    let orders = Orders::new(&aws, required("ORDERS_TABLE")?);
    http::serve(DeleteEndpoint { settings: orders.webhook_settings(), outbox: orders.outbox() })
        .await
}
