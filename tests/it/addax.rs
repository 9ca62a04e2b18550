//! The prepaid balance: paid in and out by the operator, read by the client, and given back by refunds.

use std::{collections::HashSet, thread};

use http::{Method, StatusCode};
use serde_json::{Value, json};
use tests::{Api, ShopAccount, new_client, order, prepaid::Client, tables};

const UNKNOWN_ORDER: &str = "00000000000000000000000000000000";
/// The year 2100.
const FAR_FUTURE_MS: i64 = 4_102_444_800_000;

/// An order that was placed and cost `cents` of the balance.
async fn placed(client: &Client, cents: u64) -> String {
    let id = client.api.order(&order(&ShopAccount::new().await)).await;
    client.api.ended(&id).await;
    tables::hold(&client.id, &id, cents + 100).await;
    client.settle(&id, &["--captured", &cents.to_string()]).unwrap();
    id
}

fn usd(available: i64, held: i64) -> Value {
    let figures = json!({
        "currency": "USD",
        "balance": available + held,
        "available": available,
        "held": held,
    });
    let mut body = figures.clone();
    body["balances"] = json!([figures]);
    body
}

#[tokio::test]
async fn who_never_paid_in_has_no_balance() {
    let client = Client::new();
    assert_eq!(client.balance().await, json!({"balances": []}));
    let answer = client.api.v1(Method::GET, "/v1/addax/transactions", None).await.ok();
    assert_eq!(answer, json!({"transactions": [], "count": 100, "offset": 0}));
    assert!(client.check().unwrap().contains("the books agree"));
    let refused = client.pay("withdraw", "USD", 1, "w").unwrap_err();
    assert!(refused.contains("no balance in this currency"), "{refused}");
}

#[tokio::test]
async fn what_the_operator_pays_in_and_out_is_the_balance() {
    let (client, other) = (Client::new(), Client::new());
    client.deposit(50_000, "wire 1");
    assert_eq!(client.balance().await, usd(50_000, 0));
    client.pay("withdraw", "USD", 20_000, "wire 2").unwrap();
    assert_eq!(client.balance().await, usd(30_000, 0));
    let refused = client.pay("withdraw", "USD", 30_001, "wire 3").unwrap_err();
    assert!(refused.contains("too little: available 300.00"), "{refused}");
    assert_eq!(client.balance().await, usd(30_000, 0));

    let shown = client.transactions("").await;
    let [withdrawal, deposit] = shown.as_slice() else { panic!("{shown:?}") };
    assert_eq!(withdrawal["type"], "withdrawal");
    assert_eq!(withdrawal["amount"], -20_000);
    assert!(deposit["id"].as_str().unwrap().starts_with("txn_"), "{deposit}");
    let at = deposit["created_at"].as_str().unwrap();
    assert!(at.len() == 24 && at.ends_with('Z'), "{at}");
    let expected = json!({
        "id": deposit["id"],
        "type": "deposit",
        "currency": "USD",
        "amount": 50_000,
        "available_change": 50_000,
        "request_id": null,
        "created_at": at,
        "note": "By wire.",
    });
    assert_eq!(deposit, &expected);
    assert_eq!(other.balance().await, json!({"balances": []}));
    assert_eq!(other.transactions("").await, Vec::<Value>::new());
}

#[tokio::test]
async fn live_money_is_not_test_money() {
    let client = Client::new();
    client.deposit(500, "wire 1");
    let live = new_client(&["--mode", "live", "--client-id", &client.id]);
    let answer = Api::with_key(&live).v1(Method::GET, "/v1/addax/balance", None).await.ok();
    assert_eq!(answer, json!({"balances": []}));
}

