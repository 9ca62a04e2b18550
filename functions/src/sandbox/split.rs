//! How the shop makes several orders of one shipment: one for each party that sends a part of it. Pure, in whole cents.

use super::{
    cart::Line,
    prices::{self, Figures},
};

/// The parts of a shipment with their figures, in the order in which their senders first come up. The figures of the
/// parts add up to those of the whole to the cent: each part pays what its sender asks for shipping, and its share of
/// the surcharge and of the tax.
pub fn by_sender(
    lines: Vec<Line>,
    whole: Figures,
    surcharge_cents: u64,
    discounted: bool,
) -> Vec<(Vec<Line>, Figures)> {
    let parts = grouped(lines);
    let subtotals: Vec<u64> = parts.iter().map(|lines| subtotal_cents(lines, discounted)).collect();
    let surcharges = prices::distribute(surcharge_cents, &subtotals);
    let taxes = prices::distribute(whole.tax_cents, &subtotals);
    let figures = subtotals.into_iter().zip(surcharges).zip(taxes);
    parts
        .into_iter()
        .zip(figures)
        .map(|(lines, ((subtotal_cents, surcharge_cents), tax_cents))| {
            let shipping_cents = shipping_cents(&lines, surcharge_cents);
            let total_cents =
                subtotal_cents.saturating_add(shipping_cents).saturating_add(tax_cents);
            (lines, Figures { subtotal_cents, shipping_cents, tax_cents, total_cents })
        })
        .collect()
}

/// What sellers ask for sending `lines`, and the surcharge.
pub fn shipping_cents(lines: &[Line], surcharge_cents: u64) -> u64 {
    let asked = lines.iter().map(|line| prices::line(line.shipping_cents, line.quantity, false));
    asked.fold(surcharge_cents, u64::saturating_add)
}

fn subtotal_cents(lines: &[Line], discounted: bool) -> u64 {
    let prices = lines.iter().map(|line| prices::line(line.price_cents, line.quantity, discounted));
    prices.fold(0, u64::saturating_add)
}

fn grouped(lines: Vec<Line>) -> Vec<Vec<Line>> {
    let mut groups: Vec<(String, Vec<Line>)> = Vec::new();
    for line in lines {
        match groups.iter_mut().find(|(sender, _)| *sender == line.sender) {
            Some((_, group)) => group.push(line),
            None => groups.push((line.sender.clone(), vec![line])),
        }
    }
    groups.into_iter().map(|(_, group)| group).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn line(sender: &str, price_cents: u64, shipping_cents: u64, quantity: u32) -> Line {
        Line {
            product_id: "P".to_owned(),
            offer_id: "ours".to_owned(),
            sender: sender.to_owned(),
            quantity,
            price_cents,
            shipping_cents,
        }
    }

    fn lines() -> impl Strategy<Value = Vec<Line>> {
        let line = (prop::sample::select(vec!["A", "B", "C"]), 0..9_999_u64, 0..999_u64, 1..9_u32)
            .prop_map(|(sender, price, shipping, quantity)| {
                line(sender, price, shipping, quantity)
            });
        prop::collection::vec(line, 1..8)
    }

    proptest! {
        #[test]
        fn the_parts_are_the_whole_to_the_cent(lines in lines(), surcharge in 0..2_000_u64, discounted: bool) {
            let goods = lines.iter().map(|line| prices::line(line.price_cents, line.quantity, discounted));
            let whole = prices::figures(goods, shipping_cents(&lines, surcharge), Some("MA"));
            let parts = by_sender(lines.clone(), whole, surcharge, discounted);
            let sum = |amount: fn(&Figures) -> u64| parts.iter().map(|(_, part)| amount(part)).sum::<u64>();
            prop_assert_eq!(sum(|part| part.subtotal_cents), whole.subtotal_cents);
            prop_assert_eq!(sum(|part| part.shipping_cents), whole.shipping_cents);
            prop_assert_eq!(sum(|part| part.tax_cents), whole.tax_cents);
            prop_assert_eq!(sum(|part| part.total_cents), whole.total_cents);
            prop_assert_eq!(parts.iter().map(|(lines, _)| lines.len()).sum::<usize>(), lines.len());
            for (lines, _) in &parts {
                prop_assert!(lines.iter().all(|line| line.sender == lines[0].sender));
            }
        }
    }

    #[test]
    fn senders_keep_the_order_in_which_they_come_up() {
        let lines = vec![line("B", 1, 0, 1), line("A", 2, 0, 1), line("B", 3, 0, 1)];
        let whole = prices::figures([1, 2, 3], 0, None);
        let parts = by_sender(lines, whole, 0, false);
        let totals: Vec<_> = parts.iter().map(|(_, figures)| figures.total_cents).collect();
        assert_eq!(totals, [4, 2]);
    }

    #[test]
    fn prime_ships_free_and_sellers_ask_for_each_piece() {
        let asked =
            |lines: &[Line]| [0, 400, 1_500].map(|surcharge| shipping_cents(lines, surcharge));
        assert_eq!(asked(&[line("A", 1_999, 0, 3)]), [0, 400, 1_500]);
        assert_eq!(asked(&[line("A", 1_999, 0, 1), line("B", 899, 599, 2)]), [1_198, 1_598, 2_698]);
    }
}
