//! `GET /v1/orders/{request_id}/refund` tells where the refund of an order stands.

use http::StatusCode;
use serde_json::Value;
use spelter::{
    accounts::Owner,
    aws::{orders::Orders, refunds::Refunds},
    error::ApiError,
    http::{Endpoint, Request},
    id::{self, Kind},
};

use super::view;

/// What this function may touch.
pub struct GetRefund {
    /// Whether there is such an order.
    pub orders: Orders,
    /// The refunds.
    pub refunds: Refunds,
}

impl Endpoint for GetRefund {
    const SUCCESS: StatusCode = StatusCode::OK;
    type Answer = Value;

    async fn handle(&self, owner: Owner, request: Request) -> Result<Value, ApiError> {
        let id = request.id::<id::Order>("request_id")?;
        let refund = self.refunds.get(&owner, &id).await?;
        if refund.is_none() {
            // Only of an order that there is can it be said that no refund was asked for.
            let order = self.orders.get(&owner, &id).await?;
            order.ok_or(ApiError::NotFound(id::Order::NAME))?;
        }
        Ok(view::body(&id, refund.as_ref()))
    }
}
