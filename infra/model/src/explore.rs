//! The searches: every single fault, every pair, and many from seeds; and each guard taken away, to see that it is missed.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
    rc::Rc,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail};
use crash_verdict::Verdict;
use spelter::{backlog::CALLED_AT_ONCE, guards::Guard};

use crate::{
    again::{Again, Size, Strike},
    bury,
    clients::{Whim, Whims},
    faults::Callee,
    platform::Deployment,
    run::{Load, Outcome},
    verdict::Limits,
};

/// What was found.
#[derive(Default)]
pub struct Found {
    /// Of all runs together.
    pub total: Verdict,
    /// How many runs there were.
    pub runs: u64,
    /// The same for the same runs in the same order.
    pub hash: u64,
    /// How many jobs were made dead letters, by how their orders were.
    pub buried: BTreeMap<String, u64>,
    /// How to repeat the first runs that went wrong.
    pub bad: Vec<String>,
}

/// Of so many runs that went wrong it is told how to repeat them.
const MOST_TOLD: usize = 10;

impl Found {
    fn merge(&mut self, other: Self) {
        let mut hasher = DefaultHasher::new();
        (self.hash, other.hash).hash(&mut hasher);
        self.hash = hasher.finish();
        self.runs += other.runs;
        for (state, count) in other.buried {
            *self.buried.entry(state).or_default() += count;
        }
        self.bad.extend(other.bad);
        self.bad.truncate(MOST_TOLD);
        self.total += other.total;
    }
}

/// Does runs, and says at once how to repeat one that goes wrong; all that happened in the first such run is written down.
#[derive(Default)]
struct Watch {
    is_one_told: AtomicBool,
}

impl Watch {
    /// Does a run, and adds it to `found`. What it called, unless it broke off.
    fn attempt(
        &self,
        deployment: &Rc<Deployment>,
        again: &Again,
        found: &mut Found,
    ) -> Vec<Callee> {
        let broken_off = |error: anyhow::Error| {
            let lost = vec![format!("{error:#}")];
            Outcome { verdict: Verdict { lost, ..Verdict::default() }, ..Outcome::default() }
        };
        let outcome = again.attempt(deployment, false).unwrap_or_else(broken_off);
        let Outcome { verdict, hash, callees, buried, .. } = outcome;
        let mut bad = Vec::new();
        if !verdict.is_good() {
            bad.push(format!("{again}\n{verdict}"));
            self.tell(deployment, again);
        }
        found.merge(Found { total: verdict, runs: 1, hash, buried, bad });
        callees
    }

