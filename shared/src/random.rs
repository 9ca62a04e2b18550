//! The only maker of ids, and of the chances that decide when something happens. With the clock and the answers of other
//! systems it is all that a run depends on, so a test that seeds it can be repeated exactly.

use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use rand::RngCore;
use uuid::{Builder, Uuid};

/// An id that nobody can guess.
pub fn uuid() -> Uuid {
    let mut bytes = [0; 16];
    fill(&mut bytes);
    Builder::from_random_bytes(bytes).into_uuid()
}

/// At least 0 and less than 1, each as likely as any other.
pub fn fraction() -> f64 {
    let mut bytes = [0; 4];
    fill(&mut bytes);
    f64::from(u32::from_be_bytes(bytes)) / (f64::from(u32::MAX) + 1.0)
}

/// The last id that this process made of a time.
static LAST: Mutex<Uuid> = Mutex::new(Uuid::nil());

/// The same, sorting by `now`: a UUIDv7. Those that one process makes in the same millisecond sort as they were made.
pub fn sortable_uuid(now: Timestamp) -> Uuid {
    let millis = u64::try_from(now.as_millisecond()).unwrap_or_default();
    let mut bytes = [0; 10];
    fill(&mut bytes);
    let made = Builder::from_unix_timestamp_millis(millis, &bytes).into_uuid();
    let [a, b, c, d, ..] = bytes;
    let step = u32::from_be_bytes([a, b, c, d]);
    let next = |last: &mut Uuid| {
        *last = behind(*last, made, step);
        *last
    };
    #[cfg(feature = "crash-test")]
    if let Some(id) = seeded::with_last(next) {
        return id;
    }
    next(&mut LAST.lock().unwrap_or_else(PoisonError::into_inner))
}

/// `made`; if it is of the millisecond of `last` and does not come after it, one that does, by more than `step`.
fn behind(last: Uuid, made: Uuid, step: u32) -> Uuid {
    const REST: u32 = u128::BITS - 48;
    let is_of_its_time = last.as_u128() >> REST == made.as_u128() >> REST;
    if is_of_its_time && made <= last {
        Uuid::from_u128(last.as_u128().saturating_add(u128::from(step)).saturating_add(1))
    } else {
        made
    }
}

fn fill(bytes: &mut [u8]) {
    #[cfg(feature = "crash-test")]
    if seeded::fill(bytes) {
        return;
    }
    rand::rng().fill_bytes(bytes);
}

/// What a test repeats.
#[cfg(feature = "crash-test")]
pub mod seeded {
    use std::cell::RefCell;

    use rand::{RngCore, SeedableRng, rngs::StdRng};
    use uuid::Uuid;

    struct Seeded {
        rng: StdRng,
        last: Uuid,
    }

    thread_local! {
        static SEEDED: RefCell<Option<Seeded>> = const { RefCell::new(None) };
    }

    /// From here on, all ids that this thread makes follow from `seed`.
    pub fn seed(seed: u64) {
        let seeded = Seeded { rng: StdRng::seed_from_u64(seed), last: Uuid::nil() };
        SEEDED.with(|cell| *cell.borrow_mut() = Some(seeded));
    }

    pub(super) fn fill(bytes: &mut [u8]) -> bool {
        SEEDED.with(|cell| match &mut *cell.borrow_mut() {
            Some(seeded) => {
                seeded.rng.fill_bytes(bytes);
                true
            }
            None => false,
        })
    }

    pub(super) fn with_last<T>(change: impl FnOnce(&mut Uuid) -> T) -> Option<T> {
        SEEDED.with(|cell| cell.borrow_mut().as_mut().map(|seeded| change(&mut seeded.last)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fraction_is_less_than_one() {
        let fractions: Vec<_> = (0..1_000).map(|_| fraction()).collect();
        assert!(fractions.iter().all(|one| (0.0..1.0).contains(one)));
        assert!(fractions.iter().any(|one| *one < 0.5) && fractions.iter().any(|one| *one > 0.5));
    }

    #[test]
    fn an_id_has_its_time() {
        let id = sortable_uuid(Timestamp::from_millisecond(1_234_567).unwrap());
        assert_eq!((id.as_u128() >> 80, id.get_version_num()), (1_234_567, 7));
        assert_eq!(uuid().get_version_num(), 4);
    }

    #[test]
    fn ids_of_one_millisecond_sort_as_they_were_made() {
        let id = |millis: u128, rest: u128| Uuid::from_u128(millis << 80 | rest);
        assert_eq!(behind(id(2, 7), id(2, 9), 4), id(2, 9));
        assert_eq!(behind(id(2, 7), id(2, 7), 0), id(2, 8));
        assert_eq!(behind(id(2, 7), id(2, 3), 4), id(2, 12));
        assert_eq!(behind(id(2, 7), id(1, 3), 4), id(1, 3));
    }
}
