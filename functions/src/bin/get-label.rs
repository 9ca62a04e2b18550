//! `GET /v1/labels/{label_id}`

use functions::labels::get::GetLabel;
use spelter::{
    aws::{self, labels::Labels},
    clock,
    config::required,
    http, telemetry,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    telemetry::init();
    let aws = aws::config().await;
    let labels = Labels::new(&aws, required("LABELS_TABLE")?);
    http::serve_file(GetLabel { labels, now: clock::system }).await
}
