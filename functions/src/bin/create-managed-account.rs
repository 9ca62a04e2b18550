//! `POST /managed-accounts`

use functions::managed_accounts::create::CreateManagedAccount;
use spelter::{
    aws::{self, accounts::Accounts, keyed_hash::KeyedHash, vault::Vault},
    clock,
    config::required,
    http, telemetry,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    telemetry::init();
    let aws = aws::config().await;
    http::serve(CreateManagedAccount {
        accounts: Accounts::new(&aws, required("ACCOUNTS_TABLE")?),
        vault: Vault::new(&aws, required("CREDENTIALS_KEY_ID")?),
        keyed_hash: KeyedHash::new(&aws, required("HASH_KEY_ID")?),
        mail_domain: required("INBOUND_MAIL_DOMAIN")?,
        now: clock::system,
    })
    .await
}
