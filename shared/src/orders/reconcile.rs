//! What became of a press of the button, judged from the retailer's own order history.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;

use super::Marker;
use crate::{clock, guards::Guard, money::Cents, retailers::PastOrder};

/// How far clocks of ours may be apart, and how late a stopped worker may still be seen to act.
pub const CLOCK_SKEW: Duration = Duration::from_secs(5);

/// How far the history is read back from the marker, before the press and after it alike. It is wide because the
/// retailer's clock is not ours, and what counts as new is what was not there before, not what looks young.
pub const HISTORY_WINDOW: Duration = Duration::from_mins(10);

/// How long the retailer is asked before we give up. Far above any history's lag; an account that cannot be read for
/// this long needs a person.
const PATIENCE: Duration = Duration::from_mins(30);

/// And so often at the least: an order that nobody could work on for that long is not given up for one lost answer.
const LOOKS: u32 = 3;

/// After this the history is asked for an order that got no answer. Looks are at least so far apart.
pub const FIRST_LOOK: Duration = Duration::from_secs(2);

/// The longest time from a look to the next.
const LONGEST_PAUSE: Duration = Duration::from_mins(5);

/// Of how many new orders a purchase is put together at the most: twelve make 4095 sets. More than that in one look is
/// for a person.
const MAX_CANDIDATES: usize = 12;

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

/// When the history is to be tried again that could not be read: after as long again as was `waited` since the marker was
/// written, within bounds. `None` if it was tried long enough, and `looks` times, so that only a person can find out.
pub fn look_again_after(waited: Duration, looks: u32) -> Option<Duration> {
    let is_hopeless = waited >= PATIENCE && looks >= LOOKS;
    (!is_hopeless).then(|| waited.clamp(FIRST_LOOK, LONGEST_PAUSE))
}

/// Judges `history`, which was read at `read_at` (the moment before it was asked for) and holds nothing that belongs to
/// another order of ours.
///
/// The retailer may have made several orders of one purchase. Only one set of new orders that is exactly what was wanted
/// proves that it was placed, and only the absence of any new order proves that it was not: the retailer may have
/// rounded it or written its address in its own way, or show a part of it only.
pub fn judge(
    marker: &Marker,
    history: &[PastOrder],
    history_lag: Duration,
    read_at: Timestamp,
) -> Verdict {
    let is_new = |past: &&PastOrder| !marker.known_orders.contains(&past.merchant_order_id);
    let new: Vec<_> = history.iter().filter(is_new).cloned().collect();
    let candidates = candidates(marker, &new);
    if candidates.len() > MAX_CANDIDATES {
        return Verdict::Ambiguous(cloned(&candidates));
    }
    let conclusive_at = conclusive_at(marker, history_lag);
    match matching_sets(marker, &candidates).as_slice() {
        [only] => Verdict::Placed(cloned(only)),
        [] if read_at <= conclusive_at && Guard::Deadline.stands() => {
            Verdict::TooEarly(clock::after(conclusive_at, Duration::from_millis(1)))
        }
        [] if new.is_empty() => Verdict::NotPlaced,
        [] => Verdict::Ambiguous(new),
        several => {
            let named = |past: &&&PastOrder| several.iter().any(|set| set.contains(*past));
            Verdict::Ambiguous(candidates.iter().filter(named).copied().cloned().collect())
        }
    }
}

/// Which of `orders`, the answer to one press for several purchases of ours, are `marker`'s; `None` if none are, or if
/// that cannot be said.
///
/// Orders that the retailer describes alike are as good as each other, so of equal sets the first is taken. Whoever asks
/// for the next marker must leave out what was given to the one before.
pub fn ours(marker: &Marker, orders: &[PastOrder]) -> Option<Vec<PastOrder>> {
    let candidates = candidates(marker, orders);
    if candidates.len() > MAX_CANDIDATES {
        return None;
    }
    let sets = matching_sets(marker, &candidates);
    let first = sets.first()?;
    sets.iter().all(|set| described(set) == described(first)).then(|| cloned(first))
}

/// What may be a part of the purchase: no other goods, to the same place, for no more money.
fn candidates<'a>(marker: &Marker, orders: &'a [PastOrder]) -> Vec<&'a PastOrder> {
    let wanted = wanted(marker);
    let may_be_part = |past: &&PastOrder| {
        past.zip_code == marker.zip_code
            && past.total <= marker.review.total
            && bought([*past])
                .iter()
                .all(|(product, pieces)| wanted.get(product).is_some_and(|wanted| pieces <= wanted))
    };
    orders.iter().filter(may_be_part).collect()
}

