//! `crash`: tries out the promise.

use crate::model::{self, Size};
use anyhow::Result;
use clap::Args;

/// What is tried, and how large.
#[derive(Args)]
pub(crate) struct Crash {
    /// The service's own code in one process and on a clock of its own, with faults at every call.
    #[arg(long, required = true)]
    model: bool,
    /// The size that CI runs, in some minutes. Without it, some hours.
    #[arg(long)]
    ci: bool,
}

/// Runs it.
pub(crate) fn run(crash: &Crash) -> Result<()> {
    model::run(if crash.ci { Size::Ci } else { Size::Nightly })
}
