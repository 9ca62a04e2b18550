//! Black-box tests: what a client sees, over HTTP, against a running stack. One file per resource or promise.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails"
)]

mod aborts;
mod account_mail;
mod addax;
mod architecture;
mod authn;
mod bad_input;
mod cancellations;
mod clients;
mod contract;
mod crashes;
mod forwarding;
mod idempotency;
mod mail_delivery;
mod managed_accounts;
mod openapi;
mod orders;
mod products;
mod retries;
mod returns;
mod seeds;
mod splits;
mod sweeper;
mod template;
mod tracking;
mod turns;
mod verification;
mod webhook_deliveries;
mod webhook_endpoint;
mod webhooks;
