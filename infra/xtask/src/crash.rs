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
    #[arg(long, conflicts_with_all = ["real", "worst_moment"])]
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

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Command, error::ErrorKind};

    #[test]
    fn a_size_is_of_the_real_processes_only() {
        let refused = |arguments: &[&str]| {
            let command = Crash::augment_args(Command::new("crash").no_binary_name(true));
            command.try_get_matches_from(arguments).err().map(|error| error.kind())
        };
        assert_eq!(refused(&["--real", "--orders", "5"]), None);
        assert_eq!(refused(&["--model", "--ci"]), None);
        for other in ["--model", "--worst-moment"] {
            assert_eq!(refused(&[other, "--orders", "5"]), Some(ErrorKind::ArgumentConflict));
        }
        assert_eq!(refused(&["--real", "--ci"]), Some(ErrorKind::ArgumentConflict));
    }
}
