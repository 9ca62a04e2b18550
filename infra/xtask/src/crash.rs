//! `crash`: tries out the promise.

use crate::{
    model::{self, Size},
    real,
};
use anyhow::Result;
use clap::Args;

/// What is tried, and how large.
#[derive(Args)]
pub(crate) struct Crash {
    #[command(flatten)]
    kind: Kind,
    /// Of the model, the size that CI runs, in some minutes. Without it, some hours.
    #[arg(long, requires = "model")]
    ci: bool,
    #[command(flatten, next_help_heading = "Size of --real")]
    size: real::Size,
}

/// One of them.
#[derive(Args)]
#[group(required = true, multiple = false)]
struct Kind {
    /// The service's own code in one process and on a clock of its own, with faults at every call.
    #[arg(long)]
    model: bool,
    /// The real programs on a local stack of their own: they are killed, frozen and cut off while orders are placed.
    #[arg(long)]
    real: bool,
    /// The same with the times that are deployed: how long an account has no job when its worker dies at the worst
    /// moment, and whether others notice. Some five minutes.
    #[arg(long)]
    worst_moment: bool,
}

/// Runs it.
pub(crate) fn run(crash: &Crash) -> Result<()> {
    if crash.kind.real {
        return real::run(crash.size);
    }
    if crash.kind.worst_moment {
        return real::worst_moment();
    }
    model::run(if crash.ci { Size::Ci } else { Size::Nightly })
}