    fn tell(&self, deployment: &Rc<Deployment>, again: &Again) {
        println!("WENT WRONG: {again}");
        if !self.is_one_told.swap(true, Ordering::Relaxed) {
            match again.write_down(deployment) {
                Ok(path) => println!("  all that happened: {}", path.display()),
                Err(error) => println!("  what happened could not be written down: {error:#}"),
            }
        }
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
    /// What is tried in each run.
    pub size: Size,
}

/// Runs of many seeds.
pub fn random(search: Search, deploy: Deploy<'_>) -> Result<Found> {
    let (started, watch) = (Instant::now(), Watch::default());
    let parts = in_parallel(search.seeds, deploy, |deployment, number| {
        let again = Again::Seed { seed: search.first + number, size: search.size, without: None };
        let mut found = Found::default();
        watch.attempt(deployment, &again, &mut found);
        if number % 50 == 49 {
            println!("  {} seeds in {:.0?}", number + 1, started.elapsed());
        }
        Ok(found)
    })?;
    let mut found = merged(parts);
    let Verdict { attempted, placed, unknown, .. } = found.total;
    // A dead letter ends its order, and nobody knows of one whose button may have been pressed.
    let (placed_of, unknown_of) = if search.size.buries { (4, 20) } else { (2, 100) };
    if placed * placed_of < attempted {
        found.total.lost.push(format!("only {placed} of {attempted} orders were placed"));
    }
    if unknown * unknown_of > attempted {
        found.total.orphans.push(format!("of {unknown} of {attempted} orders nobody knows"));
    }
    let is_unburied = |state: &str| search.size.buries && !found.buried.contains_key(state);
    for state in bury::STATES.into_iter().filter(|state| is_unburied(state)) {
        found.total.lost.push(format!("no job became a dead letter while its order was {state}"));
    }
    Ok(found)
}

/// A few orders in which every way through the service is taken, for who tries every fault.
#[derive(Debug, Clone, Copy)]
pub struct Scene {
    /// Its name.
    pub name: &'static str,
    /// What is tried.
    pub load: Load,
    /// How many of its orders are accepted, and how many are placed, if nothing goes wrong.
    expected: [u64; 2],
}

/// The longest that an order takes after one fault: two messages that are lost, and the sweeper's minutes.
const LONGEST: Duration = Duration::from_mins(15);

impl Scene {
    /// What is asked of it when there are so many faults. A mailed code may be waited for much longer than a fault takes.
    pub(crate) fn limits(&self, faults: usize) -> Limits {
        let is_prompt = faults <= 1 && !self.load.mails_codes;
        let within = if is_prompt { LONGEST } else { Duration::MAX };
        Limits { within, can_know: self.load.orders == 1 }
    }
}

/// The scenes of the exhaustive search.
pub const SCENES: [Scene; 9] = [
    Scene { name: "two orders of one account", load: scene(2, Whim::None), expected: [2, 2] },
    Scene { name: "an order that is called off", load: scene(1, Whim::CallOff), expected: [1, 0] },
    Scene { name: "an order that is cancelled", load: scene(1, Whim::Cancel), expected: [1, 1] },
    Scene {
        name: "an order that is sent twice at once",
        load: scene(1, Whim::Twice),
        expected: [1, 1],
    },
    Scene { name: "a key that is used again", load: scene(1, Whim::Reuse), expected: [1, 1] },
    Scene {
        name: "an order that waits for a code",
        load: Load { mails_codes: true, ..scene(1, Whim::None) },
        expected: [1, 1],
    },
    Scene {
        name: "two orders of which one waits without a message",
        load: Load { called_at_once: 1, ..scene(2, Whim::None) },
        expected: [2, 2],
    },
    Scene {
        name: "an order that a balance pays for",
        load: Load { has_balance: true, ..scene(1, Whim::None) },
        expected: [1, 1],
    },
    Scene {
        name: "an order whose first message is lost",
        load: Load { forgotten: 1, ..scene(1, Whim::None) },
        expected: [1, 1],
    },
];

const fn scene(orders: usize, whim: Whim) -> Load {
    Load {
        orders,
        accounts: 1,
        whims: Whims::All(whim),
        mails_codes: false,
        has_balance: false,
        called_at_once: CALLED_AT_ONCE,
        forgotten: 0,
        buries: false,
    }
}

/// Every fault that can strike after call `after` of a run that had these calls.
fn faults_after(callees: &[Callee], after: u64) -> impl Iterator<Item = Strike> {
    let numbered = (0_u64..).zip(callees).filter(move |(at, _)| *at >= after);
    numbered.flat_map(|(at, callee)| {
        callee.faults().iter().map(move |fault| Strike { at, fault: *fault })
    })
}

/// Every single fault of scene `number`, and if `pairs` are wanted, every second one after it; only each `stride`th of the
/// pairs.
pub fn exhaustive(number: usize, pairs: Option<u64>, deploy: Deploy<'_>) -> Result<Found> {
    let scene = SCENES.get(number).with_context(|| format!("no scene {number}"))?;
    let (started, watch) = (Instant::now(), Watch::default());
    let of = |faults: &[Strike]| Again::Scene { number, faults: faults.to_vec() };
    let Outcome { callees, verdict, .. } = of(&[]).attempt(&Rc::new(deploy()?), false)?;
    if !verdict.is_good() {
        bail!("{} goes wrong without a fault: {}\n{verdict}", scene.name, of(&[]));
    }
    if [verdict.acknowledged, verdict.placed] != scene.expected {
        bail!("{} is not what it should be: {}\n{verdict}", scene.name, of(&[]));
    }
    let singles: Vec<_> = faults_after(&callees, 0).collect();
    let count = u64::try_from(singles.len())?;
    println!("  {}: {} calls, {count} single faults", scene.name, callees.len());
    let all_pairs = AtomicU64::new(0);
    let parts = in_parallel(count, deploy, |deployment, number| {
        let mut found = Found::default();
        let first = singles[usize::try_from(number)?];
        let callees = watch.attempt(deployment, &of(&[first]), &mut found);
        let seconds: Vec<_> = faults_after(&callees, first.at + 1).collect();
        all_pairs.fetch_add(u64::try_from(seconds.len())?, Ordering::Relaxed);
        let Some(stride) = pairs else { return Ok(found) };
        for (_, second) in (number..).zip(seconds).filter(|(place, _)| place % stride == 0) {
            watch.attempt(deployment, &of(&[first, second]), &mut found);
        }
        if number % 100 == 99 {
            println!("  {} of {count} in {:.0?}", number + 1, started.elapsed());
        }
        Ok(found)
    })?;
    println!("  of {} pairs", all_pairs.into_inner());
    Ok(merged(parts))
}

/// A guard that was taken away: after how many seeds that was noticed, and by what.
pub type Bite = (Guard, Option<(u64, String)>);

/// Takes each of `guards` away until what it guards against is found.
pub fn teeth(guards: &[Guard], search: Search, deploy: Deploy<'_>) -> Result<Vec<Bite>> {
    in_parallel(u64::try_from(guards.len())?, deploy, |deployment, number| {
        let guard = guards[usize::try_from(number)?];
        Ok((guard, bite(guard, search, deployment)?))
    })
}

/// A run that goes wrong without the guard must go well with it; one that does not is an error.
fn bite(
    guard: Guard,
    search: Search,
    deployment: &Rc<Deployment>,
) -> Result<Option<(u64, String)>> {
    let Search { first, seeds, size } = search;
    for number in 0..seeds {
        let of = |without| Again::Seed { seed: first + number, size, without };
        let verdict = of(Some(guard)).attempt(deployment, false)?.verdict;
        let Some(found) = verdict.findings().find(|found| is_of(guard, found)) else { continue };
        let with_all = of(None).attempt(deployment, false)?.verdict;
        if !with_all.is_good() {
            bail!("went wrong with all guards: {}\n{with_all}", of(None));
        }
        return Ok(Some((number + 1, found)));
    }
    Ok(None)
}

/// Whether `found`, in the words of [`verdict`](crate::verdict), is what `guard` guards against: taking one away may break
/// other things, too.
fn is_of(guard: Guard, found: &str) -> bool {
    let signs: &[&str] = match guard {
        Guard::Version => &[" was bought ", "the button was pressed "],
        Guard::IdempotencyKey => &[" was bought ", " was accepted as ["],
        Guard::BodyHash => &[", which is "],
        Guard::Fence => &[" wrote for "],
        Guard::Lease | Guard::Turn => &[" was at the shop for "],
        Guard::Marker => &["the button was pressed ", " still could be placed"],
        Guard::Deadline => &[" still could be placed"],
        Guard::Backlog => &[" has not ended"],
        Guard::Dispatch => &[" was sent again after "],
        Guard::Outbox => &["nobody was told "],
        Guard::Challenge => &[" got the code of "],
        Guard::Hold => &["the balance is overdrawn"],
    };
    signs.iter().any(|sign| found.contains(sign))
}
