//! The words for what came of a crash test's orders: docs/guarantees.md says what each means.
//!
//! How a test comes to its verdict is its own; here is what it says.

use std::{fmt, ops::AddAssign};

use jiff::Timestamp;
use serde_json::Value;

/// How an order ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// It was bought, as these of the retailer's.
    Placed(Vec<String>),
    /// Nothing was bought.
    Failed {
        /// The error's code.
        code: String,
        /// When.
        ended_at: Option<Timestamp>,
        /// Whether it says "not placed" of an order whose button may have been pressed.
        is_not_placed: bool,
    },
    /// Nobody knows.
    Unknown,
    /// It has not ended.
    Open,
}

impl Ending {
    /// How the order ended that `body` is the public view of.
    pub fn of(body: &Value) -> Self {
        let text = |name: &str| body.get(name).and_then(Value::as_str);
        let placed = body.get("merchant_order_ids").and_then(Value::as_array);
        match (placed, text("code")) {
            (Some(ids), _) => {
                let id = |one: &Value| one.get("merchant_order_id")?.as_str().map(str::to_owned);
                Self::Placed(ids.iter().filter_map(id).collect())
            }
            (None, Some("request_processing")) => Self::Open,
            (None, Some(_)) if text("money_moved") != Some("no") => Self::Unknown,
            (None, code) => Self::Failed {
                code: code.unwrap_or_default().to_owned(),
                ended_at: text("_finalized_at").and_then(|text| text.parse().ok()),
                is_not_placed: body.pointer("/data/placed") == Some(&Value::Bool(false)),
            },
        }
    }

    /// What its last webhook says.
    pub fn word(&self) -> &str {
        match self {
            Self::Placed(_) => "order_response",
            Self::Failed { code, .. } => code,
            Self::Unknown => "order_probably_placed",
            Self::Open => "",
        }
    }
}

/// Whether an order of which nobody knows, whose public view this is, tells its client what to do: in which account to look,
/// since when, and for what.
pub fn says_where_to_look(order: &Value) -> bool {
    let data = |name: &str| order.get("data")?.get(name);
    let text = |name: &str| data(name)?.as_str();
    text("look_at").is_some_and(|account| !account.is_empty())
        && text("since").is_some_and(|since| since.parse::<Timestamp>().is_ok())
        && data("candidates").is_some_and(Value::is_array)
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
    /// Cancellations that ended.
    pub cancelled: u64,
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
    /// What breaks the promise, by its word.
    fn broken(&self) -> [(&'static str, &Vec<String>); 4] {
        [
            ("lost", &self.lost),
            ("duplicated", &self.duplicated),
            ("overlapped", &self.overlapped),
            ("orphans", &self.orphans),
        ]
    }

    /// All that went wrong, the worst first, each with its word.
    pub fn findings(&self) -> impl Iterator<Item = String> {
        let each = |(word, found): (_, &Vec<String>)| {
            found.iter().map(|one| format!("{word}: {one}")).collect::<Vec<_>>()
        };
        self.broken().into_iter().flat_map(each)
    }

    /// Whether the promise was kept.
    pub fn is_good(&self) -> bool {
        self.broken().iter().all(|(_, found)| found.is_empty())
    }

    /// Counts how an order ended.
    pub fn count(&mut self, ending: &Ending) {
        match ending {
            Ending::Placed(_) => self.placed += 1,
            Ending::Failed { .. } => self.failed += 1,
            Ending::Unknown => self.unknown += 1,
            Ending::Open => {}
        }
    }
}

impl AddAssign for Verdict {
    fn add_assign(&mut self, other: Self) {
        self.attempted += other.attempted;
        self.acknowledged += other.acknowledged;
        self.placed += other.placed;
        self.failed += other.failed;
        self.unknown += other.unknown;
        self.cancelled += other.cancelled;
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
        let Self { attempted, acknowledged, placed, failed, unknown, cancelled, .. } = self;
        let Self { faults, recovered, .. } = self;
        let figures = [
            ("attempted", *attempted),
            ("acknowledged", *acknowledged),
            ("placed", *placed),
            ("failed", *failed),
            ("unknown", *unknown),
            ("cancelled", *cancelled),
            ("faults", *faults),
            ("recovered", *recovered),
        ];
        for (word, count) in figures {
            writeln!(f, "{word:<14}{count:>10}")?;
        }
        for (word, found) in self.broken() {
            writeln!(f, "{word:<14}{:>10}", found.len())?;
        }
        for (word, found) in self.broken() {
            for one in found.iter().take(5) {
                writeln!(f, "  {word}: {one}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_order_of_which_nobody_knows_says_where_to_look() {
        let all = json!({
            "look_at": "a@example.com",
            "since": "2026-01-01T00:00:00.000Z",
            "candidates": [],
        });
        assert!(says_where_to_look(&json!({"data": all})));
        assert!(!says_where_to_look(&json!({})));
        for (name, wrong) in [("look_at", ""), ("since", "yesterday"), ("candidates", "none")] {
            for wrong in [Value::Null, wrong.into()] {
                let mut data = all.clone();
                data[name] = wrong;
                assert!(!says_where_to_look(&json!({"data": data})), "{name}");
            }
        }
    }

    #[test]
    fn the_public_view_says_how_an_order_ended() {
        let of = |text: &str| Ending::of(&serde_json::from_str(text).unwrap());
        let placed = of(r#"{"merchant_order_ids": [{"merchant_order_id": "S1"}]}"#);
        assert_eq!(placed, Ending::Placed(vec!["S1".to_owned()]));
        assert_eq!(of(r#"{"code": "request_processing"}"#), Ending::Open);
        let unknown = of(r#"{"code": "order_probably_placed", "money_moved": "unknown"}"#);
        assert_eq!(unknown, Ending::Unknown);
        let failed =
            of(r#"{"code": "internal_error", "money_moved": "no", "data": {"placed": false},
            "_finalized_at": "1970-01-01T00:01:40.000Z"}"#);
        let at_100_s = Ending::Failed {
            code: "internal_error".to_owned(),
            ended_at: Some(Timestamp::from_second(100).unwrap()),
            is_not_placed: true,
        };
        assert_eq!(failed, at_100_s);
    }

    #[test]
    fn verdicts_add_up_and_name_the_worst_first() {
        let mut all = Verdict { attempted: 1, placed: 1, ..Verdict::default() };
        assert!(all.is_good());
        all += Verdict { orphans: vec!["o".to_owned()], attempted: 2, ..Verdict::default() };
        all += Verdict { lost: vec!["l".to_owned()], ..Verdict::default() };
        assert_eq!((all.attempted, all.placed), (3, 1));
        assert_eq!(all.findings().next().as_deref(), Some("lost: l"));
        assert!(all.to_string().contains("orphans                1\n"));
    }
}
