//! What is said of a run: the retailer's ledger is the judge.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

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

/// An order that there is, and what became of it.
#[derive(Debug, Clone)]
pub struct Ended {
    /// How it ended.
    pub ending: Ending,
    /// Which order of the test's it is, as its address says.
    pub reference: String,
    /// The e-mail of the account that buys it.
    pub email: String,
    /// From acceptance to the end, if it has ended.
    pub took: Option<Duration>,
    /// When it ended.
    pub at: Option<Timestamp>,
}

/// What is asked of a run besides the promise.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The longest that an order may take.
    pub within: Duration,
    /// Whether nobody else buys with the accounts, so that what became of an order can always be known.
    pub can_know: bool,
}

impl Limits {
    /// Nothing.
    pub const NONE: Self = Self { within: Duration::MAX, can_know: false };
}

/// All there is to judge a run by.
pub struct Evidence<'a> {
    /// What clients wanted and heard.
    pub wanted: &'a [Wanted],
    /// Every order there is, and how it ended.
    pub orders: &'a BTreeMap<String, Ended>,
    /// How each cancellation ended, and when.
    pub cancellations: &'a BTreeMap<String, (Cancelling, Option<Timestamp>)>,
    /// When all was over.
    pub over_at: Timestamp,
    /// What else is asked.
    pub limits: Limits,
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
    let Evidence { wanted, orders, shop, faults, left, .. } = evidence;
    let mut verdict = Verdict {
        attempted: u64::try_from(wanted.len()).unwrap_or(u64::MAX),
        overlapped: shop.overlapped.clone(),
        orphans: left.clone(),
        faults: *faults,
        ..Verdict::default()
    };
    verdict.orphans.extend(shop.misused.iter().cloned());
    let bought = shop::bought(&shop.ledger);
    for (reference, count) in &bought {
        if *count > 1 {
            verdict.duplicated.push(format!("{reference} was bought {count} times"));
        }
    }
    for (reference, count) in shop.pressed.iter().filter(|(_, count)| **count > 1) {
        verdict.duplicated.push(format!("the button was pressed {count} times for {reference}"));
    }
    for wanted in *wanted {
        judge_wanted(wanted, orders, &mut verdict);
        judge_cancellations(wanted, evidence, &mut verdict);
    }
    for (id, order) in *orders {
        let count = bought.get(order.reference.as_str()).copied().unwrap_or_default();
        judge_order(id, order, count, evidence, &mut verdict);
    }
    judge_same(orders, &mut verdict);
    judge_purchases(orders, shop, &mut verdict);
    verdict.recovered = if verdict.is_good() { verdict.faults } else { 0 };
    verdict
}

/// Whether what a client heard of an order it wanted is so.
fn judge_wanted(wanted: &Wanted, orders: &BTreeMap<String, Ended>, verdict: &mut Verdict) {
    let Wanted { reference, accepted, is_called_off, is_refused, .. } = wanted;
    let ids: BTreeSet<_> = accepted.iter().collect();
    verdict.acknowledged += u64::from(!ids.is_empty());
    if *is_refused && orders.values().any(|order| order.reference == *reference) {
        verdict.orphans.push(format!("{reference} was refused, and there is such an order"));
    }
    for id in ids {
        let Some(order) = orders.get(id) else {
            verdict.lost.push(format!("{reference} was accepted as {id}, which nobody knows"));
            continue;
        };
        if order.reference != *reference {
            let other = &order.reference;
            verdict.lost.push(format!("{reference} was accepted as {id}, which is {other}"));
        }
        if *is_called_off && matches!(order.ending, Ending::Placed(_) | Ending::Unknown) {
            let word = order.ending.word();
            verdict.duplicated.push(format!("{reference} was called off as {id}, now {word}"));
        }
    }
}

