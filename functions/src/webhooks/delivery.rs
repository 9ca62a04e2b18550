//! A delivery as a client sees it: a line of the log, or all that is known of it.

use serde_json::{Map, Value, json};
use spelter::{
    accounts::Owner,
    aws::outbox::{Details, Outbox},
    clock::v1_text,
    error::{ApiError, Code, Refusal},
    http::Request,
    id::DeliveryId,
    webhooks::{
        deliveries::{Attempt, Delivery, DeliveryState},
        lanes::Destination,
    },
};

use crate::orders::view::object;

/// A line of the log.
pub(super) fn line(delivery: &Delivery) -> Value {
    let mut members = common(delivery);
    let last = delivery.attempts.last().map(attempt);
    members.insert("attempt_count".to_owned(), delivery.attempts.len().into());
    members.insert("last_attempt".to_owned(), last.into());
    members.into()
}

/// All of it. What it said may have expired a moment before it did itself.
pub(super) fn whole(delivery: &Delivery, details: Details) -> Result<Value, ApiError> {
    let Details { body, next_attempt_at } = details;
    let body = body.ok_or_else(unknown)?;
    let body: Value =
        serde_json::from_str(&body).map_err(|error| ApiError::Internal(error.into()))?;
    let mut members = common(delivery);
    members.insert("attempts".to_owned(), delivery.attempts.iter().map(attempt).collect());
    members.insert("next_attempt_at".to_owned(), next_attempt_at.map(v1_text).into());
    members.insert("body".to_owned(), body);
    Ok(members.into())
}

/// The delivery `id` of `owner` with all that is known of it.
pub(super) async fn find(
    outbox: &Outbox,
    owner: &Owner,
    id: &DeliveryId,
) -> Result<Value, ApiError> {
    let delivery = outbox.get(owner, id).await?.ok_or_else(unknown)?;
    let details = outbox.details(&delivery).await?;
    whole(&delivery, details)
}

/// The delivery that the path names. A text that is no id is one nobody has.
pub(super) fn named(request: &Request) -> Result<DeliveryId, ApiError> {
    request.named("delivery_id").ok_or_else(unknown)
}

pub(super) fn unknown() -> ApiError {
    ApiError::Refused(Refusal::new(Code::InvalidDeliveryId))
}

fn common(delivery: &Delivery) -> Map<String, Value> {
    let Delivery {
        id,
        owner: _,
        request,
        event,
        destination,
        payload: _,
        state,
        attempts: _,
        created_at,
        expires_at: _,
    } = delivery;
    let url = match destination {
        Destination::Url { url, userinfo: _ } => Some(url),
        Destination::Account => None,
    };
    let reason = match state {
        DeliveryState::Undelivered { at: _, reason } => Some(reason),
        DeliveryState::Pending | DeliveryState::Delivered { .. } => None,
    };
    object([
        ("id", json!(id)),
        ("request_id", event.is_about_request().then(|| json!(request)).into()),
        ("event", event.as_str().into()),
        ("url", json!(url)),
        ("state", state.as_str().into()),
        ("reason", json!(reason)),
        ("created_at", v1_text(*created_at).into()),
    ])
}

fn attempt(attempt: &Attempt) -> Value {
    let Attempt { at, latency_ms, status, error, answer } = attempt;
    json!({
        "at": v1_text(*at),
        "latency_ms": latency_ms,
        "status": status,
        "error": error,
        "answer": answer,
    })
}
