//! `POST /v1/orders/{request_id}/abort`

use functions::orders::{abort::AbortOrder, progress::Progress};
use spelter::{
    aws::{self, card_codes::CardCodes, orders::Orders, queue::Webhooks},
    clock,
    config::required,
    http, telemetry,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    telemetry::init();
    let aws = aws::config().await;
    http::serve(AbortOrder {
        progress: Progress {
            orders: Orders::new(&aws, required("ORDERS_TABLE")?),
            card_codes: CardCodes::new(&aws, required("CARD_CODES_TABLE")?),
            webhooks: Webhooks::new(&aws, required("WEBHOOKS_QUEUE_URL")?),
            now: clock::system,
        },
    })
    .await
}
