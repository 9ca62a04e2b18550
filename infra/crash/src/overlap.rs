//! Whether two workers were at one account at the same time, judged from the shop's journal.
//!
//! All requests of a session are one worker's visit, or those of one that went on where another waited for a mailed code.
//! So between the first request of a visit and its last, there must be none of another.
//!
//! What the journal cannot show is when a worker stopped: the shop finishes what a dead one asked for. A worker can prove
//! that it holds the account when it sends a request, not when the shop is done with it. So these are no overlaps:
//!
//! - a request that was under way when another visit began, if its worker was struck meanwhile, or if the shop itself
//!   was, which then never wrote down an end;
//! - a press of the button without an end that the shop was told to cut off;
//! - one request of a worker that was frozen between looking at the clock and writing to the socket, sent as it thawed.
//!   On AWS such a worker is ended, and no program can help it. They are counted, and there may be few; what a press of
//!   the button among them buys shows in the ledger like any other. If it is a sign-in, it is a visit of its own.

use std::{collections::HashSet, ops::AddAssign};

use serde::Deserialize;

use crate::presses::PRESS;

/// A request, as the shop's journal has it.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Entry {
    /// The visit it belongs to.
    pub(crate) session: String,
    /// What was asked for.
    pub(crate) kind: String,
    /// When it came.
    pub(crate) started_at_ms: i64,
    /// When the shop was done with it; none if it died meanwhile.
    pub(crate) ended_at_ms: Option<i64>,
}

/// Something that was done to a worker of an account, or to the shop.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Blow {
    /// When.
    pub(crate) at_ms: i64,
    /// When the worker went on, if it was frozen.
    pub(crate) thawed_at_ms: Option<i64>,
}

/// What was found at one account.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Overlaps {
    /// Requests of one visit within another.
    pub(crate) found: Vec<String>,
    /// Requests that thawed workers had been about to send.
    pub(crate) late: u64,
    /// Presses that the shop cut off as it was told to.
    pub(crate) cut: u64,
}

impl AddAssign for Overlaps {
    fn add_assign(&mut self, other: Self) {
        self.found.extend(other.found);
        self.late += other.late;
        self.cut += other.cut;
    }
}

/// The request with which a session begins.
const SIGN_IN: &str = "sign_in";
/// How long after it thaws a worker may send what it had been about to send. It does so at once; the machine is busy.
const THAW_MS: i64 = 2_000;

/// What excuses a request of one visit within another.
struct Excuses<'a> {
    blows: &'a [Blow],
    /// When workers were frozen, and when they thawed; each excuses one request.
    thaws: Vec<(i64, i64)>,
    /// When the shop was told to cut a press off; each excuses one.
    cuts: Vec<i64>,
    late: u64,
    cut: u64,
}

impl<'a> Excuses<'a> {
    fn new(blows: &'a [Blow], cuts: Vec<i64>) -> Self {
        let thaws =
            blows.iter().filter_map(|blow| Some((blow.at_ms, blow.thawed_at_ms?))).collect();
        Self { blows, thaws, cuts, late: 0, cut: 0 }
    }

    /// Whether there is one for `entry` of `visit`, as another visit began at `next_ms`.
    fn excuse(&mut self, visit: &Visit<'_>, entry: &Entry, next_ms: i64) -> bool {
        let until = entry.ended_at_ms.unwrap_or(next_ms);
        if entry.started_at_ms <= next_ms
            && (self.is_struck(entry, until) || self.cuts(entry, until))
        {
            return true;
        }
        // Its visit had begun before its worker was frozen, or begins with this.
        self.is_late(entry.started_at_ms, |frozen_at_ms| {
            visit.is_sign_in() || visit.began_at_ms <= frozen_at_ms
        })
    }

    /// Whether `visit` is a sign-in amid another and there is one for it.
    fn excuse_sign_in(&mut self, visit: &Visit<'_>, all: &[Visit<'_>]) -> bool {
        // Whoever was frozen had the account until then, so whom it interrupts began later.
        visit.interrupted_ms(all).is_some_and(|other_ms| {
            self.is_late(visit.began_at_ms, |frozen_at_ms| frozen_at_ms < other_ms)
        })
    }

    fn is_struck(&self, entry: &Entry, until: i64) -> bool {
        self.blows.iter().any(|blow| (entry.started_at_ms..=until).contains(&blow.at_ms))
    }

    /// Whether the shop was told to cut this off, maybe while it was under way: the shop asks for it once it has bought.
    fn cuts(&mut self, entry: &Entry, until: i64) -> bool {
        let is_press = entry.kind == PRESS && entry.ended_at_ms.is_none();
        let found = self.cuts.iter().position(|told| is_press && *told <= until);
        let told = found.map(|at| self.cuts.remove(at));
        self.cut += u64::from(told.is_some());
        told.is_some()
    }

    /// Whether a worker had been about to send this when it was frozen, as it `may_be` by the time of that.
    fn is_late(&mut self, started_at_ms: i64, may_be: impl Fn(i64) -> bool) -> bool {
        let is_it = |(frozen_at_ms, thawed_at_ms): &(i64, i64)| {
            may_be(*frozen_at_ms)
                && (*thawed_at_ms..=*thawed_at_ms + THAW_MS).contains(&started_at_ms)
        };
        let thaw = self.thaws.iter().position(is_it).map(|at| self.thaws.remove(at));
        self.late += u64::from(thaw.is_some());
        thaw.is_some()
    }
}

