//! `/v1/addax…`: a client's prepaid balance and what changed it.

pub mod balance;
pub mod transactions;
