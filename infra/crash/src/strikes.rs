//! Makes go wrong what was planned to.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use ::tests::{STACK, queues};
use anyhow::{Context, Result};
use rand::{Rng, SeedableRng, rngs::StdRng};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use crate::{
    clock,
    overlap::Blow,
    plan::{MANY_ORDERS, Planned, Strike, Victim},
    stack::{Process, Stack, signal},
};

/// How long a victim is looked for.
const SEARCH_LIMIT: Duration = Duration::from_secs(20);
/// How long before what it works on is made once more, if it has no work otherwise.
const WORK_LIMIT: Duration = Duration::from_secs(5);
/// How often.
const SEARCH_PAUSE: Duration = Duration::from_millis(15);
/// How long a frozen worker waits for somebody to take its work once it could be taken.
const TAKEOVER_LIMIT: Duration = Duration::from_secs(20);
/// When it begins to look for that: work is done fast.
const LOOKS_BEFORE: Duration = Duration::from_secs(2);

/// If so many are to be frozen, one of them must thaw after another has its work.
const FREEZES_THAT_PROVE: u64 = 3;
/// Of a hundred that thawed, so many may send what they had been about to send.
const LATE_OF_A_HUNDRED: u64 = 2;
/// And so many of fewer.
const LATE_AT_LEAST: u64 = 2;

/// Whom a blow hit.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Hit {
    /// The worker at something that has one of these ids.
    Worker(Vec<String>),
    /// Everybody, or the shop, which says of nobody whom it serves.
    All,
}

impl Hit {
    /// None if the process never is at the shop: a sender works on the same orders as a worker does.
    fn of(process: &Process) -> Option<Self> {
        let is = |victim: Victim| process.function.ends_with(victim.function());
        if is(Victim::Shop) {
            return Some(Self::All);
        }
        is(Victim::OrderProcessor).then(|| Self::Worker(process.ids()))
    }
}

/// How long work is its worker's.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms {
    /// How long a job may take.
    pub(crate) job: Duration,
    /// After so long both the lease and the message of a worker that is frozen have run out.
    pub(crate) worker: Duration,
    /// The same of a sender.
    pub(crate) sender: Duration,
}

/// How often something was to be done.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Tally {
    struck: u64,
    /// Nobody of that kind was met.
    missed: u64,
}

impl Tally {
    fn count(&mut self, is_done: bool) {
        *(if is_done { &mut self.struck } else { &mut self.missed }) += 1;
    }

    fn of(all: impl IntoIterator<Item = Self>) -> Self {
        all.into_iter().fold(Self::default(), |sum, one| Self {
            struck: sum.struck + one.struck,
            missed: sum.missed + one.missed,
        })
    }

    const fn wanted(self) -> u64 {
        self.struck + self.missed
    }
}

/// What went wrong so far.
#[derive(Debug, Default)]
struct Done {
    kills: BTreeMap<Victim, Tally>,
    freezes: BTreeMap<Victim, Tally>,
    thawed: u64,
    /// Of the thawed, those whose work was in other hands as they thawed.
    taken_over: u64,
    /// Of these, those that work for an account.
    workers_taken_over: u64,
    emulator_ends: Tally,
    stack_ends: Tally,
    /// Who stands still now: nobody else strikes them, or they would be met more often than all others.
    frozen: BTreeSet<i32>,
    blows: Vec<(Hit, Blow)>,
}

impl Done {
    fn count(&mut self, strike: Strike, is_done: bool) {
        let tally = match strike {
            Strike::Kill(victim) => self.kills.entry(victim).or_default(),
            Strike::Freeze(victim) => self.freezes.entry(victim).or_default(),
            Strike::EndEmulator => &mut self.emulator_ends,
            Strike::EndStack => &mut self.stack_ends,
        };
        tally.count(is_done);
    }

    fn all(&self) -> Tally {
        let Self { kills, freezes, emulator_ends, stack_ends, .. } = self;
        let ends = [emulator_ends, stack_ends];
        Tally::of(kills.values().chain(freezes.values()).chain(ends).copied())
    }