/// The sets of `candidates` that together are the same goods for the same money.
fn matching_sets<'a>(marker: &Marker, candidates: &[&'a PastOrder]) -> Vec<Vec<&'a PastOrder>> {
    let wanted = wanted(marker);
    // Each number from 1 is a set: bit n says whether candidate n is in it.
    (1..1_usize << candidates.len())
        .map(|set| {
            let chosen = candidates.iter().enumerate().filter(|(at, _)| set >> at & 1 == 1);
            chosen.map(|(_, past)| *past).collect::<Vec<_>>()
        })
        .filter(|set| {
            set.iter().map(|past| past.total).sum::<Cents>() == marker.review.total
                && bought(set.iter().copied()) == wanted
        })
        .collect()
}

fn wanted(marker: &Marker) -> BTreeMap<&str, u64> {
    per_product(marker.lines.iter().map(|line| (line.product_id.as_str(), line.quantity)))
}

fn bought<'a>(orders: impl IntoIterator<Item = &'a PastOrder>) -> BTreeMap<&'a str, u64> {
    let products = orders.into_iter().flat_map(|past| &past.products);
    per_product(products.map(|(product, quantity)| (product.as_str(), *quantity)))
}

/// A set without what tells equal orders apart.
fn described<'a>(set: &[&'a PastOrder]) -> Vec<(BTreeMap<&'a str, u64>, Cents)> {
    let mut described: Vec<_> = set.iter().map(|past| (bought([*past]), past.total)).collect();
    described.sort();
    described
}

