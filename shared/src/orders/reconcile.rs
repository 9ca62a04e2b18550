//! What became of a press of the button, judged from the retailer's own order history.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;

use super::Marker;
use crate::{clock, retailers::PastOrder};

/// How far clocks of ours may be apart, and how late a stopped worker may still be seen to act.
pub const CLOCK_SKEW: Duration = Duration::from_secs(5);

/// How far the history is read back from the marker, before the press and after it alike. It is wide because the
/// retailer's clock is not ours, and what counts as new is what was not there before, not what looks young.
pub const HISTORY_WINDOW: Duration = Duration::from_mins(10);

/// How long the retailer is asked before we give up. Far above any history's lag; an account that cannot be read for
/// this long needs a person.
pub const PATIENCE: Duration = Duration::from_mins(30);

/// What can be said.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// It is in the history.
    Placed(Vec<PastOrder>),
    /// Nothing new is there, and it cannot come there any more.
    NotPlaced,
    /// It is not there, but it may still come: look again at this time.
    TooEarly(Timestamp),
    /// Something new is there that may or may not be it.
    Ambiguous(Vec<PastOrder>),
}

/// When "it is not there" starts to mean "it was not bought": the worker that wrote the marker cannot act any more
/// (its invocation's deadline, and a clock that may be off), and the retailer has had time to show what it took.
pub fn conclusive_at(marker: &Marker, history_lag: Duration) -> Timestamp {
    clock::after(clock::after(marker.deadline, CLOCK_SKEW), history_lag)
}

/// Judges `history`, which was read at `read_at` (the moment before it was asked for) and holds nothing that belongs to
/// another order of ours.
///
/// Only a new purchase of exactly what was wanted proves that it was placed, and only the absence of any new purchase
/// proves that it was not: the retailer may have split it, rounded it or written its address in its own way.
pub fn judge(
    marker: &Marker,
    history: &[PastOrder],
    history_lag: Duration,
    read_at: Timestamp,
) -> Verdict {
    let is_new = |past: &&PastOrder| !marker.known_orders.contains(&past.merchant_order_id);
    let new: Vec<_> = history.iter().filter(is_new).cloned().collect();
    let same: Vec<_> = new.iter().filter(|past| is_same(past, marker)).cloned().collect();
    let conclusive_at = conclusive_at(marker, history_lag);
    match (same.len(), new.len()) {
        (1, _) => Verdict::Placed(same),
        (0, _) if read_at <= conclusive_at => {
            Verdict::TooEarly(clock::after(conclusive_at, Duration::from_millis(1)))
        }
        (0, 0) => Verdict::NotPlaced,
        (0, _) => Verdict::Ambiguous(new),
        (_, _) => Verdict::Ambiguous(same),
    }
}

/// The same goods to the same place for the same money.
fn is_same(past: &PastOrder, marker: &Marker) -> bool {
    let bought = past.products.iter().map(|(product, quantity)| (product.as_str(), *quantity));
    let wanted = marker.lines.iter().map(|line| (line.product_id.as_str(), line.quantity));
    past.total == marker.review.total
        && past.zip_code == marker.zip_code
        && per_product(bought) == per_product(wanted)
}

/// The pieces of each product, however many lines they came in.
fn per_product<'a>(lines: impl Iterator<Item = (&'a str, u32)>) -> BTreeMap<&'a str, u64> {
    let mut pieces = BTreeMap::new();
    for (product, quantity) in lines {
        *pieces.entry(product).or_default() += u64::from(quantity);
    }
    pieces
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
    fn a_purchase_that_differs_is_neither_ours_nor_a_proof_that_there_is_none() {
        let others = [
            PastOrder { products: vec![("P".to_owned(), 1)], ..past("a") },
            PastOrder { products: vec![("Q".to_owned(), 2)], ..past("b") },
            PastOrder { total: Cents(1), ..past("c") },
            PastOrder { zip_code: "02139-4307".to_owned(), ..past("d") },
        ];
        for other in others {
            let history = [past("old"), other.clone()];
            let early = judge(&pressed(), &history, LAG, at(1002));
            assert!(matches!(early, Verdict::TooEarly(_)), "{other:?}");
            let late = judge(&pressed(), &history, LAG, at(2000));
            assert_eq!(late, Verdict::Ambiguous(vec![other]));
        }
    }

    #[test]
    fn what_was_there_before_does_not_count() {
        assert_eq!(judge(&pressed(), &[past("old")], LAG, at(2000)), Verdict::NotPlaced);
    }

    #[test]
    fn the_retailers_clock_does_not_count() {
        let history = [PastOrder { placed_at: at(0), ..past("new") }];
        assert_eq!(judge(&pressed(), &history, LAG, at(1002)), Verdict::Placed(history.to_vec()));
    }

    #[test]
    fn lines_of_one_product_are_added_up() {
        let history =
            [PastOrder { products: vec![("P".to_owned(), 1), ("P".to_owned(), 1)], ..past("new") }];
        assert!(matches!(judge(&pressed(), &history, LAG, at(1002)), Verdict::Placed(_)));
    }

    #[test]
    fn two_that_could_be_ours_are_for_a_person() {
        let history = [past("new"), past("newer")];
        let verdict = judge(&pressed(), &history, LAG, at(2000));
        assert!(matches!(verdict, Verdict::Ambiguous(both) if both.len() == 2));
    }
}