#[tokio::test]
async fn a_payment_with_the_same_reference_counts_once() {
    let client = Client::new();
    // All at once, as an impatient operator would.
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| client.deposit(700, "wire 1"));
        }
    });
    assert_eq!(client.balance().await, usd(700, 0));
    let again = client.pay("deposit", "USD", 700, "wire 1").unwrap();
    assert!(again.contains("posted before as txn_"), "{again}");
    for (way, currency, cents) in
        [("deposit", "USD", 800), ("deposit", "GBP", 700), ("withdraw", "USD", 700)]
    {
        let refused = client.pay(way, currency, cents, "wire 1").unwrap_err();
        assert!(refused.contains("is a deposit of 7.00 USD"), "{refused}");
    }
    assert_eq!(client.balance().await, usd(700, 0));
    assert_eq!(client.transactions("").await.len(), 1);
}

#[tokio::test]
async fn forty_payments_at_once_are_all_there_and_the_books_agree() {
    let client = Client::new();
    client.deposit(1000, "first");
    thread::scope(|scope| {
        for number in 0..20 {
            let client = &client;
            scope.spawn(move || client.deposit(10, &format!("in {number}")));
            let out = format!("out {number}");
            scope.spawn(move || client.pay("withdraw", "USD", 5, &out).unwrap());
        }
    });
    assert_eq!(client.balance().await, usd(1100, 0));
    let all = client.transactions("count=500").await;
    let ids: HashSet<_> = all.iter().map(|one| one["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 41);
    let checked = client.check().unwrap();
    assert!(checked.contains("USD: 41 postings"), "{checked}");

    tables::make_money(&client.id).await;
    let found = client.check().unwrap_err();
    assert!(found.contains("add up to 1 cents, not to zero"), "{found}");
}

#[tokio::test]
async fn transactions_are_paged_and_told_by_currency() {
    let client = Client::new();
    for number in 0..5_u64 {
        let currency = if number == 2 { "GBP" } else { "USD" };
        client.pay("deposit", currency, 100 + number, &number.to_string()).unwrap();
    }
    let amounts = async |query: &str| {
        let page = client.transactions(query).await;
        page.iter().map(|one| one["amount"].as_i64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(amounts("").await, [104, 103, 102, 101, 100]);
    assert_eq!(amounts("count=2").await, [104, 103]);
    assert_eq!(amounts("count=2&offset=1").await, [103, 102]);
    assert_eq!(amounts("count=500&offset=4").await, [100]);
    assert_eq!(amounts("offset=5").await, [0; 0]);
    assert_eq!(amounts("currency=GBP").await, [102]);
    assert_eq!(amounts("currency=USD&count=2&offset=1").await, [103, 101]);
    assert_eq!(amounts("currency=MXN").await, [0; 0]);
    let both = client.balance().await;
    let currencies: Vec<_> =
        both["balances"].as_array().unwrap().iter().map(|one| &one["currency"]).collect();
    assert_eq!(currencies, ["GBP", "USD"]);
    assert!(both["available"].is_null(), "{both}");
}

#[tokio::test]
async fn bad_pages_are_named() {
    let api = Api::first();
    for (query, field) in [
        ("count=0", "count"),
        ("count=501", "count"),
        ("count=-1", "count"),
        ("count=many", "count"),
        ("offset=-1", "offset"),
        ("offset=10001", "offset"),
        ("offset=1.5", "offset"),
        ("currency=usd", "currency"),
        ("currency=USD%23", "currency"),
        ("currency=DOLLAR", "currency"),
    ] {
        let path = format!("/v1/addax/transactions?{query}");
        let answer = api.v1(Method::GET, &path, None).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{query}: {}", answer.text);
        let body = answer.json();
        assert_eq!(body["code"], "invalid_request", "{query}");
        assert_eq!(body["data"]["validator_errors"][0]["path"], field, "{query}: {body}");
    }
}

#[tokio::test]
async fn the_operator_is_told_what_is_wrong_with_a_payment() {
    let client = Client::new();
    let payment = |currency: &str, amount: &str, reference: &str| {
        let payment = ["--currency", currency, "--amount", amount, "--reference", reference];
        client.operate(["ledger", "deposit"], &payment).unwrap_err()
    };
    for (complaint, named) in [
        (payment("dollars", "100", "r"), "--currency"),
        (payment("USD", "0", "r"), "--amount"),
        (payment("USD", "1.50", "r"), "--amount"),
        (payment("USD", "99999999999999", "r"), "--amount"),
        (payment("USD", "100", " "), "--reference"),
    ] {
        assert!(complaint.contains(named), "{complaint}");
    }
    assert_eq!(client.balance().await, json!({"balances": []}));
}

#[tokio::test]
async fn what_was_not_paid_from_the_balance_is_not_refunded() {
    let client = Client::new();
    let id = client.api.order(&order(&ShopAccount::new().await)).await;
    client.api.ended(&id).await;
    let none = client.refund(&id, None).await;
    assert_eq!((&none["request_id"], &none["refund_state"]), (&json!(id), &Value::Null));
    let path = format!("/v1/orders/{id}/refund");
    let post = async |body: Value| {
        let answer = client.api.v1(Method::POST, &path, Some(&body)).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{}", answer.text);
        let error = answer.json();
        assert_eq!(error["code"], "invalid_request", "{error}");
        error
    };
    let refused = post(json!({"reason": "other", "note": "It broke."})).await;
    assert_eq!(refused["message"], "This order was not paid from the balance.");
    for (body, field) in [
        (json!({}), "reason"),
        (json!({"reason": ""}), "reason"),
        (json!({"reason": 7}), "reason"),
        (json!({"reason": "cancellation_succeeded"}), "reason"),
        (json!({"reason": "other", "note": ["x"]}), "note"),
        (json!({"reason": "other", "note": "x".repeat(5001)}), "note"),
    ] {
        let error = post(body).await;
        assert_eq!(error["data"]["validator_errors"][0]["path"], field, "{error}");
    }
    let answer = client.api.raw(Method::POST, &path, "no JSON").await;
    assert_eq!((answer.status.as_u16(), &answer.json()["code"]), (400, &json!("invalid_json")));

    for missing in [UNKNOWN_ORDER, "not-an-id"] {
        for (method, body) in
            [(Method::GET, None), (Method::POST, Some(json!({"reason": "other"})))]
        {
            let path = format!("/v1/orders/{missing}/refund");
            let answer = client.api.v1(method, &path, body.as_ref()).await;
            assert_eq!(answer.status, StatusCode::NOT_FOUND, "{}", answer.text);
            assert_eq!(answer.json()["code"], "invalid_request_id");
        }
    }
    let listed = client.operate(["refund", "list"], &[]).unwrap();
    assert_eq!(listed, "");
}

#[tokio::test]
async fn a_refund_is_asked_for_once_and_approved_once() {
    let client = Client::new();
    client.deposit(5000, "wire 1");
    let id = placed(&client, 2000).await;
    assert_eq!(client.balance().await, usd(3000, 0));

    let body = json!({"reason": "return_completed", "note": "It broke."});
    let asked = client.refund(&id, Some(&body)).await;
    let expected = json!({
        "request_id": id,
        "refund_state": "requested",
        "reason": "return_completed",
        "note": "It broke.",
        "amount": 2000,
        "currency": "USD",
        "requested_at": asked["requested_at"],
        "decided_at": null,
        "decision_note": null,
    });
    assert_eq!(asked, expected);
    let again = client.refund(&id, Some(&json!({"reason": "other", "note": "Hello?"}))).await;
    assert_eq!(again, asked);
    assert_eq!(client.refund(&id, None).await, asked);
    assert_eq!(client.balance().await, usd(3000, 0));
    let listed = client.operate(["refund", "list"], &[]).unwrap();
    assert!(listed.contains(&id) && listed.contains("requested  20.00 USD"), "{listed}");

    let approve = |amount: &str| {
        let options = ["--order", &id, "--amount", amount, "--note", "Less the box."];
        client.operate(["refund", "approve"], &options)
    };
    let refused = approve("2001").unwrap_err();
    assert!(refused.contains("from 1 to 2000 cents"), "{refused}");
    approve("1900").unwrap();
    let refunded = client.refund(&id, None).await;
    assert_eq!(
        (&refunded["refund_state"], &refunded["amount"], &refunded["decision_note"]),
        (&json!("refunded"), &json!(1900), &json!("Less the box."))
    );
    assert!(refunded["decided_at"].is_string());
    assert_eq!(client.balance().await, usd(4900, 0));
    let newest = client.transactions("count=1").await.remove(0);
    assert_eq!(
        (&newest["type"], &newest["amount"], &newest["request_id"]),
        (&json!("refund"), &json!(1900), &json!(id))
    );

    let late = approve("100").unwrap_err();
    assert!(late.contains("refunded already"), "{late}");
    let late = client.operate(["refund", "decline"], &["--order", &id]).unwrap_err();
    assert!(late.contains("refunded already"), "{late}");
    assert_eq!(client.refund(&id, Some(&body)).await, refunded);
    assert_eq!(client.balance().await, usd(4900, 0));
    client.check().unwrap();
}

#[tokio::test]
async fn a_declined_refund_moves_nothing_and_another_reason_may_be_given() {
    let client = Client::new();
    client.deposit(5000, "wire 1");
    let id = placed(&client, 2000).await;
    let cancel = json!({"reason": "attempting_to_cancel"});
    client.refund(&id, Some(&cancel)).await;
    let options = ["--order", id.as_str(), "--note", "It was delivered."];
    client.operate(["refund", "decline"], &options).unwrap();
    let declined = client.refund(&id, Some(&cancel)).await;
    assert_eq!(
        (&declined["refund_state"], &declined["decision_note"]),
        (&json!("declined"), &json!("It was delivered."))
    );
    assert_eq!(client.balance().await, usd(3000, 0));
    let anew = client.refund(&id, Some(&json!({"reason": "return_completed"}))).await;
    assert_eq!(anew["refund_state"], "requested");
    client.operate(["refund", "approve"], &["--order", &id]).unwrap();
    assert_eq!(client.balance().await, usd(5000, 0));
    client.check().unwrap();
}

#[tokio::test]
async fn the_operator_settles_what_an_order_left_held() {
    let client = Client::new();
    client.deposit(5000, "wire 1");
    let id = client.api.order(&order(&ShopAccount::new().await)).await;
    client.api.ended(&id).await;
    let unpaid = client.settle(&id, &["--released"]).unwrap_err();
    assert!(unpaid.contains("not paid from the client's balance"), "{unpaid}");
    tables::hold(&client.id, &id, 2300).await;
    assert_eq!(client.balance().await, usd(2700, 2300));
    let (path, body) = (format!("/v1/orders/{id}/refund"), json!({"reason": "other"}));
    let early = client.api.v1(Method::POST, &path, Some(&body)).await;
    assert!(early.text.contains("its money is still held"));

    let both = client.settle(&id, &["--released", "--captured", "5"]).unwrap_err();
    assert!(both.contains("cannot be used with"), "{both}");
    assert!(client.settle(&id, &[]).is_err());
    let too_much = client.settle(&id, &["--captured", "2301"]).unwrap_err();
    assert!(too_much.contains("only 23.00 USD is held"), "{too_much}");
    client.settle(&id, &["--released"]).unwrap();
    assert_eq!(client.balance().await, usd(5000, 0));
    let late = client.settle(&id, &["--captured", "100"]).unwrap_err();
    assert!(late.contains("released before"), "{late}");
    let kinds: Vec<_> = client.transactions("").await;
    let kinds: HashSet<_> = kinds.iter().map(|one| one["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, HashSet::from(["deposit", "hold", "release"]));
    client.check().unwrap();
}

#[tokio::test]
async fn an_order_that_has_not_ended_is_not_settled() {
    let client = Client::new();
    client.deposit(5000, "wire 1");
    let model = client.api.order(&order(&ShopAccount::new().await)).await;
    client.api.ended(&model).await;
    // Nobody will ever take it up.
    let id = tables::copy_order(&model, &json!({"state": "queued"}), FAR_FUTURE_MS).await;
    tables::hold(&client.id, &id, 2300).await;
    let early = client.settle(&id, &["--released"]).unwrap_err();
    assert!(early.contains("has not ended yet"), "{early}");
    assert_eq!(client.balance().await, usd(2700, 2300));
}
