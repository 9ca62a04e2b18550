//! `POST /v1/webhooks/endpoints/{endpoint_id}/enable`

use functions::webhooks::enable_endpoint::EnableEndpoint;
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
    http::serve(EnableEndpoint { outbox: orders.outbox() }).await
}
