//! The clients for calls to the wide web. They follow no redirects and repeat nothing. Where a URL comes from a client
//! of ours, [`super::outbound`] calls it.

use std::time::Duration;

use reqwest::{ClientBuilder, redirect::Policy};

use crate::error::BoxError;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A client whose calls take at most `timeout`.
pub fn build(timeout: Duration) -> Result<reqwest::Client, BoxError> {
    Ok(builder(timeout).build()?)
}

/// What all clients have in common.
pub(super) fn builder(timeout: Duration) -> ClientBuilder {
    // A second installation fails, and the first is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .user_agent(concat!("spelter/", env!("CARGO_PKG_VERSION")))
        .redirect(Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(timeout)
        // A frozen function thaws with connections the other side has long closed; sending a purchase into one would
        // leave its outcome unknown.
        .pool_max_idle_per_host(0)
}
