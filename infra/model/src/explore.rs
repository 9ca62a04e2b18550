//! The searches: every single fault, every pair, and many from seeds; and each guard taken away, to see that it is missed.

use std::{
    rc::Rc,
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::Instant,
};

use anyhow::{Result, anyhow, bail};
use crash_verdict::Verdict;
use spelter::{backlog::CALLED_AT_ONCE, guards::Guard};

use crate::{
    clients::{Whim, Whims},
    faults::{Callee, Fault, Faults},
    platform::Deployment,
    run::{Load, Outcome, Run, run},
};

/// What was found.
#[derive(Default)]
pub struct Found {
    /// Of all runs together.
    pub total: Verdict,
    /// How many runs there were.
    pub runs: u64,
    /// How to repeat the first runs that went wrong.
    pub bad: Vec<String>,
}

/// Of so many runs that went wrong it is told how to repeat them.
const MOST_TOLD: usize = 10;

impl Found {
    fn add(&mut self, name: impl FnOnce() -> String, verdict: Verdict) {
        self.runs += 1;
        if !verdict.is_good() && self.bad.len() < MOST_TOLD {
            self.bad.push(format!("{}\n{verdict}", name()));
        }
        self.total += verdict;
    }

    fn merge(&mut self, other: Self) {
        self.runs += other.runs;
        self.bad.extend(other.bad);
        self.bad.truncate(MOST_TOLD);
        self.total += other.total;
    }
}

/// Makes a deployment: each thread has its own.
pub type Deploy<'a> = &'a (dyn Fn() -> Result<Deployment> + Sync);

/// Does `work` for every number below `count` on as many threads as there are processors, and answers with what it gave, in
/// order.
fn in_parallel<T: Send>(
    count: u64,
    deploy: Deploy<'_>,
    work: impl Fn(&Rc<Deployment>, u64) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let next = AtomicU64::new(0);
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let one = || -> Result<Vec<(u64, T)>> {
        let deployment = Rc::new(deploy()?);
        let mut done = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                return Ok(done);
            }
            done.push((number, work(&deployment, number)?));
        }
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(one)).collect();
        let mut done = Vec::new();
        for thread in threads {
            done.extend(thread.join().map_err(|_| anyhow!("a run panicked"))??);
        }
        done.sort_by_key(|(number, _)| *number);
        Ok(done.into_iter().map(|(_, result)| result).collect())
    })
}

fn merged(parts: Vec<Found>) -> Found {
    let mut found = Found::default();
    for part in parts {
        found.merge(part);
    }
    found
}

/// What a random search does.
#[derive(Debug, Clone, Copy)]
pub struct Search {
    /// The first seed.
    pub first: u64,
    /// How many.
    pub seeds: u64,
    /// A fault strikes at one call in so many.
    pub one_in: u32,
    /// What is tried in each run.
    pub load: Load,
}

/// The run of `seed`.
pub fn of_seed(search: Search, seed: u64, without: Option<Guard>, is_told: bool) -> Run {
    let faults = Faults::random(seed, search.one_in);
    Run { seed, load: search.load, faults, without, is_told }
}

/// Runs of many seeds.
pub fn random(search: Search, deploy: Deploy<'_>) -> Result<Found> {
    let started = Instant::now();
    let parts = in_parallel(search.seeds, deploy, |deployment, number| {
        let seed = search.first + number;
        let outcome = run(deployment, of_seed(search, seed, None, false))?;
        if number % 50 == 49 {
            println!("  {} seeds in {:.0?}", number + 1, started.elapsed());
        }
        let mut found = Found::default();
        found.add(|| format!("--seed {seed}"), outcome.verdict);
        Ok(found)
    })?;
    Ok(merged(parts))
}

/// A few orders in which every way through the service is taken, for who tries every fault.
#[derive(Debug, Clone, Copy)]
pub struct Scene {
    /// Its name.
    pub name: &'static str,
    /// What is tried.
    pub load: Load,
}

