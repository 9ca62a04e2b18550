//! The sandbox retailer: `ANY /{proxy+}` of its own API.

use functions::sandbox::{self, Shop, post_office::PostOffice, store::Store};
use secrecy::SecretString;
use spelter::{
    aws::{self, mailer::Mailer, vault::Vault},
    clock,
    config::required,
    telemetry,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    telemetry::init();
    let aws = aws::config().await;
    let shop = Shop {
        store: Store::new(&aws, required("SANDBOX_TABLE")?),
        post_office: PostOffice {
            mailer: Mailer::new(&aws),
            domain: required("SANDBOX_MAIL_DOMAIN")?,
        },
        vault: Vault::new(&aws, required("CREDENTIALS_KEY_ID")?),
        admin_token: SecretString::from(required::<String>("SANDBOX_ADMIN_TOKEN")?),
        now: clock::system,
        hang_up: sandbox::hang_up,
    };
    lambda_http::run(sandbox::router(shop)).await
}
