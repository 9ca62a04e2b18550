//! What happened in a run, in order: a hash of it always, its text if somebody wants to read it.

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::{actor, world};

/// The record of a run.
pub struct Journal {
    hasher: DefaultHasher,
    lines: Option<Vec<String>>,
}

impl Journal {
    /// An empty one, which keeps the text if it `is_told`.
    pub fn new(is_told: bool) -> Self {
        Self { hasher: DefaultHasher::new(), lines: is_told.then(Vec::new) }
    }

    /// The same for runs in which the same happened at the same time.
    pub fn hash(&self) -> u64 {
        self.hasher.finish()
    }

    /// The text, a line for each event.
    pub fn lines(&self) -> &[String] {
        self.lines.as_deref().unwrap_or_default()
    }
}

/// Writes down that the one who acts now did `what`, with `details` for who reads it.
pub fn note(what: &str, details: impl FnOnce() -> String) {
    let (millis, actor) = (world::millis(), actor::current());
    world::with(|world| {
        let (id, name) = actor.map_or((0, "the world"), |actor| (actor.id(), actor.name()));
        (millis, id, what).hash(&mut world.journal.hasher);
        if let Some(lines) = &mut world.journal.lines {
            let seconds = millis / 1000;
            let rest = millis % 1000;
            lines.push(format!("{seconds:>7}.{rest:03}  {name:<18} {id:<6} {what}  {}", details()));
        }
    });
}
