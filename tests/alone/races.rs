//! A thousand orders whose clients change their minds at any moment: none is lost, none is bought after it was aborted,
//! and the books add up to zero.

use std::{collections::BTreeMap, time::Duration};

use futures::{StreamExt, stream};
use http::Method;
use rand::{Rng, SeedableRng, rngs::SmallRng};
use serde_json::{Value, json};
use tests::{ShopAccount, hours, pause, prepaid::Client, whole_ledger};

use crate::paid_by_balance::{addax, operators_accounts};

const ORDERS: u64 = 1000;
const ACCOUNTS: usize = 10;
/// More than there are accounts, so that some wait for others.
const AT_ONCE: usize = 30;
const MAX_PRICE: u64 = 2_300;
/// Longer than an order takes from its acceptance to its end, most often.
const MOMENTS: Duration = Duration::from_secs(8);

/// How one order ended for its client.
struct Raced {
    name: String,
    order: Value,
    aborted: Option<Value>,
    cancellation: Option<Value>,
}

async fn race(client: &Client, number: u64) -> Raced {
    let mut random = SmallRng::seed_from_u64(number);
    // Sooner rather than later: where there are free accounts, an order is submitted within half a second.
    let mut moment =
        || random.random_bool(0.7).then(|| MOMENTS.mul_f64(random.random::<f64>().powi(2)));
    let name = format!("Racer{number}");
    let mut body = addax(&ShopAccount::nobody(), MAX_PRICE);
    body["shipping_address"]["first_name"] = json!(name);
    let id = client.api.order(&body).await;
    let (abort_at, cancel_at) = (moment(), moment());
    let (aborted, cancellation) =
        tokio::join!(abort(client, &id, abort_at), cancel(client, &id, cancel_at));
    let order = client.api.ended_within(&id, Duration::from_mins(5)).await;
    // What could not be cancelled before can be now, if it was placed.
    let cancellation = match cancellation {
        None if cancel_at.is_some() => cancel(client, &id, cancel_at).await,
        asked => asked,
    };
    let cancellation = match cancellation {
        Some(request) => Some(client.cancellation(&request).await),
        None => None,
    };
    Raced { name, order, aborted, cancellation }
}

async fn abort(client: &Client, id: &str, moment: Option<Duration>) -> Option<Value> {
    pause(moment?).await;
    let path = format!("/v1/orders/{id}/abort");
    Some(client.api.v1(Method::POST, &path, None).await.ok())
}

/// The request of a cancellation that was accepted.
async fn cancel(client: &Client, id: &str, moment: Option<Duration>) -> Option<String> {
    pause(moment?).await;
    let path = format!("/v1/orders/{id}/cancel");
    let answer = client.api.v1(Method::POST, &path, None).await.json();
    answer["request_id"].as_str().map(str::to_owned).filter(|_| answer.get("code").is_none())
}

#[tokio::test]
async fn a_thousand_changes_of_mind() {
    // The sweeper would see a thousand orders, too.
    let alone = hours().await;
    operators_accounts("amazon", ACCOUNTS).await;
    let client = Client::new();
    client.deposit(ORDERS * MAX_PRICE, "wire");
    let races = stream::iter(0..ORDERS).map(|number| race(&client, number));
    let all: Vec<Raced> = races.buffer_unordered(AT_ONCE).collect().await;

    let mut bought: BTreeMap<String, u64> = BTreeMap::new();
    // Any account of the operator's may have bought it, also one that another test has made.
    for purchase in whole_ledger().await {
        for order in purchase["orders"].as_array().unwrap() {
            let name = order["name"].as_str().unwrap().replace(" Beaver", "");
            *bought.entry(name).or_default() += 1;
        }
    }
    let (mut spent, mut outcomes) = (0, BTreeMap::new());
    for Raced { name, order, aborted, cancellation } in &all {
        let times = bought.get(name).copied().unwrap_or_default();
        let outcome = order["code"].as_str().unwrap_or("order_response");
        match outcome {
            "aborted_request" => assert_eq!(times, 0, "bought after it was aborted: {order}"),
            "order_response" => {
                assert_eq!(times, 1, "{order}");
                spent += order["price_components"]["total"].as_u64().unwrap();
            }
            _ => panic!("neither placed nor aborted: {order}"),
        }
        let said_aborted =
            aborted.as_ref().is_some_and(|answer| answer["code"] == "aborted_request");
        assert_eq!(said_aborted, outcome == "aborted_request", "{aborted:?} {order}");
        let refund = client.refund(order["request_id"].as_str().unwrap(), None).await;
        let expected = if cancellation.is_some() { json!("requested") } else { Value::Null };
        assert_eq!(refund["refund_state"], expected, "{refund}");
        if let Some(cancellation) = cancellation {
            assert_eq!(outcome, "order_response");
            assert_eq!(cancellation["_type"], "cancellation_response", "{cancellation}");
        }
        *outcomes.entry(outcome).or_insert(0) += 1;
        *outcomes.entry("cancelled").or_insert(0) += u64::from(cancellation.is_some());
    }
    println!("of {ORDERS} orders: {outcomes:?}");
    assert!(
        outcomes.values().all(|count| *count > ORDERS / 20),
        "not much of a race: {outcomes:?}"
    );
    let balance = client.balance().await;
    assert_eq!(balance["held"], 0);
    assert_eq!(balance["available"], ORDERS * MAX_PRICE - spent);
    let books = client.check().unwrap();
    assert!(books.contains("the books agree"), "{books}");
    drop(alone);
}