fn cloned(orders: &[&PastOrder]) -> Vec<PastOrder> {
    orders.iter().copied().cloned().collect()
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
    use proptest::prelude::*;

    use super::*;
    use crate::{orders::tests::marker, retailers::CartLine};

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
    fn a_history_that_cannot_be_read_is_given_up_after_half_an_hour_and_not_for_one_lost_answer() {
        let (second, minute) = (Duration::from_secs(1), Duration::from_mins(1));
        for (waited, looks, again) in [
            (Duration::ZERO, 1, Some(second * 2)),
            (second * 30, 9, Some(second * 30)),
            (minute * 29, 9, Some(minute * 5)),
            (minute * 30, 3, None),
            (minute * 300, 2, Some(minute * 5)),
        ] {
            assert_eq!(look_again_after(waited, looks), again, "{waited:?} {looks}");
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

    fn part(id: &str, products: &[(&str, u32)], total: u64) -> PastOrder {
        let products = products.iter().map(|(id, quantity)| ((*id).to_owned(), *quantity));
        PastOrder { products: products.collect(), total: Cents(total), ..past(id) }
    }

    /// A purchase of three P and one Q for 40.00.
    fn large() -> Marker {
        let line = |product: &str, quantity| CartLine {
            product_id: product.to_owned(),
            offer_id: "O".to_owned(),
            quantity,
        };
        let mut marker = pressed();
        marker.lines = vec![line("P", 2), line("Q", 1), line("P", 1)];
        marker.review.total = Cents(4000);
        marker
    }

    #[test]
    fn an_order_that_was_split_is_put_together_again() {
        let first = part("1", &[("P", 2)], 1500);
        let second = part("2", &[("Q", 1), ("P", 1)], 2500);
        let others = [
            part("3", &[("P", 1)], 700),
            part("4", &[("R", 1)], 100),
            PastOrder { zip_code: "10001".to_owned(), ..part("5", &[("P", 2)], 1500) },
        ];
        let history = [&[second.clone(), first.clone()], &others[..]].concat();
        let expected = vec![second, first];
        assert_eq!(judge(&large(), &history, LAG, at(1002)), Verdict::Placed(expected.clone()));
        assert_eq!(ours(&large(), &history), Some(expected));
    }

    #[test]
    fn a_part_of_a_split_order_proves_nothing() {
        let history = [part("1", &[("P", 2)], 1500)];
        assert!(matches!(judge(&large(), &history, LAG, at(1002)), Verdict::TooEarly(_)));
        let late = judge(&large(), &history, LAG, at(2000));
        assert_eq!(late, Verdict::Ambiguous(history.to_vec()));
        assert_eq!(ours(&large(), &history), None);
    }

    #[test]
    fn two_ways_to_put_it_together_are_for_a_person() {
        let whole = part("whole", &[("P", 3), ("Q", 1)], 4000);
        let parts = [part("1", &[("P", 3)], 1500), part("2", &[("Q", 1)], 2500)];
        let history = [&[whole, part("3", &[("P", 1)], 1)], &parts[..]].concat();
        let verdict = judge(&large(), &history, LAG, at(2000));
        assert!(matches!(verdict, Verdict::Ambiguous(named) if named.len() == 3));
        assert_eq!(ours(&large(), &history), None);
    }

    #[test]
    fn equal_orders_of_one_press_are_given_out_one_after_the_other() {
        let mut answer = vec![past("1"), past("2")];
        let mut given = Vec::new();
        for _ in 0..2 {
            let found = ours(&pressed(), &answer).unwrap();
            assert_eq!(found.len(), 1);
            answer.retain(|past| !found.contains(past));
            given.extend(found);
        }
        assert_eq!(given, [past("1"), past("2")]);
        assert_eq!(ours(&pressed(), &answer), None);
    }

    #[test]
    fn more_candidates_than_can_be_looked_through_are_for_a_person() {
        let parts = |count: usize| -> Vec<_> {
            (0..count).map(|id| part(&id.to_string(), &[("P", 1)], 1)).collect()
        };
        let look = |count| judge(&large(), &parts(count), LAG, at(1002));
        assert!(matches!(look(MAX_CANDIDATES), Verdict::TooEarly(_)));
        assert!(
            matches!(look(MAX_CANDIDATES + 1), Verdict::Ambiguous(all) if all.len() == MAX_CANDIDATES + 1)
        );
        // What cannot be a part of it does not count.
        let mut history: Vec<_> =
            parts(30).into_iter().map(|past| PastOrder { total: Cents(4001), ..past }).collect();
        history.push(part("ours", &[("P", 3), ("Q", 1)], 4000));
        assert!(matches!(judge(&large(), &history, LAG, at(1002)), Verdict::Placed(_)));
    }

    /// Some orders of a retailer, and which of them one purchase of ours became.
    fn split_among_others() -> impl Strategy<Value = (Vec<PastOrder>, Vec<bool>)> {
        let one = (prop::sample::select(vec!["P", "Q", "R"]), 1..4_u32, 1..50_u64, any::<bool>());
        prop::collection::vec(one, 1..=MAX_CANDIDATES).prop_map(|orders| {
            let order = |(id, (product, quantity, total, _)): (usize, &(&str, u32, u64, bool))| {
                part(&id.to_string(), &[(product, *quantity)], *total)
            };
            let chosen = orders.iter().map(|(.., chosen)| *chosen).collect();
            (orders.iter().enumerate().map(order).collect(), chosen)
        })
    }

    proptest! {
        #[test]
        fn what_was_split_is_found_or_left_to_a_person((history, chosen) in split_among_others()) {
            let parts: Vec<_> =
                history.iter().zip(&chosen).filter(|(_, chosen)| **chosen).map(|(past, _)| past.clone()).collect();
            prop_assume!(!parts.is_empty());
            let mut marker = pressed();
            let products = parts.iter().flat_map(|past| past.products.clone());
            marker.lines = products
                .map(|(product_id, quantity)| CartLine { product_id, offer_id: "O".to_owned(), quantity })
                .collect();
            marker.review.total = parts.iter().map(|past| past.total).sum();

            match judge(&marker, &history, LAG, at(1002)) {
                Verdict::Placed(found) => {
                    prop_assert_eq!(&found, &parts);
                    prop_assert_eq!(ours(&marker, &history), Some(parts));
                }
                Verdict::Ambiguous(named) => prop_assert!(parts.iter().all(|past| named.contains(past))),
                verdict => prop_assert!(false, "{:?}", verdict),
            }
            // Ids that were there before are nobody's purchase.
            marker.known_orders = history.iter().map(|past| past.merchant_order_id.clone()).collect();
            prop_assert_eq!(judge(&marker, &history, LAG, at(2000)), Verdict::NotPlaced);
        }

        #[test]
        fn what_is_found_is_exactly_what_was_wanted((history, _) in split_among_others(), total in 1..200_u64, quantity in 1..6_u32) {
            let mut marker = pressed();
            marker.lines = vec![CartLine { product_id: "P".to_owned(), offer_id: "O".to_owned(), quantity }];
            marker.review.total = Cents(total);
            if let Some(found) = ours(&marker, &history) {
                prop_assert_eq!(bought(&found), wanted(&marker));
                prop_assert_eq!(found.iter().map(|past| past.total).sum::<Cents>(), Cents(total));
            }
        }
    }

    #[test]
    fn two_that_could_be_ours_are_for_a_person() {
        let history = [past("new"), past("newer")];
        let verdict = judge(&pressed(), &history, LAG, at(2000));
        assert!(matches!(verdict, Verdict::Ambiguous(both) if both.len() == 2));
    }
}
