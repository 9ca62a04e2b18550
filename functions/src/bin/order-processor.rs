//! The queue `jobs.fifo`.

use std::time::Duration;

use functions::{jobs::place_order::PlaceOrder, orders::progress::Progress};
use spelter::{
    aws::{
        self,
        accounts::Accounts,
        card_codes::CardCodes,
        leases::Leases,
        orders::Orders,
        queue::{Jobs, Webhooks},
        vault::Vault,
    },
    clock,
    config::required,
    http::client,
    retailers::sandbox::Sandbox,
    sqs, telemetry,
};
use url::Url;

/// One step at the retailer takes no longer than this; the press of the button has a limit of its own.
const STEP_TIMEOUT: Duration = Duration::from_mins(1);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    telemetry::init();
    let aws = aws::config().await;
    let sandbox_url: Url = required("SANDBOX_URL")?;
    sqs::serve(PlaceOrder {
        progress: Progress {
            orders: Orders::new(&aws, required("ORDERS_TABLE")?),
            card_codes: CardCodes::new(&aws, required("CARD_CODES_TABLE")?),
            webhooks: Webhooks::new(&aws, required("WEBHOOKS_QUEUE_URL")?),
            now: clock::system,
        },
        accounts: Accounts::new(&aws, required("ACCOUNTS_TABLE")?),
        leases: Leases::new(&aws, required("LEASES_TABLE")?),
        vault: Vault::new(&aws, required("CREDENTIALS_KEY_ID")?),
        jobs: Jobs::new(&aws, required("JOBS_QUEUE_URL")?),
        shop: Sandbox::new(sandbox_url, client::build(STEP_TIMEOUT)?),
        now: clock::system,
    })
    .await
}
