//! `POST /v1/orders/{request_id}/cancel` has a retailer's order cancelled before it ships.
//!
//! Answers `{"request_id"}` of the cancellation. Nothing need be sent, unless the retailer made several orders of one.
//! Asking twice is asking for the same: what is cancelled stays so.

use http::StatusCode;
use spelter::{
    accounts::Owner,
    aftersale,
    cancellations::{self, Status, Wanted},
    error::{ApiError, Code, Refusal},
    http::{Endpoint, Request},
    id,
};

use crate::aftersale::accept::{ACCEPTED, AcceptAfterSale, Accepted};

/// What this function may touch.
pub struct CreateCancellation {
    /// How it is accepted.
    pub accept: AcceptAfterSale<Status>,
}

impl Endpoint for CreateCancellation {
    const SUCCESS: StatusCode = ACCEPTED;
    type Answer = Accepted;

    async fn handle(&self, owner: Owner, request: Request) -> Result<Accepted, ApiError> {
        let id = request.id::<id::Order>("request_id")?;
        let order = self.accept.order(&owner, &id).await?;
        let body = request.object_or_nothing()?;
        let wish = aftersale::read::<Wanted>(body.clone(), self.accept.reach)
            .map_err(ApiError::Invalid)?;
        let placement = aftersale::placed(&order.status).map_err(ApiError::Refused)?;
        if !order.retailer.offers_cancellations() {
            let text = format!("Orders at {} cannot be cancelled.", order.retailer.row().name);
            return Err(ApiError::Refused(Refusal::new(Code::InvalidRequest).saying(text)));
        }
        let past = cancellations::choose(placement, &wish.wanted);
        let past = past.map_err(|fault| ApiError::Invalid(vec![fault]))?;
        self.accept.accept(&order, &past.merchant_order_id, wish, body.into()).await
    }
}
