//! The promise, tried out on real processes: docs/guarantees.md says what is promised and what each word means.
//!
//! Processes of a local stack of its own are killed, frozen and cut off while orders are placed. `cargo xtask crash`
//! starts that stack, and starts it again whenever this program ends it.

mod accounts;
mod aftermath;
mod client;
mod clock;
mod judge;
mod overlap;
mod plan;
mod presses;
mod receiver;
mod run;
mod stack;
mod strikes;
mod worst_moment;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::Result;
use clap::{Args, Parser, Subcommand};

use crate::{plan::Size, stack::Stack, strikes::Terms};

#[derive(Parser)]
struct Arguments {
    /// The description of the stack under test, its `stack.json`.
    #[arg(long, env = "SPELTER_STACK")]
    stack: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Many orders, and faults from a seed.
    Faults(Faults),
    /// Workers that die at the worst moment, and how long that takes.
    WorstMoment,
}

#[derive(Args)]
struct Faults {
    /// How long a job of the stack may take.
    #[arg(long)]
    job_seconds: u64,
    /// How long a message that is worked on is nobody else's.
    #[arg(long)]
    visibility_seconds: u64,
    #[command(flatten)]
    size: Size,
}

/// How much longer than a job its lease lasts, and a little more.
const SKEW: Duration = Duration::from_secs(6);
/// How long a sender's message is nobody else's, and a little more.
const SENDERS_TERM: Duration = Duration::from_secs(37);

impl Faults {
    fn terms(&self) -> Terms {
        let job = Duration::from_secs(self.job_seconds);
        let worker = (job + SKEW).max(Duration::from_secs(self.visibility_seconds));
        Terms { job, worker, sender: SENDERS_TERM }
    }
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let Arguments { stack, command } = Arguments::parse();
    let stack = Stack::new(::tests::http(), stack);
    let is_good = match command {
        Command::Faults(faults) => run::run(faults.size, stack, faults.terms()).await?,
        Command::WorstMoment => worst_moment::run(stack).await?,
    };
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
