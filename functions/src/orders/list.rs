//! `GET /v1/orders` lists a client's orders, newest first.
//!
//! `limit` (10), `skip`, `retailer`, and `starting_after` / `ending_before` in milliseconds since 1970.

use http::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};
use spelter::{
    accounts::Owner,
    aws::orders::{Orders, Page},
    error::ApiError,
    fields::FieldError,
    http::{Endpoint, Request},
    retailers::RetailerCode,
};

use super::view;

/// What this function may touch.
pub struct ListOrders {
    /// The orders.
    pub orders: Orders,
}

const DEFAULT_LIMIT: usize = 10;
/// The official sample asks for 5,000.
const MAX_LIMIT: usize = 5000;
/// Lambda answers with at most 6 MB; a longer list is cut there, and `skip` goes on.
const MAX_ANSWER_BYTES: usize = 5 * 1024 * 1024;

impl Endpoint for ListOrders {
    const SUCCESS: StatusCode = StatusCode::OK;
    type Answer = Value;

    async fn handle(&self, owner: Owner, request: Request) -> Result<Value, ApiError> {
        let page = Page {
            limit: request.limit(DEFAULT_LIMIT, MAX_LIMIT)?,
            skip: request.query("skip")?.unwrap_or_default(),
            // "Starting after" a time: the first millisecond of the page is the next one.
            from: time(&request, "starting_after")?.and_then(next_millisecond),
            before: time(&request, "ending_before")?,
            retailer: request.query::<RetailerCode>("retailer")?,
        };
        let orders = self.orders.list(&owner, &page).await?;
        let mut bytes = 0;
        let summaries: Vec<_> = orders
            .iter()
            .map(view::summary)
            .take_while(|summary| {
                bytes += summary.to_string().len();
                bytes <= MAX_ANSWER_BYTES
            })
            .collect();
        Ok(json!({"orders": summaries}))
    }
}

fn time(request: &Request, name: &'static str) -> Result<Option<Timestamp>, ApiError> {
    let Some(millis) = request.query::<i64>(name)? else {
        return Ok(None);
    };
    let time = Timestamp::from_millisecond(millis);
    time.map(Some)
        .map_err(|_| invalid(name, "must be a time in milliseconds since 1970".to_owned()))
}

fn next_millisecond(time: Timestamp) -> Option<Timestamp> {
    Timestamp::from_millisecond(time.as_millisecond().checked_add(1)?).ok()
}

fn invalid(name: &str, message: String) -> ApiError {
    ApiError::Invalid(vec![FieldError::in_query(name, message)])
}
