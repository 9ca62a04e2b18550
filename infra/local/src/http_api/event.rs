//! The events a function gets from an HTTP API: payload format 2.0.

use super::routes::decode;
use crate::intrinsics::{ACCOUNT, REGION};
use axum::{
    body::Bytes,
    http::{HeaderMap, HeaderName, Method, Uri, header},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// What an event is made of.
pub(super) struct Call {
    pub(super) api_id: String,
    pub(super) request_id: String,
    pub(super) route_key: String,
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) headers: HeaderMap,
    pub(super) path_parameters: BTreeMap<String, String>,
    pub(super) source_ip: String,
    pub(super) time: Timestamp,
    pub(super) body: Bytes,
}

impl Call {
    fn header(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// The event of a route's function. `context` is what the authorizer said, if the route has one.
pub(super) fn request(call: &Call, context: Option<&Value>) -> Value {
    let mut event = common(call);
    event.insert("routeKey".to_owned(), json!(call.route_key));
    if let (Some(context), Some(Value::Object(request_context))) =
        (context, event.get_mut("requestContext"))
    {
        request_context.insert("authorizer".to_owned(), json!({ "lambda": context }));
    }
    let as_text = std::str::from_utf8(&call.body).ok().filter(|_| is_text(call));
    event.insert("isBase64Encoded".to_owned(), json!(as_text.is_none() && !call.body.is_empty()));
    if !call.body.is_empty() {
        let body = as_text.map_or_else(|| STANDARD.encode(&call.body), str::to_owned);
        event.insert("body".to_owned(), json!(body));
    }
    Value::Object(event)
}

/// The event of an authorizer.
pub(super) fn authorizer(call: &Call, identity: &[String]) -> Value {
    let mut event = common(call);
    let path = call.uri.path();
    let arn = format!(
        "arn:aws:execute-api:{REGION}:{ACCOUNT}:{}/$default/{}{path}",
        call.api_id, call.method
    );
    event.insert("type".to_owned(), json!("REQUEST"));
    event.insert("routeArn".to_owned(), json!(arn));
    event.insert("routeKey".to_owned(), json!(call.route_key));
    event.insert("identitySource".to_owned(), json!(identity));
    Value::Object(event)
}

fn common(call: &Call) -> Map<String, Value> {
    let mut event = Map::new();
    let mut set = |name: &str, value: Value| event.insert(name.to_owned(), value);
    let query = call.uri.query().unwrap_or("");
    set("version", json!("2.0"));
    set("rawPath", json!(raw_path(&call.uri)));
    set("rawQueryString", json!(query));
    set("headers", json!(headers(call)));
    set("requestContext", request_context(call));
    let cookies = cookies(&call.headers);
    if !cookies.is_empty() {
        set("cookies", json!(cookies));
    }
    let parameters = query_parameters(query);
    if !parameters.is_empty() {
        set("queryStringParameters", json!(parameters));
    }
    if !call.path_parameters.is_empty() {
        set("pathParameters", json!(call.path_parameters));
    }
    event
}

fn request_context(call: &Call) -> Value {
    let host = call.header(&header::HOST).unwrap_or("localhost");
    json!({
        "accountId": ACCOUNT,
        "apiId": call.api_id,
        "domainName": host,
        "domainPrefix": host.split('.').next().unwrap_or(host),
        "http": {
            "method": call.method.as_str(),
            "path": raw_path(&call.uri),
            "protocol": "HTTP/1.1",
            "sourceIp": call.source_ip,
            "userAgent": call.header(&header::USER_AGENT).unwrap_or(""),
        },
        "requestId": call.request_id,
        "routeKey": call.route_key,
        "stage": "$default",
        "time": call.time.strftime("%d/%b/%Y:%H:%M:%S +0000").to_string(),
        "timeEpoch": call.time.as_millisecond(),
    })
}

/// HTTP APIs decode the path, unlike REST APIs and function URLs, and what follows an encoded
/// question mark is lost.
fn raw_path(uri: &Uri) -> String {
    let decoded = decode(uri.path());
    decoded.split('?').next().unwrap_or_default().to_owned()
}

fn headers(call: &Call) -> BTreeMap<String, String> {
    let mut joined = BTreeMap::new();
    for name in call.headers.keys().filter(|name| *name != header::COOKIE) {
        let values = call.headers.get_all(name).iter();
        let values: Vec<_> =
            values.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect();
        joined.insert(name.as_str().to_owned(), values.join(","));
    }
    let host = call.header(&header::HOST).unwrap_or("localhost");
    let port = host.rsplit_once(':').map_or("80", |(_, port)| port);
    joined.insert("content-length".to_owned(), call.body.len().to_string());
    joined.insert("x-forwarded-for".to_owned(), call.source_ip.clone());
    joined.insert("x-forwarded-port".to_owned(), port.to_owned());
    joined.insert("x-forwarded-proto".to_owned(), "http".to_owned());
    joined
}

fn cookies(headers: &HeaderMap) -> Vec<String> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .map(|cookie| cookie.trim().to_owned())
        .filter(|cookie| !cookie.is_empty())
        .collect()
}

fn query_parameters(query: &str) -> BTreeMap<String, String> {
    let mut parameters: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        parameters
            .entry(name.into_owned())
            .and_modify(|joined| {
                joined.push(',');
                joined.push_str(&value);
            })
            .or_insert_with(|| value.clone().into_owned());
    }
    parameters
}

