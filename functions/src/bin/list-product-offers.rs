//! `GET /v1/products/{product_id}/offers`

use functions::products::{
    look_up::LookUp,
    offers::ListProductOffers,
    reader::{READ_TIME, Reader},
};
use spelter::{
    aws::{self, products::Products, queue::ProductReads},
    clock,
    config::required,
    http::{self, client},
    retailers::sandbox::Sandbox,
    telemetry,
};
use url::Url;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    telemetry::init();
    let aws = aws::config().await;
    let sandbox_url: Url = required("SANDBOX_URL")?;
    let reader = Reader {
        pages: Products::new(&aws, required("PRODUCTS_TABLE")?),
        shop: Sandbox::new(sandbox_url, client::build(READ_TIME)?),
        now: clock::system,
    };
    let queue = ProductReads::new(&aws, required("PRODUCTS_QUEUE_URL")?);
    http::serve(ListProductOffers { look_up: LookUp { reader, queue } }).await
}
