//! `POST /v1/orders/{request_id}/return`

use functions::{aftersale::accept::AcceptAfterSale, returns::create::CreateReturn};
use spelter::{
    aws::{self, keyed_hash::KeyedHash, orders::Orders, queue::Jobs, vault::Vault},
    clock,
    config::required,
    http, telemetry,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    telemetry::init();
    let aws = aws::config().await;
    let orders = Orders::new(&aws, required("ORDERS_TABLE")?);
    http::serve(CreateReturn {
        accept: AcceptAfterSale {
            requests: orders.returns(),
            backlogs: orders.backlogs(Jobs::new(&aws, required("JOBS_QUEUE_URL")?)),
            orders,
            vault: Vault::new(&aws, required("CREDENTIALS_KEY_ID")?),
            keyed_hash: KeyedHash::new(&aws, required("HASH_KEY_ID")?),
            reach: required("WEBHOOK_REACH")?,
            now: clock::system,
        },
    })
    .await
}
