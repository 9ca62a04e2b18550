//! What goes wrong at a call, and when.

use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use tokio::time::{Duration, sleep};

use crate::{
    actor,
    again::Strike,
    journal::note,
    world::{self, World},
};

/// What can go wrong at one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The caller dies before it asks.
    CrashBefore,
    /// It is done, and the caller dies before it hears of it.
    CrashAfter,
    /// It is done, and nobody ever answers.
    NoAnswer,
    /// It is refused for now.
    Refused,
    /// The service is down: whatever the caller asks of it is refused for a while.
    Down,
    /// It is refused because somebody else's transaction is at the same item.
    Conflict,
    /// The caller freezes before it asks, and thaws within its time.
    FreezeBefore,
    /// It is done, and the caller freezes before it hears of it, and thaws when somebody else has its work.
    FreezeAfter,
    /// The caller freezes before it asks, and thaws when somebody else has its work.
    ThawLate,
    /// It is done twice: a message is delivered to two at once.
    Twice,
    /// It is done and lost: the queue forgets the message.
    Forgotten,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::CrashBefore,
        Self::CrashAfter,
        Self::NoAnswer,
        Self::Refused,
        Self::Down,
        Self::Conflict,
        Self::FreezeBefore,
        Self::FreezeAfter,
        Self::ThawLate,
        Self::Twice,
        Self::Forgotten,
    ];
}

/// What is called, as far as that decides what can go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Callee {
    /// An AWS service.
    Aws,
    /// A table, to write to it.
    Write,
    /// A table, to look for what is due when nothing is. What can go wrong there goes wrong where a sweep finds something,
    /// too, and there are two dozen such calls in every minute.
    Idle,
    /// The queue, to take a message.
    Send,
    /// The retailer.
    Shop,
    /// The retailer, to buy.
    Submit,
    /// A receiver of webhooks.
    Receiver,
    /// The API, by a client.
    Api,
    /// A function, by a queue.
    Delivery,
}

impl Callee {
    /// What can go wrong there. Nothing thaws with a request in its hand that it wrote before its deadline and sends after
    /// it: no program can help that, and Lambda ends a process that has no time left.
    pub const fn faults(self) -> &'static [Fault] {
        use Fault::{
            Conflict, CrashAfter, CrashBefore, Down, Forgotten, FreezeAfter, FreezeBefore,
            NoAnswer, Refused, ThawLate, Twice,
        };
        match self {
            Self::Aws => {
                &[CrashBefore, CrashAfter, NoAnswer, Down, FreezeBefore, FreezeAfter, ThawLate]
            }
            Self::Write => &[
                CrashBefore,
                CrashAfter,
                NoAnswer,
                Down,
                Conflict,
                FreezeBefore,
                FreezeAfter,
                ThawLate,
            ],
            Self::Send => &[
                CrashBefore,
                CrashAfter,
                NoAnswer,
                Down,
                FreezeBefore,
                FreezeAfter,
                ThawLate,
                Forgotten,
            ],
            Self::Idle => &[],
            Self::Shop | Self::Submit => {
                &[CrashBefore, CrashAfter, NoAnswer, Refused, FreezeBefore, FreezeAfter]
            }
            Self::Receiver => &[CrashBefore, CrashAfter, NoAnswer, Refused, FreezeAfter],
            Self::Api => &[NoAnswer],
            Self::Delivery => &[Twice],
        }
    }
}

/// Which faults strike.
pub enum Faults {
    /// These, each at the call of its number.
    At(Vec<Strike>),
    /// Any, at one call in so many.
    Random {
        /// Decides.
        rng: Box<StdRng>,
        /// How rare they are.
        one_in: u32,
    },
}

impl Faults {
    /// Faults from `seed` at one call in `one_in`.
    pub fn random(seed: u64, one_in: u32) -> Self {
        let rng = Box::new(StdRng::seed_from_u64(seed ^ 0x5ee_d0ff_a017));
        Self::Random { rng, one_in }
    }
}

/// Which calls there were so far, and what can go wrong at each, for who wants to try them all.
#[derive(Default)]
pub struct Calls {
    /// What was called, in order.
    pub callees: Vec<Callee>,
    /// How many faults struck.
    pub struck: u64,
}

/// What goes wrong with the next call.
fn next(world: &mut World, callee: Callee) -> Option<Fault> {
    if world.is_calm || callee == Callee::Idle {
        return None;
    }
    let number = u64::try_from(world.calls.callees.len()).unwrap_or(u64::MAX);
    world.calls.callees.push(callee);
    let fault = match &mut world.faults {
        Faults::At(faults) => faults.iter().find(|one| one.at == number).map(|one| one.fault),
        Faults::Random { rng, one_in } => {
            let strikes = rng.random_ratio(1, *one_in);
            strikes.then(|| callee.faults().choose(rng).copied()).flatten()
        }
    };
    let fault = fault.filter(|fault| callee.faults().contains(fault));
    world.calls.struck += u64::from(fault.is_some());
    fault
}

/// So long a frozen invocation loses little time.
const SHORT_FREEZE: Duration = Duration::from_secs(8);
/// After so long nobody waits for it any more: longer than its lease and the queue's patience.
const LONG_FREEZE: Duration = Duration::from_secs(170);

/// Makes a call that takes `time`: `act` is what it does, `refuse` what is answered if it is refused. `None` is no answer
/// at all, and then nobody will ever answer.
pub async fn call<T>(
    callee: Callee,
    what: &str,
    details: impl Fn() -> String,
    time: Duration,
    act: impl FnOnce(&mut World, Option<Fault>) -> T,
    refuse: impl FnOnce(Fault) -> T,
) -> Option<T> {
    sleep(time / 2).await;
    let fault = world::with(|world| next(world, callee));
    if let Some(fault) = fault {
        note(what, || format!("{}  STRUCK BY {fault:?}", details()));
    }
    let actor = actor::current();
    match (fault, &actor) {
        (Some(Fault::CrashBefore), Some(actor)) => {
            actor.kill();
            return gone().await;
        }
        (Some(Fault::FreezeBefore), Some(actor)) => {
            actor.freeze(SHORT_FREEZE);
            tokio::task::yield_now().await;
        }
        (Some(Fault::ThawLate), Some(actor)) => {
            actor.forget(LONG_FREEZE);
            tokio::task::yield_now().await;
        }
        (Some(fault @ (Fault::Refused | Fault::Down | Fault::Conflict)), _) => {
            return Some(refuse(fault));
        }
        _ => {}
    }
    let answer = world::with(|world| act(world, fault));
    note(what, &details);
    match (fault, &actor) {
        (Some(Fault::CrashAfter), Some(actor)) => {
            actor.kill();
            return gone().await;
        }
        (Some(Fault::FreezeAfter), Some(actor)) => {
            actor.forget(LONG_FREEZE);
            tokio::task::yield_now().await;
        }
        (Some(Fault::NoAnswer), _) => return None,
        _ => {}
    }
    sleep(time / 2).await;
    Some(answer)
}

/// What goes wrong with what is not a call of a function's, asked by whoever makes it.
pub fn strike(callee: Callee, what: &str) -> Option<Fault> {
    let fault = world::with(|world| next(world, callee));
    if let Some(fault) = fault {
        note(what, || format!("STRUCK BY {fault:?}"));
    }
    fault
}

/// Nobody will ever see what comes after this.
async fn gone<T>() -> T {
    std::future::pending().await
}
