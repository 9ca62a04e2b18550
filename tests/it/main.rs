//! Black-box tests: what a client sees, over HTTP, against a running stack. One file per resource or promise.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails"
)]

mod aborts;
mod architecture;
mod authn;
mod bad_input;
mod clients;
mod contract;
mod crashes;
mod idempotency;
mod managed_accounts;
mod orders;
mod seeds;
mod sweeper;
mod template;
mod turns;
mod webhooks;
