//! Cancelling what was placed and has not shipped.

pub mod create;
mod view;
