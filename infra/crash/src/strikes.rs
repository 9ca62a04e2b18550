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
    plan::{Planned, Strike, Victim},
    stack::{Process, Stack, signal},
};

/// How long a victim is looked for before another is taken.
const SEARCH_LIMIT: Duration = Duration::from_secs(5);
/// How often.
const SEARCH_PAUSE: Duration = Duration::from_millis(15);
/// How long a frozen worker waits for somebody to take its work once it could be taken.
const TAKEOVER_LIMIT: Duration = Duration::from_secs(20);

/// When it begins to look for that: work is done fast.
const LOOKS_BEFORE: Duration = Duration::from_secs(2);

/// Whom a blow hit.
#[derive(Debug, Clone)]
enum Hit {
    /// The worker at something that has one of these ids.
    Worker(Vec<String>),
    /// Everybody, or the shop, which says of nobody whom it serves.
    All,
}

/// When a frozen worker's work is somebody else's.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms {
    /// After so long both its lease and its message have run out.
    pub(crate) worker: Duration,
    /// The same of a sender.
    pub(crate) sender: Duration,
}

/// What went wrong so far.
#[derive(Debug, Default)]
struct Done {
    kills: BTreeMap<Victim, u64>,
    freezes: u64,
    thawed: u64,
    /// Of the thawed, those whose work was in other hands as they thawed.
    taken_over: u64,
    emulator_ends: u64,
    stack_ends: u64,
    missed: u64,
    /// Who stands still now: nobody else strikes them, or they would be met more often than all others.
    frozen: BTreeSet<i32>,
    blows: Vec<(Hit, Blow)>,
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
        self.with(|done| {
            done.kills.values().sum::<u64>() + done.freezes + done.emulator_ends + done.stack_ends
        })
    }

    /// Whether nearly all victims were met: a run in which little went wrong proves little.
    pub(crate) fn are_enough(&self) -> bool {
        let missed = self.with(|done| done.missed);
        missed * 10 <= missed + self.count()
    }

    /// How many there were, in words.
    pub(crate) fn told(&self) -> String {
        self.with(|done| {
            let Done { freezes, thawed, taken_over, emulator_ends, stack_ends, missed, .. } = done;
            let kills: u64 = done.kills.values().sum();
            format!(
                "{kills} kills, {freezes} freezes ({thawed} thawed, {taken_over} of them as others had their work), \
                 the emulator ended {emulator_ends} times and the stack {stack_ends} times, {missed} victims not met"
            )
        })
    }

    /// How many of each function's processes were killed, in words.
    pub(crate) fn told_kills(&self) -> String {
        let line = |(victim, count): (&Victim, &u64)| format!("{count} {victim:?}");
        self.with(|done| done.kills.iter().map(line).collect::<Vec<_>>().join(", "))
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

    fn note(&self, hit: Hit, thawed_at_ms: Option<i64>, at_ms: i64) {
        self.with(|done| done.blows.push((hit, Blow { at_ms, thawed_at_ms })));
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
            while ended() < after {
                sleep(SEARCH_PAUSE).await;
            }
            let done = match strike {
                Strike::Kill(victim) => self.kill(victim, &mut rng).await,
                Strike::Freeze(victim) => self.freeze(victim, &mut rng, &mut frozen).await,
                Strike::EndEmulator => self.end_emulator().await,
                Strike::EndStack => self.end_stack().await,
            };
            if let Err(error) = done {
                println!("   not done: {strike:?}: {error:#}");
                self.strikes.with(|done| done.missed += 1);
            }
        }
        while frozen.join_next().await.is_some() {}
    }

    async fn kill(&self, victim: Victim, rng: &mut StdRng) -> Result<()> {
        loop {
            let (victim, process) = self.find(victim, rng).await?;
            let (Some(pid), at_ms) = (process.pid, clock::now_ms()) else { continue };
            // It may have ended a moment ago.
            if signal(pid, Signal::KILL).is_err() {
                continue;
            }
            self.strikes.with(|done| *done.kills.entry(victim).or_default() += 1);
            let is_shop = process.function.ends_with(Victim::Shop.function());
            let hit = if is_shop { Hit::All } else { Hit::Worker(process.ids()) };
            self.strikes.note(hit, None, at_ms);
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
            let (victim, process) = self.find(victim, rng).await?;
            let Some(pid) = process.pid else { continue };
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
            self.strikes.with(|done| {
                done.freezes += 1;
                done.frozen.insert(pid);
            });
            let term =
                if victim == Victim::WebhookSender { self.terms.sender } else { self.terms.worker };
            let thaw = Thaw { pid, at_ms, ids: process.ids(), delay_ms: rng.random_range(0..400) };
            frozen.spawn(thaw.when_taken_over(self.stack.clone(), self.strikes.clone(), term));
            return Ok(());
        }
    }

    /// A process of `victim` that is at work, if there is one soon, or else one that works for an account.
    async fn find(&self, victim: Victim, rng: &mut StdRng) -> Result<(Victim, Process)> {
        match victim {
            Victim::Sweeper => {
                self.stack.invoke("SweeperFunction", &json!({}), false).await?;
            }
            Victim::DeadLetters => self.leave_dead_letter(rng).await?,
            Victim::OrderProcessor
            | Victim::WebhookSender
            | Victim::CreateOrder
            | Victim::Shop
            | Victim::Any => {}
        }
        for victim in [victim, Victim::OrderProcessor] {
            let started = Instant::now();
            while started.elapsed() < SEARCH_LIMIT {
                if let Some(process) = self.look_for(victim, rng).await? {
                    return Ok((victim, process));
                }
                sleep(SEARCH_PAUSE).await;
            }
        }
        anyhow::bail!("nobody is at work")
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

    async fn end_emulator(&self) -> Result<()> {
        self.stack.end_emulator().await?;
        self.strikes.with(|done| done.emulator_ends += 1);
        Ok(())
    }

    async fn end_stack(&self) -> Result<()> {
        let started_ms = clock::now_ms();
        self.stack.end().await?;
        self.strikes.with(|done| done.stack_ends += 1);
        // Every process died somewhen in between, the first ones after the grace that the stack gives.
        for at_ms in (started_ms..=clock::now_ms()).step_by(100) {
            self.strikes.note(Hit::All, None, at_ms);
        }
        Ok(())
    }
}

