//! What happened in a run, in order: a hash of it always, its text if somebody wants to read it. Both have what was asked of
//! whom, and about which item or message; not what was written there, which the SDK puts in another order each time.

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

/// Writes down that the one who acts now did `what`, with `details`.
pub fn note(what: &str, details: impl FnOnce() -> String) {
    let (millis, actor, details) = (world::millis(), actor::current(), details());
    world::with(|world| {
        let (id, name) = actor.map_or((0, "the world"), |actor| (actor.id(), actor.name()));
        (millis, id, what, &details).hash(&mut world.journal.hasher);
        if let Some(lines) = &mut world.journal.lines {
            let seconds = millis / 1000;
            let rest = millis % 1000;
            lines.push(format!("{seconds:>7}.{rest:03}  {name:<18} {id:<6} {what}  {details}"));
        }
    });
}
