//! Cancellations, returns and parcels: the requests and their jobs.

use http::Method;
use serde_json::{Value, json};
use tests::{
    ShopAccount, at_the_shop, fetch, logs, merchant_order_ids, order, prepaid::Client, when_due,
};

use crate::meter::Meter;

const WORKER: &str = "order-processor";

pub(crate) async fn measure(meter: &mut Meter) {
    cancellation(meter).await;
    goods_that_go_back(meter).await;
}

async fn placed(client: &Client, account: &ShopAccount) -> (String, String) {
    let id = client.api.order(&order(account)).await;
    let placed = client.api.ended(&id).await;
    let merchant_order_id = merchant_order_ids(&placed).remove(0);
    (id, merchant_order_id)
}

async fn post(
    meter: &mut Meter,
    what: &str,
    function: &str,
    client: &Client,
    (path, body): (&str, Option<&Value>),
) -> String {
    let call = client.api.v1(Method::POST, path, body);
    let answer = meter.request(what, function, client, call).await;
    answer["request_id"].as_str().unwrap().to_owned()
}

async fn cancellation(meter: &mut Meter) {
    let (client, account) = (Client::new(), ShopAccount::new().await);
    let (id, _) = placed(&client, &account).await;
    let what = "`POST /v1/orders/{request_id}/cancel`";
    let path = format!("/v1/orders/{id}/cancel");
    let cancellation = post(meter, what, "cancel-order", &client, (&path, None)).await;
    let path = format!("/v1/cancellations/{cancellation}");
    assert_eq!(client.api.processed(&path).await["_type"], "cancellation_response");
    let begin = format!("cancel_order {cancellation}");
    meter.job("cancelling an order", WORKER, [&begin, "is done"]).await;
    let what = "`GET /v1/cancellations/{request_id}`";
    meter.request(what, "get-cancellation", &client, client.api.v1(Method::GET, &path, None)).await;
}

async fn goods_that_go_back(meter: &mut Meter) {
    let (client, account) = (Client::new(), ShopAccount::new().await);
    let (id, merchant_order_id) = placed(&client, &account).await;
    at_the_shop(&format!("orders/{merchant_order_id}/deliver"), &json!({})).await;
    when_due(&id).await;
    let begin = format!("track_order {id}");
    meter.job("asking after the parcels of an order", WORKER, [&begin, "is done"]).await;

    let body = json!({
        "products": [{"product_id": "B0016NHH56", "quantity": 1}],
        "reason_code": "inaccurate website description",
        "method_code": "UPS Dropoff",
    });
    let what = "`POST /v1/orders/{request_id}/return`";
    let path = format!("/v1/orders/{id}/return");
    let goods = post(meter, what, "return-order", &client, (&path, Some(&body))).await;
    let path = format!("/v1/returns/{goods}");
    let started = client.api.processed(&path).await;
    let begin = format!("start_return {goods}");
    meter.job("starting a return", WORKER, [&begin, "is done"]).await;
    let what = "`GET /v1/returns/{request_id}`";
    meter.request(what, "get-return", &client, client.api.v1(Method::GET, &path, None)).await;

    let seen = logs::of("get-label").len();
    fetch(started["label_urls"][0].as_str().unwrap()).await;
    let is_it = |line: &Value| line["aws.calls"].is_string();
    let line = logs::next("get-label", seen, is_it).await;
    meter.note("`GET /v1/labels/{label_id}`", "get-label", &line);
}