/// What became of an order that was bought `count` times, whether or not its client ever heard that it was accepted.
fn judge_order(
    id: &str,
    order: &Ended,
    count: usize,
    evidence: &Evidence<'_>,
    verdict: &mut Verdict,
) {
    let Ended { ending, reference, took, at, .. } = order;
    let Evidence { shop, receiver, limits, .. } = evidence;
    verdict.count(ending);
    match ending {
        Ending::Placed(_) if count == 0 => {
            verdict.lost.push(format!("{reference} is placed as {id} and was never bought"));
        }
        Ending::Failed { code, .. }
            if shop
                .presses
                .get(reference)
                .is_some_and(|until| at.is_none_or(|at| at <= *until)) =>
        {
            let text =
                format!("{reference} failed as {id} ({code}) while it still could be placed");
            verdict.duplicated.push(text);
        }
        Ending::Failed { code, .. } if count > 0 => {
            verdict.duplicated.push(format!("{reference} failed as {id} ({code}) and was bought"));
        }
        Ending::Open => verdict.lost.push(format!("{id} has not ended")),
        Ending::Unknown if limits.can_know => {
            verdict.orphans.push(format!("nobody knows of {reference}, and nobody else buys"));
        }
        Ending::Placed(_) | Ending::Failed { .. } | Ending::Unknown => {}
    }
    if let Some(took) = took.filter(|took| *took > limits.within) {
        verdict.lost.push(format!("{reference} ended only after {took:.0?}, as {id}"));
    }
    let told = receiver.told.get(id).map(Vec::as_slice).unwrap_or_default();
    judge_told(id, ending.word(), told, &["request_processing"], verdict);
}

/// Whether what was told of `id` is how it ended (not at all, if the word is empty), and nothing else. What is `passing` may be
/// told before.
fn judge_told(id: &str, word: &str, told: &[String], passing: &[&str], verdict: &mut Verdict) {
    let told: BTreeSet<_> = told.iter().map(String::as_str).collect();
    if !word.is_empty() && !told.contains(word) {
        verdict.orphans.push(format!("nobody was told how {id} ended: {word}"));
    }
    for other in told.into_iter().filter(|one| *one != word && !passing.contains(one)) {
        verdict.orphans.push(format!("{id} was told to have ended as {other}, now {word}"));
    }
}

/// One order of a client's is one order of ours.
fn judge_same(orders: &BTreeMap<String, Ended>, verdict: &mut Verdict) {
    let mut same = BTreeMap::<_, Vec<_>>::new();
    for (id, order) in orders {
        same.entry(&order.reference).or_default().push(id);
    }
    for (reference, ids) in same.into_iter().filter(|(_, ids)| ids.len() > 1) {
        verdict.duplicated.push(format!("{reference} was accepted as {ids:?}"));
    }
}

/// Whether every purchase is somebody's, and is what its order says. Equal orders of one account may have each other's
/// purchases: its history does not tell them apart.
fn judge_purchases(orders: &BTreeMap<String, Ended>, shop: &Shop, verdict: &mut Verdict) {
    let ledger = shop.ledger.iter().map(|one| (one.id.as_str(), one.email.as_str()));
    let bought: BTreeSet<_> = ledger.collect();
    let mut claimed = BTreeSet::new();
    for (id, Ended { ending, email, .. }) in orders {
        let Ending::Placed(ids) = ending else { continue };
        for one in ids {
            if !claimed.insert(one.as_str()) {
                verdict.lost.push(format!("{id} has {one}, which another order has, too"));
            }
            if !bought.contains(&(one.as_str(), email.as_str())) {
                verdict.lost.push(format!("{id} has {one}, which {email} never bought"));
            }
        }
    }
    let unknown: BTreeSet<_> = orders
        .values()
        .filter(|order| order.ending == Ending::Unknown)
        .map(|order| order.reference.as_str())
        .collect();
    let nobodys = shop.ledger.iter().filter(|purchase| {
        !claimed.contains(purchase.id.as_str()) && !unknown.contains(purchase.reference.as_str())
    });
    let nobodys = nobodys.map(|one| format!("{} for {} is nobody's", one.id, one.reference));
    verdict.orphans.extend(nobodys);
}

