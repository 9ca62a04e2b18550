//! `GET /v1/orders/{request_id}` tells what became of an order.

use http::StatusCode;
use serde_json::Value;
use spelter::{
    accounts::Owner,
    aws::orders::Orders,
    error::ApiError,
    http::{Endpoint, Request},
    id::{self, Kind},
};

use super::view;

/// What this function may touch.
pub struct GetOrder {
    /// The orders.
    pub orders: Orders,
}

impl Endpoint for GetOrder {
    const SUCCESS: StatusCode = StatusCode::OK;
    type Answer = Value;

    async fn handle(&self, owner: Owner, request: Request) -> Result<Value, ApiError> {
        let id = request.id::<id::Order>("request_id")?;
        let order =
            self.orders.get(&owner, &id).await?.ok_or(ApiError::NotFound(id::Order::NAME))?;
        Ok(view::body(&order))
    }
}
