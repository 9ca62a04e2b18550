//! `GET /v1/products/{product_id}?retailer=…` tells what a product is.
//!
//! `max_age` (seconds; 24 hours) or `newer_than` (a time, in seconds since 1970) say how fresh; `async` says not to
//! wait. Other parameters are ignored.

use http::StatusCode;
use spelter::{
    accounts::Owner,
    error::ApiError,
    http::{Endpoint, Request},
    products::What,
    retailers::Connector,
};

use super::{
    look_up::{Asked, LookUp},
    view::{self, View},
};

/// What this function may touch.
pub struct GetProduct<C> {
    /// Finds out what pages say.
    pub look_up: LookUp<C>,
}

impl<C: Connector> Endpoint for GetProduct<C> {
    const SUCCESS: StatusCode = StatusCode::OK;
    type Answer = View;

    async fn handle(&self, owner: Owner, request: Request) -> Result<View, ApiError> {
        let asked = Asked::read(&owner, &request, What::Details)?;
        let seen = self.look_up.run(&asked).await?;
        Ok(view::of(asked, seen))
    }
}
