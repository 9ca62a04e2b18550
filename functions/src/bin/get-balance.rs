//! `GET /v1/addax/balance`

use functions::addax::balance::GetBalance;
use spelter::{
    aws::{self, ledger::Ledger},
    config::required,
    http, telemetry,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    telemetry::init();
    let aws = aws::config().await;
    http::serve(GetBalance { ledger: Ledger::new(&aws, required("LEDGER_TABLE")?) }).await
}
