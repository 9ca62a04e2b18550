//! What is said of a run on real processes: the shop's ledger is the judge. docs/guarantees.md has the words.

use std::collections::{BTreeMap, BTreeSet};

use crash_verdict::{Ending, Verdict};
use serde_json::Value;

use crate::{client::Wanted, plan::MANY_ORDERS, receiver::Told};

/// One press of the button at the shop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Purchase {
    /// The reference of the order it was for, as the address has it.
    pub(crate) reference: String,
    /// The ids of what the shop made of it.
    pub(crate) ids: Vec<String>,
}

impl Purchase {
    /// A purchase out of the shop's ledger.
    pub(crate) fn of(entry: &Value) -> Self {
        let orders = entry.get("orders").and_then(Value::as_array).map(Vec::as_slice);
        let orders = orders.unwrap_or_default();
        let text = |order: &Value, name: &str| order.get(name)?.as_str().map(str::to_owned);
        let name = orders.first().and_then(|order| text(order, "name")).unwrap_or_default();
        let reference = name.split_whitespace().next().unwrap_or_default().to_owned();
        Self { reference, ids: orders.iter().filter_map(|order| text(order, "order_id")).collect() }
    }
}

/// All there is to judge a run by.
pub(crate) struct Evidence<'a> {
    /// What clients wanted and heard.
    pub(crate) wanted: &'a [Wanted],
    /// How each accepted order ended; an order that nobody knows is missing.
    pub(crate) endings: &'a BTreeMap<String, Ending>,
    /// The shop's ledger.
    pub(crate) purchases: &'a [Purchase],
    /// What the receiver of webhooks was told.
    pub(crate) told: &'a Told,
    /// Two workers at one account.
    pub(crate) overlapped: Vec<String>,
    /// Every order there is.
    pub(crate) stored: &'a BTreeSet<String>,
    /// Orders that failed while they still could be placed.
    pub(crate) too_soon: &'a BTreeSet<String>,
    /// Orders of which nobody knows and which do not say where to look.
    pub(crate) lead_nowhere: &'a BTreeSet<String>,
    /// Presses of the button that no order explains.
    pub(crate) unexplained: Vec<String>,
    /// What should not be there any more.
    pub(crate) left: Vec<String>,
    /// How many faults struck.
    pub(crate) faults: u64,
}

/// Judges a run.
pub(crate) fn judge(evidence: Evidence<'_>) -> Verdict {
    let Evidence { wanted, endings, purchases, told, stored, too_soon, lead_nowhere, .. } =
        evidence;
    let Evidence { unexplained, overlapped, left, faults, .. } = evidence;
    let mut verdict = Verdict {
        attempted: u64::try_from(wanted.len()).unwrap_or(u64::MAX),
        duplicated: unexplained,
        overlapped,
        orphans: left,
        faults,
        ..Verdict::default()
    };
    let mut bought = BTreeMap::<&str, Vec<&Purchase>>::new();
    for purchase in purchases {
        bought.entry(&purchase.reference).or_default().push(purchase);
    }
    let mut claimed = BTreeSet::new();
    for wanted in wanted {
        let bought = bought.remove(wanted.reference.as_str()).unwrap_or_default();
        judge_one(wanted, &bought, endings, &mut claimed, &mut verdict);
    }
    for (reference, bought) in &bought {
        verdict.orphans.push(format!("{bought:?} is for {reference:?}, which nobody wanted"));
    }
    for (id, ending) in endings {
        verdict.count(ending);
        verdict.orphans.extend(untold(id, ending, told));
    }
    let accepted: BTreeSet<_> = wanted.iter().filter_map(|one| one.accepted.clone()).collect();
    let nobodys = stored.difference(&accepted);
    verdict.orphans.extend(nobodys.map(|id| format!("{id} is no order that a client knows")));
    // Of what GET does not know either, that has been said.
    let missing = accepted.difference(stored).filter(|id| endings.contains_key(*id));
    verdict.lost.extend(missing.map(|id| format!("{id} was accepted and is not stored")));
    for id in too_soon {
        verdict.duplicated.push(format!("{id} failed while it still could be placed"));
    }
    let lost = lead_nowhere.iter();
    verdict.lost.extend(lost.map(|id| format!("{id} is unknown and does not say where to look")));
    verdict.recovered = if verdict.is_good() { faults } else { 0 };
    verdict
}

