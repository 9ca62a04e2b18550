//! What a function's answer becomes: payload format 2.0, or API Gateway's reading of bare JSON.

use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::Response,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Value};

/// The response, or nothing if the answer is malformed.
pub(super) fn response(payload: &[u8]) -> Option<Response> {
    match serde_json::from_slice(payload).ok()? {
        Value::Object(answer) if answer.contains_key("statusCode") => explicit(&answer),
        // A text is the body itself; everything else is sent as the JSON it is.
        Value::String(text) => Some(inferred(text.into_bytes())),
        other => Some(inferred(other.to_string().into_bytes())),
    }
}

fn inferred(body: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(body));
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

fn explicit(answer: &Map<String, Value>) -> Option<Response> {
    let mut response = Response::new(Body::from(body(answer)?));
    *response.status_mut() = status(answer.get("statusCode")?)?;
    let headers = response.headers_mut();
    for (name, value) in object(answer.get("headers"))? {
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        // The server counts and frames the body itself.
        if [header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::CONNECTION].contains(&name) {
            continue;
        }
        let value = crate::intrinsics::text(value)?;
        headers.insert(name, HeaderValue::from_bytes(value.as_bytes()).ok()?);
    }
    if !headers.contains_key(header::CONTENT_TYPE) {
        let text = HeaderValue::from_static("text/plain;charset=UTF-8");
        headers.insert(header::CONTENT_TYPE, text);
    }
    for cookie in array(answer.get("cookies"))? {
        let cookie = HeaderValue::from_str(cookie.as_str()?).ok()?;
        headers.append(header::SET_COOKIE, cookie);
    }
    Some(response)
}

fn body(answer: &Map<String, Value>) -> Option<Vec<u8>> {
    let body = match answer.get("body") {
        None | Some(Value::Null) => "",
        Some(Value::String(body)) => body.as_str(),
        Some(_) => return None,
    };
    match answer.get("isBase64Encoded") {
        Some(Value::Bool(true)) => STANDARD.decode(body).ok(),
        None | Some(Value::Null | Value::Bool(false)) => Some(body.as_bytes().to_vec()),
        Some(_) => None,
    }
}

fn status(value: &Value) -> Option<StatusCode> {
    let number = match value {
        Value::Number(number) => u16::try_from(number.as_u64()?).ok()?,
        Value::String(text) => text.parse().ok()?,
        _ => return None,
    };
    StatusCode::from_u16(number).ok()
}

fn object(value: Option<&Value>) -> Option<impl Iterator<Item = (&String, &Value)>> {
    match value {
        None | Some(Value::Null) => Some(None.into_iter().flatten()),
        Some(Value::Object(object)) => Some(Some(object).into_iter().flatten()),
        Some(_) => None,
    }
}

fn array(value: Option<&Value>) -> Option<&[Value]> {
    match value {
        None | Some(Value::Null) => Some(&[]),
        Some(Value::Array(array)) => Some(array),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;
    use serde_json::json;

    async fn read(payload: &Value) -> Option<(u16, Vec<(String, String)>, String)> {
        let response = response(payload.to_string().as_bytes())?;
        let (head, body) = response.into_parts();
        let mut headers: Vec<_> = head
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
            .collect();
        headers.sort();
        let body = body.collect().await.unwrap().to_bytes();
        Some((head.status.as_u16(), headers, String::from_utf8(body.to_vec()).unwrap()))
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[tokio::test]
    async fn a_format_2_answer_is_taken_as_it_is() {
        let answer = json!({
            "statusCode": 201,
            "headers": {"Content-Type": "application/json", "content-length": "99", "x-n": 1},
            "cookies": ["a=1; Path=/", "b=2"],
            "body": STANDARD.encode("{}"),
            "isBase64Encoded": true,
        });
        let headers = pairs(&[
            ("content-type", "application/json"),
            ("set-cookie", "a=1; Path=/"),
            ("set-cookie", "b=2"),
            ("x-n", "1"),
        ]);
        assert_eq!(read(&answer).await, Some((201, headers, "{}".to_owned())));
    }

    #[tokio::test]
    async fn bare_json_is_a_200() {
        let json = pairs(&[("content-type", "application/json")]);
        let object = Some((200, json.clone(), r#"{"a":1}"#.to_owned()));
        assert_eq!(read(&json!({"a": 1})).await, object);
        assert_eq!(read(&json!("hello")).await, Some((200, json, "hello".to_owned())));
    }

    #[tokio::test]
    async fn malformed_answers_are_refused() {
        for answer in [
            json!({"statusCode": "many"}),
            json!({"statusCode": 200, "body": {"a": 1}}),
            json!({"statusCode": 200, "body": "?", "isBase64Encoded": true}),
            json!({"statusCode": 200, "headers": []}),
        ] {
            assert_eq!(read(&answer).await, None, "{answer}");
        }
        assert!(response(b"not json").is_none());
    }
}
