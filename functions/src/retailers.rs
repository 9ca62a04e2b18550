//! `/v1/retailers`: what can be done where.

pub mod list;
