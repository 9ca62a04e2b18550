//! The crash test on real processes: a stack of its own, the program that breaks it, and who starts it again.

use crate::{
    local,
    machine::Profile,
    python::{self, Tools},
    shell::phase,
    stack::{Guard, Options, Place},
};
use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use std::{
    net::TcpListener,
    process::{Child, Command},
    thread::sleep,
    time::Duration,
};

/// The other tests' flags: those have no size.
const OTHERS: [&str; 2] = ["model", "worst_moment"];

/// How much.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Size {
    /// Orders.
    #[arg(long, default_value_t = 10_000, conflicts_with_all = OTHERS)]
    orders: u64,
    /// Accounts that they are for.
    #[arg(long, default_value_t = 50, conflicts_with_all = OTHERS)]
    accounts: u64,
    /// Processes that are killed.
    #[arg(long, default_value_t = 560, conflicts_with_all = OTHERS)]
    kills: u64,
    /// Processes that are frozen until their work is somebody else's.
    #[arg(long, default_value_t = 120, conflicts_with_all = OTHERS)]
    freezes: u64,
    /// What all choices follow from.
    #[arg(long, default_value_t = 1, conflicts_with_all = OTHERS)]
    seed: u64,
}

impl Size {
    /// What every test run has time for.
    pub(crate) const SMOKE: Self =
        Self { orders: 120, accounts: 10, kills: 12, freezes: 3, seed: 1 };
    /// Up to so many orders it takes longer to build anew than to place them.
    const FEW: u64 = 1_000;

    const fn profile(self) -> Profile {
        if self.orders <= Self::FEW { Profile::Dev } else { Profile::Crash }
    }
}

/// How long a job may take, so that lost work comes back in seconds.
const JOB_SECONDS: u64 = 15;
/// When its message comes back.
const VISIBILITY_SECONDS: u64 = 17;
/// The program.
const PROGRAM: &str = "crash-real";
/// The stack's listeners.
const PORTS: [&str; 6] = ["api", "sandbox", "dynamodb", "aws", "lambda", "smtp"];
/// Where its ports are looked for: below those that this machine gives to outgoing connections, one of which could
/// otherwise have a port of the stack while it is started again.
const PORT_RANGE: std::ops::Range<u16> = 10_000..30_000;

/// Places orders, and kills, freezes and restarts meanwhile.
pub(crate) fn run(size: Size) -> Result<()> {
    let Size { orders, accounts, kills, freezes, seed } = size;
    let numbers = [
        ("job-seconds", JOB_SECONDS),
        ("visibility-seconds", VISIBILITY_SECONDS),
        ("orders", orders),
        ("accounts", accounts),
        ("kills", kills),
        ("freezes", freezes),
        ("seed", seed),
    ];
    let numbers = numbers.map(|(name, number)| format!("--{name}={number}"));
    let mut arguments = vec!["faults".to_owned()];
    arguments.extend(numbers);
    let parameters = vec![
        format!("JobTimeoutSeconds={JOB_SECONDS}"),
        format!("JobVisibilitySeconds={VISIBILITY_SECONDS}"),
        "CodeWaitSeconds=60".to_owned(),
    ];
    try_out(size.profile(), parameters, &arguments)
}

/// Kills workers at the worst moment, with the times that are deployed.
pub(crate) fn worst_moment() -> Result<()> {
    try_out(Profile::Dev, Vec::new(), &["worst-moment".to_owned()])
}

fn try_out(profile: Profile, parameters: Vec<String>, arguments: &[String]) -> Result<()> {
    let venv = python::environment(Tools::Ministack)?;
    phase("Build", || local::build_as(profile))?;
    // Not `crash`: that is where cargo puts what is built so.
    let place = Place::built_as("crash-real", profile);
    place.end()?;
    place.clear()?;
    let options = Options { ports: free_ports()?, parameters, ends_with_us: true };
    let start = || -> Result<Guard> {
        let (child, _) = place.start(&venv, &options)?;
        Ok(Guard::new(place.clone(), child))
    };
    let guard = phase("Start", start)?;
    let mut program = Command::new(profile.binaries().join(PROGRAM));
    program.args(arguments).env("SPELTER_STACK", place.description());
    let child = program.spawn().with_context(|| format!("cannot run {PROGRAM}"))?;
    watch_over(child, guard, start)
        .with_context(|| format!("the stack's state and logs are in {}", place.state().display()))
}

/// Starts the stack again whenever the program ends it, until the program has ended.
fn watch_over(mut program: Child, guard: Guard, start: impl Fn() -> Result<Guard>) -> Result<()> {
    let mut guard = Some(guard);
    let watched = loop {
        match program.try_wait() {
            Ok(Some(status)) if status.success() => break Ok(()),
            Ok(Some(status)) => bail!("{PROGRAM} failed ({status})"),
            Ok(None) => {}
            Err(error) => break Err(error.into()),
        }
        if !guard.as_mut().is_some_and(Guard::is_running) {
            // What it leaves is cleared away before the next one writes it anew.
            drop(guard.take());
            match start() {
                Ok(started) => guard = Some(started),
                Err(error) => break Err(error),
            }
        }
        sleep(Duration::from_millis(50));
    };
    if watched.is_err() {
        let _ = program.kill();
        let _ = program.wait();
    }
    watched
}

/// Flags with ports that nobody has. They stay the same when the stack is started again.
fn free_ports() -> Result<Vec<String>> {
    let mut flags = Vec::new();
    // So that two that start at once do not try the same.
    let first = std::process::id() % u32::from(PORT_RANGE.end - PORT_RANGE.start);
    let offset = usize::try_from(first)?;
    // Held until all are found, so that none is found twice.
    let mut held = Vec::new();
    for port in PORT_RANGE.cycle().skip(offset).take(PORT_RANGE.len()) {
        let Some(name) = PORTS.get(flags.len()) else { break };
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)) {
            held.push(listener);
            flags.push(format!("--{name}-port={port}"));
        }
    }
    ensure!(flags.len() == PORTS.len(), "no ports are free");
    Ok(flags)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_listener_has_a_port_of_its_own() {
        let flags = free_ports().unwrap();
        let ports: std::collections::BTreeSet<_> =
            flags.iter().filter_map(|flag| flag.split_once('=')).map(|(_, port)| port).collect();
        assert_eq!(ports.len(), PORTS.len());
    }
}
