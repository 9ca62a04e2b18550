//! The sweeper, where a worker is only slow.

use std::time::Duration;

use serde_json::json;
use tests::{Api, ShopAccount, hours, order, tables};

/// An order that is worked on gets another job after ten minutes.
const UNATTENDED: Duration = Duration::from_mins(11);

#[tokio::test]
async fn what_the_shop_answers_is_told_though_the_order_got_another_job_meanwhile() {
    let (api, hours) = (Api::first(), hours().await);
    let account = ShopAccount::new().await;
    let slow = json!({"delay_ms": 8_000, "fail": "credit_card_declined", "times": 1});
    account.behave("submit_before_commit", slow).await;
    let id = api.order(&order(&account)).await;
    account.at_step("submit").await;
    hours.pass(UNATTENDED).await;
    assert_eq!(tables::dispatches(&id).await, 2);

    assert_eq!(api.ended(&id).await["code"], "credit_card_declined");
    assert!(account.ledger().await.is_empty());
}
