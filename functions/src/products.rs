//! `/v1/products…`: what retailers say of their products.

pub mod details;
pub mod look_up;
pub mod offers;
pub mod reader;
pub mod view;
