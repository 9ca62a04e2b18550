//! What is said of a run: the retailer's ledger is the judge.

use std::collections::{BTreeMap, BTreeSet};

use crash_verdict::{Ending, Verdict};
use jiff::Timestamp;
use serde_json::Value;

use crate::{
    clients::Wanted,
    receiver::Receiver,
    shop::{self, Shop},
};

/// How a cancellation ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cancelling {
    /// What was bought will never come.
    Cancelled,
    /// It was not cancelled, for the reason with this code.
    Refused(String),
    /// Nobody knows.
    Unknown,
    /// It has not ended.
    Open,
}

impl Cancelling {
    /// How the cancellation ended that `body` is the public view of.
    pub fn of(body: &Value) -> Self {
        match body["code"].as_str() {
            None => Self::Cancelled,
            Some("request_processing" | "attempting_to_cancel") => Self::Open,
            Some(_) if body["money_moved"] == "unknown" => Self::Unknown,
            Some(code) => Self::Refused(code.to_owned()),
        }
    }

    /// What its last webhook says.
    fn word(&self) -> &str {
        match self {
            Self::Cancelled => "cancellation_response",
            Self::Refused(code) => code,
            Self::Unknown => "internal_error",
            Self::Open => "",
        }
    }
}

/// All there is to judge a run by.
pub struct Evidence<'a> {
    /// What clients wanted and heard.
    pub wanted: &'a [Wanted],
    /// Every order there is, and how it ended.
    pub endings: &'a BTreeMap<String, Ending>,
    /// How each cancellation ended.
    pub cancellations: &'a BTreeMap<String, Cancelling>,
    /// When all was over.
    pub over_at: Timestamp,
    /// The retailer's books.
    pub shop: &'a Shop,
    /// What the receiver of webhooks got.
    pub receiver: &'a Receiver,
    /// How many faults struck.
    pub faults: u64,
    /// What should not be there any more, or came too late.
    pub left: Vec<String>,
}

/// Judges a run.
pub fn judge(evidence: &Evidence<'_>) -> Verdict {
    let Evidence { wanted, endings, shop, receiver, faults, left, .. } = evidence;
    let ledger = &shop.ledger;
    let bought = shop::bought(ledger);
    let mut verdict = Verdict {
        attempted: u64::try_from(wanted.len()).unwrap_or(u64::MAX),
        overlapped: shop.overlapped.clone(),
        orphans: left.clone(),
        faults: *faults,
        ..Verdict::default()
    };
    verdict.orphans.extend(shop.misused.iter().cloned());
    for (reference, count) in &bought {
        if *count > 1 {
            verdict.duplicated.push(format!("{reference} was bought {count} times"));
        }
    }
    for wanted in *wanted {
        judge_one(wanted, &bought, shop, endings, &mut verdict);
        judge_cancellations(wanted, evidence, &mut verdict);
    }
    let mut claimed = BTreeSet::new();
    for (id, ending) in *endings {
        verdict.count(ending);
        match ending {
            Ending::Placed(ids) => {
                for one in ids {
                    if !claimed.insert(one.as_str()) {
                        verdict.lost.push(format!("{id} has {one}, which another order has, too"));
                    }
                }
            }
            Ending::Failed { .. } | Ending::Unknown => {}
            Ending::Open => verdict.lost.push(format!("{id} has not ended")),
        }
        let told = receiver.told.get(id);
        let is_told = told.is_some_and(|told| told.iter().any(|word| word == ending.word()));
        if !is_told && *ending != Ending::Open {
            verdict.orphans.push(format!("nobody was told how {id} ended: {}", ending.word()));
        }
    }
    if verdict.unknown == 0 {
        let all = shop::ids(ledger);
        let nobodys = all.difference(&claimed).map(|id| format!("{id} is nobody's"));
        verdict.orphans.extend(nobodys);
    }
    verdict.recovered = if verdict.is_good() { verdict.faults } else { 0 };
    verdict
}

/// What became of one order that a client wanted.
fn judge_one(
    wanted: &Wanted,
    bought: &BTreeMap<&str, usize>,
    shop: &Shop,
    endings: &BTreeMap<String, Ending>,
    verdict: &mut Verdict,
) {
    let Wanted { reference, accepted, is_called_off, .. } = wanted;
    let ids: BTreeSet<_> = accepted.iter().collect();
    if ids.len() > 1 {
        verdict.duplicated.push(format!("{reference} was accepted as {ids:?}"));
    }
    let count = bought.get(reference.as_str()).copied().unwrap_or_default();
    let Some(id) = ids.first() else { return };
    verdict.acknowledged += 1;
    match endings.get(*id) {
        None => verdict.lost.push(format!("{reference} was accepted as {id}, which nobody knows")),
        Some(Ending::Placed(_)) if count == 0 => {
            verdict.lost.push(format!("{reference} is placed as {id} and was never bought"));
        }
        Some(Ending::Failed { not_placed_at: Some(at), .. })
            if shop.presses.get(reference).is_some_and(|until| at <= until) =>
        {
            let text =
                format!("{reference} was said not to be placed as {id} while it still could be");
            verdict.duplicated.push(text);
        }
        Some(Ending::Failed { code, .. }) if count > 0 => {
            verdict.duplicated.push(format!("{reference} failed as {id} ({code}) and was bought"));
        }
        Some(Ending::Placed(_)) if *is_called_off => {
            verdict.duplicated.push(format!("{reference} was called off as {id} and was bought"));
        }
        Some(_) => {}
    }
}

