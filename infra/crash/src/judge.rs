//! What is said of a run on real processes: the shop's ledger is the judge. docs/guarantees.md has the words.

use std::collections::{BTreeMap, BTreeSet};

use crash_verdict::{Ending, Verdict};
use serde_json::Value;

use crate::{client::Wanted, receiver::Told};

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
    /// What should not be there any more.
    pub(crate) left: Vec<String>,
    /// How many faults struck.
    pub(crate) faults: u64,
}

/// Judges a run.
pub(crate) fn judge(evidence: Evidence<'_>) -> Verdict {
    let Evidence { wanted, endings, purchases, told, overlapped, left, faults } = evidence;
    let mut verdict = Verdict {
        attempted: u64::try_from(wanted.len()).unwrap_or(u64::MAX),
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
        let is_told =
            told.get(id).is_some_and(|told| told.iter().any(|word| word == ending.word()));
        if !is_told && *ending != Ending::Open {
            verdict.orphans.push(format!("nobody was told how {id} ended: {}", ending.word()));
        }
    }
    verdict.recovered = if verdict.is_good() { faults } else { 0 };
    verdict
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
    if accepted.len() > 1 {
        verdict.duplicated.push(format!("{reference} was accepted as {accepted:?}"));
    }
    if bought.len() > 1 {
        verdict.duplicated.push(format!("{reference} was bought {} times", bought.len()));
    }
    let Some(id) = accepted.first() else {
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
        (Some(Ending::Placed(_)), None) => {
            verdict.lost.push(format!("{reference} is placed as {id} and was never bought"));
        }
        (Some(Ending::Placed(_)), Some(_)) if *is_called_off => {
            verdict.duplicated.push(format!("{reference} was called off as {id} and was bought"));
        }
        (Some(Ending::Placed(ids)), Some(_)) => {
            let all: BTreeSet<_> = bought.iter().flat_map(|purchase| &purchase.ids).collect();
            if !ids.iter().all(|one| all.contains(one)) {
                verdict.lost.push(format!("{reference} ({id}) says {ids:?}, the shop {all:?}"));
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn wanted(accepted: &[&str]) -> Wanted {
        Wanted {
            reference: "R1".to_owned(),
            accepted: accepted.iter().map(|id| (*id).to_owned()).collect(),
            ..Wanted::default()
        }
    }

    fn purchase(reference: &str, id: &str) -> Purchase {
        Purchase { reference: reference.to_owned(), ids: vec![id.to_owned()] }
    }

    fn placed(id: &str) -> Ending {
        Ending::Placed(vec![id.to_owned()])
    }

    fn failed() -> Ending {
        Ending::Failed { code: "internal_error".to_owned(), not_placed_at: None }
    }

    /// What is said of `wanted`, whose order `1` ended like this, was told and was bought like this.
    fn of(wanted: Wanted, ending: Option<Ending>, purchases: &[Purchase]) -> Verdict {
        let word = ending.iter().map(|ending| ending.word().to_owned()).collect();
        let told = BTreeMap::from([("1".to_owned(), word)]);
        let endings = ending.into_iter().map(|ending| ("1".to_owned(), ending)).collect();
        judge(Evidence {
            wanted: &[wanted],
            endings: &endings,
            purchases,
            told: &told,
            overlapped: vec![],
            left: vec![],
            faults: 3,
        })
    }

    fn counts(verdict: &Verdict) -> [usize; 4] {
        [&verdict.lost, &verdict.duplicated, &verdict.overlapped, &verdict.orphans].map(Vec::len)
    }

    #[test]
    fn an_order_is_placed_if_the_ledger_says_so() {
        let verdict = of(wanted(&["1"]), Some(placed("S1")), &[purchase("R1", "S1")]);
        assert!(verdict.is_good(), "{verdict}");
        assert_eq!((verdict.attempted, verdict.acknowledged, verdict.placed), (1, 1, 1));
        assert_eq!((verdict.faults, verdict.recovered), (3, 3));
        let other = of(wanted(&["1"]), Some(placed("S1")), &[purchase("R1", "S2")]);
        assert_eq!(counts(&other), [1, 0, 0, 0]);
        assert_eq!(counts(&of(wanted(&["1"]), Some(placed("S1")), &[])), [1, 0, 0, 0]);
    }

    #[test]
    fn two_purchases_are_one_too_many() {
        let twice = [purchase("R1", "S1"), purchase("R1", "S2")];
        let verdict = of(wanted(&["1"]), Some(placed("S1")), &twice);
        assert_eq!(counts(&verdict), [0, 1, 0, 0]);
        assert_eq!(verdict.recovered, 0);
        assert_eq!(counts(&of(wanted(&["1", "2"]), Some(failed()), &[])), [0, 1, 0, 0]);
    }

    #[test]
    fn what_failed_or_was_called_off_must_not_be_bought() {
        let bought = [purchase("R1", "S1")];
        assert_eq!(counts(&of(wanted(&["1"]), Some(failed()), &[])), [0, 0, 0, 0]);
        assert_eq!(counts(&of(wanted(&["1"]), Some(failed()), &bought)), [0, 1, 0, 0]);
        let called_off = Wanted { is_called_off: true, ..wanted(&["1"]) };
        assert_eq!(counts(&of(called_off, Some(placed("S1")), &bought)), [0, 1, 0, 0]);
    }

    #[test]
    fn of_what_is_unknown_anything_may_be_true() {
        for bought in [vec![], vec![purchase("R1", "S1")]] {
            let verdict = of(wanted(&["1"]), Some(Ending::Unknown), &bought);
            assert!(verdict.is_good(), "{verdict}");
            assert_eq!(verdict.unknown, 1);
        }
    }

    #[test]
    fn an_accepted_order_that_never_ends_or_that_nobody_knows_is_lost() {
        assert_eq!(counts(&of(wanted(&["1"]), Some(Ending::Open), &[])), [1, 0, 0, 0]);
        assert_eq!(counts(&of(wanted(&["1"]), None, &[])), [1, 0, 0, 0]);
    }

    #[test]
    fn a_purchase_of_no_order_is_an_orphan() {
        let verdict = of(wanted(&["1"]), Some(failed()), &[purchase("R2", "S1")]);
        assert_eq!(counts(&verdict), [0, 0, 0, 1]);
        assert_eq!(counts(&of(wanted(&[]), None, &[purchase("R1", "S1")])), [0, 0, 0, 1]);
        assert_eq!(counts(&of(wanted(&[]), None, &[])), [0, 0, 0, 0]);
    }

    #[test]
    fn an_end_that_nobody_was_told_is_an_orphan() {
        let endings = BTreeMap::from([("1".to_owned(), failed())]);
        let told = BTreeMap::from([("1".to_owned(), vec!["order_response".to_owned()])]);
        let verdict = judge(Evidence {
            wanted: &[wanted(&["1"])],
            endings: &endings,
            purchases: &[],
            told: &told,
            overlapped: vec!["two".to_owned()],
            left: vec!["a message".to_owned()],
            faults: 0,
        });
        assert_eq!(counts(&verdict), [0, 0, 1, 2]);
    }

    #[test]
    fn a_purchase_names_its_order_in_the_address() {
        let entry = json!({"orders": [{"name": "R1 Beaver", "order_id": "S1"}]});
        assert_eq!(Purchase::of(&entry), purchase("R1", "S1"));
    }
}
