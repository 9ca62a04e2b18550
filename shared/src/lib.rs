//! Ordering at retailers, in one library that all functions share.
//!
//! The modules stand in reading order. Domain modules know nothing of AWS, HTTP or any retailer's words; only
//! `retailers/<site>` knows a site; only `aws` names an AWS type; a password exists in the clear only between
//! `aws::vault` and a connector.

pub mod client_key;
pub mod clock;
pub mod config;
pub mod email;
pub mod error;
pub mod fields;
pub mod guards;
pub mod id;
pub mod money;
pub mod random;
pub mod redact;
pub mod sealed;
pub mod totp;

pub mod accounts;
pub mod aftersale;
pub mod backlog;
pub mod cancellations;
pub mod labels;
pub mod ledger;
pub mod mail;
pub mod orders;
pub mod products;
pub mod refunds;
pub mod retailers;
pub mod returns;
pub mod sign_in;
pub mod webhooks;

pub mod dkim;
mod dns;
pub mod http;
pub mod sqs;
pub mod telemetry;

pub mod aws;
