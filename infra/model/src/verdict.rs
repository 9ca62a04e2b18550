//! What is said of a run: the retailer's ledger is the judge.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    ops::AddAssign,
};

use jiff::Timestamp;
use serde_json::Value;

use crate::{
    clients::Wanted,
    receiver::Receiver,
    shop::{self, Shop},
};

/// How an order ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// It was bought, as these of the retailer's.
    Placed(Vec<String>),
    /// Nothing was bought.
    Failed {
        /// The error's code.
        code: String,
        /// When that was said of an order whose button may have been pressed.
        not_placed_at: Option<Timestamp>,
    },
    /// Nobody knows.
    Unknown,
    /// It has not ended.
    Open,
}

impl Ending {
    /// How the order ended that `body` is the public view of.
    pub fn of(body: &Value) -> Self {
        let placed = body["merchant_order_ids"].as_array();
        match (placed, body["code"].as_str()) {
            (Some(ids), _) => {
                let id = |one: &Value| one["merchant_order_id"].as_str().map(str::to_owned);
                Self::Placed(ids.iter().filter_map(id).collect())
            }
            (None, Some("request_processing")) => Self::Open,
            (None, Some(_)) if body["money_moved"] != "no" => Self::Unknown,
            (None, code) => {
                let ended_at = body["_finalized_at"].as_str().and_then(|text| text.parse().ok());
                let is_not_placed = body["data"]["placed"] == false;
                Self::Failed {
                    code: code.unwrap_or_default().to_owned(),
                    not_placed_at: ended_at.filter(|_| is_not_placed),
                }
            }
        }
    }

    /// What its last webhook says.
    fn word(&self) -> &str {
        match self {
            Self::Placed(_) => "order_response",
            Self::Failed { code, .. } => code,
            Self::Unknown => "order_probably_placed",
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
    /// The retailer's books.
    pub shop: &'a Shop,
    /// What the receiver of webhooks got.
    pub receiver: &'a Receiver,
    /// How many faults struck.
    pub faults: u64,
    /// What should not be there any more, or came too late.
    pub left: Vec<String>,
}

/// The words for what came of orders, each with how many there were.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Orders that a client wanted.
    pub attempted: u64,
    /// Orders that a client was told were accepted.
    pub acknowledged: u64,
    /// Orders that ended as bought, and were, once.
    pub placed: u64,
    /// Orders that ended as not bought, and were not.
    pub failed: u64,
    /// Orders of which nobody knows, and which say so.
    pub unknown: u64,
    /// Accepted orders that never ended, that nobody knows, or that ended as bought and were not.
    pub lost: Vec<String>,
    /// Orders that were bought more than once, or that said they were not bought and were.
    pub duplicated: Vec<String>,
    /// Two jobs at work for one account.
    pub overlapped: Vec<String>,
    /// What is left when all is over: purchases nobody has, ends that nobody was told, work that nobody does.
    pub orphans: Vec<String>,
    /// Faults that struck.
    pub faults: u64,
    /// Faults that struck a run in which the promise was kept.
    pub recovered: u64,
}

impl Verdict {
    /// The first thing that went wrong.
    pub fn worst(&self) -> Option<String> {
        let Self { lost, duplicated, overlapped, orphans, .. } = self;
        let words = [
            ("lost", lost),
            ("duplicated", duplicated),
            ("overlapped", overlapped),
            ("orphan", orphans),
        ];
        let first =
            |(word, found): (&str, &Vec<String>)| Some(format!("{word}: {}", found.first()?));
        words.into_iter().find_map(first)
    }

