//! `GET /v1/orders/{request_id}`

use functions::orders::get::GetOrder;
use spelter::{
    aws::{self, orders::Orders},
    config::required,
    http, telemetry,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    telemetry::init();
    let aws = aws::config().await;
    http::serve(GetOrder { orders: Orders::new(&aws, required("ORDERS_TABLE")?) }).await
}
