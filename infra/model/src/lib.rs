//! Tries out the promise: an accepted order is never lost, a purchase is never submitted twice, and one account never has
//! two jobs at once.
//!
//! Everything runs in one process and on a clock of its own, from one seed: the service's own code, and models of what it
//! calls. Faults strike at those calls. The same seed makes the same run.

#![cfg(feature = "crash-test")]
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "a run that cannot go on ends the test; a member that JSON lacks reads as null"
)]

pub mod actor;
pub mod again;
pub mod aws;
pub mod balance;
pub mod bury;
pub mod clients;
pub mod edges;
pub mod explore;
pub mod faults;
pub mod journal;
pub mod mail;
pub mod panics;
pub mod platform;
pub mod receiver;
pub mod run;
pub mod shop;
pub mod verdict;
pub mod world;

#[cfg(test)]
mod tests;
