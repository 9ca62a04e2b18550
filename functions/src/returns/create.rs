//! `POST /v1/orders/{request_id}/return` has goods taken back, and gets the labels to send them with.
//!
//! Answers `{"request_id"}` of the return.

use http::StatusCode;
use spelter::{
    accounts::Owner,
    aftersale,
    error::{ApiError, Code, Refusal},
    http::{Endpoint, Request},
    id,
    returns::{self, Status, Wanted},
};

use crate::aftersale::accept::{ACCEPTED, AcceptAfterSale, Accepted};

/// What this function may touch.
pub struct CreateReturn {
    /// How it is accepted.
    pub accept: AcceptAfterSale<Status>,
}

impl Endpoint for CreateReturn {
    const SUCCESS: StatusCode = ACCEPTED;
    type Answer = Accepted;

    async fn handle(&self, owner: Owner, request: Request) -> Result<Accepted, ApiError> {
        let id = request.id::<id::Order>("request_id")?;
        let order = self.accept.order(&owner, &id).await?;
        let body = request.object_or_nothing()?;
        let wish = aftersale::read::<Wanted>(body.clone(), self.accept.reach)
            .map_err(ApiError::Invalid)?;
        let placement = aftersale::placed(&order.status).map_err(ApiError::Refused)?;
        if !order.retailer.offers_returns() {
            let text =
                format!("{} takes nothing back through this API.", order.retailer.row().name);
            return Err(ApiError::Refused(Refusal::new(Code::InvalidRequest).saying(text)));
        }
        let past = returns::choose(placement, &wish.wanted.products);
        let past = past.map_err(|fault| ApiError::Invalid(vec![fault]))?;
        self.accept.accept(&order, &past.merchant_order_id, wish, body.into()).await
    }
}
