//! Lambda's Invoke API, and what only exists locally: a list of environments, and overtime for one of them.

use super::{Answer, Lambdas, PAYLOAD_LIMIT};
use crate::aws::json_body;
use axum::{
    Router,
    body::{Body, Bytes},
    extract::{DefaultBodyLimit, Path, State},
    http::{HeaderMap, StatusCode},
    response::Response,
    routing::{get, post, put},
};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};

/// The API for all functions.
pub fn router(lambdas: Arc<Lambdas>) -> Router {
    Router::new()
        .route("/2015-03-31/functions/{name}/invocations", post(invoke))
        .route("/_local/environments", get(environments))
        .route("/_local/environments/{pid}/overtime/{seconds}", put(overtime))
        .layer(DefaultBodyLimit::max(PAYLOAD_LIMIT.saturating_mul(4)))
        .with_state(lambdas)
}

async fn environments(State(lambdas): State<Arc<Lambdas>>) -> Response {
    respond(StatusCode::OK, json_body(&lambdas.environments()))
}

async fn overtime(
    State(lambdas): State<Arc<Lambdas>>,
    Path((pid, seconds)): Path<(i32, u64)>,
) -> Response {
    if lambdas.allow_overtime(pid, Duration::from_secs(seconds)) {
        respond(StatusCode::NO_CONTENT, Body::empty())
    } else {
        refuse(StatusCode::NOT_FOUND, "ResourceNotFoundException", "It works on nothing.")
    }
}

async fn invoke(
    State(lambdas): State<Arc<Lambdas>>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let Some(function) = lambdas.find(&name).map(|function| function.name.clone()) else {
        let message = format!("Function not found: {name}");
        return refuse(StatusCode::NOT_FOUND, "ResourceNotFoundException", &message);
    };
    if body.len() > PAYLOAD_LIMIT {
        let message =
            format!("Request must be smaller than {PAYLOAD_LIMIT} bytes for the Invoke operation");
        return refuse(StatusCode::PAYLOAD_TOO_LARGE, "RequestTooLargeException", &message);
    }
    let payload = if body.is_empty() { Bytes::from_static(b"{}") } else { body };
    if let Err(error) = serde_json::from_slice::<Value>(&payload) {
        let message = format!("Could not parse request body into json: {error}");
        return refuse(StatusCode::BAD_REQUEST, "InvalidRequestContentException", &message);
    }
    let kind = headers.get("x-amz-invocation-type").and_then(|kind| kind.to_str().ok());
    match kind {
        Some("Event") => {
            lambdas.invoke_later(&function, payload);
            respond(StatusCode::ACCEPTED, Body::empty())
        }
        Some("DryRun") => respond(StatusCode::NO_CONTENT, Body::empty()),
        _ => answer(lambdas.invoke(&function, payload).await),
    }
}

fn answer(answer: Answer) -> Response {
    let mut response = match answer {
        Ok(body) => respond(StatusCode::OK, Body::from(body)),
        Err(error) => {
            let mut response = respond(StatusCode::OK, json_body(&error.payload));
            let unhandled = axum::http::HeaderValue::from_static("Unhandled");
            response.headers_mut().insert("x-amz-function-error", unhandled);
            response
        }
    };
    let version = axum::http::HeaderValue::from_static("$LATEST");
    response.headers_mut().insert("x-amz-executed-version", version);
    response
}

fn refuse(status: StatusCode, kind: &'static str, message: &str) -> Response {
    let mut response = respond(status, json_body(&json!({ "Type": "User", "Message": message })));
    let kind = axum::http::HeaderValue::from_static(kind);
    response.headers_mut().insert("x-amzn-errortype", kind);
    response
}

fn respond(status: StatusCode, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let json = axum::http::HeaderValue::from_static("application/json");
    response.headers_mut().insert("content-type", json);
    response
}