/// All requests of one session.
struct Visit<'a> {
    session: &'a str,
    began_at_ms: i64,
    entries: Vec<&'a Entry>,
}

impl Visit<'_> {
    /// Whether it is nothing but a sign-in: what a worker that thawed has sent begins a session, if it was that.
    fn is_sign_in(&self) -> bool {
        matches!(self.entries[..], [only] if only.kind == SIGN_IN)
    }

    /// When the last of the others began that went on after this one, if this is a sign-in.
    fn interrupted_ms(&self, all: &[Self]) -> Option<i64> {
        let at_ms = self.began_at_ms;
        let is_later = |entry: &&Entry| {
            entry.started_at_ms >= at_ms || entry.ended_at_ms.is_some_and(|ended| ended > at_ms)
        };
        let goes_on =
            |other: &&Self| other.began_at_ms < at_ms && other.entries.iter().any(is_later);
        let others = all.iter().filter(goes_on).map(|other| other.began_at_ms);
        others.max().filter(|_| self.is_sign_in())
    }
}

/// Judges the journal of one account. `cuts` are the times at which the shop was told to cut a press of its off.
pub(crate) fn overlaps(email: &str, journal: &[Entry], blows: &[Blow], cuts: Vec<i64>) -> Overlaps {
    let mut excuses = Excuses::new(blows, cuts);
    let mut visits = visits(journal);
    let late = visits.iter().filter(|visit| excuses.excuse_sign_in(visit, &visits));
    let late: HashSet<_> = late.map(|visit| visit.session).collect();
    visits.retain(|visit| !late.contains(visit.session));
    let mut found = Vec::new();
    for (visit, next) in visits.iter().zip(visits.iter().skip(1)) {
        // Whoever came later has begun when the next one did.
        let next_ms = next.began_at_ms;
        for entry in &visit.entries {
            let is_over = entry.ended_at_ms.is_some_and(|ended| ended <= next_ms);
            if !is_over && !excuses.excuse(visit, entry, next_ms) {
                let Entry { kind, started_at_ms, ended_at_ms, session } = entry;
                found.push(format!(
                    "{email}: {kind} of {session} from {started_at_ms} to {ended_at_ms:?}, and another visit began at {next_ms}"
                ));
            }
        }
    }
    Overlaps { found, late: excuses.late, cut: excuses.cut }
}

