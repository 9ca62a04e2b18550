//! The queue `products`.

use functions::{
    jobs::read_product::ReadProduct,
    products::reader::{READ_TIME, Reader},
};
use spelter::{
    aws::{self, products::Products},
    clock,
    config::required,
    http::client,
    retailers::sandbox::Sandbox,
    sqs, telemetry,
};
use url::Url;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    telemetry::init();
    let aws = aws::config().await;
    let sandbox_url: Url = required("SANDBOX_URL")?;
    let reader = Reader {
        pages: Products::new(&aws, required("PRODUCTS_TABLE")?),
        shop: Sandbox::new(sandbox_url, client::build(READ_TIME)?),
        now: clock::system,
    };
    sqs::serve(ReadProduct { reader }).await
}
