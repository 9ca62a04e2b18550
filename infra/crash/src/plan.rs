//! What is to go wrong, and when: all of it follows from a seed.
//!
//! Time is counted in orders that have ended, so that a slow machine is not struck more often than a fast one. What a
//! process does at the moment it is struck is the machine's doing, and no seed repeats it.

use std::time::Duration;

use rand::{Rng, SeedableRng, rngs::StdRng, seq::SliceRandom};

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
    #[arg(long, default_value_t = 500)]
    pub(crate) kills: usize,
    /// Processes that are frozen until their work is somebody else's.
    #[arg(long, default_value_t = 100)]
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
    let mut planned: Vec<_> = strikes
        .into_iter()
        .map(|strike| Planned { after: rng.random_range(from..=to.max(from)), strike })
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

/// What a client does besides waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Whim {
    /// It hangs up so long after it sent the order, and sends it again.
    pub(crate) hangs_up_after: Option<Duration>,
    /// It calls the order off so long after it was accepted.
    pub(crate) calls_off_after: Option<Duration>,
    /// It wants to pay less than it costs.
    pub(crate) is_stingy: bool,
}

/// What the client of order number `number` does.
pub(crate) fn whim(seed: u64, number: usize) -> Whim {
    let number = u64::try_from(number).unwrap_or(u64::MAX);
    let mut rng = StdRng::seed_from_u64(seed.rotate_left(32) ^ number);
    let mut sometimes = |one_in: u32, longest_ms: u64| {
        let moment = Duration::from_millis(rng.random_range(0..longest_ms));
        rng.random_ratio(1, one_in).then_some(moment)
    };
    Whim {
        hangs_up_after: sometimes(10, 80),
        calls_off_after: sometimes(25, 3_000),
        is_stingy: sometimes(25, 1).is_some(),
    }
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
}