/// What is wrong with what was told of how an order ended: of its news only the end was asked for, and it has one.
fn untold(id: &str, ending: &Ending, told: &Told) -> Option<String> {
    let told: BTreeSet<_> = told.get(id).into_iter().flatten().map(String::as_str).collect();
    let word = ending.word();
    if *ending == Ending::Open || told == BTreeSet::from([word]) {
        return None;
    }
    Some(if told.contains(word) {
        format!("{id} ended: {word}; what was told contradicts itself: {told:?}")
    } else {
        format!("nobody was told how {id} ended: {word}; told was {told:?}")
    })
}

/// What became of one order that a client wanted.
fn judge_one<'a>(
    wanted: &Wanted,
    bought: &[&Purchase],
    endings: &'a BTreeMap<String, Ending>,
    claimed: &mut BTreeSet<&'a str>,
    verdict: &mut Verdict,
) {
    let Wanted { reference, accepted, is_called_off, refused: _ } = wanted;
    if bought.len() > 1 {
        verdict.duplicated.push(format!("{reference} was bought {} times", bought.len()));
    }
    let Some(id) = accepted else {
        if let Some(purchase) = bought.first() {
            let text = format!("{reference} was never accepted, and bought as {:?}", purchase.ids);
            verdict.orphans.push(text);
        }
        return;
    };
    verdict.acknowledged += 1;
    match (endings.get(id), bought.first()) {
        (None, _) => {
            verdict.lost.push(format!("{reference} was accepted as {id}, which nobody knows"));
        }
        (Some(Ending::Open), _) => {
            verdict.lost.push(format!("{reference} ({id}) has not ended"));
        }
        (Some(ending @ (Ending::Placed(_) | Ending::Unknown)), _) if *is_called_off => {
            let text = format!("{reference} was called off as {id} and ended: {}", ending.word());
            verdict.duplicated.push(text);
        }
        (Some(Ending::Placed(_)), None) => {
            verdict.lost.push(format!("{reference} is placed as {id} and was never bought"));
        }
        (Some(Ending::Placed(ids)), Some(_)) => {
            let said: BTreeSet<_> = ids.iter().collect();
            // That it was bought more than once has been said.
            if !bought.iter().any(|purchase| purchase.ids.iter().collect::<BTreeSet<_>>() == said) {
                verdict.lost.push(format!("{reference} ({id}) says {ids:?}, the shop {bought:?}"));
            }
            for one in ids {
                if !claimed.insert(one) {
                    verdict.lost.push(format!("{id} has {one}, which another order has, too"));
                }
            }
        }
        (Some(Ending::Failed { code, .. }), Some(_)) => {
            let text = format!("{reference} failed as {id} ({code}) and was bought");
            verdict.duplicated.push(text);
        }
        (Some(Ending::Failed { .. }), None) | (Some(Ending::Unknown), _) => {}
    }
}

/// Why a run proves too little, in words. `cut` is how many presses the shop cut off.
pub(crate) fn shortcomings(
    orders: usize,
    cut: u64,
    wanted: &[Wanted],
    verdict: &Verdict,
) -> Vec<String> {
    let has_many = orders >= MANY_ORDERS;
    let orders = u64::try_from(orders).unwrap_or(u64::MAX);
    let refused = wanted.iter().filter_map(|wanted| {
        let refused = wanted.refused.as_ref()?;
        Some(format!("{} was refused, which its client did not want: {refused}", wanted.reference))
    });
    let mut shortcomings: Vec<_> = refused.collect();
    if verdict.attempted < orders {
        shortcomings.push(format!("time was up after {} of {orders} orders", verdict.attempted));
    }
    if verdict.placed * 2 < orders {
        shortcomings.push(format!("only {} of {orders} orders were placed", verdict.placed));
    }
    if has_many && verdict.unknown * 20 > orders {
        shortcomings.push(format!("of {} of {orders} orders nobody knows", verdict.unknown));
    }
    if has_many && cut == 0 {
        shortcomings.push("the shop cut no press off".to_owned());
    }
    shortcomings
}

