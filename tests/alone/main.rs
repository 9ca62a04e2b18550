//! What needs the stack for itself: hours that pass at once, since the sweeper sees everybody's orders, and accounts of
//! the operator's, which would serve other tests' orders, too.

#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod bundles;
mod errors;
mod paid_by_balance;
mod races;
mod receipt_rules;
mod sweeps;
