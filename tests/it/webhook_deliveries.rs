//! The log of deliveries, and sending again: one, many, and a test.

use std::time::Duration;

use http::{Method, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};
use tests::{Answer, Api, ShopAccount, canaries, order, prepaid::Client, receiver::Receiver, wait};

const LOG: &str = "/v1/webhooks/deliveries";

async fn list(api: &Api, query: &str) -> Value {
    api.v1(Method::GET, &format!("{LOG}?{query}"), None).await.ok()
}

async fn detail(api: &Api, id: &Value) -> Value {
    api.v1(Method::GET, &format!("{LOG}/{}", text(id)), None).await.ok()
}

async fn replay(api: &Api, id: &Value) -> Answer {
    api.v1(Method::POST, &format!("{LOG}/{}/replay", text(id)), None).await
}

async fn replay_all(api: &Api, body: &Value) -> Answer {
    api.v1(Method::POST, &format!("{LOG}/replay"), Some(body)).await
}

async fn send_test(api: &Api, url: &str) -> Value {
    api.v1(Method::POST, "/v1/webhooks/test", Some(&json!({"url": url}))).await.ok()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn millis(time: &Value) -> i64 {
    text(time).parse::<Timestamp>().unwrap().as_millisecond()
}

/// The delivery once it is in this state.
async fn in_state(api: &Api, id: &Value, state: &str) -> Value {
    wait(Duration::from_mins(1), &format!("{id} to be {state}"), async || {
        let found = detail(api, id).await;
        (found["state"] == state).then_some(found)
    })
    .await
}

/// The ids of all pages, one after another.
async fn pages(api: &Api, query: &str) -> Vec<String> {
    let (mut ids, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = list(api, &format!("{query}&cursor={cursor}")).await;
        let deliveries = page["deliveries"].as_array().unwrap();
        ids.extend(deliveries.iter().map(|one| text(&one["id"]).to_owned()));
        let Some(next) = page["next_cursor"].as_str() else { return ids };
        next.clone_into(&mut cursor);
    }
}

#[tokio::test]
async fn the_log_says_what_was_sent_and_what_came_back() {
    let api = Client::new().api;
    let receiver = Receiver::start().await;
    receiver.says(&format!("{}{}", "a".repeat(1023), "bc".repeat(5000)));
    let userinfo = format!("me:{}", canaries::WEBHOOK_PASSWORD);
    let mut body = order(&ShopAccount::new().await);
    body["webhooks"] = json!({"order_placed": receiver.url_with_login(&userinfo, "/placed?id=7")});
    let id = api.order(&body).await;
    let order = api.ended(&id).await;
    let arrival = &receiver.wait_for("/placed", 1).await[0];

    let listed = list(&api, &format!("request_id={id}")).await;
    let delivery = in_state(&api, &listed["deliveries"][0]["id"], "delivered").await;
    let attempt = &delivery["attempts"][0];
    assert!(attempt["latency_ms"].is_u64() && attempt["at"].is_string());
    let expected = json!({
        "id": arrival.headers["webhook-id"].to_str().unwrap(),
        "request_id": id,
        "event": "request_succeeded",
        "url": receiver.url("/placed?id=7"),
        "state": "delivered",
        "reason": null,
        "attempts": [{
            "at": attempt["at"],
            "latency_ms": attempt["latency_ms"],
            "status": 200,
            "error": null,
            "answer": format!("{}b", "a".repeat(1023)),
        }],
        "next_attempt_at": null,
        "body": order,
        "created_at": delivery["created_at"],
    });
    assert_eq!(delivery, expected);

    let mut line = delivery.clone();
    for name in ["next_attempt_at", "body", "attempts"] {
        line.as_object_mut().unwrap().remove(name);
    }
    line["last_attempt"] = attempt.clone();
    line["attempt_count"] = json!(1);
    let listed = list(&api, &format!("request_id={id}")).await;
    assert_eq!(listed, json!({"deliveries": [line], "next_cursor": null}));
}

#[tokio::test]
async fn the_log_is_paged_and_filtered() {
    let api = Client::new().api;
    let receiver = Receiver::start().await;
    let mut sent = Vec::new();
    for number in 0..5 {
        if number == 2 {
            receiver.answer_first(&[StatusCode::GONE]);
        }
        let delivery = send_test(&api, &receiver.url(&format!("/{number}"))).await;
        let state = if number == 2 { "undelivered" } else { "delivered" };
        sent.push(in_state(&api, &delivery["id"], state).await);
    }
    let ids = |numbers: &[usize]| -> Vec<String> {
        numbers.iter().map(|number| text(&sent[*number]["id"]).to_owned()).collect()
    };
    let (from, until) = (millis(&sent[1]["created_at"]), millis(&sent[3]["created_at"]));
    for limit in [1, 2, 5, 100] {
        for (query, expected) in [
            (String::new(), &[4, 3, 2, 1, 0][..]),
            ("&state=".to_owned(), &[4, 3, 2, 1, 0]),
            ("&state=delivered".to_owned(), &[4, 3, 1, 0]),
            ("&state=undelivered".to_owned(), &[2]),
            ("&state=pending".to_owned(), &[]),
            (format!("&from={from}"), &[4, 3, 2, 1]),
            (format!("&until={until}"), &[2, 1, 0]),
            (format!("&from={from}&until={until}"), &[2, 1]),
            (format!("&from={from}&until={until}&state=undelivered"), &[2]),
            (format!("&from={until}&until={from}"), &[]),
            ("&from=-1&until=253402207200000".to_owned(), &[4, 3, 2, 1, 0]),
            ("&request_id=00000000000000000000000000000000".to_owned(), &[]),
        ] {
            let query = format!("limit={limit}{query}");
            assert_eq!(pages(&api, &query).await, ids(expected), "{query}");
        }
    }
    assert_eq!(list(&api, "limit=2").await["deliveries"].as_array().unwrap().len(), 2);
    assert_eq!(list(&api, "limit=5").await["next_cursor"], Value::Null);
}

#[tokio::test]
async fn a_test_event_arrives_signed_and_is_in_the_log() {
    let client = Client::new();
    let api = &client.api;
    for body in [None, Some(json!({})), Some(json!({"url": null})), Some(json!({"url": ""}))] {
        let answer = api.v1(Method::POST, "/v1/webhooks/test", body.as_ref()).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{}", answer.text);
        assert_eq!(answer.json()["data"]["validator_errors"][0]["path"], "url");
    }
    let receiver = Receiver::start().await;
    let userinfo = format!("me:{}", canaries::WEBHOOK_PASSWORD);
    let url = receiver.url_with_login(&userinfo, "/test");
    let sent = send_test(api, &url).await;
    let arrival = &receiver.wait_for("/test", 1).await[0];
    let expected = json!({
        "id": arrival.headers["webhook-id"].to_str().unwrap(),
        "request_id": null,
        "event": "webhook.test",
        "url": receiver.url("/test"),
        "state": "pending",
        "reason": null,
        "attempts": [],
        "next_attempt_at": sent["next_attempt_at"],
        "body": arrival.body,
        "created_at": sent["created_at"],
    });
    assert_eq!(sent, expected);
    assert!(sent["next_attempt_at"].is_string(), "{sent}");
    let event = json!({
        "event": "webhook.test",
        "order_id": null,
        "return_id": null,
        "status": "test",
        "timestamp": sent["created_at"],
        "data": {},
    });
    assert_eq!(arrival.body, event);
    assert_eq!(arrival.headers["x-webhook-event"], "webhook.test");
    assert!(arrival.headers["authorization"].to_str().unwrap().starts_with("Basic "));
    let endpoint = api.modern(Method::GET, "/webhooks/endpoint", None).await.ok();
    let secret = text(&endpoint["webhook_secret"]);
    assert!(arrival.verifies(secret) && arrival.is_signed_by(secret));
    assert_eq!(in_state(api, &sent["id"], "delivered").await["attempts"][0]["status"], 200);
}

#[tokio::test]
async fn what_was_received_can_be_sent_again() {
    let api = Client::new().api;
    let receiver = Receiver::start().await;
    let sent = send_test(&api, &receiver.url("/again")).await;
    in_state(&api, &sent["id"], "delivered").await;
    let replayed = replay(&api, &sent["id"]).await.ok();
    assert_eq!((&replayed["id"], &replayed["body"]), (&sent["id"], &sent["body"]));
    let arrivals = receiver.wait_for("/again", 2).await;
    assert_eq!(arrivals[0].headers["webhook-id"], arrivals[1].headers["webhook-id"]);
    assert_eq!(arrivals[0].raw, arrivals[1].raw);
    let twice = wait(Duration::from_mins(1), "the second attempt", async || {
        let found = detail(&api, &sent["id"]).await;
        (found["attempts"].as_array().unwrap().len() == 2).then_some(found)
    })
    .await;
    assert_eq!(twice["state"], "delivered");
}

#[tokio::test]
async fn what_waits_for_its_next_try_is_tried_at_once() {
    let api = Client::new().api;
    let receiver = Receiver::start().await;
    // The second try is after five seconds, the third after five minutes.
    receiver.answer_first(&[StatusCode::BAD_GATEWAY; 2]);
    let sent = send_test(&api, &receiver.url("/later")).await;
    let waiting = wait(Duration::from_mins(1), "two attempts", async || {
        let found = detail(&api, &sent["id"]).await;
        (found["attempts"].as_array().unwrap().len() == 2).then_some(found)
    })
    .await;
    assert_eq!((&waiting["state"], &waiting["reason"]), (&json!("pending"), &Value::Null));
    let last = &waiting["attempts"][1];
    assert_eq!(last["status"], 502);
    assert!(text(&last["error"]).contains("502"), "{last}");
    let left = millis(&waiting["next_attempt_at"]) - millis(&last["at"]);
    assert!((295_000..=340_000).contains(&left), "{left}");
    let failing = api.v1(Method::GET, "/v1/webhooks/endpoints", None).await.ok();
    let expected = json!([{
        "id": failing["endpoints"][0]["id"],
        "url": receiver.url("/later"),
        "failing_since": failing["endpoints"][0]["failing_since"],
        "disabled_at": null,
        "reason": null,
    }]);
    assert_eq!(failing, json!({"endpoints": expected, "next_cursor": null}));

    replay(&api, &sent["id"]).await.ok();
    let delivered = in_state(&api, &sent["id"], "delivered").await;
    assert_eq!(delivered["attempts"].as_array().unwrap().len(), 3);
    let failing = api.v1(Method::GET, "/v1/webhooks/endpoints", None).await.ok();
    assert_eq!(failing["endpoints"], json!([]));
}

/// An order of two events, of which a receiver that wants nothing more gets the first. Both are given up.
async fn given_up(api: &Api, receiver: &Receiver) -> (String, Vec<Value>) {
    receiver.answer_first(&[StatusCode::GONE]);
    let mut body = order(&ShopAccount::new().await);
    body["webhooks"] = json!({"status_updated": receiver.url("/gone?id=7")});
    let id = api.order(&body).await;
    api.ended(&id).await;
    let query = format!("state=undelivered&request_id={id}");
    let given_up = wait(Duration::from_mins(1), "two events to be given up", async || {
        let listed = list(api, &query).await;
        let found = listed["deliveries"].as_array().unwrap().clone();
        (found.len() == 2).then_some(found)
    });
    (id, given_up.await)
}

#[tokio::test]
async fn a_url_that_is_gone_is_disabled_listed_enabled_and_made_up_for_in_order() {
    let api = Client::new().api;
    let receiver = Receiver::start().await;
    let (id, given_up) = given_up(&api, &receiver).await;
    let [second, first] = given_up.as_slice() else { panic!("{given_up:?}") };
    assert!(text(&first["reason"]).contains("410"), "{first}");
    assert_eq!(
        (&first["attempt_count"], &first["last_attempt"]["status"]),
        (&json!(1), &json!(410))
    );
    assert!(text(&second["reason"]).contains("disabled"), "{second}");
    assert_eq!((&second["attempt_count"], &second["last_attempt"]), (&json!(0), &Value::Null));
    assert_eq!(receiver.arrivals("/gone").len(), 1);

    let listed = api.v1(Method::GET, "/v1/webhooks/endpoints", None).await.ok();
    let endpoint = &listed["endpoints"][0];
    let expected = json!({
        "id": endpoint["id"],
        "url": receiver.url("/gone?id=7"),
        "failing_since": endpoint["failing_since"],
        "disabled_at": endpoint["disabled_at"],
        "reason": "gone",
    });
    assert_eq!(listed, json!({"endpoints": [expected], "next_cursor": null}));
    assert!(endpoint["failing_since"].is_string() && endpoint["disabled_at"].is_string());

    // While it is disabled, nothing is sent, whoever asks.
    replay(&api, &first["id"]).await.ok();
    in_state(&api, &first["id"], "undelivered").await;
    assert_eq!(receiver.arrivals("/gone").len(), 1);

    let path = format!("/v1/webhooks/endpoints/{}/enable", text(&endpoint["id"]));
    assert_eq!(api.v1(Method::POST, &path, None).await.ok(), json!({}));
    let again = api.v1(Method::POST, &path, None).await;
    assert_eq!(again.status, StatusCode::NOT_FOUND);
    assert_eq!(again.json()["code"], "invalid_endpoint_id");
    let listed = api.v1(Method::GET, "/v1/webhooks/endpoints", None).await.ok();
    assert_eq!(listed["endpoints"], json!([]));

    let (from, until) = (millis(&first["created_at"]), millis(&second["created_at"]) + 1);
    let before = replay_all(&api, &json!({"from": 0, "until": from})).await.ok();
    assert_eq!(before, json!({"replayed": 0, "next_cursor": null}));
    let page = json!({"from": from, "until": until, "limit": 1});
    let one = replay_all(&api, &page).await.ok();
    assert_eq!(one, json!({"replayed": 1, "next_cursor": first["id"]}), "the oldest first");
    let mut rest = page.clone();
    rest["cursor"] = one["next_cursor"].clone();
    let rest = replay_all(&api, &rest).await.ok();
    assert_eq!(rest, json!({"replayed": 1, "next_cursor": null}));
    for one in [first, second] {
        in_state(&api, &one["id"], "delivered").await;
    }
    let told = receiver.arrivals("/gone");
    let ids: Vec<_> = told.iter().map(|one| one.headers["webhook-id"].to_str().unwrap()).collect();
    assert_eq!(ids, [text(&first["id"]), text(&first["id"]), text(&second["id"])]);
    assert_eq!(told[2].body, api.get(&id).await);

    // What was received is sent again if that is asked for.
    let nothing = json!({"from": from, "until": until, "request_id": id});
    assert_eq!(replay_all(&api, &nothing).await.ok()["replayed"], 0);
    let mut wanted = nothing.clone();
    wanted["state"] = json!("delivered");
    assert_eq!(replay_all(&api, &wanted).await.ok()["replayed"], 2);
    let told = receiver.wait_for("/gone", 5).await;
    let ids: Vec<_> = told.iter().map(|one| one.headers["webhook-id"].to_str().unwrap()).collect();
    assert_eq!(&ids[3..], [text(&first["id"]), text(&second["id"])]);
    let foreign = replay_all(&Client::new().api, &wanted).await.ok();
    assert_eq!(foreign, json!({"replayed": 0, "next_cursor": null}));
}

#[tokio::test]
async fn a_wrong_field_of_a_replay_is_named() {
    let api = Client::new().api;
    for (change, field) in [
        (json!({"from": null}), "from"),
        (json!({"until": ""}), "until"),
        (json!({"from": "0"}), "from"),
        (json!({"from": 0.5}), "from"),
        (json!({"until": i64::MAX}), "until"),
        (json!({"until": true}), "until"),
        (json!({"state": "lost"}), "state"),
        (json!({"state": 7}), "state"),
        (json!({"request_id": "x"}), "request_id"),
        (json!({"limit": 0}), "limit"),
        (json!({"limit": 101}), "limit"),
        (json!({"limit": "5"}), "limit"),
        (json!({"limit": -1}), "limit"),
        (json!({"cursor": "x"}), "cursor"),
        (json!({"cursor": 7}), "cursor"),
    ] {
        let mut body = json!({"from": 0, "until": 1});
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let answer = replay_all(&api, &body).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{change}: {}", answer.text);
        let faults = &answer.json()["data"]["validator_errors"];
        assert_eq!((faults.as_array().unwrap().len(), &faults[0]["path"]), (1, &json!(field)));
    }
    for body in ["", "{", "[]", "7"] {
        let answer = api.raw(Method::POST, &format!("{LOG}/replay"), body).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{body}");
    }
}

#[tokio::test]
async fn a_delivery_or_an_endpoint_that_there_is_not_is_not_found() {
    let api = Client::new().api;
    for id in ["x", "msg_", "msg_00000000000000000000000000000000", "account", "a%2Fb", "%00"] {
        for (method, path, code) in [
            (Method::GET, format!("{LOG}/{id}"), "invalid_delivery_id"),
            (Method::POST, format!("{LOG}/{id}/replay"), "invalid_delivery_id"),
            (Method::POST, format!("/v1/webhooks/endpoints/{id}/enable"), "invalid_endpoint_id"),
        ] {
            let answer = api.v1(method, &path, None).await;
            assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
            let body = answer.json();
            assert_eq!((&body["code"], &body["money_moved"]), (&json!(code), &json!("no")));
        }
    }
}