/// Of so many orders, senders may die of one hint five times.
const ORDERS_OF_A_DEAD_HINT: u64 = 500;
/// And of so many of fewer.
const DEAD_HINTS_AT_LEAST: u64 = 2;

/// Why a run proves too little if senders died of so many hints: the sweeper tells what they hint at, but so late that it
/// may not be what does the work.
pub(crate) fn too_many_dead_hints(orders: usize, dead_hints: u64) -> Option<String> {
    let orders = u64::try_from(orders).unwrap_or(u64::MAX);
    let is_few = dead_hints <= (orders / ORDERS_OF_A_DEAD_HINT).max(DEAD_HINTS_AT_LEAST);
    (!is_few).then(|| format!("senders could not act on {dead_hints} hints"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn wanted(accepted: Option<&str>) -> Wanted {
        Wanted {
            reference: "R1".to_owned(),
            accepted: accepted.map(str::to_owned),
            ..Wanted::default()
        }
    }

    fn accepted() -> Wanted {
        wanted(Some("1"))
    }

    fn called_off() -> Wanted {
        Wanted { is_called_off: true, ..accepted() }
    }

    fn purchase(reference: &str, id: &str) -> Purchase {
        Purchase { reference: reference.to_owned(), ids: vec![id.to_owned()] }
    }

    fn placed(id: &str) -> Ending {
        Ending::Placed(vec![id.to_owned()])
    }

    fn failed() -> Ending {
        Ending::Failed { code: "internal_error".to_owned(), ended_at: None, is_not_placed: false }
    }

    /// What is said of `wanted`, whose order `1` ended like this, was told and was bought like this.
    fn of(wanted: Wanted, ending: Option<Ending>, purchases: &[Purchase]) -> Verdict {
        let word = ending.iter().map(|ending| ending.word().to_owned()).collect();
        let told = BTreeMap::from([("1".to_owned(), word)]);
        let endings = ending.into_iter().map(|ending| ("1".to_owned(), ending)).collect();
        judge(Evidence {
            stored: &wanted.accepted.clone().into_iter().collect(),
            wanted: &[wanted],
            endings: &endings,
            purchases,
            told: &told,
            ..nothing()
        })
    }

    /// That nothing happened but three faults.
    fn nothing() -> Evidence<'static> {
        static NO_TOLD: Told = BTreeMap::new();
        static NO_ENDINGS: BTreeMap<String, Ending> = BTreeMap::new();
        static NO_IDS: BTreeSet<String> = BTreeSet::new();
        Evidence {
            wanted: &[],
            endings: &NO_ENDINGS,
            purchases: &[],
            told: &NO_TOLD,
            stored: &NO_IDS,
            too_soon: &NO_IDS,
            lead_nowhere: &NO_IDS,
            unexplained: vec![],
            overlapped: vec![],
            left: vec![],
            faults: 3,
        }
    }

    /// What is said of an order that failed and of which this was told.
    fn told(words: &[&str]) -> Verdict {
        let told = words.iter().map(|word| (*word).to_owned()).collect();
        judge(Evidence {
            wanted: &[accepted()],
            endings: &BTreeMap::from([("1".to_owned(), failed())]),
            told: &BTreeMap::from([("1".to_owned(), told)]),
            stored: &BTreeSet::from(["1".to_owned()]),
            ..nothing()
        })
    }

    fn counts(verdict: &Verdict) -> [usize; 4] {
        [&verdict.lost, &verdict.duplicated, &verdict.overlapped, &verdict.orphans].map(Vec::len)
    }

    #[test]
    fn an_order_is_placed_if_the_ledger_says_so() {
        let verdict = of(accepted(), Some(placed("S1")), &[purchase("R1", "S1")]);
        assert!(verdict.is_good(), "{verdict}");
        assert_eq!((verdict.attempted, verdict.acknowledged, verdict.placed), (1, 1, 1));
        assert_eq!((verdict.faults, verdict.recovered), (3, 3));
        let other = of(accepted(), Some(placed("S1")), &[purchase("R1", "S2")]);
        assert_eq!(counts(&other), [1, 0, 0, 0]);
        assert_eq!(counts(&of(accepted(), Some(placed("S1")), &[])), [1, 0, 0, 0]);
    }

    #[test]
    fn two_purchases_are_one_too_many() {
        let twice = [purchase("R1", "S1"), purchase("R1", "S2")];
        let verdict = of(accepted(), Some(placed("S1")), &twice);
        assert_eq!(counts(&verdict), [0, 1, 0, 0]);
        assert_eq!(verdict.recovered, 0);
    }

    #[test]
    fn a_placed_order_has_all_that_was_bought_for_it_and_nothing_else() {
        let ids = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
        let bought = [Purchase { reference: "R1".to_owned(), ids: ids(&["S1", "S2"]) }];
        for (said, lost) in [(&["S1", "S2"][..], 0), (&["S2", "S1"], 0), (&["S1"], 1), (&[], 1)] {
            let ending = Ending::Placed(ids(said));
            assert_eq!(counts(&of(accepted(), Some(ending), &bought)), [lost, 0, 0, 0], "{said:?}");
        }
    }

    #[test]
    fn what_failed_or_was_called_off_must_not_be_bought() {
        let bought = [purchase("R1", "S1")];
        assert_eq!(counts(&of(accepted(), Some(failed()), &[])), [0, 0, 0, 0]);
        assert_eq!(counts(&of(accepted(), Some(failed()), &bought)), [0, 1, 0, 0]);
        assert_eq!(counts(&of(called_off(), Some(failed()), &[])), [0, 0, 0, 0]);
        for bought in [&bought[..], &[]] {
            assert_eq!(counts(&of(called_off(), Some(placed("S1")), bought)), [0, 1, 0, 0]);
            assert_eq!(counts(&of(called_off(), Some(Ending::Unknown), bought)), [0, 1, 0, 0]);
        }
    }

    #[test]
    fn what_is_said_not_to_be_placed_too_soon_counts() {
        let too_soon = BTreeSet::from(["1".to_owned()]);
        assert_eq!(counts(&judge(Evidence { too_soon: &too_soon, ..nothing() })), [0, 1, 0, 0]);
    }

    #[test]
    fn a_press_that_no_order_explains_counts() {
        let unexplained = vec!["a press".to_owned()];
        assert_eq!(counts(&judge(Evidence { unexplained, ..nothing() })), [0, 1, 0, 0]);
    }

    #[test]
    fn what_is_unknown_and_does_not_say_where_to_look_is_lost() {
        let lead_nowhere = BTreeSet::from(["1".to_owned()]);
        let verdict = judge(Evidence { lead_nowhere: &lead_nowhere, ..nothing() });
        assert_eq!(counts(&verdict), [1, 0, 0, 0]);
    }

    #[test]
    fn of_what_is_unknown_anything_may_be_true() {
        for bought in [vec![], vec![purchase("R1", "S1")]] {
            let verdict = of(accepted(), Some(Ending::Unknown), &bought);
            assert!(verdict.is_good(), "{verdict}");
            assert_eq!(verdict.unknown, 1);
        }
    }

    #[test]
    fn an_accepted_order_that_never_ends_or_that_nobody_knows_is_lost() {
        assert_eq!(counts(&of(accepted(), Some(Ending::Open), &[])), [1, 0, 0, 0]);
        assert_eq!(counts(&of(accepted(), None, &[])), [1, 0, 0, 0]);
    }

    #[test]
    fn a_purchase_of_no_order_is_an_orphan() {
        let verdict = of(accepted(), Some(failed()), &[purchase("R2", "S1")]);
        assert_eq!(counts(&verdict), [0, 0, 0, 1]);
        assert_eq!(counts(&of(wanted(None), None, &[purchase("R1", "S1")])), [0, 0, 0, 1]);
        assert_eq!(counts(&of(wanted(None), None, &[])), [0, 0, 0, 0]);
    }

    #[test]
    fn an_order_that_no_client_knows_is_an_orphan() {
        let endings = BTreeMap::from([("1".to_owned(), Ending::Unknown)]);
        let told = BTreeMap::from([("1".to_owned(), vec!["order_probably_placed".to_owned()])]);
        let wanted = [accepted()];
        let of = |ids: &[&str]| {
            let stored = ids.iter().map(|id| (*id).to_owned()).collect();
            counts(&judge(Evidence {
                wanted: &wanted,
                endings: &endings,
                told: &told,
                stored: &stored,
                ..nothing()
            }))
        };
        assert_eq!(of(&["1"]), [0, 0, 0, 0]);
        assert_eq!(of(&["1", "2"]), [0, 0, 0, 1]);
        assert_eq!(of(&[]), [1, 0, 0, 0]);
    }

    #[test]
    fn an_end_that_nobody_was_told_is_an_orphan() {
        assert_eq!(counts(&told(&[])), [0, 0, 0, 1]);
        assert_eq!(counts(&told(&["order_response"])), [0, 0, 0, 1]);
    }

    #[test]
    fn of_two_ends_one_is_an_orphan() {
        assert_eq!(counts(&told(&["internal_error", "internal_error"])), [0, 0, 0, 0]);
        assert_eq!(counts(&told(&["internal_error", "order_response"])), [0, 0, 0, 1]);
    }

    #[test]
    fn senders_may_fail_at_a_few_hints() {
        assert_eq!(too_many_dead_hints(120, 2), None);
        assert!(too_many_dead_hints(120, 3).is_some());
        assert_eq!(too_many_dead_hints(10_000, 20), None);
        assert!(too_many_dead_hints(10_000, 21).is_some());
    }

    #[test]
    fn what_overlapped_or_is_left_counts() {
        let (overlapped, left) = (vec!["two".to_owned()], vec!["a message".to_owned()]);
        let verdict = judge(Evidence { overlapped, left, ..nothing() });
        assert_eq!(counts(&verdict), [0, 0, 1, 1]);
    }

    #[test]
    fn a_run_needs_its_orders_accepted_and_half_of_them_placed() {
        let of = |wanted: Wanted, attempted, placed| {
            let verdict = Verdict { attempted, placed, ..Verdict::default() };
            shortcomings(10, 0, &[wanted], &verdict).len()
        };
        assert_eq!(of(accepted(), 10, 5), 0);
        assert_eq!(of(accepted(), 10, 4), 1);
        assert_eq!(of(accepted(), 9, 5), 1);
        let refused = Wanted { refused: Some("no".to_owned()), ..wanted(None) };
        assert_eq!(of(refused, 10, 5), 1);
    }

    #[test]
    fn of_many_orders_few_are_unknown_and_some_were_cut_off() {
        let of = |orders: usize, unknown, cut| {
            let all = u64::try_from(orders).unwrap();
            let verdict = Verdict { attempted: all, placed: all, unknown, ..Verdict::default() };
            shortcomings(orders, cut, &[], &verdict).len()
        };
        assert_eq!(of(MANY_ORDERS, 30, 1), 0);
        assert_eq!(of(MANY_ORDERS, 31, 1), 1);
        assert_eq!(of(MANY_ORDERS, 30, 0), 1);
        assert_eq!(of(MANY_ORDERS - 1, 31, 0), 0);
    }

    #[test]
    fn a_purchase_names_its_order_in_the_address() {
        let entry = json!({"orders": [{"name": "R1 Beaver", "order_id": "S1"}]});
        assert_eq!(Purchase::of(&entry), purchase("R1", "S1"));
    }
}
