//! `/v1/orders/{request_id}/refund`: reversing orders that were paid from the balance.

pub mod get;
pub mod request;
pub mod view;
