//! `GET /v1/retailers`

use functions::retailers::list::ListRetailers;
use spelter::{http, telemetry};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    telemetry::init();
    http::serve(ListRetailers).await
}
