//! Every minute.

use functions::sweep::Sweep;
use lambda_runtime::{LambdaEvent, service_fn};
use serde_json::Value;
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
    let sweep = &Sweep {
        orders: Orders::new(&aws, required("ORDERS_TABLE")?),
        jobs: Jobs::new(&aws, required("JOBS_QUEUE_URL")?),
        webhooks: Webhooks::new(&aws, required("WEBHOOKS_QUEUE_URL")?),
        now: clock::system,
    };
    lambda_runtime::run(service_fn(move |_: LambdaEvent<Value>| sweep.run())).await
}
