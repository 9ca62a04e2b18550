//! One run: everything there is besides the code under test. A thread has one world at a time.

use std::{cell::RefCell, collections::BTreeMap};

use dynoxide::Database;
use jiff::Timestamp;
use rand::{Rng, SeedableRng, rngs::StdRng};
use tokio::time::{Duration, Instant};

use crate::{
    aws::{dynamodb::Written, sqs::Queues},
    faults::{Calls, Faults},
    journal::Journal,
    receiver::Receiver,
    shop::Shop,
};

/// A run's state.
pub struct World {
    /// Decides all that is left to chance, but the faults.
    pub rng: StdRng,
    /// Nothing goes wrong now.
    pub is_calm: bool,
    /// Queues and schedules start nobody.
    pub is_idle: bool,
    /// Which faults strike when.
    pub faults: Faults,
    /// What could go wrong so far.
    pub calls: Calls,
    /// What happened.
    pub journal: Journal,
    /// The tables.
    pub db: Database,
    /// The transactions that were written.
    pub written: Written,
    /// The queues.
    pub queues: Queues,
    /// The retailer.
    pub shop: Shop,
    /// Who gets webhooks.
    pub receiver: Receiver,
    /// Raw mails by their keys.
    pub mails: BTreeMap<String, String>,
    /// Where the mail of each buyer is forwarded to.
    pub mailboxes: BTreeMap<String, String>,
    /// How many jobs were made dead letters, by how their orders were.
    pub buried: BTreeMap<String, u64>,
}

/// When every run begins.
const EPOCH: i64 = 1_800_000_000_000;

struct Clock {
    started: Instant,
}

thread_local! {
    static WORLD: RefCell<Option<World>> = const { RefCell::new(None) };
    static CLOCK: RefCell<Option<Clock>> = const { RefCell::new(None) };
}

/// Makes this thread's world. Call it inside of a runtime whose time stands still.
pub fn begin(seed: u64, faults: Faults, db: Database, queues: Queues, is_told: bool) {
    spelter::random::seeded::seed(seed);
    // The SDK's delays between tries and its tokens.
    fastrand::seed(seed);
    CLOCK.set(Some(Clock { started: Instant::now() }));
    WORLD.set(Some(World {
        rng: StdRng::seed_from_u64(seed),
        is_calm: true,
        is_idle: false,
        faults,
        calls: Calls::default(),
        journal: Journal::new(is_told),
        db,
        written: Written::new(),
        queues,
        shop: Shop::default(),
        receiver: Receiver::default(),
        mails: BTreeMap::new(),
        mailboxes: BTreeMap::new(),
        buried: BTreeMap::new(),
    }));
}

/// Takes the world away, to be judged.
pub fn end() -> Option<World> {
    WORLD.take()
}

/// Looks at the world or changes it. No answer is waited for meanwhile.
pub fn with<T>(look: impl FnOnce(&mut World) -> T) -> T {
    WORLD.with_borrow_mut(|world| look(world.as_mut().expect("a world has begun")))
}

/// Milliseconds since the run began.
pub fn millis() -> u64 {
    let elapsed = CLOCK.with_borrow(|clock| clock.as_ref().map(|clock| clock.started.elapsed()));
    u64::try_from(elapsed.unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}

/// The time of the run; a [`spelter::clock::Clock`].
pub fn now() -> Timestamp {
    let millis = i64::try_from(millis()).unwrap_or(i64::MAX);
    Timestamp::from_millisecond(EPOCH.saturating_add(millis)).unwrap_or(Timestamp::MAX)
}

/// A time of the run on the runtime's clock.
pub fn instant(time: Timestamp) -> Instant {
    Instant::now() + spelter::clock::until(time, now())
}

/// So long something takes that takes between `least` and `most` milliseconds.
pub fn a_while(least: u64, most: u64) -> Duration {
    with(|world| Duration::from_millis(world.rng.random_range(least..=most)))
}
