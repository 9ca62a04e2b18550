//! How soon an order goes on once the code it waits for has come by SMTP, and in how many turns of its worker.

use std::time::{Duration, Instant};

use http::Method;
use serde_json::json;
use tests::{ShopAccount, code_mails, logs, mail, order_with_account, prepaid::Client, wait};

const ORDERS: usize = 15;

/// The promise is a second; it is usually a tenth of that.
const LIMIT: Duration = Duration::from_secs(1);

#[tokio::test]
async fn an_order_goes_on_within_a_second_of_its_mail() {
    let _alone = crate::ALONE.lock().await;
    let api = Client::new().api;
    let mut waits = Vec::new();
    for _ in 0..ORDERS {
        let account = ShopAccount::new().await;
        let body =
            json!({"email": account.email, "password": account.password, "retailer": "amazon"});
        let stored = api.modern(Method::POST, "/managed-accounts", Some(&body)).await.json();
        account.mails_codes("nobody@elsewhere.example").await;
        let id = api.order(&order_with_account(&account, &stored)).await;
        let begin = format!("place_order {id}");
        let turns = || {
            let is_of_it = |line: &serde_json::Value| {
                line["message"].as_str().is_some_and(|text| text.starts_with(&begin))
            };
            logs::of("order-processor").into_iter().filter(is_of_it).count()
        };
        wait(Duration::from_mins(1), "the job to wait", async || (turns() == 1).then_some(()))
            .await;

        let code = code_mails::newest(&account.email).await;
        let forwarding = stored["forwarding_email"].as_str().unwrap();
        let sent = Instant::now();
        mail::send("owner@elsewhere.example", forwarding, &code.raw).await.unwrap();
        account.journaled("sign_in_code", 1).await;
        waits.push(sent.elapsed());
        let ended = api.ended(&id).await;
        assert_eq!(ended["_type"], "order_response", "{ended}");
        wait(Duration::from_mins(1), "the job to end", async || (turns() > 1).then_some(())).await;
        assert_eq!(turns(), 2);
    }
    waits.sort();
    let (median, longest) = (waits[ORDERS / 2], waits[ORDERS - 1]);
    println!(
        "{ORDERS} orders went on {median:?} after their mail (median), {longest:?} at the latest"
    );
    assert!(median < LIMIT, "{waits:?}");
}
