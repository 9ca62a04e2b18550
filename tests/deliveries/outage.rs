//! A receiver that is down for three days.

use std::{collections::BTreeMap, time::Duration};

use futures::future::join_all;
use serde_json::json;
use tests::{
    ShopAccount, at_the_shop, hours, merchant_order_ids, order, prepaid::Client,
    receiver::Receiver, tables, wait, when_due,
};

use crate::{ALONE, deliveries, lost, new_secret, overtaken, repeated, settled, state};

const ORDERS: usize = 12;
/// Of simulated time.
const HOUR: Duration = Duration::from_hours(1);
const OUTAGE_HOURS: u32 = 72;
/// The last try of what happened as the outage began is due by then: waits are up to a tenth longer than 75 hours, and
/// each ends with the sweep of the next hour.
const ALL_HOURS: u32 = 96;

/// Lets hours pass, each with a sweep that finds what is due by then, and waits until that was tried.
async fn pass(client: &str, hours: std::ops::RangeInclusive<u32>) {
    let clock = tests::hours().await;
    for hour in hours {
        clock.pass(HOUR * hour).await;
        #[expect(clippy::disallowed_methods, reason = "the simulated time is relative to it")]
        let now = jiff::Timestamp::now().as_millisecond();
        let then = now + i64::from(hour) * 3_600_000 - 60_000;
        wait(Duration::from_mins(2), "what is due to be tried", async || {
            let lanes = tables::owned(client, "LANE#").await;
            let due = |lane: &serde_json::Value| {
                lane["due_at"]["N"].as_str().and_then(|text| text.parse::<i64>().ok())
            };
            lanes.iter().all(|lane| due(lane).is_some_and(|due| due > then)).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_receiver_that_was_down_for_three_days_gets_everything_once_and_in_order() {
    let _alone = ALONE.lock().await;
    drop(hours().await);
    let client = Client::new();
    tables::leave_parcels_of_others(&client.id).await;
    let down = Receiver::down().await;
    let url = down.url("/hook");
    let orders = join_all((0..ORDERS).map(async |_| {
        let mut body = order(&ShopAccount::new().await);
        body["webhooks"] = json!({
            "request_succeeded": url,
            "status_updated": url,
            "tracking_updated": url,
            "tracking_obtained": url,
        });
        let id = client.api.order(&body).await;
        let ended = client.api.ended(&id).await;
        (id, merchant_order_ids(&ended).remove(0))
    }))
    .await;
    // That it is worked on, that it was placed, and so its status. More happens while nobody listens.
    let mut events = ORDERS * 3;
    for (hour, path, change, told) in [
        (1, "ship", json!({"with_number": false}), 2),
        (24, "ship", json!({}), 3),
        (48, "deliver", json!({}), 2),
    ] {
        for (id, merchant_order) in &orders {
            at_the_shop(&format!("orders/{merchant_order}/{path}"), &change).await;
            when_due(id).await;
        }
        events += ORDERS * told;
        wait(Duration::from_mins(2), "the news of the parcels", async || {
            (deliveries(&client.id).await.len() == events).then_some(())
        })
        .await;
        pass(&client.id, hour..=hour + 22).await;
    }
    pass(&client.id, 71..=OUTAGE_HOURS).await;
    let before = deliveries(&client.id).await;
    assert!(before.iter().all(|one| state(one) == "pending"), "somebody listened");

    let receiver = down.up().await;
    receiver.expect_signed_with(&new_secret(&client).await);
    pass(&client.id, OUTAGE_HOURS + 1..=ALL_HOURS).await;
    let deliveries = settled(&client.id, Duration::from_mins(2)).await;
    let arrivals = receiver.arrivals("/hook");
    let mut states = BTreeMap::<_, usize>::new();
    for delivery in &deliveries {
        *states.entry(state(delivery)).or_default() += 1;
    }
    let tries = deliveries.iter().map(|one| one["attempts"]["L"].as_array().unwrap().len());
    println!(
        "down for {OUTAGE_HOURS} hours: {} events of {ORDERS} orders, {states:?}, {} tries, {} arrived, {} lost, \
         {} twice, {} overtaken",
        deliveries.len(),
        tries.sum::<usize>(),
        arrivals.len(),
        lost(&deliveries, &arrivals).len(),
        repeated(&arrivals),
        overtaken(&deliveries, &arrivals),
    );
    assert_eq!(deliveries.len(), events);
    assert_eq!(states, BTreeMap::from([("delivered", events)]));
    assert_eq!(lost(&deliveries, &arrivals), [""; 0]);
    assert_eq!(repeated(&arrivals), 0);
    assert_eq!(overtaken(&deliveries, &arrivals), 0);
    assert_eq!(receiver.unsigned(), 0);
}
