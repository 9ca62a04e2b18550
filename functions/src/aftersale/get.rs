//! `GET /v1/cancellations/{request_id}` and `GET /v1/returns/{request_id}` tell what became of one.

use http::StatusCode;
use serde_json::Value;
use spelter::{
    accounts::Owner,
    aws::aftersales::AfterSales,
    error::ApiError,
    http::{Endpoint, Request},
    id::Kind as _,
};

use super::{Kind, view};

/// What this function may touch.
pub struct GetAfterSale<K: Kind> {
    /// The requests.
    pub requests: AfterSales<K>,
}

impl<K: Kind> Endpoint for GetAfterSale<K> {
    const SUCCESS: StatusCode = StatusCode::OK;
    type Answer = Value;

    async fn handle(&self, owner: Owner, request: Request) -> Result<Value, ApiError> {
        let id = request.id::<K::Kind>("request_id")?;
        let found = self.requests.get(&owner, &id).await?;
        let found = found.ok_or(ApiError::NotFound(K::Kind::NAME))?;
        Ok(view::body(&found))
    }
}