    /// Why what went wrong is too little, in words: a run in which little goes wrong proves little. `late` is how many
    /// requests were sent by workers that had thawed too late.
    fn shortcomings(&self, orders: usize, late: u64) -> Vec<String> {
        let mut shortcomings = Vec::new();
        let kills = Tally::of(self.kills.values().copied());
        let freezes = Tally::of(self.freezes.values().copied());
        let ends = Tally::of([self.emulator_ends, self.stack_ends]);
        for (what, tally) in [("kills", kills), ("freezes", freezes), ("ends", ends)] {
            let (missed, wanted) = (tally.missed, tally.wanted());
            // One of a few may be missed, but not all.
            if missed > (wanted / 10).max(1) || missed > 0 && tally.struck == 0 {
                shortcomings.push(format!("{missed} of {wanted} {what} met nobody"));
            }
        }
        let freezes = freezes.wanted();
        if freezes >= FREEZES_THAT_PROVE && self.taken_over == 0 {
            shortcomings
                .push(format!("none of {freezes} frozen thawed after another had its work"));
        }
        if late > LATE_AT_LEAST.max(self.thawed * LATE_OF_A_HUNDRED / 100) {
            shortcomings.push(format!("{late} requests of {} that thawed came late", self.thawed));
        }
        if orders >= MANY_ORDERS {
            shortcomings.extend(self.shortcomings_of_many());
        }
        shortcomings
    }

    /// The same of what many orders leave no excuse for.
    fn shortcomings_of_many(&self) -> Vec<String> {
        let Self { kills, freezes, emulator_ends, stack_ends, .. } = self;
        let kills = kills.iter().map(|(victim, tally)| (format!("{victim:?} was killed"), tally));
        let frozen =
            freezes.iter().map(|(victim, tally)| (format!("{victim:?} was frozen"), tally));
        let ends = [("emulator ended", emulator_ends), ("stack ended", stack_ends)];
        let ends = ends.map(|(text, tally)| (text.to_owned(), tally));
        let missed = kills.chain(frozen).chain(ends);
        let missed = missed.filter(|(_, tally)| tally.struck == 0 && tally.missed > 0);
        let mut shortcomings: Vec<_> = missed.map(|(text, _)| format!("no {text}")).collect();
        let workers = freezes.get(&Victim::OrderProcessor).map_or(0, |tally| tally.struck);
        if self.workers_taken_over * 4 < workers {
            let few = self.workers_taken_over;
            shortcomings.push(format!("only {few} of {workers} frozen workers lost their work"));
        }
        shortcomings
    }
}

/// What went wrong so far, for all who count it.
#[derive(Clone, Default)]
pub(crate) struct Strikes {
    done: Arc<Mutex<Done>>,
}

