//! `GET /managed-accounts`

use functions::managed_accounts::list::ListManagedAccounts;
use spelter::{
    aws::{self, accounts::Accounts, leases::Leases},
    clock,
    config::required,
    http, telemetry,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    telemetry::init();
    let aws = aws::config().await;
    http::serve(ListManagedAccounts {
        accounts: Accounts::new(&aws, required("ACCOUNTS_TABLE")?),
        leases: Leases::new(&aws, required("LEASES_TABLE")?),
        mail_domain: required("INBOUND_MAIL_DOMAIN")?,
        now: clock::system,
    })
    .await
}