/// What became of the cancellations of one order.
fn judge_cancellations(wanted: &Wanted, evidence: &Evidence<'_>, verdict: &mut Verdict) {
    let Evidence { cancellations, shop, receiver, over_at, .. } = evidence;
    let reference = &wanted.reference;
    let is_cancelled = shop.has_cancelled(reference, *over_at);
    let mut all_refused = !wanted.cancellations.is_empty();
    for id in &wanted.cancellations {
        let Some(ending) = cancellations.get(id) else {
            verdict.lost.push(format!("nobody knows the cancellation {id}"));
            continue;
        };
        match ending {
            Cancelling::Open => verdict.lost.push(format!("the cancellation {id} has not ended")),
            Cancelling::Cancelled if !is_cancelled => {
                verdict.lost.push(format!("{reference} is cancelled as {id} and was not"));
            }
            Cancelling::Cancelled | Cancelling::Refused(_) | Cancelling::Unknown => {
                verdict.cancelled += 1;
            }
        }
        all_refused &= matches!(ending, Cancelling::Refused(_));
        let told = receiver.told.get(id);
        let is_told = told.is_some_and(|told| told.iter().any(|word| word == ending.word()));
        if !is_told && *ending != Cancelling::Open {
            verdict.orphans.push(format!("nobody was told how {id} ended: {}", ending.word()));
        }
    }
    if all_refused && is_cancelled {
        verdict.lost.push(format!("{reference} was refused to be cancelled, and was"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placed(id: &str) -> Ending {
        Ending::Placed(vec![id.to_owned()])
    }

    fn failed(not_placed_at: Option<i64>) -> Ending {
        let not_placed_at = not_placed_at.map(|at| Timestamp::from_second(at).unwrap());
        Ending::Failed { code: "internal_error".to_owned(), not_placed_at }
    }

    /// What is said of an order `R`, accepted as `1`, that ended like this. Its end was told.
    fn of(shop: &Shop, ending: Ending) -> Verdict {
        of_wanted(wanted(&["1"]), shop, ending)
    }

    /// An order `R` that was accepted as these.
    fn wanted(accepted: &[&str]) -> Wanted {
        let accepted = accepted.iter().map(|id| (*id).to_owned()).collect();
        Wanted { reference: "R".to_owned(), accepted, ..Wanted::default() }
    }

    fn of_wanted(wanted: Wanted, shop: &Shop, ending: Ending) -> Verdict {
        let mut receiver = Receiver::default();
        receiver.told.insert("1".to_owned(), vec![ending.word().to_owned()]);
        let endings = BTreeMap::from([("1".to_owned(), ending)]);
        judge(&Evidence { faults: 3, ..evidence(&[wanted], &endings, shop, &receiver) })
    }

    /// Of a run in which nothing is left and nothing was cancelled.
    fn evidence<'a>(
        wanted: &'a [Wanted],
        endings: &'a BTreeMap<String, Ending>,
        shop: &'a Shop,
        receiver: &'a Receiver,
    ) -> Evidence<'a> {
        static NONE: BTreeMap<String, Cancelling> = BTreeMap::new();
        Evidence {
            wanted,
            endings,
            cancellations: &NONE,
            over_at: Timestamp::from_second(1_000).unwrap(),
            shop,
            receiver,
            faults: 0,
            left: vec![],
        }
    }

    fn counts(verdict: &Verdict) -> [usize; 4] {
        [&verdict.lost, &verdict.duplicated, &verdict.overlapped, &verdict.orphans].map(Vec::len)
    }

    #[test]
    fn an_order_is_placed_if_the_ledger_says_so() {
        let verdict = of(&Shop::with(&[("R", "S1")]), placed("S1"));
        assert!(verdict.is_good(), "{verdict}");
        assert_eq!([verdict.attempted, verdict.acknowledged, verdict.placed], [1, 1, 1]);
        assert_eq!(verdict.recovered, 3);
        assert_eq!(counts(&of(&Shop::default(), placed("S1"))), [1, 0, 0, 0]);
    }

    #[test]
    fn an_order_is_failed_if_nothing_was_bought() {
        let verdict = of(&Shop::default(), failed(None));
        assert!(verdict.is_good(), "{verdict}");
        assert_eq!(verdict.failed, 1);
        assert_eq!(counts(&of(&Shop::with(&[("R", "S1")]), failed(None))), [0, 1, 0, 1]);
    }

    #[test]
    fn an_order_is_unknown_whatever_was_bought() {
        for shop in [Shop::default(), Shop::with(&[("R", "S1")])] {
            let verdict = of(&shop, Ending::Unknown);
            assert!(verdict.is_good(), "{verdict}");
            assert_eq!(verdict.unknown, 1);
        }
    }

    #[test]
    fn an_order_that_never_ends_or_that_nobody_knows_is_lost() {
        assert_eq!(counts(&of(&Shop::default(), Ending::Open)), [1, 0, 0, 0]);
        assert_eq!(
            counts(&of_wanted(wanted(&["2"]), &Shop::default(), failed(None))),
            [1, 0, 0, 0]
        );
    }

    #[test]
    fn two_purchases_are_one_too_many() {
        let verdict = of(&Shop::with(&[("R", "S1"), ("R", "S2")]), placed("S1"));
        assert_eq!(counts(&verdict), [0, 1, 0, 1]);
        assert_eq!(verdict.recovered, 0);
    }

    #[test]
    fn not_placed_may_be_said_when_nothing_can_land_any_more() {
        let mut shop = Shop::default();
        shop.presses.insert("R".to_owned(), Timestamp::from_second(100).unwrap());
        assert_eq!(counts(&of(&shop, failed(Some(100)))), [0, 1, 0, 0]);
        assert_eq!(counts(&of(&shop, failed(Some(101)))), [0, 0, 0, 0]);
    }

    #[test]
    fn what_was_called_off_must_not_be_bought() {
        let wanted = Wanted { is_called_off: true, ..wanted(&["1"]) };
        let verdict = of_wanted(wanted, &Shop::with(&[("R", "S1")]), placed("S1"));
        assert_eq!(counts(&verdict), [0, 1, 0, 0]);
    }

    #[test]
    fn an_end_that_nobody_was_told_is_an_orphan() {
        let endings = BTreeMap::from([("1".to_owned(), failed(None))]);
        let (shop, receiver) = (Shop::default(), Receiver::default());
        let verdict = judge(&evidence(&[], &endings, &shop, &receiver));
        assert_eq!(counts(&verdict), [0, 0, 0, 1]);
    }

    /// What is said of an order that was bought, when its cancellation `2` ended like this and that was told.
    fn of_cancellation(ending: Cancelling, is_cancelled: bool) -> Verdict {
        let mut shop = Shop::with(&[("R", "S1")]);
        if is_cancelled {
            shop.cancel("S1", Timestamp::from_second(999).unwrap());
        }
        let wanted = [Wanted { cancellations: vec!["2".to_owned()], ..wanted(&["1"]) }];
        let mut receiver = Receiver::default();
        for (id, word) in [("1", placed("S1").word()), ("2", ending.word())] {
            receiver.told.insert(id.to_owned(), vec![word.to_owned()]);
        }
        let endings = BTreeMap::from([("1".to_owned(), placed("S1"))]);
        let cancellations = BTreeMap::from([("2".to_owned(), ending)]);
        let evidence = evidence(&wanted, &endings, &shop, &receiver);
        judge(&Evidence { cancellations: &cancellations, ..evidence })
    }

    #[test]
    fn a_cancellation_says_what_the_ledger_says() {
        let refused = || Cancelling::Refused("order_not_cancellable".to_owned());
        for (ending, is_cancelled, is_good) in [
            (Cancelling::Cancelled, true, true),
            (Cancelling::Cancelled, false, false),
            (refused(), false, true),
            (refused(), true, false),
            (Cancelling::Unknown, true, true),
            (Cancelling::Unknown, false, true),
            (Cancelling::Open, false, false),
        ] {
            let verdict = of_cancellation(ending.clone(), is_cancelled);
            assert_eq!(verdict.is_good(), is_good, "{ending:?} {is_cancelled}: {verdict}");
        }
    }

    #[test]
    fn the_public_view_says_how_a_cancellation_ended() {
        let of = |text: &str| Cancelling::of(&serde_json::from_str(text).unwrap());
        assert_eq!(of(r#"{"_type": "cancellation_response"}"#), Cancelling::Cancelled);
        for code in ["request_processing", "attempting_to_cancel"] {
            assert_eq!(
                of(&format!(r#"{{"code": "{code}", "money_moved": "yes"}}"#)),
                Cancelling::Open
            );
        }
        let refused = r#"{"code": "order_not_cancellable", "money_moved": "yes"}"#;
        assert_eq!(of(refused), Cancelling::Refused("order_not_cancellable".to_owned()));
        let unknown = r#"{"code": "internal_error", "money_moved": "unknown"}"#;
        assert_eq!(of(unknown), Cancelling::Unknown);
    }
}