impl Strikes {
    fn with<T>(&self, act: impl FnOnce(&mut Done) -> T) -> T {
        act(&mut self.done.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// How many there were.
    pub(crate) fn count(&self) -> u64 {
        self.with(|done| done.all().struck)
    }

    /// Why they are too few, in words.
    pub(crate) fn shortcomings(&self, orders: usize, late: u64) -> Vec<String> {
        self.with(|done| done.shortcomings(orders, late))
    }

    /// How many there were, in words.
    pub(crate) fn told(&self) -> String {
        self.with(|done| {
            let Done { thawed, taken_over, emulator_ends, stack_ends, .. } = &*done;
            let struck = |all: &BTreeMap<_, Tally>| Tally::of(all.values().copied()).struck;
            let (kills, freezes) = (struck(&done.kills), struck(&done.freezes));
            let (emulator_ends, stack_ends) = (emulator_ends.struck, stack_ends.struck);
            let missed = done.all().missed;
            format!(
                "{kills} kills, {freezes} freezes ({thawed} thawed, {taken_over} of them as others had their work), \
                 the emulator ended {emulator_ends} times and the stack {stack_ends} times, {missed} victims not met"
            )
        })
    }

    /// How many processes of each kind were killed and how many frozen, of how many that were to be, in words.
    pub(crate) fn told_kinds(&self) -> String {
        let line = |(victim, tally): (&Victim, &Tally)| {
            format!("{} of {} {victim:?}", tally.struck, tally.wanted())
        };
        let lines = |all: &BTreeMap<_, _>| all.iter().map(line).collect::<Vec<_>>().join(", ");
        self.with(|done| {
            format!("killed: {}\n   frozen: {}", lines(&done.kills), lines(&done.freezes))
        })
    }

    /// What hit the workers of each account, by its place. `account_of` says whose an id is.
    pub(crate) fn blows(
        &self,
        accounts: usize,
        account_of: impl Fn(&str) -> Option<usize>,
    ) -> Vec<Vec<Blow>> {
        let mut blows = vec![Vec::new(); accounts];
        let all = self.with(|done| done.blows.clone());
        for (hit, blow) in all {
            match hit {
                Hit::All => blows.iter_mut().for_each(|blows: &mut Vec<Blow>| blows.push(blow)),
                Hit::Worker(ids) => {
                    let place = ids.iter().find_map(|id| account_of(id));
                    if let Some(blows) = place.and_then(|place| blows.get_mut(place)) {
                        blows.push(blow);
                    }
                }
            }
        }
        blows
    }

    fn note(&self, hit: Option<Hit>, thawed_at_ms: Option<i64>, at_ms: i64) {
        self.with(|done| done.blows.extend(hit.map(|hit| (hit, Blow { at_ms, thawed_at_ms }))));
    }
}

/// Who strikes.
pub(crate) struct Striker {
    /// What is struck.
    pub(crate) stack: Stack,
    /// What was.
    pub(crate) strikes: Strikes,
    /// When a frozen process may go on.
    pub(crate) terms: Terms,
    /// After this nobody is struck any more.
    pub(crate) deadline: Instant,
}

impl Striker {
    /// Strikes as planned, each once so many orders have ended; returns when all is done and everybody has thawed.
    pub(crate) async fn strike_all(
        &self,
        planned: Vec<Planned>,
        seed: u64,
        ended: impl Fn() -> usize,
    ) {
        let mut rng = StdRng::seed_from_u64(!seed);
        let mut frozen = JoinSet::new();
        for Planned { after, strike } in planned {
            while ended() < after && Instant::now() < self.deadline {
                sleep(SEARCH_PAUSE).await;
            }
            if Instant::now() >= self.deadline {
                self.strikes.with(|all| all.count(strike, false));
                continue;
            }
            // Who stands still ends with the stack; one at least must have thawed before.
            if strike == Strike::EndStack && self.strikes.with(|done| done.taken_over == 0) {
                thawed(&mut frozen).await;
            }
            let done = match strike {
                Strike::Kill(victim) => self.kill(victim, &mut rng).await,
                Strike::Freeze(victim) => self.freeze(victim, &mut rng, &mut frozen).await,
                Strike::EndEmulator => self.stack.end_emulator().await,
                Strike::EndStack => self.end_stack().await,
            };
            self.strikes.with(|all| all.count(strike, done.is_ok()));
            if let Err(error) = done {
                println!("   not done: {strike:?}: {error:#}");
            }
        }
        thawed(&mut frozen).await;
    }

    async fn kill(&self, victim: Victim, rng: &mut StdRng) -> Result<()> {
        loop {
            let process = self.find(victim, rng).await?;
            let (Some(pid), before_ms) = (process.pid, clock::now_ms()) else { continue };
            // It may have ended a moment ago.
            if signal(pid, Signal::KILL).is_err() {
                continue;
            }
            // On a busy machine it may take up another request in between.
            for at_ms in [before_ms, clock::now_ms()] {
                self.strikes.note(Hit::of(&process), None, at_ms);
            }
            return Ok(());
        }
    }

    async fn freeze(
        &self,
        victim: Victim,
        rng: &mut StdRng,
        frozen: &mut JoinSet<()>,
    ) -> Result<()> {
        let overtime = self.terms.sender.max(self.terms.worker) + TAKEOVER_LIMIT * 2;
        loop {
            let Some(pid) = self.find(victim, rng).await?.pid else { continue };
            if signal(pid, Signal::STOP).is_err() {
                continue;
            }
            let at_ms = clock::now_ms();
            // What it does now it does until it thaws. It may be something else by now, or nothing: a process that has
            // nothing to do is frozen anyway.
            let holds = self.stack.processes().await?.into_iter().find(|one| one.pid == Some(pid));
            let Some(process) = holds.filter(Process::is_busy) else { continue };
            if !self.stack.allow_overtime(pid, overtime).await? {
                continue;
            }
            self.strikes.with(|done| done.frozen.insert(pid));
            let term =
                if victim == Victim::WebhookSender { self.terms.sender } else { self.terms.worker };
            let thaw = Thaw { pid, at_ms, process, delay_ms: rng.random_range(0..400) };
            frozen.spawn(thaw.when_taken_over(self.stack.clone(), self.strikes.clone(), term));
            return Ok(());
        }
    }

    /// A process of `victim` that is at work, if there is one soon. Nobody else will do: who is never met must show.
    async fn find(&self, victim: Victim, rng: &mut StdRng) -> Result<Process> {
        let started = Instant::now();
        while started.elapsed() < SEARCH_LIMIT {
            self.make_work_for(victim, rng).await?;
            let made = Instant::now();
            while made.elapsed() < WORK_LIMIT {
                if let Some(process) = self.look_for(victim, rng).await? {
                    return Ok(process);
                }
                sleep(SEARCH_PAUSE).await;
            }
        }
        anyhow::bail!("nobody is at work")
    }

    /// Those that orders do not keep busy get something to do.
    async fn make_work_for(&self, victim: Victim, rng: &mut StdRng) -> Result<()> {
        match victim {
            Victim::Sweeper => self.stack.invoke("SweeperFunction", &json!({}), false).await,
            Victim::DeadLetters => self.leave_dead_letter(rng).await,
            Victim::OrderProcessor
            | Victim::WebhookSender
            | Victim::CreateOrder
            | Victim::Shop
            | Victim::Any => Ok(()),
        }
    }

    async fn look_for(&self, victim: Victim, rng: &mut StdRng) -> Result<Option<Process>> {
        let mut processes = self.stack.processes().await?;
        let frozen = self.strikes.with(|done| done.frozen.clone());
        processes.retain(|one| !one.pid.is_some_and(|pid| frozen.contains(&pid)));
        processes.retain(|one| {
            let is_meant = one.is_busy() || (victim == Victim::Any && one.pid.is_some());
            is_meant && one.function.ends_with(victim.function())
        });
        if processes.is_empty() {
            return Ok(None);
        }
        let at = rng.random_range(0..processes.len());
        Ok(Some(processes.swap_remove(at)))
    }

    /// Has an order that is being worked on declared dead, as if its message had come too often.
    async fn leave_dead_letter(&self, rng: &mut StdRng) -> Result<()> {
        let worker = self.look_for(Victim::OrderProcessor, rng).await?;
        let message = worker.as_ref().and_then(|worker| worker.messages.first());
        let Some(message) = message else { return Ok(()) };
        let queue = STACK.queues.get("JobsDeadLetterQueue").context("no dead letters")?;
        let body: Value = serde_json::from_str(message)?;
        queues::send_fifo(queue, &format!("dead-{}", rng.random::<u32>()), &body).await;
        Ok(())
    }

    async fn end_stack(&self) -> Result<()> {
        let started_ms = clock::now_ms();
        self.stack.end().await?;
        // Every process died somewhen in between, the first ones after the grace that the stack gives.
        for at_ms in (started_ms..=clock::now_ms()).step_by(100) {
            self.strikes.note(Some(Hit::All), None, at_ms);
        }
        Ok(())
    }
}

/// Waits until nobody stands still.
async fn thawed(frozen: &mut JoinSet<()>) {
    while frozen.join_next().await.is_some() {}
}

/// A process that stands still.
struct Thaw {
    pid: i32,
    at_ms: i64,
    /// As it stood still.
    process: Process,
    delay_ms: u64,
}

impl Thaw {
    /// Lets it go on a moment after somebody else has its work, and not before `term`.
    async fn when_taken_over(self, stack: Stack, strikes: Strikes, term: Duration) {
        let Self { pid, at_ms, process, delay_ms } = self;
        let earliest = Instant::now() + term;
        sleep(term.saturating_sub(LOOKS_BEFORE)).await;
        let mut is_taken_over = false;
        let is_over = |taken: bool| {
            Instant::now() > earliest + if taken { Duration::ZERO } else { TAKEOVER_LIMIT }
        };
        while !is_over(is_taken_over) {
            sleep(Duration::from_millis(50)).await;
            let processes = stack.processes().await.unwrap_or_default();
            is_taken_over |= processes.iter().any(|other| process.is_replaced_by(other));
        }
        sleep(Duration::from_millis(delay_ms)).await;
        let thawed_at_ms = clock::now_ms();
        // If the stack has ended meanwhile, so has the process.
        let is_there = signal(pid, Signal::CONT).is_ok();
        let hit = Hit::of(&process);
        let is_worker = hit.is_some();
        strikes.note(hit, is_there.then_some(thawed_at_ms), at_ms);
        strikes.with(|done| {
            done.frozen.remove(&pid);
            done.thawed += u64::from(is_there);
            done.taken_over += u64::from(is_there && is_taken_over);
            done.workers_taken_over += u64::from(is_there && is_taken_over && is_worker);
        });
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use tokio::time::timeout;

    use super::*;

    fn process(function: &str) -> Process {
        let messages = vec!["0198f0c2d1b47a3ea0d1c2b3a4958677".to_owned()];
        Process {
            function: format!("spelter-local{function}"),
            pid: Some(1),
            state: "busy".to_owned(),
            messages,
        }
    }

    fn done(strike: Strike, struck: usize, missed: usize) -> Done {
        let mut done = Done::default();
        for number in 0..struck + missed {
            done.count(strike, number < struck);
        }
        done
    }

    #[test]
    fn a_blow_hits_an_account_only_where_its_worker_or_the_shop_is_struck() {
        let worker = process(Victim::OrderProcessor.function());
        assert_eq!(Hit::of(&worker), Some(Hit::Worker(worker.ids())));
        assert_eq!(Hit::of(&process(Victim::Shop.function())), Some(Hit::All));
        for other in [Victim::WebhookSender, Victim::CreateOrder, Victim::DeadLetters] {
            assert_eq!(Hit::of(&process(other.function())), None);
        }
    }

    #[test]
    fn one_victim_in_ten_may_not_be_met() {
        let kill = Strike::Kill(Victim::Sweeper);
        assert!(done(kill, 9, 1).shortcomings(1, 0).is_empty());
        assert_eq!(done(kill, 9, 2).shortcomings(1, 0).len(), 1);
        assert_eq!(done(kill, 9, 2).all(), Tally { struck: 9, missed: 2 });
        // Others make up for none.
        let mut freezes = done(kill, 50, 0);
        for is_done in [true, false, false] {
            freezes.count(Strike::Freeze(Victim::Sweeper), is_done);
        }
        assert_eq!(
            freezes.shortcomings(1, 0),
            ["2 of 3 freezes met nobody", "none of 3 frozen thawed after another had its work"]
        );
        assert_eq!(done(Strike::EndStack, 0, 1).shortcomings(1, 0).len(), 1);
    }

    #[test]
    fn of_three_frozen_one_must_thaw_after_another_has_its_work() {
        let freeze = Strike::Freeze(Victim::OrderProcessor);
        assert!(done(freeze, 2, 0).shortcomings(1, 0).is_empty());
        assert_eq!(done(freeze, 3, 0).shortcomings(1, 0).len(), 1);
        let thawed = Done { thawed: 3, taken_over: 1, ..done(freeze, 3, 0) };
        assert!(thawed.shortcomings(1, 0).is_empty());
    }

    #[test]
    fn few_of_those_that_thaw_may_be_late() {
        let of = |thawed, late| Done { thawed, ..Done::default() }.shortcomings(1, late).len();
        assert_eq!([of(3, 2), of(3, 3)], [0, 1]);
        assert_eq!([of(200, 4), of(200, 5)], [0, 1]);
    }

    #[test]
    fn many_orders_meet_every_kind_of_process() {
        let mut all = done(Strike::Kill(Victim::Shop), 19, 0);
        all.count(Strike::Kill(Victim::Sweeper), false);
        assert!(all.shortcomings(MANY_ORDERS - 1, 0).is_empty());
        assert_eq!(all.shortcomings(MANY_ORDERS, 0), ["no Sweeper was killed"]);
        all.count(Strike::Kill(Victim::Sweeper), true);
        assert!(all.shortcomings(MANY_ORDERS, 0).is_empty());
    }

    #[test]
    fn of_many_orders_a_quarter_of_the_frozen_workers_lose_their_work() {
        let of = |workers_taken_over| {
            let frozen = done(Strike::Freeze(Victim::OrderProcessor), 8, 0);
            let frozen = Done { thawed: 8, taken_over: 8, workers_taken_over, ..frozen };
            [MANY_ORDERS - 1, MANY_ORDERS].map(|orders| frozen.shortcomings(orders, 0).len())
        };
        assert_eq!([of(2), of(1)], [[0, 0], [0, 1]]);
    }

    #[test]
    fn each_kind_is_told() {
        let strikes = Strikes::default();
        for (strike, is_done) in [
            (Strike::Kill(Victim::Shop), true),
            (Strike::Kill(Victim::Sweeper), false),
            (Strike::Freeze(Victim::WebhookSender), true),
        ] {
            strikes.with(|done| done.count(strike, is_done));
        }
        let told = "killed: 0 of 1 Sweeper, 1 of 1 Shop\n   frozen: 1 of 1 WebhookSender";
        assert_eq!(strikes.told_kinds(), told);
        assert_eq!(strikes.count(), 2);
    }

    #[tokio::test]
    async fn nobody_waits_for_orders_that_never_end() {
        let striker = Striker {
            stack: Stack::new(::tests::http(), PathBuf::new()),
            strikes: Strikes::default(),
            terms: Terms { job: Duration::ZERO, worker: Duration::ZERO, sender: Duration::ZERO },
            deadline: Instant::now() + Duration::from_millis(50),
        };
        let planned = vec![Planned { after: 1, strike: Strike::EndStack }];
        let struck = timeout(Duration::from_secs(10), striker.strike_all(planned, 1, || 0));
        assert!(struck.await.is_ok());
        assert_eq!(striker.strikes.with(|done| done.all()), Tally { struck: 0, missed: 1 });
    }
}