/// The scenes of the exhaustive search.
pub const SCENES: [Scene; 8] = [
    Scene { name: "two orders of one account", load: scene(2, Whim::None) },
    Scene { name: "an order that is called off", load: scene(1, Whim::CallOff) },
    Scene { name: "an order that is cancelled", load: scene(1, Whim::Cancel) },
    Scene { name: "an order that is sent twice at once", load: scene(1, Whim::Twice) },
    Scene { name: "a key that is used again", load: scene(1, Whim::Reuse) },
    Scene {
        name: "an order that waits for a code",
        load: Load { mails_codes: true, ..scene(1, Whim::None) },
    },
    Scene {
        name: "two orders of which one waits without a message",
        load: Load { called_at_once: 1, ..scene(2, Whim::None) },
    },
    Scene {
        name: "an order that a balance pays for",
        load: Load { has_balance: true, ..scene(1, Whim::None) },
    },
];

const fn scene(orders: usize, whim: Whim) -> Load {
    let whims = Whims::All(whim);
    let called_at_once = CALLED_AT_ONCE;
    Load { orders, accounts: 1, whims, mails_codes: false, has_balance: false, called_at_once }
}

/// One scene with these faults.
pub fn of_faults(scene: Scene, faults: &[(u64, Fault)], is_told: bool) -> Run {
    let faults = Faults::At(faults.to_vec());
    Run { seed: 1, load: scene.load, faults, without: None, is_told }
}

/// Every fault that can strike after call `after` of a run that had these calls.
fn faults_after(callees: &[Callee], after: u64) -> impl Iterator<Item = (u64, Fault)> {
    let numbered = (0_u64..).zip(callees).filter(move |(at, _)| *at >= after);
    numbered.flat_map(|(at, callee)| callee.faults().iter().map(move |fault| (at, *fault)))
}

/// Every single fault of `scene`, and if `pairs` are wanted, every second one after it; only each `stride`th of the pairs.
pub fn exhaustive(scene: Scene, pairs: Option<u64>, deploy: Deploy<'_>) -> Result<Found> {
    let started = Instant::now();
    let Outcome { callees, verdict, .. } = run(&Rc::new(deploy()?), of_faults(scene, &[], false))?;
    if !verdict.is_good() {
        bail!("{} goes wrong without a fault:\n{verdict}", scene.name);
    }
    let singles: Vec<_> = faults_after(&callees, 0).collect();
    let count = u64::try_from(singles.len())?;
    println!("  {}: {} calls, {count} single faults", scene.name, callees.len());
    let name = |faults: &[(u64, Fault)]| format!("{}: {faults:?}", scene.name);
    let parts = in_parallel(count, deploy, |deployment, number| {
        let mut found = Found::default();
        let first = singles[usize::try_from(number)?];
        let outcome = run(deployment, of_faults(scene, &[first], false))?;
        found.add(|| name(&[first]), outcome.verdict);
        let Some(stride) = pairs else { return Ok(found) };
        let seconds = faults_after(&outcome.callees, first.0 + 1);
        let seconds = (number..).zip(seconds).filter(|(place, _)| place % stride == 0);
        for (_, second) in seconds {
            let both = [first, second];
            let outcome = run(deployment, of_faults(scene, &both, false))?;
            found.add(|| name(&both), outcome.verdict);
        }
        if number % 100 == 99 {
            println!("  {} of {count} in {:.0?}", number + 1, started.elapsed());
        }
        Ok(found)
    })?;
    Ok(merged(parts))
}

/// A guard that was taken away: after how many seeds that was noticed, and by what.
pub type Bite = (Guard, Option<(u64, Verdict)>);

/// Takes each of `guards` away until a run goes wrong.
pub fn teeth(guards: &[Guard], search: Search, deploy: Deploy<'_>) -> Result<Vec<Bite>> {
    in_parallel(u64::try_from(guards.len())?, deploy, |deployment, number| {
        let guard = guards[usize::try_from(number)?];
        Ok((guard, bite(guard, search, deployment)?))
    })
}

fn bite(
    guard: Guard,
    search: Search,
    deployment: &Rc<Deployment>,
) -> Result<Option<(u64, Verdict)>> {
    for number in 0..search.seeds {
        let seed = search.first + number;
        let outcome = run(deployment, of_seed(search, seed, Some(guard), false))?;
        if !outcome.verdict.is_good() {
            return Ok(Some((number + 1, outcome.verdict)));
        }
    }
    Ok(None)
}
