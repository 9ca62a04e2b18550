//! A run by the command that does it again.

use std::{
    any::Any,
    fmt, fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    rc::Rc,
    str::FromStr,
};

use anyhow::{Context, Result, anyhow};
use spelter::{backlog::CALLED_AT_ONCE, guards::Guard};

use crate::{
    clients::Whims,
    explore::SCENES,
    faults::{Fault, Faults},
    platform::Deployment,
    run::{Load, Outcome, Run, run},
    verdict::Limits,
};

/// Where the timelines of runs that went wrong are written.
const TIMELINES: &str = "target/crash-model";

/// A run that can be done again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Again {
    /// All follows from a seed.
    Seed {
        /// Which.
        seed: u64,
        /// With how many orders and faults.
        size: Size,
        /// Without this guard.
        without: Option<Guard>,
    },
    /// One of the [`SCENES`].
    Scene {
        /// Which, from 0.
        number: usize,
        /// What goes wrong at the calls of these numbers.
        faults: Vec<Strike>,
    },
}

/// How much a run from a seed tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Orders.
    pub orders: usize,
    /// Accounts.
    pub accounts: usize,
    /// A fault strikes at one call in so many.
    pub one_in: u32,
    /// Now and then a job becomes a dead letter.
    pub buries: bool,
}

/// A fault at the call of a number; `12:CrashAfter` on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Strike {
    /// The call, from 0.
    pub at: u64,
    /// What goes wrong there.
    pub fault: Fault,
}

impl fmt::Display for Strike {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{:?}", self.at, self.fault)
    }
}

impl FromStr for Strike {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (at, name) = text.split_once(':').context("a fault is a number, a colon and a word")?;
        let named = |fault: &Fault| format!("{fault:?}").eq_ignore_ascii_case(name);
        let fault = Fault::ALL.into_iter().find(named);
        Ok(Self { at: at.parse()?, fault: fault.with_context(|| format!("no fault {name}"))? })
    }
}

impl Size {
    /// All there is to try.
    const fn load(self) -> Load {
        let Self { orders, accounts, one_in: _, buries } = self;
        Load {
            orders,
            accounts,
            whims: Whims::Any,
            mails_codes: true,
            has_balance: true,
            called_at_once: CALLED_AT_ONCE,
            forgotten: 0,
            buries,
        }
    }
}

/// The command.
impl fmt::Display for Again {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Seed { seed, size, without } => {
                let Size { orders, accounts, one_in, buries } = size;
                write!(f, "crash-model replay --seed {seed} --orders {orders} ")?;
                write!(f, "--accounts {accounts} --one-in {one_in}")?;
                f.write_str(if *buries { " --buries" } else { "" })?;
                without.map_or(Ok(()), |guard| write!(f, " --without {guard:?}"))
            }
            Self::Scene { number, faults } => {
                write!(f, "crash-model replay-faults --scene {number}")?;
                faults.iter().try_for_each(|fault| write!(f, " --fault {fault}"))
            }
        }
    }
}

impl Again {
    fn run(&self, is_told: bool) -> Result<Run> {
        Ok(match self {
            Self::Seed { seed, size, without } => Run {
                seed: *seed,
                load: size.load(),
                faults: Faults::random(*seed, size.one_in),
                without: *without,
                limits: Limits::NONE,
                is_told,
            },
            Self::Scene { number, faults } => {
                let scene = SCENES.get(*number).with_context(|| format!("no scene {number}"))?;
                Run {
                    seed: 1,
                    load: scene.load,
                    faults: Faults::At(faults.clone()),
                    without: None,
                    limits: scene.limits(faults.len()),
                    is_told,
                }
            }
        })
    }

    /// Does it. Whatever ends it before its time says which run it was.
    pub fn attempt(&self, deployment: &Rc<Deployment>, is_told: bool) -> Result<Outcome> {
        let work = || run(deployment, self.run(is_told)?);
        let done = catch_unwind(AssertUnwindSafe(work));
        done.unwrap_or_else(|panic| Err(anyhow!("it panicked: {}", said(&*panic))))
            .with_context(|| self.to_string())
    }

    /// Does it and writes down all that happens; where to.
    pub fn write_down(&self, deployment: &Rc<Deployment>) -> Result<PathBuf> {
        let lines = self.attempt(deployment, true)?.lines;
        let name = self.to_string().replace("crash-model ", "").replace([' ', ':'], "-");
        write_down(&name.replace("---", "-"), &lines)
    }
}

/// Writes `lines`, all that happened in the run called `name`, where they can be read; where that is.
pub fn write_down(name: &str, lines: &[String]) -> Result<PathBuf> {
    let path = Path::new(TIMELINES).join(format!("{name}.txt"));
    fs::create_dir_all(TIMELINES)?;
    fs::write(&path, lines.join("\n")).with_context(|| path.display().to_string())?;
    Ok(path)
}

fn said(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a word")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_names_all_that_the_run_follows_from() {
        let size = Size { orders: 30, accounts: 5, one_in: 60, buries: true };
        let seed = Again::Seed { seed: 7, size, without: Some(Guard::Version) };
        assert_eq!(
            seed.to_string(),
            "crash-model replay --seed 7 --orders 30 --accounts 5 --one-in 60 --buries --without Version"
        );
        let faults = ["12:CrashAfter", "30:Refused"].map(|text| text.parse().unwrap()).to_vec();
        let scene = Again::Scene { number: 2, faults };
        assert_eq!(
            scene.to_string(),
            "crash-model replay-faults --scene 2 --fault 12:CrashAfter --fault 30:Refused"
        );
    }

    #[test]
    fn a_fault_that_there_is_not_is_none() {
        for text in ["12", "CrashAfter", "x:CrashAfter", "1:Nothing"] {
            assert!(text.parse::<Strike>().is_err(), "{text}");
        }
    }
}