/// Which bodies arrive as text; all others, forms among them, arrive as base64.
fn is_text(call: &Call) -> bool {
    let content_type = call.header(&header::CONTENT_TYPE).unwrap_or("");
    let essence = content_type.split(';').next().unwrap_or("").trim().to_lowercase();
    essence.starts_with("text/")
        || matches!(
            essence.as_str(),
            "application/json" | "application/xml" | "application/javascript"
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(uri: &str, headers: &[(&str, &str)], body: &[u8]) -> Call {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        }
        Call {
            api_id: "api".to_owned(),
            request_id: "r-1".to_owned(),
            route_key: "GET /a/{id}".to_owned(),
            method: Method::GET,
            uri: uri.parse().unwrap(),
            headers: map,
            path_parameters: BTreeMap::from([("id".to_owned(), "x y".to_owned())]),
            source_ip: "127.0.0.1".to_owned(),
            time: "2020-03-12T19:03:58.390Z".parse().unwrap(),
            body: Bytes::copy_from_slice(body),
        }
    }

    #[test]
    fn an_event_has_every_field_of_payload_format_2() {
        let call = call(
            "http://h/a/x%20y?b=1&a=2&b=3%204",
            &[
                ("Host", "127.0.0.1:4500"),
                ("X-Many", "1"),
                ("X-Many", "2"),
                ("Cookie", "one=1; two=2"),
                ("User-Agent", "curl/8"),
                ("Content-Type", "application/json; charset=utf-8"),
            ],
            b"{}",
        );
        let event = request(&call, Some(&json!({"client": "c-1"})));
        let expected = json!({
            "version": "2.0",
            "routeKey": "GET /a/{id}",
            "rawPath": "/a/x y",
            "rawQueryString": "b=1&a=2&b=3%204",
            "cookies": ["one=1", "two=2"],
            "headers": {
                "host": "127.0.0.1:4500",
                "x-many": "1,2",
                "user-agent": "curl/8",
                "content-type": "application/json; charset=utf-8",
                "content-length": "2",
                "x-forwarded-for": "127.0.0.1",
                "x-forwarded-port": "4500",
                "x-forwarded-proto": "http",
            },
            "queryStringParameters": {"a": "2", "b": "1,3 4"},
            "pathParameters": {"id": "x y"},
            "requestContext": {
                "accountId": "000000000000",
                "apiId": "api",
                "authorizer": {"lambda": {"client": "c-1"}},
                "domainName": "127.0.0.1:4500",
                "domainPrefix": "127",
                "http": {
                    "method": "GET",
                    "path": "/a/x y",
                    "protocol": "HTTP/1.1",
                    "sourceIp": "127.0.0.1",
                    "userAgent": "curl/8",
                },
                "requestId": "r-1",
                "routeKey": "GET /a/{id}",
                "stage": "$default",
                "time": "12/Mar/2020:19:03:58 +0000",
                "timeEpoch": 1_584_039_838_390_i64,
            },
            "body": "{}",
            "isBase64Encoded": false,
        });
        assert_eq!(event, expected);
    }

    #[test]
    fn only_text_types_arrive_as_text() {
        let cases: [(&str, &[u8], bool); 8] = [
            ("application/json", b"{}", false),
            ("text/plain; charset=utf-8", b"x", false),
            ("application/xml", b"<x/>", false),
            ("application/javascript", b"x", false),
            ("application/x-www-form-urlencoded", b"a=1", true),
            ("application/octet-stream", b"x", true),
            ("", b"x", true),
            ("application/json", b"\xff", true),
        ];
        for (content_type, body, encoded) in cases {
            let event = request(&call("/", &[("content-type", content_type)], body), None);
            assert_eq!(event["isBase64Encoded"], json!(encoded), "{content_type} {body:?}");
            let expected = if encoded {
                STANDARD.encode(body)
            } else {
                String::from_utf8(body.to_vec()).unwrap()
            };
            assert_eq!(event["body"], json!(expected), "{content_type}");
        }
    }

    #[test]
    fn what_is_absent_is_not_in_the_event() {
        let mut call = call("/", &[], b"");
        call.path_parameters.clear();
        let event = request(&call, None);
        for name in ["body", "cookies", "queryStringParameters", "pathParameters"] {
            assert_eq!(event.get(name), None, "{name}");
        }
        assert_eq!(event["isBase64Encoded"], json!(false));
        assert_eq!(event["requestContext"].get("authorizer"), None);
    }

    #[test]
    fn an_authorizer_sees_the_request_without_its_body() {
        let event = authorizer(&call("/a/b?c=1", &[], b"secret"), &["key".to_owned()]);
        assert_eq!(event["type"], "REQUEST");
        assert_eq!(event["identitySource"], json!(["key"]));
        assert_eq!(
            event["routeArn"],
            "arn:aws:execute-api:us-east-1:000000000000:api/$default/GET/a/b"
        );
        assert_eq!(event.get("body"), None);
    }
}
