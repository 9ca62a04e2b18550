//! Panics anywhere in a run: a task that panics ends alone, and what it was at would look like a worker that died.

use std::{cell::RefCell, mem, panic, sync::Once};

thread_local! {
    static SEEN: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

/// From here on remembers where this thread panics.
pub fn watch() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            SEEN.with_borrow_mut(|seen| {
                if let Some(seen) = seen {
                    seen.push(panic.to_string());
                }
            });
            usual(panic);
        }));
    });
    SEEN.set(Some(Vec::new()));
}

/// Where it has panicked since then.
pub fn taken() -> Vec<String> {
    SEEN.with_borrow_mut(|seen| seen.as_mut().map(mem::take).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_that_is_caught_is_remembered() {
        watch();
        assert!(panic::catch_unwind(|| panic!("here")).is_err());
        assert!(matches!(taken().as_slice(), [one] if one.contains("here")));
        assert_eq!(taken(), [""; 0]);
    }
}
