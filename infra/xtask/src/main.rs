//! The project's commands: `cargo xtask up | down | test | crash | client | operator | webhooks`.
//!
//! It must build in seconds, since it is the first thing anybody runs: no AWS SDK and no async
//! runtime here. What takes those is in `spelter-local` and `spelter-admin`, which this builds.

mod clients;
mod crash;
mod local;
mod machine;
mod model;
mod operator;
mod python;
mod real;
mod sam;
mod shell;
mod stack;
mod test;
mod webhooks;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Spelter's commands")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build everything, start it on this machine, and say how to use it.
    Up(local::Up),
    /// End what `up --detach` left running.
    Down,
    /// Run everything CI runs.
    Test(test::Test),
    /// Try out the promise: no order is lost, and none is bought twice.
    Crash(crash::Crash),
    /// Print what `sam local --env-vars` needs to use the local stack.
    SamEnv,
    /// Manage the clients who may call the API.
    Client {
        #[command(subcommand)]
        command: clients::Command,
    },
    /// Run `spelter-admin` with the local stack's tables: `cargo xtask operator ledger --help`.
    Operator(operator::Operator),
    /// Receive webhooks on this machine: `cargo xtask webhooks listen --help`.
    Webhooks(webhooks::Webhooks),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Up(up) => local::up(&up),
        Command::Down => local::down(),
        Command::SamEnv => sam::print_environment(),
        Command::Test(test) => return test::run(&test),
        Command::Crash(crash) => crash::run(&crash),
        Command::Client { command } => clients::run(&command),
        Command::Operator(operator) => operator::run(&operator),
        Command::Webhooks(webhooks) => webhooks::run(&webhooks),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nerror: {error:#}");
            ExitCode::FAILURE
        }
    }
}
