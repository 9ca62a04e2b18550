//! Return labels.

pub mod get;
