//! Who may call: every route with no key, a wrong one and another client's, and every spelling of a right one.

use std::{collections::BTreeSet, time::Duration};

use data_encoding::BASE64;
use futures::future::join_all;
use http::{Method, StatusCode, header};
use serde_json::{Value, json};
use tests::{Answer, Api, STACK, ShopAccount, http, order, receiver::Receiver, send, url, wait};
use uuid::Uuid;

use crate::template;

/// Every route of the API: a new one fails these tests until it stands here.
const ROUTES: [(&str, &str); 38] = [
    ("POST", "/v1/orders"),
    ("GET", "/v1/orders"),
    ("GET", "/v1/orders/{request_id}"),
    ("POST", "/v1/orders/{request_id}/abort"),
    ("POST", "/v1/orders/{request_id}/retry"),
    ("POST", "/v1/orders/{request_id}/cancel"),
    ("POST", "/v1/orders/{request_id}/cancellation"),
    ("GET", "/v1/cancellations/{request_id}"),
    ("POST", "/v1/orders/{request_id}/return"),
    ("GET", "/v1/returns/{request_id}"),
    ("GET", "/v1/products/{product_id}"),
    ("GET", "/v1/products/{product_id}/offers"),
    ("GET", "/v1/retailers"),
    ("GET", "/v1/orders/{request_id}/refund"),
    ("POST", "/v1/orders/{request_id}/refund"),
    ("GET", "/v1/addax/balance"),
    ("GET", "/v1/addax/transactions"),
    ("GET", "/managed-accounts"),
    ("POST", "/managed-accounts"),
    ("PUT", "/managed-accounts/{short_id}"),
    ("DELETE", "/managed-accounts/{short_id}"),
    ("GET", "/managed-accounts/{short_id}/mails"),
    ("GET", "/users/managed-accounts"),
    ("POST", "/users/managed-accounts"),
    ("PUT", "/users/managed-accounts/{short_id}"),
    ("DELETE", "/users/managed-accounts/{short_id}"),
    ("GET", "/users/managed-accounts/{short_id}/mails"),
    ("GET", "/webhooks/endpoint"),
    ("PUT", "/webhooks/endpoint"),
    ("DELETE", "/webhooks/endpoint"),
    ("POST", "/webhooks/endpoint/rotate"),
    ("GET", "/v1/webhooks/deliveries"),
    ("POST", "/v1/webhooks/deliveries/replay"),
    ("GET", "/v1/webhooks/deliveries/{delivery_id}"),
    ("POST", "/v1/webhooks/deliveries/{delivery_id}/replay"),
    ("POST", "/v1/webhooks/test"),
    ("GET", "/v1/webhooks/endpoints"),
    ("POST", "/v1/webhooks/endpoints/{endpoint_id}/enable"),
];

/// The one route that anybody may call: the label's id is the permission.
const PUBLIC: (&str, &str) = ("GET", "/v1/labels/{label_id}");

/// Well-formed, with a right checksum, and nobody's.
const UNKNOWN_KEY: &str = "zn_test_0000000000000000000000000000002C8GjS";

const UNKNOWN_ORDER: &str = "00000000000000000000000000000000";
const UNKNOWN_ACCOUNT: &str = "zn_acct_000000000000";
const UNKNOWN_DELIVERY: &str = "msg_00000000000000000000000000000000";
const UNKNOWN_ENDPOINT: &str = "00000000000000000000000000000000";

/// The path with ids that nobody has.
fn unknown(path: &str) -> String {
    path.replace("{request_id}", UNKNOWN_ORDER)
        .replace("{short_id}", UNKNOWN_ACCOUNT)
        .replace("{product_id}", "B000000000")
        .replace("{delivery_id}", UNKNOWN_DELIVERY)
        .replace("{endpoint_id}", UNKNOWN_ENDPOINT)
}

/// Calls a route with these `Authorization` headers. Who may not call is told so before the body is looked at.
async fn call(method: &str, path: &str, authorization: &[String]) -> Answer {
    let mut request = http().request(method.parse().unwrap(), url(path));
    for value in authorization {
        request = request.header(header::AUTHORIZATION, value);
    }
    send(request.body("no JSON")).await
}

fn basic(credentials: &str) -> String {
    format!("Basic {}", BASE64.encode(credentials.as_bytes()))
}

/// What a caller without a right key is told, in the words of the path's generation.
#[track_caller]
fn assert_is_nobody(route: &str, path: &str, answer: &Answer) {
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{route}: {}", answer.text);
    let body = answer.json();
    let documented = if path.starts_with("/v1/") {
        json!({
            "_type": "error",
            "code": "invalid_client_token",
            "message": "Your client token is invalid.",
            "data": {},
        })
    } else {
        let message = &body["message"];
        assert!(message.is_string(), "{route}: {body}");
        json!({
            "error": {"code": "unauthorized", "message": message, "details": null},
            "code": "unauthorized",
            "details": null,
        })
    };
    for (name, value) in documented.as_object().unwrap() {
        assert_eq!(&body[name], value, "{route}: {body}");
    }
}

