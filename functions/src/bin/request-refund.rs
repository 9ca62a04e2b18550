//! `POST /v1/orders/{request_id}/refund`

use functions::refunds::request::RequestRefund;
use spelter::{
    aws::{self, orders::Orders, refunds::Refunds},
    clock,
    config::required,
    http, telemetry,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    telemetry::init();
    let aws = aws::config().await;
    http::serve(RequestRefund {
        orders: Orders::new(&aws, required("ORDERS_TABLE")?),
        refunds: Refunds::new(&aws, required("LEDGER_TABLE")?),
        now: clock::system,
    })
    .await
}
