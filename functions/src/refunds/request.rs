//! `POST /v1/orders/{request_id}/refund` asks for the money of an order that was paid from the balance.
//!
//! Answers what GET answers then. Asking again changes nothing.

use deserr::Deserr;
use http::StatusCode;
use serde_json::Value;
use spelter::{
    accounts::Owner,
    aws::{orders::Orders, refunds::Refunds},
    clock::Clock,
    error::{ApiError, Code, Refusal},
    fields::{self, Faults, Unfit},
    http::{Endpoint, Request},
    id::{self, Kind},
    refunds::{RefundReason, Wish},
};

use super::view;

/// What this function may touch.
pub struct RequestRefund {
    /// Whether there is such an order.
    pub orders: Orders,
    /// The refunds.
    pub refunds: Refunds,
    /// The time.
    pub now: Clock,
}

#[derive(Deserr)]
#[deserr(error = Faults)]
struct Body {
    #[deserr(try_from(&String) = known_reason -> Unfit)]
    reason: RefundReason,
    #[deserr(default, try_from(String) = bounded_note -> Unfit)]
    note: String,
}

const MAX_NOTE_CHARS: usize = 5000;

impl Endpoint for RequestRefund {
    const SUCCESS: StatusCode = StatusCode::OK;
    type Answer = Value;

    async fn handle(&self, owner: Owner, request: Request) -> Result<Value, ApiError> {
        let id = request.id::<id::Order>("request_id")?;
        let order = self.orders.get(&owner, &id).await?;
        let order = order.ok_or(ApiError::NotFound(id::Order::NAME))?;
        let body = fields::without_blanks(request.json()?);
        let Body { reason, note } = fields::read(body).map_err(ApiError::Invalid)?;
        let wish = Wish { reason, note, merchant_order_id: None, amount: None };
        match self.refunds.request(&owner, &order.id, &wish, (self.now)()).await? {
            Ok(Some(refund)) => Ok(view::body(&order.id, Some(&refund))),
            Ok(None) => Err(refused("There is nothing left to refund.")),
            Err(why) => Err(refused(why.to_string())),
        }
    }
}

fn refused(why: impl Into<String>) -> ApiError {
    ApiError::Refused(Refusal::new(Code::InvalidRequest).saying(why))
}

fn known_reason(text: &str) -> Result<RefundReason, Unfit> {
    text.parse()
}

fn bounded_note(text: String) -> Result<String, Unfit> {
    if text.chars().count() > MAX_NOTE_CHARS {
        return Err(Unfit(format!("must not be longer than {MAX_NOTE_CHARS} characters")));
    }
    Ok(text)
}
