//! What is to go wrong, and when: all of it follows from a seed.
//!
//! Time is counted in orders that have ended, so that a slow machine is not struck more often than a fast one. What a
//! process does at the moment it is struck is the machine's doing, and no seed repeats it.

use std::time::Duration;

use rand::{Rng, SeedableRng, rngs::StdRng, seq::SliceRandom};
use serde_json::{Value, json};

/// Orders of one account that have not ended: enough that it always has something to do.
pub(crate) const AHEAD: usize = 5;
/// The longest that the shop may be told to leave an order out of its history.
const LONGEST_LAG_MS: u64 = 2_000;

/// From so many orders on, whatever can happen must have happened.
pub(crate) const MANY_ORDERS: usize = 600;

/// How much.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Size {
    /// Orders.
    #[arg(long, default_value_t = 10_000)]
    pub(crate) orders: usize,
    /// Accounts that they are for.
    #[arg(long, default_value_t = 50)]
    pub(crate) accounts: usize,
    /// Processes that are killed.
    #[arg(long, default_value_t = 560)]
    pub(crate) kills: usize,
    /// Processes that are frozen until their work is somebody else's.
    #[arg(long, default_value_t = 120)]
    pub(crate) freezes: usize,
    /// What all choices follow from.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
}

/// Whose process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Victim {
    /// One that works for an account.
    OrderProcessor,
    /// One that delivers a webhook.
    WebhookSender,
    /// One that accepts an order.
    CreateOrder,
    /// One that sends what was lost.
    Sweeper,
    /// One that ends what nobody could work on.
    DeadLetters,
    /// The shop itself, in the middle of a request.
    Shop,
    /// Any at all, busy or not.
    Any,
}

impl Victim {
    /// How its function's name ends; empty for any.
    pub(crate) const fn function(self) -> &'static str {
        match self {
            Self::OrderProcessor => "-order-processor",
            Self::WebhookSender => "-webhook-sender",
            Self::CreateOrder => "-create-order",
            Self::Sweeper => "-sweeper",
            Self::DeadLetters => "-dead-letters",
            Self::Shop => "-sandbox",
            Self::Any => "",
        }
    }

    /// Of a hundred kills, how many are of which.
    const KILLS: [(Self, u32); 7] = [
        (Self::OrderProcessor, 60),
        (Self::WebhookSender, 14),
        (Self::CreateOrder, 10),
        (Self::Shop, 6),
        (Self::Sweeper, 3),
        (Self::DeadLetters, 2),
        (Self::Any, 5),
    ];

    fn to_kill(rng: &mut StdRng) -> Self {
        let mut at = rng.random_range(0..100);
        for (victim, weight) in Self::KILLS {
            if at < weight {
                return victim;
            }
            at -= weight;
        }
        Self::OrderProcessor
    }
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Strike {
    /// A process ends at once.
    Kill(Victim),
    /// A process stands still for so long that its work is somebody else's when it goes on.
    Freeze(Victim),
    /// SQS and KMS are down for a moment.
    EndEmulator,
    /// Everything is down for a moment.
    EndStack,
}

/// A strike, and when.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Planned {
    /// Once so many orders have ended.
    pub(crate) after: usize,
    /// What.
    pub(crate) strike: Strike,
}

/// All strikes, in their order.
pub(crate) fn plan(size: Size) -> Vec<Planned> {
    let mut rng = StdRng::seed_from_u64(size.seed);
    let mut strikes: Vec<_> =
        (0..size.kills).map(|_| Strike::Kill(Victim::to_kill(&mut rng))).collect();
    strikes.extend((0..size.freezes).map(|number| {
        // A sender holds its receiver as a worker its account.
        let is_sender = number % 8 == 7;
        Strike::Freeze(if is_sender { Victim::WebhookSender } else { Victim::OrderProcessor })
    }));
    strikes.shuffle(&mut rng);
    let is_small = size.orders < 1_000;
    // Not at the very end: nobody would be left to strike, and a small run would be spent on waiting for the last thaw.
    let (from, to) = (size.orders / 50, size.orders * if is_small { 7 } else { 9 } / 10);
    // Orders are accepted before others have ended; after the last one nobody accepts any more.
    let accepting_to = size.orders.saturating_sub(size.accounts * AHEAD) * 2 / 3;
    let mut planned: Vec<_> = strikes
        .into_iter()
        .map(|strike| {
            let is_of_accepting = strike == Strike::Kill(Victim::CreateOrder);
            let to = if is_of_accepting { to.min(accepting_to) } else { to };
            Planned { after: rng.random_range(from..=to.max(from)), strike }
        })
        .collect();
    let (emulator_ends, stack_ends) = if is_small { (1, 1) } else { (5, 2) };
    let mut spread = |count: usize, first: usize, strike: Strike| {
        let at = |number: usize| size.orders * (2 * number + first) / (2 * count + 1);
        planned.extend((0..count).map(|number| Planned { after: at(number), strike }));
    };
    spread(emulator_ends, 1, Strike::EndEmulator);
    spread(stack_ends, 2, Strike::EndStack);
    planned.sort_by_key(|planned| planned.after);
    planned
}