/// A process that stands still.
struct Thaw {
    pid: i32,
    at_ms: i64,
    ids: Vec<String>,
    delay_ms: u64,
}

impl Thaw {
    /// Lets it go on a moment after somebody else has its work, and not before `term`.
    async fn when_taken_over(self, stack: Stack, strikes: Strikes, term: Duration) {
        let Self { pid, at_ms, ids, delay_ms } = self;
        let earliest = Instant::now() + term;
        sleep(term.saturating_sub(LOOKS_BEFORE)).await;
        let mut is_taken_over = false;
        let is_over = |taken: bool| {
            Instant::now() > earliest + if taken { Duration::ZERO } else { TAKEOVER_LIMIT }
        };
        while !is_over(is_taken_over) {
            sleep(Duration::from_millis(50)).await;
            let processes = stack.processes().await.unwrap_or_default();
            is_taken_over |= processes.iter().any(|one| {
                one.is_busy() && one.pid != Some(pid) && one.ids().iter().any(|id| ids.contains(id))
            });
        }
        sleep(Duration::from_millis(delay_ms)).await;
        let thawed_at_ms = clock::now_ms();
        // If the stack has ended meanwhile, so has the process.
        let is_there = signal(pid, Signal::CONT).is_ok();
        strikes.note(Hit::Worker(ids), is_there.then_some(thawed_at_ms), at_ms);
        strikes.with(|done| {
            done.frozen.remove(&pid);
            done.thawed += u64::from(is_there);
            done.taken_over += u64::from(is_there && is_taken_over);
        });
    }
}
