//! `DELETE /managed-accounts/{short_id}`

use functions::managed_accounts::delete::DeleteManagedAccount;
use spelter::{
    aws::{self, accounts::Accounts},
    config::required,
    http, telemetry,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    telemetry::init();
    let aws = aws::config().await;
    http::serve(DeleteManagedAccount { accounts: Accounts::new(&aws, required("ACCOUNTS_TABLE")?) })
        .await
}
