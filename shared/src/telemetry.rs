//! Logs: one JSON object a line, with a message that reads alone and dotted fields to search by.
//!
//! Never a body, a key, a password or an address.

use std::time::Instant;

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

/// The milliseconds since `started`, for a field `duration_ms`.
pub fn millis_since(started: Instant) -> u64 {
    u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX)
}