/// What the shop is told to do wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// It cuts the next press of the button off, and does not buy.
    CutBefore,
    /// It buys at the next press of the button, and cuts it off.
    CutAfter,
    /// Its history leaves out what is younger than `lag_ms`, whenever it is read the next `times`.
    Lag {
        /// How young.
        lag_ms: u64,
        /// How often.
        times: u64,
    },
}

impl Trouble {
    /// Where in a visit, as the shop calls it.
    pub(crate) const fn step(self) -> &'static str {
        match self {
            Self::CutBefore => "submit_before_commit",
            Self::CutAfter => "submit_after_commit",
            Self::Lag { .. } => "history",
        }
    }

    /// What the shop is told.
    pub(crate) fn behaviour(self) -> Value {
        match self {
            Self::CutBefore | Self::CutAfter => json!({"drop": true, "times": 1}),
            Self::Lag { lag_ms, times } => json!({"history_lag_ms": lag_ms, "times": times}),
        }
    }

    fn any(rng: &mut StdRng) -> Self {
        match rng.random_range(0..3) {
            0 => Self::CutBefore,
            1 => Self::CutAfter,
            _ => Self::Lag {
                lag_ms: rng.random_range(LONGEST_LAG_MS / 4..=LONGEST_LAG_MS),
                times: rng.random_range(1..=10),
            },
        }
    }
}

/// What a client does besides waiting, and what the shop does to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Whim {
    /// It hangs up so long after it sent the order, and sends it again.
    pub(crate) hangs_up_after: Option<Duration>,
    /// It calls the order off so long after it was accepted.
    pub(crate) calls_off_after: Option<Duration>,
    /// It wants to pay less than it costs.
    pub(crate) is_stingy: bool,
    /// Before it is ordered, the shop is told to make trouble for its account.
    pub(crate) trouble: Option<Trouble>,
}

/// What the client of order number `number` does.
pub(crate) fn whim(seed: u64, number: usize) -> Whim {
    let number = u64::try_from(number).unwrap_or(u64::MAX);
    let mut rng = StdRng::seed_from_u64(seed.rotate_left(32) ^ number);
    let mut sometimes = |one_in: u32, longest_ms: u64| {
        let moment = Duration::from_millis(rng.random_range(0..longest_ms));
        rng.random_ratio(1, one_in).then_some(moment)
    };
    let (hangs_up_after, calls_off_after) = (sometimes(10, 80), sometimes(25, 3_000));
    let is_stingy = sometimes(25, 1).is_some();
    let trouble = rng.random_ratio(1, 12).then(|| Trouble::any(&mut rng));
    Whim { hangs_up_after, calls_off_after, is_stingy, trouble }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Size = Size { orders: 10_000, accounts: 50, kills: 500, freezes: 100, seed: 7 };

    #[test]
    fn a_plan_follows_from_its_seed() {
        let text = |seed| format!("{:?}", plan(Size { seed, ..SIZE }));
        assert_eq!(text(7), text(7));
        assert_ne!(text(7), text(8));
        assert_eq!(whim(7, 3), whim(7, 3));
    }

    #[test]
    fn a_plan_has_as_many_strikes_as_were_asked_for() {
        let plan = plan(SIZE);
        let count = |is: fn(&Strike) -> bool| plan.iter().filter(|one| is(&one.strike)).count();
        assert_eq!(count(|one| matches!(one, Strike::Kill(_))), 500);
        assert_eq!(count(|one| matches!(one, Strike::Freeze(_))), 100);
        assert_eq!(count(|one| *one == Strike::EndEmulator), 5);
        assert_eq!(count(|one| *one == Strike::EndStack), 2);
        assert!(plan.is_sorted_by_key(|one| one.after));
        assert!(plan.iter().all(|one| one.after < 9_999));
        assert!(Victim::KILLS.iter().map(|(_, weight)| weight).sum::<u32>() == 100);
    }

    #[test]
    fn whoever_accepts_orders_is_struck_while_there_are_some_to_accept() {
        let size = Size { orders: 120, accounts: 10, kills: 200, freezes: 0, seed: 7 };
        let is_meant = |one: &&Planned| one.strike == Strike::Kill(Victim::CreateOrder);
        let accepting: Vec<_> = plan(size).into_iter().filter(|one| is_meant(&one)).collect();
        assert!(!accepting.is_empty());
        assert!(accepting.iter().all(|one| one.after + size.accounts * AHEAD < size.orders));
    }

    #[test]
    fn the_shop_makes_every_trouble_now_and_then() {
        let troubles: Vec<_> = (0..10_000).filter_map(|number| whim(7, number).trouble).collect();
        assert!((600..1_100).contains(&troubles.len()), "{}", troubles.len());
        for step in ["submit_before_commit", "submit_after_commit", "history"] {
            let count = troubles.iter().filter(|trouble| trouble.step() == step).count();
            assert!(count > 150, "{count} at {step}");
        }
    }
}
