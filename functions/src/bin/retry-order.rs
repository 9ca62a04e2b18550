//! `POST /v1/orders/{request_id}/retry`

use functions::orders::{accept::AcceptOrder, retry::RetryOrder};
use spelter::{
    aws::{
        self,
        accounts::Accounts,
        cards::Cards,
        keyed_hash::KeyedHash,
        leases::Leases,
        ledger::Ledger,
        orders::Orders,
        queue::{Jobs, Webhooks},
        vault::Vault,
    },
    clock,
    config::required,
    http, telemetry,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    telemetry::init();
    let aws = aws::config().await;
    let orders = Orders::new(&aws, required("ORDERS_TABLE")?);
    http::serve(RetryOrder {
        accept: AcceptOrder {
            outbox: orders.outbox(),
            backlogs: orders.backlogs(Jobs::new(&aws, required("JOBS_QUEUE_URL")?)),
            orders,
            accounts: Accounts::new(&aws, required("ACCOUNTS_TABLE")?),
            leases: Leases::new(&aws, required("LEASES_TABLE")?),
            cards: Cards::new(&aws, required("CARDS_TABLE")?),
            ledger: Ledger::new(&aws, required("LEDGER_TABLE")?),
            vault: Vault::new(&aws, required("CREDENTIALS_KEY_ID")?),
            keyed_hash: KeyedHash::new(&aws, required("HASH_KEY_ID")?),
            webhooks: Webhooks::new(&aws, required("WEBHOOKS_QUEUE_URL")?),
            reach: required("WEBHOOK_REACH")?,
            now: clock::system,
        },
    })
    .await
}
