//! What the queues bring.

pub mod deliver_webhook;
pub mod end_dead_order;
pub mod place_order;
