//! `/webhooks/endpoint`, the client's own endpoint, and `/v1/webhooks/…`, what was delivered and what was not.

pub mod delete_endpoint;
pub mod delivery;
pub mod enable_endpoint;
pub mod endpoint;
pub mod get_delivery;
pub mod get_endpoint;
pub mod list_deliveries;
pub mod list_endpoints;
pub mod replay_deliveries;
pub mod replay_delivery;
pub mod rotate_secret;
pub mod send_test;
pub mod set_endpoint;

use jiff::Timestamp;
use spelter::{
    fields::Unfit,
    id::{DeliveryId, RequestId},
};

fn time(millis: i64) -> Result<Timestamp, Unfit> {
    Timestamp::from_millisecond(millis).map_err(no_time)
}

fn some_time(text: Option<String>) -> Result<Option<Timestamp>, Unfit> {
    text.map(|text| time(text.parse().map_err(no_time)?)).transpose()
}

fn no_time<E>(_: E) -> Unfit {
    Unfit("must be a time in milliseconds since 1970".to_owned())
}

fn some_request(text: Option<String>) -> Result<Option<RequestId>, Unfit> {
    let unfit = |_| Unfit("must be a request_id".to_owned());
    text.map(|text| text.parse().map_err(unfit)).transpose()
}

fn some_delivery(text: Option<String>) -> Result<Option<DeliveryId>, Unfit> {
    let unfit = |_| Unfit("must be what `next_cursor` was".to_owned());
    text.map(|text| text.parse().map_err(unfit)).transpose()
}
