//! `POST /v1/orders` accepts an order and queues its purchase.
//!
//! Answers `{"request_id"}`, for an equal request under one idempotency key always the same. An accepted order is in
//! the table before it is in the queue; if sending fails, the sweeper sends it.

use http::StatusCode;
use serde::Serialize;
use spelter::{
    accounts::Owner,
    error::ApiError,
    fields::FieldError,
    http::{Endpoint, Request},
    id::OrderId,
};

use super::accept::{AcceptOrder, Accepting, Origin};

/// What this function may touch.
pub struct CreateOrder {
    /// How an order is accepted.
    pub accept: AcceptOrder,
}

/// The answer to an accepted order.
#[derive(Serialize)]
pub struct Accepted {
    pub(super) request_id: OrderId,
}

impl Endpoint for CreateOrder {
    const SUCCESS: StatusCode = StatusCode::OK;
    type Answer = Accepted;

    async fn handle(&self, owner: Owner, request: Request) -> Result<Accepted, ApiError> {
        match self.accept.accept(owner, request.json()?, Origin::Client).await? {
            Accepting::Accepted(request_id) => Ok(Accepted { request_id }),
            Accepting::KeyTaken => Err(key_taken()),
            Accepting::Lost => {
                Err(ApiError::Conflict("somebody changed this at the same time, try again"))
            }
        }
    }
}

/// An idempotency key that belongs to another request.
pub(crate) fn key_taken() -> ApiError {
    let text = "was used before with another request body";
    ApiError::Invalid(vec![FieldError::at("idempotency_key", "value_error", text)])
}
