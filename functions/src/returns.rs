//! Taking goods back.

pub mod create;
mod view;
