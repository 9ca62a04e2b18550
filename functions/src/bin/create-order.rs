//! `POST /v1/orders`

use functions::orders::create::CreateOrder;
use spelter::{
    aws::{
        self, accounts::Accounts, card_codes::CardCodes, keyed_hash::KeyedHash, leases::Leases,
        orders::Orders, queue::Jobs, vault::Vault,
    },
    clock,
    config::required,
    http, telemetry,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    telemetry::init();
    let aws = aws::config().await;
    http::serve(CreateOrder {
        orders: Orders::new(&aws, required("ORDERS_TABLE")?),
        accounts: Accounts::new(&aws, required("ACCOUNTS_TABLE")?),
        leases: Leases::new(&aws, required("LEASES_TABLE")?),
        card_codes: CardCodes::new(&aws, required("CARD_CODES_TABLE")?),
        vault: Vault::new(&aws, required("CREDENTIALS_KEY_ID")?),
        keyed_hash: KeyedHash::new(&aws, required("HASH_KEY_ID")?),
        jobs: Jobs::new(&aws, required("JOBS_QUEUE_URL")?),
        now: clock::system,
    })
    .await
}