#[test]
fn every_route_of_the_template_stands_in_these_tests() {
    let mut routes = BTreeSet::new();
    for function in template::resources(&template::read(), "AWS::Serverless::Function").values() {
        let events = function["Properties"]["Events"].as_object().cloned().unwrap_or_default();
        for event in events.values().filter(|event| event["Type"] == "HttpApi") {
            let properties = &event["Properties"];
            // The sandbox retailer has a sign-in of its own.
            if properties["ApiId"] == json!({"!Ref": "Api"}) {
                let text = |name: &str| properties[name].as_str().unwrap().to_owned();
                let route = (text("Method"), text("Path"));
                let is_public = PUBLIC == (route.0.as_str(), route.1.as_str());
                let auth = is_public.then(|| json!({"Authorizer": "NONE"}));
                assert_eq!(properties.get("Auth"), auth.as_ref(), "{route:?}");
                routes.insert(route);
            }
        }
    }
    let tested = ROUTES.into_iter().chain([PUBLIC]);
    let tested = tested.map(|(method, path)| (method.to_owned(), path.to_owned()));
    assert_eq!(routes, tested.collect());
}

#[tokio::test]
async fn without_a_key_api_gateway_answers_itself() {
    for (method, path) in ROUTES {
        let answer = call(method, &unknown(path), &[]).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{method} {path}");
        assert_eq!(answer.json(), json!({"message": "Unauthorized"}), "{method} {path}");
    }
}

#[tokio::test]
async fn a_wrong_key_is_told_so_in_the_words_of_the_paths_generation() {
    for (method, path) in ROUTES {
        let path = unknown(path);
        let ways = [
            basic(&format!("{UNKNOWN_KEY}:")),
            basic(UNKNOWN_KEY),
            format!("Bearer {UNKNOWN_KEY}"),
            UNKNOWN_KEY.to_owned(),
        ];
        for way in ways {
            let route = format!("{method} {path} with {way}");
            assert_is_nobody(&route, &path, &call(method, &path, &[way]).await);
        }
    }
}

#[tokio::test]
async fn what_is_no_key_is_nobodys() {
    let token = &STACK.client_token;
    let short = token.get(..token.len() - 1).unwrap();
    let swapped = token.replacen("zn_test_", "zn_live_", 1);
    let changed: String = token.chars().rev().collect();
    let malformed = [
        "x".to_owned(),
        "Bearer".to_owned(),
        "Basic".to_owned(),
        "Basic !!!".to_owned(),
        "Basic ////".to_owned(),
        basic(":"),
        basic(&format!(":{token}")),
        basic(&format!("x{token}:")),
        format!("Bearer {token}x"),
        format!("Bearer {short}"),
        format!("Bearer {swapped}"),
        format!("Bearer {changed}"),
        format!("Bearer Bearer {token}"),
        format!("Digest {token}"),
        format!("Bearer {token},Bearer {UNKNOWN_KEY}"),
        format!("Bearer {}", "0".repeat(4000)),
    ];
    for (method, path) in ROUTES {
        let path = unknown(path);
        let calls = malformed.iter().map(|way| call(method, &path, std::slice::from_ref(way)));
        for (number, answer) in join_all(calls).await.iter().enumerate() {
            assert_is_nobody(&format!("{method} {path}, key {number}"), &path, answer);
        }
    }
}

#[tokio::test]
async fn every_spelling_of_a_right_key_is_the_same_client() {
    let api = Api::first();
    let email = format!("{}@example.com", Uuid::new_v4().simple());
    let body = json!({"email": email, "retailer": "costco"});
    let account = api.modern(Method::POST, "/managed-accounts", Some(&body)).await.ok();
    let token = &STACK.client_token;
    let bearer = format!("Bearer {token}");
    let spellings = [
        vec![basic(&format!("{token}:"))],
        vec![basic(&format!("{token}: "))],
        vec![basic(&format!("{token}:anything"))],
        vec![basic(&format!("{token}:any:thing"))],
        vec![basic(token)],
        vec![basic(&format!("{token}:")).replacen("Basic", "basic", 1)],
        vec![bearer.clone()],
        vec![format!("bearer  {token}")],
        vec![token.clone()],
        vec![bearer.clone(), bearer.clone()],
        vec![basic(&format!("{token}:")), basic(&format!("{token}:"))],
    ];
    for (number, spelling) in spellings.iter().enumerate() {
        for path in ["/managed-accounts", "/users/managed-accounts"] {
            let answer = call("GET", &format!("{path}?search={email}"), spelling).await;
            assert_eq!(answer.status, StatusCode::OK, "spelling {number}: {}", answer.text);
            assert_eq!(answer.json()["credentials"][0]["id"], account["id"], "spelling {number}");
        }
        let answer = call("GET", "/v1/orders?limit=1", spelling).await;
        assert_eq!(answer.status, StatusCode::OK, "spelling {number}: {}", answer.text);
    }
    // Two different keys are nobody's, although the gateway knows the first by now.
    let two = [bearer, format!("Bearer {}", STACK.second_client_token)];
    let answer = call("GET", "/managed-accounts", &two).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{}", answer.text);
    delete(&api, &account).await;
}

