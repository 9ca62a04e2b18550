//! `GET /managed-accounts/{short_id}/mails`

use functions::managed_accounts::mails::ListAccountMails;
use spelter::{
    aws::{self, accounts::Accounts, mail_log::MailLog},
    config::required,
    http, telemetry,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    telemetry::init();
    let aws = aws::config().await;
    http::serve(ListAccountMails {
        accounts: Accounts::new(&aws, required("ACCOUNTS_TABLE")?),
        mail_log: MailLog::new(&aws, required("MAIL_LOG_TABLE")?),
    })
    .await
}
