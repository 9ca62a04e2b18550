//! `GET /v1/webhooks/deliveries`

use functions::webhooks::list_deliveries::ListDeliveries;
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
    http::serve(ListDeliveries { outbox: orders.outbox() }).await
}