#[tokio::test]
async fn another_clients_id_is_answered_like_an_unknown_one() {
    let (owner, other) = (Api::first(), Api::second());
    let receiver = Receiver::start().await;
    receiver.answer_first(&[StatusCode::GONE]);
    let mut wanted = order(&ShopAccount::new().await);
    wanted["webhooks"] = json!({"order_placed": receiver.url("/gone")});
    let order_id = owner.order(&wanted).await;
    let before = owner.ended(&order_id).await;
    let (delivery, endpoint) = given_up(&owner, &order_id, &receiver.url("/gone")).await;
    let email = format!("{}@example.com", Uuid::new_v4().simple());
    let body = json!({"email": email, "retailer": "costco"});
    let account = owner.modern(Method::POST, "/managed-accounts", Some(&body)).await.ok();
    let short_id = account["short_id"].as_str().unwrap();

    let body = json!({"retailer": "amazon", "password": null});
    // A product is nobody's.
    let has_owner = |(_, path): &(&str, &str)| path.contains('{') && !path.contains("{product_id}");
    for (method, path) in ROUTES.into_iter().filter(has_owner) {
        let method: Method = method.parse().unwrap();
        let foreign = path
            .replace("{request_id}", &order_id)
            .replace("{short_id}", short_id)
            .replace("{delivery_id}", &delivery)
            .replace("{endpoint_id}", &endpoint);
        let foreign = other.modern(method.clone(), &foreign, Some(&body)).await;
        let unknown = other.modern(method.clone(), &unknown(path), Some(&body)).await;
        assert_eq!(foreign.status, StatusCode::NOT_FOUND, "{method} {path}");
        assert_eq!(foreign.status, unknown.status, "{method} {path}");
        assert_eq!(foreign.text, unknown.text, "{method} {path}");
    }

    // Nor are they listed, and nothing happened to them.
    let listed = other.v1(Method::GET, "/v1/orders?limit=5000", None).await;
    assert!(!listed.text.contains(&order_id));
    let path = format!("/v1/webhooks/deliveries?request_id={order_id}");
    let listed = other.v1(Method::GET, &path, None).await.ok();
    assert_eq!(listed, json!({"deliveries": [], "next_cursor": null}));
    let listed = other.v1(Method::GET, "/v1/webhooks/endpoints", None).await;
    assert!(!listed.text.contains(&endpoint));
    assert_eq!(given_up(&owner, &order_id, &receiver.url("/gone")).await, (delivery, endpoint));
    assert_eq!(receiver.arrivals("/gone").len(), 1);
    let search = format!("/managed-accounts?search={email}");
    let listed = other.modern(Method::GET, &search, None).await.ok();
    assert_eq!(listed, json!({"credentials": [], "total": 0}));
    let listed = owner.modern(Method::GET, &search, None).await.ok();
    let left: &Value = &listed["credentials"][0];
    assert_eq!((&left["id"], &left["retailer"]), (&account["id"], &json!("costco")));
    assert_eq!(owner.get(&order_id).await, before);
    delete(&owner, &account).await;
}

/// The delivery of an order that its receiver at `url` did not want, and that endpoint.
async fn given_up(api: &Api, order: &str, url: &str) -> (String, String) {
    let path = format!("/v1/webhooks/deliveries?state=undelivered&request_id={order}");
    wait(Duration::from_secs(30), "a delivery to be given up", async || {
        let listed = api.v1(Method::GET, &path, None).await.ok();
        let delivery = listed["deliveries"][0]["id"].as_str()?.to_owned();
        let mut path = "/v1/webhooks/endpoints?limit=100".to_owned();
        loop {
            let listed = api.v1(Method::GET, &path, None).await.ok();
            let endpoints = listed["endpoints"].as_array()?;
            if let Some(found) = endpoints.iter().find(|one| one["url"] == url) {
                return Some((delivery, found["id"].as_str()?.to_owned()));
            }
            let cursor = listed["next_cursor"].as_str()?;
            path = format!("/v1/webhooks/endpoints?limit=100&cursor={cursor}");
        }
    })
    .await
}

/// Leaves no account behind for another test's orders to use.
async fn delete(api: &Api, account: &Value) {
    let path = format!("/managed-accounts/{}", account["short_id"].as_str().unwrap());
    assert_eq!(api.modern(Method::DELETE, &path, None).await.status, StatusCode::NO_CONTENT);
}
