//! The dead-letter queue of `jobs.fifo`.

use functions::{
    aftersale::progress::AfterSaleProgress, jobs::end_dead_order::EndDeadOrder,
    orders::progress::Progress,
};
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
    sqs, telemetry,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    telemetry::init();
    let aws = aws::config().await;
    let orders = Orders::new(&aws, required("ORDERS_TABLE")?);
    let webhooks = Webhooks::new(&aws, required("WEBHOOKS_QUEUE_URL")?);
    sqs::serve(EndDeadOrder {
        backlogs: orders.backlogs(Jobs::new(&aws, required("JOBS_QUEUE_URL")?)),
        bundles: orders.bundles(),
        cancellations: AfterSaleProgress {
            requests: orders.cancellations(),
            outbox: orders.outbox(),
            webhooks: webhooks.clone(),
            now: clock::system,
        },
        returns: AfterSaleProgress {
            requests: orders.returns(),
            outbox: orders.outbox(),
            webhooks: webhooks.clone(),
            now: clock::system,
        },
        progress: Progress {
            outbox: orders.outbox(),
            orders,
            cards: Cards::new(&aws, required("CARDS_TABLE")?),
            ledger: Ledger::new(&aws, required("LEDGER_TABLE")?),
            webhooks,
            now: clock::system,
        },
        leases: Leases::new(&aws, required("LEASES_TABLE")?),
        now: clock::system,
    })
    .await
}
