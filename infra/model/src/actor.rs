//! An invocation of a function, which can be killed and frozen at any call that it makes.
//!
//! Lambda promises that an invocation is over at its deadline; here it is killed up to [`CLOCK_SKEW`] later. One that was
//! frozen for longer than that may be forgotten by the platform, and thaws when its account belongs to somebody else.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use spelter::orders::reconcile::CLOCK_SKEW;
use tokio::time::{Duration, Instant, Sleep, sleep_until};

/// One invocation.
#[derive(Clone)]
pub struct Actor(Arc<Inner>);

struct Inner {
    id: u64,
    name: &'static str,
    state: Mutex<State>,
}

struct State {
    /// When the platform ends it.
    ends_at: Instant,
    frozen_until: Option<Instant>,
    is_killed: bool,
    /// The account that it holds or held.
    account: Option<String>,
    /// A service that is down for it, and until when.
    down: Option<(String, Instant)>,
}

/// The invocation was killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Killed;

tokio::task_local! {
    static ACTOR: Actor;
}

/// Who acts now, if it is an invocation.
pub fn current() -> Option<Actor> {
    ACTOR.try_with(Clone::clone).ok()
}

impl Actor {
    /// The invocation number `id` of `name`, which must be over at `deadline`; the platform is `late` in seeing to it.
    pub fn new(id: u64, name: &'static str, deadline: Instant, late: Duration) -> Self {
        let ends_at = deadline + late.min(CLOCK_SKEW);
        let state =
            State { ends_at, frozen_until: None, is_killed: false, account: None, down: None };
        Self(Arc::new(Inner { id, name, state: Mutex::new(state) }))
    }

    /// Its number, from 1.
    pub fn id(&self) -> u64 {
        self.0.id
    }

    /// The binary of its function.
    pub fn name(&self) -> &'static str {
        self.0.name
    }

    fn state<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.0.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// It does nothing any more.
    pub fn kill(&self) {
        self.state(|state| state.is_killed = true);
    }

    /// It does nothing for `time`.
    pub fn freeze(&self, time: Duration) {
        self.state(|state| state.frozen_until = Some(Instant::now() + time));
    }

    /// The same, and the platform forgets it: it goes on afterwards.
    pub fn forget(&self, time: Duration) {
        self.freeze(time);
        self.state(|state| state.ends_at = Instant::now() + time + Duration::from_mins(1));
    }

    /// Remembers that it took `account`.
    pub fn took(&self, account: &str) {
        self.state(|state| state.account = Some(account.to_owned()));
    }

    /// The account that it took.
    pub fn account(&self) -> Option<String> {
        self.state(|state| state.account.clone())
    }

    /// `service` is down for it for `time`.
    pub fn does_without(&self, service: &str, time: Duration) {
        let until = Instant::now() + time;
        self.state(|state| state.down = Some((service.to_owned(), until)));
    }

    /// Whether `service` is down for it.
    pub fn is_without(&self, service: &str) -> bool {
        let now = Instant::now();
        self.state(|state| {
            state.down.as_ref().is_some_and(|(down, until)| down == service && now < *until)
        })
    }

    /// Runs what it does, until that is done or it is killed.
    pub fn run<F: Future>(self, work: F) -> Running<F> {
        let timer = Box::pin(sleep_until(self.state(|state| state.ends_at)));
        Running { actor: self, work: Box::pin(work), timer }
    }

    /// Until when it does nothing; `Err` if it does nothing any more.
    fn pause(&self) -> Result<Option<Instant>, Killed> {
        self.state(|state| {
            let now = Instant::now();
            if state.is_killed || (now >= state.ends_at) {
                return Err(Killed);
            }
            state.frozen_until = state.frozen_until.filter(|until| *until > now);
            Ok(state.frozen_until.map(|until| until.min(state.ends_at)))
        })
    }
}

/// What an invocation does.
pub struct Running<F> {
    actor: Actor,
    work: Pin<Box<F>>,
    timer: Pin<Box<Sleep>>,
}

impl<F: Future> Future for Running<F> {
    type Output = Result<F::Output, Killed>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = Pin::into_inner(self);
        loop {
            let wake_at = match this.actor.pause() {
                Err(Killed) => return Poll::Ready(Err(Killed)),
                Ok(Some(until)) => until,
                Ok(None) => {
                    let work = this.work.as_mut();
                    let done = ACTOR.sync_scope(this.actor.clone(), || work.poll(context));
                    if let Poll::Ready(done) = done {
                        return Poll::Ready(Ok(done));
                    }
                    match this.actor.pause() {
                        Err(Killed) => return Poll::Ready(Err(Killed)),
                        Ok(Some(until)) => until,
                        Ok(None) => this.actor.state(|state| state.ends_at),
                    }
                }
            };
            if this.timer.deadline() != wake_at {
                this.timer.as_mut().reset(wake_at);
            }
            if this.timer.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
        }
    }
}
