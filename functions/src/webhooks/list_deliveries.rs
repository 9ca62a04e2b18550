//! `GET /v1/webhooks/deliveries` lists what was sent and what waits, newest first.
//!
//! `request_id`, `state`, `from` and `until` in milliseconds since 1970 (the first is inside, the second is not), `limit`
//! (50, at most 100), and `cursor`, which the page before ended with.

use deserr::Deserr;
use http::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};
use spelter::{
    accounts::Owner,
    aws::outbox::{DeliveryPage, Outbox, Sequence, StateFilter},
    error::ApiError,
    fields::{Faults, Unfit},
    http::{Endpoint, Request},
    id::{DeliveryId, RequestId},
};

use super::{delivery::line, some_delivery, some_request, some_time};

/// What this function may touch.
pub struct ListDeliveries {
    /// The log.
    pub outbox: Outbox,
}

const DEFAULT_LIMIT: usize = 50;
pub(super) const MAX_LIMIT: usize = 100;

#[derive(Deserr)]
#[deserr(error = Faults)]
struct Query {
    #[deserr(default, try_from(Option<String>) = some_request -> Unfit)]
    request_id: Option<RequestId>,
    #[deserr(default)]
    state: Option<StateFilter>,
    #[deserr(default, try_from(Option<String>) = some_time -> Unfit)]
    from: Option<Timestamp>,
    #[deserr(default, try_from(Option<String>) = some_time -> Unfit)]
    until: Option<Timestamp>,
    #[deserr(default, try_from(Option<String>) = some_delivery -> Unfit)]
    cursor: Option<DeliveryId>,
}

impl Endpoint for ListDeliveries {
    const SUCCESS: StatusCode = StatusCode::OK;
    type Answer = Value;

    async fn handle(&self, owner: Owner, request: Request) -> Result<Value, ApiError> {
        let limit = request.limit(DEFAULT_LIMIT, MAX_LIMIT)?;
        let Query { request_id, state, from, until, cursor } = request.read_query()?;
        let page = DeliveryPage {
            order: Sequence::NewestFirst,
            limit,
            state,
            request: request_id,
            from,
            until,
            beyond: cursor,
        };
        let (deliveries, next) = self.outbox.list(&owner, &page).await?;
        let deliveries: Vec<_> = deliveries.iter().map(line).collect();
        Ok(json!({"deliveries": deliveries, "next_cursor": next}))
    }
}
