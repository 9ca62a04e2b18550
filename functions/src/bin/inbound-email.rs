//! Mails that SES received.

use functions::{
    inbound_email::{Forwarding, InboundEmail},
    orders::progress::Progress,
};
use lambda_runtime::{LambdaEvent, service_fn};
use spelter::{
    aws::{
        self,
        accounts::Accounts,
        cards::Cards,
        leases::Leases,
        ledger::Ledger,
        mail_log::MailLog,
        mailer::Mailer,
        mails::Mails,
        orders::Orders,
        queue::{Jobs, Webhooks},
        vault::Vault,
    },
    clock,
    config::{optional, required},
    dkim::Verifier,
    telemetry,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    telemetry::init();
    let aws = aws::config().await;
    let orders = Orders::new(&aws, required("ORDERS_TABLE")?);
    let inbound = &InboundEmail {
        mails: Mails::new(&aws, required("MAIL_BUCKET")?),
        accounts: Accounts::new(&aws, required("ACCOUNTS_TABLE")?),
        log: MailLog::new(&aws, required("MAIL_LOG_TABLE")?),
        leases: Leases::new(&aws, required("LEASES_TABLE")?),
        jobs: Jobs::new(&aws, required("JOBS_QUEUE_URL")?),
        vault: Vault::new(&aws, required("CREDENTIALS_KEY_ID")?),
        progress: Progress {
            outbox: orders.outbox(),
            orders,
            cards: Cards::new(&aws, required("CARDS_TABLE")?),
            ledger: Ledger::new(&aws, required("LEDGER_TABLE")?),
            webhooks: Webhooks::new(&aws, required("WEBHOOKS_QUEUE_URL")?),
            now: clock::system,
        },
        signatures: Verifier::new(optional("DNS_SERVER")?)?,
        forwarding: Forwarding::new(optional("GMAIL_ORIGIN")?)?,
        mailer: Mailer::new(&aws),
        domain: required("INBOUND_MAIL_DOMAIN")?,
        sandbox_domain: required("SANDBOX_MAIL_DOMAIN")?,
        now: clock::system,
    };
    lambda_runtime::run(service_fn(move |event: LambdaEvent<_>| inbound.run(event.payload))).await
}
