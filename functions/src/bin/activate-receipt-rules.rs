//! CloudFormation's `Custom::ActiveReceiptRuleSet`.

use functions::activate_receipt_rules::{ANSWER_TIMEOUT, ActivateReceiptRules};
use lambda_runtime::{LambdaEvent, service_fn};
use spelter::{
    aws::{self, receipt_rules::ReceiptRules},
    http::client,
    telemetry,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    telemetry::init();
    let aws = aws::config().await;
    let resource = &ActivateReceiptRules {
        rules: ReceiptRules::new(&aws),
        http: client::build(ANSWER_TIMEOUT)?,
    };
    lambda_runtime::run(service_fn(move |event: LambdaEvent<_>| resource.run(event.payload))).await
}
