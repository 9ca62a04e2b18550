//! The queue `jobs.fifo`.

use std::time::Duration;

use functions::{
    aftersale::progress::AfterSaleProgress, jobs::account::AccountWorker,
    orders::progress::Progress,
};
use spelter::{
    aws::{
        self,
        accounts::Accounts,
        cards::Cards,
        labels::Labels,
        leases::Leases,
        ledger::Ledger,
        orders::Orders,
        queue::{Jobs, Webhooks},
        refunds::Refunds,
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
    let orders = Orders::new(&aws, required("ORDERS_TABLE")?);
    let webhooks = Webhooks::new(&aws, required("WEBHOOKS_QUEUE_URL")?);
    let ledger_table: String = required("LEDGER_TABLE")?;
    let jobs = Jobs::new(&aws, required("JOBS_QUEUE_URL")?);
    let sandbox_url: Url = required("SANDBOX_URL")?;
    sqs::serve(AccountWorker {
        backlogs: orders.backlogs(jobs.clone()),
        bundles: orders.bundles(),
        cancellations: AfterSaleProgress {
            requests: orders.cancellations(),
            outbox: orders.outbox(),
            webhooks: webhooks.clone(),
            now: clock::system,
        },
        returns: AfterSaleProgress {
            requests: orders.returns(),
            outbox: orders.outbox(),
            webhooks: webhooks.clone(),
            now: clock::system,
        },
        progress: Progress {
            outbox: orders.outbox(),
            orders,
            cards: Cards::new(&aws, required("CARDS_TABLE")?),
            ledger: Ledger::new(&aws, ledger_table.clone()),
            webhooks,
            now: clock::system,
        },
        refunds: Refunds::new(&aws, ledger_table),
        labels: Labels::new(&aws, required("LABELS_TABLE")?),
        api_url: required("API_URL")?,
        accounts: Accounts::new(&aws, required("ACCOUNTS_TABLE")?),
        leases: Leases::new(&aws, required("LEASES_TABLE")?),
        vault: Vault::new(&aws, required("CREDENTIALS_KEY_ID")?),
        jobs,
        code_wait: Duration::from_secs(required("CODE_WAIT_SECONDS")?),
        shop: Sandbox::new(sandbox_url, client::build(STEP_TIMEOUT)?),
        now: clock::system,
    })
    .await
}
