//! What became of a press of the button, judged from the retailer's own order history.

use std::time::Duration;

use jiff::Timestamp;

use super::Marker;
use crate::{clock, retailers::PastOrder};

/// How far clocks of ours may be apart, and how late a stopped worker may still be seen to act.
pub const CLOCK_SKEW: Duration = Duration::from_secs(5);

/// How long the retailer is asked before we give up. Far above any history's lag; an account that cannot be read for
/// this long needs a person.
pub const PATIENCE: Duration = Duration::from_mins(30);

/// What can be said.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// It is in the history.
    Placed(Vec<PastOrder>),
    /// It is not there, and it cannot come there any more.
    NotPlaced,
    /// It is not there, but it may still come: look again at this time.
    TooEarly(Timestamp),
    /// The history holds several that could be it.
    Ambiguous(Vec<PastOrder>),
}

/// When "it is not there" starts to mean "it was not bought": the worker that wrote the marker cannot act any more
/// (its invocation's deadline, and a clock that may be off), and the retailer has had time to show what it took.
pub fn conclusive_at(marker: &Marker, history_lag: Duration) -> Timestamp {
    clock::after(clock::after(marker.deadline, CLOCK_SKEW), history_lag)
}

/// Judges `history`, which was read at `read_at` (the moment before it was asked for).
pub fn judge(
    marker: &Marker,
    history: &[PastOrder],
    history_lag: Duration,
    read_at: Timestamp,
) -> Verdict {
    let candidates: Vec<_> =
        history.iter().filter(|past| could_be(past, marker)).cloned().collect();
    match candidates.len() {
        0 if read_at > conclusive_at(marker, history_lag) => Verdict::NotPlaced,
        0 => Verdict::TooEarly(clock::after(
            conclusive_at(marker, history_lag),
            Duration::from_millis(1),
        )),
        1 => Verdict::Placed(candidates),
        _ => Verdict::Ambiguous(candidates),
    }
}

/// Whether `past` may be what the marker's worker bought: not there before, not older than the press, and the same
/// goods to the same place for the same money.
fn could_be(past: &PastOrder, marker: &Marker) -> bool {
    let earliest = marker.written_at.checked_sub(CLOCK_SKEW).unwrap_or(Timestamp::MIN);
    let mut bought: Vec<_> = past.products.clone();
    let mut wanted: Vec<_> =
        marker.lines.iter().map(|line| (line.product_id.clone(), line.quantity)).collect();
    bought.sort();
    wanted.sort();
    past.placed_at >= earliest
        && !marker.known_orders.contains(&past.merchant_order_id)
        && past.total == marker.review.total
        && past.zip_code == marker.zip_code
        && bought == wanted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        money::Cents,
        orders::tests::marker,
        retailers::{CartLine, PastOrder},
    };

    const LAG: Duration = Duration::from_secs(2);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    fn pressed() -> Marker {
        let line = CartLine { product_id: "P".to_owned(), offer_id: "O".to_owned(), quantity: 2 };
        Marker {
            written_at: at(1000),
            deadline: at(1060),
            lines: vec![line],
            known_orders: vec!["old".to_owned()],
            ..marker()
        }
    }

    fn past(id: &str) -> PastOrder {
        PastOrder {
            merchant_order_id: id.to_owned(),
            placed_at: at(1001),
            products: vec![("P".to_owned(), 2)],
            total: Cents(2000),
            zip_code: "02139".to_owned(),
            tracking_url: None,
        }
    }

    #[test]
    fn not_placed_is_never_said_before_a_frozen_worker_is_certainly_gone() {
        let marker = pressed();
        let conclusive = at(1060 + 5 + 2);
        for seconds in 1000..1100 {
            let verdict = judge(&marker, &[], LAG, at(seconds));
            if at(seconds) > conclusive {
                assert_eq!(verdict, Verdict::NotPlaced, "{seconds}");
            } else {
                assert!(
                    matches!(verdict, Verdict::TooEarly(again) if again > conclusive),
                    "{seconds}"
                );
            }
        }
    }

    #[test]
    fn one_new_matching_order_is_ours() {
        let history = [past("new"), past("old")];
        assert_eq!(judge(&pressed(), &history, LAG, at(1002)), Verdict::Placed(vec![past("new")]));
    }

    #[test]
    fn orders_that_differ_in_anything_are_not_ours() {
        let others = [
            PastOrder { placed_at: at(900), ..past("a") },
            PastOrder { products: vec![("P".to_owned(), 1)], ..past("b") },
            PastOrder { products: vec![("Q".to_owned(), 2)], ..past("c") },
            PastOrder { total: Cents(1), ..past("d") },
            PastOrder { zip_code: "10001".to_owned(), ..past("e") },
            past("old"),
        ];
        assert_eq!(judge(&pressed(), &others, LAG, at(2000)), Verdict::NotPlaced);
    }

    #[test]
    fn two_that_could_be_ours_are_for_a_person() {
        let history = [past("new"), past("newer")];
        assert!(
            matches!(judge(&pressed(), &history, LAG, at(2000)), Verdict::Ambiguous(both) if both.len() == 2)
        );
    }
}
