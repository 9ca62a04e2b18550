//! `POST /v1/webhooks/deliveries/replay`

use functions::webhooks::replay_deliveries::ReplayDeliveries;
use spelter::{
    aws::{self, orders::Orders, queue::Webhooks},
    clock,
    config::required,
    http, telemetry,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    telemetry::init();
    let aws = aws::config().await;
    let orders = Orders::new(&aws, required("ORDERS_TABLE")?);
    http::serve(ReplayDeliveries {
        outbox: orders.outbox(),
        webhooks: Webhooks::new(&aws, required("WEBHOOKS_QUEUE_URL")?),
        now: clock::system,
    })
    .await
}
