//! The dead-letter queue of `jobs.fifo`.

use functions::{jobs::end_dead_order::EndDeadOrder, orders::progress::Progress};
use spelter::{
    aws::{self, card_codes::CardCodes, leases::Leases, orders::Orders, queue::Webhooks},
    clock,
    config::required,
    sqs, telemetry,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    telemetry::init();
    let aws = aws::config().await;
    sqs::serve(EndDeadOrder {
        progress: Progress {
            orders: Orders::new(&aws, required("ORDERS_TABLE")?),
            card_codes: CardCodes::new(&aws, required("CARD_CODES_TABLE")?),
            webhooks: Webhooks::new(&aws, required("WEBHOOKS_QUEUE_URL")?),
            now: clock::system,
        },
        leases: Leases::new(&aws, required("LEASES_TABLE")?),
        now: clock::system,
    })
    .await
}
