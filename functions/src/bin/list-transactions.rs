//! `GET /v1/addax/transactions`

use functions::addax::transactions::ListTransactions;
use spelter::{
    aws::{self, ledger::Ledger},
    config::required,
    http, telemetry,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    telemetry::init();
    let aws = aws::config().await;
    http::serve(ListTransactions { ledger: Ledger::new(&aws, required("LEDGER_TABLE")?) }).await
}
