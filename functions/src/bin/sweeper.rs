//! Every minute.

use functions::sweep::{Scheduled, Sweep};
use lambda_runtime::{LambdaEvent, service_fn};
use spelter::{
    aws::{
        self,
        orders::Orders,
        queue::{Jobs, Webhooks},
    },
    clock,
    config::required,
    telemetry,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    telemetry::init();
    let aws = aws::config().await;
    let orders = Orders::new(&aws, required("ORDERS_TABLE")?);
    let sweep = &Sweep {
        outbox: orders.outbox(),
        bundles: orders.bundles(),
        cancellations: orders.cancellations(),
        returns: orders.returns(),
        backlogs: orders.backlogs(Jobs::new(&aws, required("JOBS_QUEUE_URL")?)),
        orders,
        webhooks: Webhooks::new(&aws, required("WEBHOOKS_QUEUE_URL")?),
    };
    lambda_runtime::run(service_fn(move |event: LambdaEvent<Scheduled>| {
        sweep.run(event.payload.time.unwrap_or_else(clock::system))
    }))
    .await
}
