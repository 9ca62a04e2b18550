//! What the queues bring.

pub mod account;
mod cancel_order;
mod checkout;
pub mod deliver_webhook;
pub mod end_dead_order;
mod place_bundle;
mod place_order;
pub mod read_product;
pub mod sign_in;
mod start_return;
mod track_order;
