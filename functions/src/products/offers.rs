//! `GET /v1/products/{product_id}/offers?retailer=…` tells who sells a product, and for how much.
//!
//! `max_age` (seconds; 15 minutes) or `newer_than` (a time, in seconds since 1970) say how fresh; `async` says not to
//! wait, and `version=2` asks for the newer shape of an offer. Other parameters are ignored.

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
pub struct ListProductOffers<C> {
    /// Finds out what pages say.
    pub look_up: LookUp<C>,
}

impl<C: Connector> Endpoint for ListProductOffers<C> {
    const SUCCESS: StatusCode = StatusCode::OK;
    type Answer = View;

    async fn handle(&self, owner: Owner, request: Request) -> Result<View, ApiError> {
        let asked = Asked::read(&owner, &request, What::Offers)?;
        let seen = self.look_up.run(&asked).await?;
        Ok(view::of(asked, seen))
    }
}
