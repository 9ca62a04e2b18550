//! The model test: the service's own code in one process, with faults at every call.

use crate::{
    machine::{self, Profile},
    shell::{self, phase},
};
use anyhow::{Result, bail};
use std::{path::PathBuf, process::Command};

/// What is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Size {
    /// Every single fault, some pairs, a few seeds, and every guard taken away: some minutes with what the other tests
    /// have built.
    Ci,
    /// Every single fault and every pair, and a thousand seeds of a thousand orders: some hours.
    Nightly,
}

/// The package's features: without this one there is nothing in it.
pub(crate) const FEATURES: [&str; 4] = ["-p", "crash-model", "--features", "crash-test"];

/// A search, with the program's arguments.
type Search = (&'static str, &'static [&'static str]);

/// Until every guard is missed.
const TEETH: Search = ("Guards that are taken away", &["teeth"]);

impl Size {
    /// How it is built: what runs for hours is worth building anew.
    const fn profile(self) -> Profile {
        match self {
            Self::Ci => Profile::Dev,
            Self::Nightly => Profile::Model,
        }
    }

    /// Where that leaves the program.
    fn program(self) -> PathBuf {
        self.profile().binaries().join("crash-model")
    }

    /// What is searched for.
    const fn searches(self) -> &'static [Search] {
        match self {
            Self::Ci => &[
                ("Every single fault, and some pairs", &["exhaustive", "--pairs=2000"]),
                ("Faults from seeds", &["random", "--seeds=15", "--orders=30", "--one-in=60"]),
                ("What happens seldom", &["edges", "--small"]),
                TEETH,
            ],
            Self::Nightly => &[
                ("Every single fault, and every pair", &["exhaustive", "--pairs=1"]),
                (
                    "Faults from seeds",
                    &["random", "--seeds=1000", "--orders=1000", "--accounts=50", "--one-in=300"],
                ),
                ("What happens seldom", &["edges"]),
                TEETH,
            ],
        }
    }
}

/// Does all searches of `size`.
pub(crate) fn run(size: Size) -> Result<()> {
    phase("Build", || {
        let mut build = machine::cargo();
        build.arg("build").args(FEATURES);
        shell::run(build.args(["--profile", size.profile().name()]))
    })?;
    let mut result = Ok(());
    for (name, arguments) in size.searches() {
        // Each says something of its own.
        result = result.and(phase(name, || search(size, arguments)));
    }
    result
}

/// Does one search. An error says again what went wrong.
fn search(size: Size, arguments: &[&str]) -> Result<()> {
    let mut program = Command::new(size.program());
    program.current_dir(machine::root()).args(arguments);
    let mut wrong = vec![];
    let status = shell::listen(&mut program, |line| {
        if line.contains("WENT WRONG") || line.contains("NOT MISSED") {
            wrong.push(line);
        }
    })?;
    if !status.success() {
        bail!("{} failed ({status})\n{}", shell::name(&program), wrong.join("\n"));
    }
    Ok(())
}
