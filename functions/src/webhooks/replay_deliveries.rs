//! `POST /v1/webhooks/deliveries/replay` has all deliveries of some time sent again, page by page from the oldest.
//!
//! The body: `from` and `until` in milliseconds since 1970 (the first is inside, the second is not), `state`
//! (`undelivered`), `request_id`, `limit` (50, at most 100) and `cursor`, which the answer before ended with. What
//! is replayed stands behind what waits already, in the order in which it happened.

use std::collections::BTreeSet;

use deserr::Deserr;
use http::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};
use spelter::{
    accounts::Owner,
    aws::{
        AwsError,
        outbox::{DeliveryPage, Outbox, Sequence, StateFilter},
        queue::Webhooks,
    },
    clock::Clock,
    error::ApiError,
    fields::{self, Faults, Unfit},
    http::{Endpoint, Request},
    id::{DeliveryId, RequestId},
};

use super::{list_deliveries::MAX_LIMIT, some_delivery, some_request, time};
use crate::news::hurry;

/// What this function may touch.
pub struct ReplayDeliveries {
    /// The log and the lanes.
    pub outbox: Outbox,
    /// The way to the sender.
    pub webhooks: Webhooks,
    /// The time.
    pub now: Clock,
}

const DEFAULT_LIMIT: usize = 50;

#[derive(Deserr)]
#[deserr(error = Faults)]
struct Body {
    #[deserr(try_from(i64) = time -> Unfit)]
    from: Timestamp,
    #[deserr(try_from(i64) = time -> Unfit)]
    until: Timestamp,
    #[deserr(default = StateFilter::Undelivered)]
    state: StateFilter,
    #[deserr(default, try_from(Option<String>) = some_request -> Unfit)]
    request_id: Option<RequestId>,
    #[deserr(default = DEFAULT_LIMIT, try_from(usize) = bounded -> Unfit)]
    limit: usize,
    #[deserr(default, try_from(Option<String>) = some_delivery -> Unfit)]
    cursor: Option<DeliveryId>,
}

fn bounded(limit: usize) -> Result<usize, Unfit> {
    let unfit = || Unfit(format!("must be between 1 and {MAX_LIMIT}"));
    (1..=MAX_LIMIT).contains(&limit).then_some(limit).ok_or_else(unfit)
}

impl Endpoint for ReplayDeliveries {
    const SUCCESS: StatusCode = StatusCode::OK;
    type Answer = Value;

    async fn handle(&self, owner: Owner, request: Request) -> Result<Value, ApiError> {
        let body = fields::without_blanks(request.json()?);
        let Body { from, until, state, request_id, limit, cursor } =
            fields::read(body).map_err(ApiError::Invalid)?;
        let page = DeliveryPage {
            order: Sequence::OldestFirst,
            limit,
            state: Some(state),
            request: request_id,
            from: Some(from),
            until: Some(until),
            beyond: cursor,
        };
        let (deliveries, next) = self.outbox.list(&owner, &page).await?;
        let mut lanes = BTreeSet::new();
        let mut replayed: usize = 0;
        for delivery in &deliveries {
            // One after another: each goes to the end of its lane.
            match self.outbox.replay(delivery, (self.now)()).await {
                Ok(()) => replayed = replayed.saturating_add(1),
                // Somebody else has replayed it, or what it said has expired.
                Err(AwsError::Conflict) => {}
                Err(error) => {
                    hurry(&self.webhooks, lanes).await;
                    return Err(error.into());
                }
            }
            lanes.insert((owner.clone(), delivery.lane()));
        }
        hurry(&self.webhooks, lanes).await;
        Ok(json!({"replayed": replayed, "next_cursor": next}))
    }
}