/// What became of the cancellations of one order.
fn judge_cancellations(wanted: &Wanted, evidence: &Evidence<'_>, verdict: &mut Verdict) {
    let Evidence { cancellations, shop, receiver, over_at, .. } = evidence;
    if wanted.cancellations.is_empty() {
        return;
    }
    let reference = &wanted.reference;
    let is_cancelled = shop.has_cancelled(reference, *over_at);
    let mut refused = Vec::new();
    for id in &wanted.cancellations {
        let Some((ending, at)) = cancellations.get(id) else {
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
        if let Cancelling::Refused(code) = ending {
            refused.push(format!("{id}: {code}"));
            if at.is_some_and(|at| shop.has_cancelled(reference, at)) {
                let text =
                    format!("{reference} was cancelled, and {id} refused after that: {code}");
                verdict.lost.push(text);
            }
        }
        let told = receiver.told.get(id).map(Vec::as_slice).unwrap_or_default();
        let passing = ["request_processing", "attempting_to_cancel"];
        judge_told(id, ending.word(), told, &passing, verdict);
    }
    let are_all = !refused.is_empty() && refused.len() == wanted.cancellations.len();
    if are_all && is_cancelled {
        let refused = refused.join(", ");
        verdict.lost.push(format!("{reference} was refused to be cancelled, and was: {refused}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placed(id: &str) -> Ending {
        Ending::Placed(vec![id.to_owned()])
    }

    fn failed() -> Ending {
        Ending::Failed { code: "internal_error".to_owned(), ended_at: None, is_not_placed: false }
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

    /// An order for `reference` that ended like this.
    fn ended(reference: &str, ending: Ending) -> Ended {
        let (took, at) =
            (Some(Duration::from_secs(10)), Some(Timestamp::from_second(101).unwrap()));
        Ended { ending, reference: reference.to_owned(), email: String::new(), took, at }
    }

    /// The only order.
    fn only(ended: Ended) -> BTreeMap<String, Ended> {
        BTreeMap::from([("1".to_owned(), ended)])
    }

    /// A receiver that was told these words of orders and cancellations.
    fn told(told: &[(&str, &str)]) -> Receiver {
        let mut receiver = Receiver::default();
        for (id, word) in told {
            receiver.told.entry((*id).to_owned()).or_default().push((*word).to_owned());
        }
        receiver
    }

    fn of_wanted(wanted: Wanted, shop: &Shop, ending: Ending) -> Verdict {
        let receiver = told(&[("1", ending.word())][..usize::from(ending != Ending::Open)]);
        let orders = only(ended("R", ending));
        judge(&Evidence { faults: 3, ..evidence(&[wanted], &orders, shop, &receiver) })
    }

    /// Of a run in which nothing is left and nothing was cancelled.
    fn evidence<'a>(
        wanted: &'a [Wanted],
        orders: &'a BTreeMap<String, Ended>,
        shop: &'a Shop,
        receiver: &'a Receiver,
    ) -> Evidence<'a> {
        static NONE: BTreeMap<String, (Cancelling, Option<Timestamp>)> = BTreeMap::new();
        Evidence {
            wanted,
            orders,
            cancellations: &NONE,
            over_at: Timestamp::from_second(1_000).unwrap(),
            limits: Limits::NONE,
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
        assert_eq!(counts(&of(&Shop::default(), placed("S1"))), [2, 0, 0, 0]);
    }

    #[test]
    fn an_order_is_failed_if_nothing_was_bought() {
        let verdict = of(&Shop::default(), failed());
        assert!(verdict.is_good(), "{verdict}");
        assert_eq!(verdict.failed, 1);
        assert_eq!(counts(&of(&Shop::with(&[("R", "S1")]), failed())), [0, 1, 0, 1]);
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
        assert_eq!(counts(&of_wanted(wanted(&["2"]), &Shop::default(), failed())), [1, 0, 0, 0]);
    }

    #[test]
    fn two_purchases_are_one_too_many() {
        let verdict = of(&Shop::with(&[("R", "S1"), ("R", "S2")]), placed("S1"));
        assert_eq!(counts(&verdict), [0, 1, 0, 1]);
        assert_eq!(verdict.recovered, 0);
    }

    #[test]
    fn an_order_may_fail_when_nothing_can_land_any_more() {
        for (until, count) in [(100, 0), (101, 1)] {
            let mut shop = Shop::default();
            shop.presses.insert("R".to_owned(), Timestamp::from_second(until).unwrap());
            assert_eq!(counts(&of(&shop, failed())), [0, count, 0, 0]);
        }
    }

    #[test]
    fn the_button_is_pressed_once_whatever_comes_of_it() {
        for (times, count) in [(1, 0), (2, 1)] {
            let mut shop = Shop::default();
            shop.pressed.insert("R".to_owned(), times);
            assert_eq!(counts(&of(&shop, failed())), [0, count, 0, 0]);
        }
    }

    #[test]
    fn there_is_no_order_that_was_refused() {
        let refused = Wanted { is_refused: true, ..wanted(&[]) };
        assert_eq!(counts(&of_wanted(refused, &Shop::default(), failed())), [0, 0, 0, 1]);
    }

    #[test]
    fn what_was_called_off_must_not_be_bought() {
        let called_off = || Wanted { is_called_off: true, ..wanted(&["1"]) };
        let shop = Shop::with(&[("R", "S1")]);
        for ending in [placed("S1"), Ending::Unknown] {
            assert_eq!(counts(&of_wanted(called_off(), &shop, ending)), [0, 1, 0, 0]);
        }
        assert!(of_wanted(called_off(), &Shop::default(), failed()).is_good());
    }

    #[test]
    fn an_order_whose_client_never_heard_of_it_is_judged_like_any_other() {
        let verdict = of_wanted(wanted(&[]), &Shop::with(&[("R", "S1")]), failed());
        assert_eq!(counts(&verdict), [0, 1, 0, 1]);
        assert_eq!(verdict.acknowledged, 0);
    }

    #[test]
    fn what_was_accepted_as_another_order_is_lost() {
        let other = Wanted { reference: "RX".to_owned(), ..wanted(&["1"]) };
        let verdict = of_wanted(other, &Shop::with(&[("R", "S1")]), placed("S1"));
        assert_eq!(counts(&verdict), [1, 0, 0, 0]);
    }

    #[test]
    fn one_order_of_a_clients_is_accepted_once() {
        let orders = ["1", "2"].map(|id| (id.to_owned(), ended("R", failed())));
        let (orders, shop) = (BTreeMap::from(orders), Shop::default());
        let receiver = told(&[("1", "internal_error"), ("2", "internal_error")]);
        let verdict = judge(&evidence(&[], &orders, &shop, &receiver));
        assert_eq!(counts(&verdict), [0, 1, 0, 0]);
    }

    #[test]
    fn an_end_that_comes_late_is_lost() {
        let orders = only(Ended { took: Some(Duration::from_secs(11)), ..ended("R", failed()) });
        let (shop, receiver) = (Shop::default(), told(&[("1", "internal_error")]));
        for (seconds, count) in [(10, 1), (11, 0)] {
            let limits = Limits { within: Duration::from_secs(seconds), ..Limits::NONE };
            let evidence = evidence(&[], &orders, &shop, &receiver);
            let verdict = judge(&Evidence { limits, ..evidence });
            assert_eq!(counts(&verdict), [count, 0, 0, 0]);
        }
    }

    #[test]
    fn what_can_be_known_must_be() {
        let (shop, orders) = (Shop::default(), only(ended("R", Ending::Unknown)));
        let receiver = told(&[("1", "order_probably_placed")]);
        let limits = Limits { can_know: true, ..Limits::NONE };
        let evidence = evidence(&[], &orders, &shop, &receiver);
        assert_eq!(counts(&judge(&Evidence { limits, ..evidence })), [0, 0, 0, 1]);
    }

    #[test]
    fn nothing_is_told_but_how_it_ended() {
        let (shop, orders) = (Shop::with(&[("R", "S1")]), only(ended("R", placed("S1"))));
        let good = [("1", "request_processing"), ("1", "order_response")];
        for (other, count) in [("order_response", 0), ("internal_error", 1)] {
            let receiver = told(&[&good[..], &[("1", other)]].concat());
            let verdict = judge(&evidence(&[], &orders, &shop, &receiver));
            assert_eq!(counts(&verdict), [0, 0, 0, count]);
        }
    }

    #[test]
    fn a_purchase_is_of_the_account_that_its_order_names() {
        let shop = Shop::with(&[("R", "S1")]);
        assert_eq!(counts(&of(&shop, placed("S2"))), [1, 0, 0, 1]);
        let other = Ended { email: "other@example.com".to_owned(), ..ended("R", placed("S1")) };
        let (orders, receiver) = (only(other), told(&[("1", "order_response")]));
        let verdict = judge(&evidence(&[], &orders, &shop, &receiver));
        assert_eq!(counts(&verdict), [1, 0, 0, 0]);
    }

    /// What is said of two orders of one account that ended like this, and of a purchase for each.
    fn of_two(one: Ending, other: Ending) -> Verdict {
        let receiver = told(&[("1", one.word()), ("2", other.word())]);
        let two = [("1", ended("R1", one)), ("2", ended("R2", other))];
        let orders = BTreeMap::from(two.map(|(id, order)| (id.to_owned(), order)));
        let shop = Shop::with(&[("R1", "S1"), ("R2", "S2")]);
        judge(&evidence(&[], &orders, &shop, &receiver))
    }

    #[test]
    fn equal_orders_may_have_each_others_purchases() {
        assert!(of_two(placed("S2"), placed("S1")).is_good());
        assert_eq!(counts(&of_two(placed("S1"), placed("S1"))), [1, 0, 0, 1]);
    }

    #[test]
    fn an_order_that_nobody_knows_excuses_its_own_purchase_only() {
        assert!(of_two(placed("S1"), Ending::Unknown).is_good());
        assert_eq!(counts(&of_two(placed("S2"), Ending::Unknown)), [0, 0, 0, 1]);
    }

    #[test]
    fn an_end_that_nobody_was_told_is_an_orphan() {
        let orders = only(ended("R", failed()));
        let (shop, receiver) = (Shop::default(), Receiver::default());
        let verdict = judge(&evidence(&[], &orders, &shop, &receiver));
        assert_eq!(counts(&verdict), [0, 0, 0, 1]);
    }

    /// What is said of an order that was bought, when the shop cancelled it in that second, its cancellations ended like
    /// this, and that was told.
    fn of_cancellations(endings: &[(Cancelling, i64)], cancelled_at: Option<i64>) -> Verdict {
        let at = |second| Timestamp::from_second(second).unwrap();
        let mut shop = Shop::with(&[("R", "S1")]);
        if let Some(second) = cancelled_at {
            shop.cancel("S1", at(second));
        }
        let ids: Vec<_> = (2..).map(|id| id.to_string()).take(endings.len()).collect();
        let wanted = [Wanted { cancellations: ids.clone(), ..wanted(&["1"]) }];
        let placed = placed("S1");
        let mut words = vec![("1", placed.word())];
        for (id, (ending, _)) in ids.iter().zip(endings) {
            words.extend([(id.as_str(), "attempting_to_cancel"), (id, ending.word())]);
        }
        let (orders, receiver) = (only(ended("R", placed.clone())), told(&words));
        let ended = endings.iter().map(|(ending, second)| (ending.clone(), Some(at(*second))));
        let cancellations = ids.iter().cloned().zip(ended).collect();
        let evidence = evidence(&wanted, &orders, &shop, &receiver);
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
            let verdict = of_cancellations(&[(ending.clone(), 999)], is_cancelled.then_some(999));
            assert_eq!(verdict.is_good(), is_good, "{ending:?} {is_cancelled}: {verdict}");
        }
    }

    #[test]
    fn one_that_is_refused_comes_before_the_one_that_cancels() {
        let refused = Cancelling::Refused("invalid_login_credentials".to_owned());
        for (second, is_good) in [(500, true), (501, false), (502, false)] {
            let endings = [(Cancelling::Cancelled, 502), (refused.clone(), second)];
            assert_eq!(of_cancellations(&endings, Some(501)).is_good(), is_good, "{second}");
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