/// The visits of a journal, by their beginning.
fn visits(journal: &[Entry]) -> Vec<Visit<'_>> {
    let mut visits = std::collections::BTreeMap::<&str, Vec<&Entry>>::new();
    for entry in journal {
        visits.entry(&entry.session).or_default().push(entry);
    }
    let mut visits: Vec<_> = visits
        .into_iter()
        .filter_map(|(session, entries)| {
            let began_at_ms = entries.iter().map(|entry| entry.started_at_ms).min()?;
            Some(Visit { session, began_at_ms, entries })
        })
        .collect();
    visits.sort_by_key(|visit| visit.began_at_ms);
    visits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(session: &str, started_at_ms: i64, ended_at_ms: Option<i64>) -> Entry {
        let (session, kind) = (session.to_owned(), "cart".to_owned());
        Entry { session, kind, started_at_ms, ended_at_ms }
    }

    fn blow(at_ms: i64, thawed_at_ms: Option<i64>) -> Blow {
        Blow { at_ms, thawed_at_ms }
    }

    fn count(journal: &[Entry], blows: &[Blow]) -> (usize, u64) {
        let Overlaps { found, late, cut: _ } = overlaps("a@example.com", journal, blows, vec![]);
        (found.len(), late)
    }

    #[test]
    fn visits_one_after_another_do_not_overlap() {
        let journal = [entry("a", 0, Some(10)), entry("a", 20, Some(30)), entry("b", 30, Some(40))];
        assert_eq!(count(&journal, &[]), (0, 0));
    }

    #[test]
    fn a_request_after_another_visit_began_is_an_overlap() {
        let journal = [entry("a", 0, Some(10)), entry("b", 20, Some(30)), entry("a", 25, Some(35))];
        assert_eq!(count(&journal, &[]), (1, 0));
        // That its worker was killed before does not explain how it could ask.
        assert_eq!(count(&journal, &[blow(5, None)]), (1, 0));
    }

    #[test]
    fn a_request_under_way_when_another_visit_began_is_one_if_its_worker_lived() {
        for ended in [Some(50), None] {
            let journal = [entry("a", 0, ended), entry("b", 20, Some(30))];
            assert_eq!(count(&journal, &[]), (1, 0));
            assert_eq!(count(&journal, &[blow(10, None)]), (0, 0));
            assert_eq!(count(&journal, &[blow(60, None)]), (1, 0));
        }
    }

    #[test]
    fn a_press_that_was_cut_off_is_no_overlap_if_the_shop_was_told_to() {
        let press = |started_at_ms, ended_at_ms| Entry {
            kind: PRESS.to_owned(),
            ..entry("a", started_at_ms, ended_at_ms)
        };
        let count = |first: Entry, cuts: &[i64]| {
            let journal = [first, entry("b", 20, Some(30))];
            let Overlaps { found, cut, .. } =
                overlaps("a@example.com", &journal, &[], cuts.to_vec());
            (found.len(), cut)
        };
        assert_eq!(count(press(10, None), &[]), (1, 0));
        assert_eq!(count(press(10, None), &[5]), (0, 1));
        // It was told so before it had bought.
        assert_eq!(count(press(10, None), &[15]), (0, 1));
        assert_eq!(count(press(10, None), &[21]), (1, 0));
        // The shop went on, or something else has no end.
        assert_eq!(count(press(10, Some(40)), &[5]), (1, 0));
        assert_eq!(count(entry("a", 10, None), &[5]), (1, 0));
        let twice = [press(10, None), press(11, None), entry("b", 20, Some(30))];
        assert_eq!(overlaps("a@example.com", &twice, &[], vec![5]).found.len(), 1);
    }

    #[test]
    fn a_worker_that_thaws_may_sign_in_once_and_then_sees_that_it_is_late() {
        let sign_in = Entry { kind: SIGN_IN.to_owned(), ..entry("b", 110, Some(120)) };
        let others = [entry("a", 50, Some(60)), entry("a", 130, Some(140))];
        let mut journal = vec![others[0].clone(), sign_in.clone(), others[1].clone()];
        let thaw = [blow(5, Some(100))];
        assert_eq!(count(&journal, &thaw), (0, 1));
        assert_eq!(count(&journal, &[]), (1, 0));
        assert_eq!(count(&journal, &[blow(5, Some(111))]), (1, 0), "before it thawed");
        assert_eq!(count(&journal[..2], &thaw), (0, 0), "the other was over");
        let twice = Entry { session: "c".to_owned(), ..sign_in };
        journal.push(twice);
        assert_eq!(count(&journal, &thaw), (1, 1), "one thaw, one request");
        journal[2] = entry("b", 121, Some(125));
        journal[3] = others[1].clone();
        assert_eq!(count(&journal, &thaw), (1, 0), "it went on");
    }

    #[test]
    fn a_sign_in_into_the_visit_of_a_worker_that_thawed_does_not_excuse_that() {
        let sign_in = Entry { kind: SIGN_IN.to_owned(), ..entry("b", 105, Some(108)) };
        let mut journal = vec![entry("a", 0, Some(4)), sign_in, entry("a", 110, Some(120))];
        let thaw = [blow(5, Some(100))];
        assert_eq!(count(&journal, &thaw), (0, 1), "the one request it was about to send");
        journal.push(entry("a", 130, Some(140)));
        assert_eq!(count(&journal, &thaw), (1, 1));
    }

    #[test]
    fn what_a_worker_that_thawed_sends_may_be_under_way_when_another_comes() {
        let sign_in = Entry { kind: SIGN_IN.to_owned(), ..entry("a", 101, Some(130)) };
        let journal = [sign_in, entry("b", 110, Some(150))];
        assert_eq!(count(&journal, &[blow(5, Some(100))]), (0, 1));
        assert_eq!(count(&journal, &[]), (1, 0));
        let journal =
            [entry("a", 0, Some(4)), entry("a", 101, Some(130)), entry("b", 110, Some(150))];
        assert_eq!(count(&journal, &[blow(5, Some(100))]), (0, 1));
    }

    #[test]
    fn a_worker_that_thaws_may_send_the_one_request_it_was_about_to_send() {
        let thaw = [blow(5, Some(100))];
        let mut journal =
            vec![entry("a", 0, Some(10)), entry("b", 50, Some(300)), entry("a", 110, Some(120))];
        assert_eq!(count(&journal, &thaw), (0, 1));
        journal.push(entry("a", 130, Some(140)));
        assert_eq!(count(&journal, &thaw), (1, 1));
        assert_eq!(count(&journal, &[blow(5, Some(60))]), (1, 1));
        let later = [entry("a", 10, Some(20)), entry("b", 50, Some(300)), entry("a", 110, None)];
        assert_eq!(count(&later, &thaw), (1, 0));
    }
}
