//! The Lambda Runtime API, version 2018-06-01: what a bootstrap polls and answers to.
//!
//! Every environment has a listener of its own, so a call needs no other sign of who makes it.

use super::PAYLOAD_LIMIT;
use axum::{
    Router,
    body::{Body, Bytes},
    extract::{DefaultBodyLimit, Path, State},
    http::{HeaderMap, StatusCode},
    response::Response,
    routing::{get, post},
};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

/// A call of the process in an environment.
pub(super) enum Call {
    /// It is ready for an invocation.
    Next(oneshot::Sender<Response>),
    /// It answers an invocation.
    Answer { request_id: String, body: Bytes },
    /// It reports that an invocation failed.
    Failure { request_id: String, error: Value },
    /// It reports that it could not start.
    InitFailure(Value),
}

type Calls = mpsc::Sender<Call>;

/// The API of one environment.
pub(super) fn router(calls: Calls) -> Router {
    Router::new()
        .route("/2018-06-01/runtime/invocation/next", get(next))
        .route("/2018-06-01/runtime/invocation/{id}/response", post(answer))
        .route("/2018-06-01/runtime/invocation/{id}/error", post(failure))
        .route("/2018-06-01/runtime/init/error", post(init_failure))
        // Larger answers are refused by `answer`, with Lambda's own error.
        .layer(DefaultBodyLimit::max(PAYLOAD_LIMIT.saturating_mul(4)))
        .with_state(calls)
}

async fn next(State(calls): State<Calls>) -> Response {
    let (reply, replied) = oneshot::channel();
    if calls.send(Call::Next(reply)).await.is_err() {
        return status(StatusCode::GONE);
    }
    replied.await.unwrap_or_else(|_| status(StatusCode::GONE))
}

async fn answer(
    State(calls): State<Calls>,
    Path(request_id): Path<String>,
    body: Bytes,
) -> Response {
    let too_large = body.len() > PAYLOAD_LIMIT;
    let call = if too_large {
        let message = format!(
            "Response payload size exceeded maximum allowed payload size ({PAYLOAD_LIMIT} bytes)."
        );
        let error =
            json!({ "errorType": "Function.ResponseSizeTooLarge", "errorMessage": message });
        Call::Failure { request_id, error }
    } else {
        Call::Answer { request_id, body }
    };
    let heard = calls.send(call).await.is_ok();
    status(match (heard, too_large) {
        (false, _) => StatusCode::GONE,
        (true, true) => StatusCode::PAYLOAD_TOO_LARGE,
        (true, false) => StatusCode::ACCEPTED,
    })
}

async fn failure(
    State(calls): State<Calls>,
    Path(request_id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    report(&calls, Call::Failure { request_id, error: read_error(&headers, &body) }).await
}

async fn init_failure(State(calls): State<Calls>, headers: HeaderMap, body: Bytes) -> Response {
    report(&calls, Call::InitFailure(read_error(&headers, &body))).await
}

async fn report(calls: &Calls, call: Call) -> Response {
    let heard = calls.send(call).await.is_ok();
    status(if heard { StatusCode::ACCEPTED } else { StatusCode::GONE })
}

fn read_error(headers: &HeaderMap, body: &[u8]) -> Value {
    let kind = headers.get("lambda-runtime-function-error-type");
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or("Runtime.Unknown");
    match serde_json::from_slice(body) {
        Ok(error @ Value::Object(_)) => error,
        _ => json!({ "errorType": kind, "errorMessage": String::from_utf8_lossy(body) }),
    }
}

fn status(status: StatusCode) -> Response {
    let mut response = Response::new(Body::from("{}"));
    *response.status_mut() = status;
    response
}
