//! What keeps the promise, each by its name, so that a test can take one away and show that the loss is noticed.
//!
//! Without the feature `crash-test` every guard is a constant, and a build for deployment cannot have the feature.

#[cfg(all(feature = "crash-test", not(debug_assertions)))]
compile_error!(
    "guards can be switched off with `crash-test`: it is for tests, never for what is deployed"
);

/// A guard of the promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guard {
    /// An order is written only over the version that was read.
    Version,
    /// A key of a client's makes one order, whoever sends it at the same time.
    IdempotencyKey,
    /// A key that comes back with another body is refused.
    BodyHash,
    /// A worker writes only while it holds the account.
    Fence,
    /// One job holds an account.
    Lease,
    /// A worker calls the retailer only while its invocation lasts.
    Turn,
    /// What is about to be bought is written down before the button is pressed, and found again.
    Marker,
    /// "Not placed" is said only when the press can no longer land.
    Deadline,
    /// What must be done is written together with the job that does it.
    Backlog,
    /// A later message of the same job is another message to the queue.
    Dispatch,
    /// News are written together with what they tell of.
    Outbox,
    /// A mailed code answers the question that it was mailed for.
    Challenge,
    /// What an order may cost is held before it is accepted.
    Hold,
}

impl Guard {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Version,
        Self::IdempotencyKey,
        Self::BodyHash,
        Self::Fence,
        Self::Lease,
        Self::Turn,
        Self::Marker,
        Self::Deadline,
        Self::Backlog,
        Self::Dispatch,
        Self::Outbox,
        Self::Challenge,
        Self::Hold,
    ];

    /// Whether the guard stands: always, but where a test has taken it away.
    #[cfg(not(feature = "crash-test"))]
    pub const fn stands(self) -> bool {
        true
    }

    /// Whether the guard stands: always, but where a test has taken it away.
    #[cfg(feature = "crash-test")]
    pub fn stands(self) -> bool {
        removed::get() != Some(self)
    }
}

/// What a test takes away.
#[cfg(feature = "crash-test")]
pub mod removed {
    use std::cell::Cell;

    use super::Guard;

    thread_local! {
        static REMOVED: Cell<Option<Guard>> = const { Cell::new(None) };
    }

    /// From here on this thread does without `guard`; with `None`, without none.
    pub fn set(guard: Option<Guard>) {
        REMOVED.set(guard);
    }

    pub(super) fn get() -> Option<Guard> {
        REMOVED.get()
    }
}