    /// Whether the promise was kept.
    pub fn is_good(&self) -> bool {
        [&self.lost, &self.duplicated, &self.overlapped, &self.orphans]
            .iter()
            .all(|bad| bad.is_empty())
    }
}

impl AddAssign for Verdict {
    fn add_assign(&mut self, other: Self) {
        self.attempted += other.attempted;
        self.acknowledged += other.acknowledged;
        self.placed += other.placed;
        self.failed += other.failed;
        self.unknown += other.unknown;
        self.faults += other.faults;
        self.recovered += other.recovered;
        self.lost.extend(other.lost);
        self.duplicated.extend(other.duplicated);
        self.overlapped.extend(other.overlapped);
        self.orphans.extend(other.orphans);
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { attempted, acknowledged, placed, failed, unknown, faults, recovered, .. } = self;
        let figures = [
            ("attempted", *attempted),
            ("acknowledged", *acknowledged),
            ("placed", *placed),
            ("failed", *failed),
            ("unknown", *unknown),
            ("faults", *faults),
            ("recovered", *recovered),
        ];
        for (word, count) in figures {
            writeln!(f, "{word:<14}{count:>10}")?;
        }
        let broken = [
            ("lost", &self.lost),
            ("duplicated", &self.duplicated),
            ("overlapped", &self.overlapped),
            ("orphans", &self.orphans),
        ];
        for (word, found) in broken {
            writeln!(f, "{word:<14}{:>10}", found.len())?;
        }
        for (word, found) in broken {
            for one in found.iter().take(5) {
                writeln!(f, "  {word}: {one}")?;
            }
        }
        Ok(())
    }
}

/// Judges a run.
pub fn judge(evidence: &Evidence<'_>) -> Verdict {
    let Evidence { wanted, endings, shop, receiver, faults, left } = evidence;
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
    }
    let mut claimed = BTreeSet::new();
    for (id, ending) in *endings {
        match ending {
            Ending::Placed(ids) => {
                verdict.placed += 1;
                for one in ids {
                    if !claimed.insert(one.as_str()) {
                        verdict.lost.push(format!("{id} has {one}, which another order has, too"));
                    }
                }
            }
            Ending::Failed { .. } => verdict.failed += 1,
            Ending::Unknown => verdict.unknown += 1,
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
    let Wanted { reference, accepted, is_called_off } = wanted;
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
        let wanted = Wanted {
            reference: "R".to_owned(),
            accepted: vec!["1".to_owned()],
            is_called_off: false,
        };
        of_wanted(wanted, shop, ending)
    }

    fn of_wanted(wanted: Wanted, shop: &Shop, ending: Ending) -> Verdict {
        let mut receiver = Receiver::default();
        receiver.told.insert("1".to_owned(), vec![ending.word().to_owned()]);
        let endings = BTreeMap::from([("1".to_owned(), ending)]);
        let (wanted, left) = (&[wanted][..], vec![]);
        judge(&Evidence { wanted, endings: &endings, shop, receiver: &receiver, faults: 3, left })
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
        let unheard = Wanted {
            reference: "R".to_owned(),
            accepted: vec!["2".to_owned()],
            is_called_off: false,
        };
        assert_eq!(counts(&of_wanted(unheard, &Shop::default(), failed(None))), [1, 0, 0, 0]);
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
        let wanted = Wanted {
            reference: "R".to_owned(),
            accepted: vec!["1".to_owned()],
            is_called_off: true,
        };
        let verdict = of_wanted(wanted, &Shop::with(&[("R", "S1")]), placed("S1"));
        assert_eq!(counts(&verdict), [0, 1, 0, 0]);
    }

    #[test]
    fn an_end_that_nobody_was_told_is_an_orphan() {
        let endings = BTreeMap::from([("1".to_owned(), failed(None))]);
        let (shop, receiver) = (Shop::default(), Receiver::default());
        let evidence = Evidence {
            wanted: &[],
            endings: &endings,
            shop: &shop,
            receiver: &receiver,
            faults: 0,
            left: vec![],
        };
        assert_eq!(counts(&judge(&evidence)), [0, 0, 0, 1]);
    }

    #[test]
    fn the_public_view_says_how_an_order_ended() {
        let of = |text: &str| Ending::of(&serde_json::from_str(text).unwrap());
        assert_eq!(of(r#"{"merchant_order_ids": [{"merchant_order_id": "S1"}]}"#), placed("S1"));
        assert_eq!(of(r#"{"code": "request_processing"}"#), Ending::Open);
        assert_eq!(
            of(r#"{"code": "order_probably_placed", "money_moved": "unknown"}"#),
            Ending::Unknown
        );
        let text = r#"{"code": "internal_error", "money_moved": "no", "data": {"placed": false},
            "_finalized_at": "1970-01-01T00:01:40.000Z"}"#;
        assert_eq!(of(text), failed(Some(100)));
    }
}
