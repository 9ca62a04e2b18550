//! Logs: one JSON object a line, with a message that reads alone and dotted fields to search by.
//!
//! Never a body, a key, a password or an address.

use tracing_subscriber::EnvFilter;

/// Starts logging at the level of `RUST_LOG`.
pub fn init() {
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_env_filter(EnvFilter::from_default_env())
        .init();
}
