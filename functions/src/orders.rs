//! `/v1/orders…`: accepting orders and telling what became of them.

pub mod abort;
pub mod accept;
pub mod create;
pub mod get;
pub mod list;
pub mod progress;
pub mod retry;
pub mod view;
