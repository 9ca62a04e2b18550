//! The authorizer of the HTTP API.

use functions::authorize::Authorize;
use lambda_runtime::{LambdaEvent, service_fn};
use spelter::{
    aws::{self, clients::Clients},
    config::required,
    telemetry,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    telemetry::init();
    let aws = aws::config().await;
    let authorize = &Authorize { clients: Clients::new(&aws, required("CLIENTS_TABLE")?) };
    lambda_runtime::run(service_fn(move |event: LambdaEvent<_>| authorize.handle(event.payload)))
        .await
}
