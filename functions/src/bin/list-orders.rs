//! `GET /v1/orders`

use functions::orders::list::ListOrders;
use spelter::{
    aws::{self, orders::Orders},
    config::required,
    http, telemetry,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    telemetry::init();
    let aws = aws::config().await;
    http::serve(ListOrders { orders: Orders::new(&aws, required("ORDERS_TABLE")?) }).await
}
