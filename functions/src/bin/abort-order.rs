//! `POST /v1/orders/{request_id}/abort`

use functions::orders::{abort::AbortOrder, progress::Progress};
use spelter::{
    aws::{
        self,
        cards::Cards,
        leases::Leases,
        ledger::Ledger,
        orders::Orders,
        queue::{Jobs, Webhooks},
    },
    clock,
    config::required,
    http, telemetry,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    telemetry::init();
    let aws = aws::config().await;
    let orders = Orders::new(&aws, required("ORDERS_TABLE")?);
    http::serve(AbortOrder {
        progress: Progress {
            outbox: orders.outbox(),
            orders,
            cards: Cards::new(&aws, required("CARDS_TABLE")?),
            ledger: Ledger::new(&aws, required("LEDGER_TABLE")?),
            webhooks: Webhooks::new(&aws, required("WEBHOOKS_QUEUE_URL")?),
            now: clock::system,
        },
        leases: Leases::new(&aws, required("LEASES_TABLE")?),
        jobs: Jobs::new(&aws, required("JOBS_QUEUE_URL")?),
    })
    .await
}
