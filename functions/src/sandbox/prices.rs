//! What a cart costs: pure, in whole cents.

/// The figures of a shipment, or of a part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Figures {
    /// The goods, after the discount.
    pub subtotal_cents: u64,
    /// Getting them there.
    pub shipping_cents: u64,
    /// Of the goods.
    pub tax_cents: u64,
    /// All of it.
    pub total_cents: u64,
}

/// A way of shipping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivery {
    /// The shop's id of it.
    pub id: &'static str,
    /// The shop's name for it.
    pub name: &'static str,
    /// On top of what the sellers ask.
    pub surcharge_cents: u64,
    /// Until it arrives.
    pub days: u32,
}

/// The ways there are. The slowest costs what the sellers ask, which for Prime is nothing.
pub const DELIVERIES: [Delivery; 3] = [
    Delivery { id: "standard", name: "Standard", surcharge_cents: 0, days: 5 },
    Delivery { id: "expedited", name: "Expedited", surcharge_cents: 400, days: 3 },
    Delivery { id: "overnight", name: "One-Day", surcharge_cents: 1_500, days: 1 },
];

/// Takes 10 % off.
pub const PROMO_CODE: &str = "SAVE10";

const PROMO_PERCENT: u64 = 10;
const PERCENT: u64 = 100;
const BASIS_POINTS: u64 = 10_000;

/// What all pieces of one line cost.
pub fn line(price_cents: u64, quantity: u32, discounted: bool) -> u64 {
    let price = price_cents.saturating_mul(u64::from(quantity));
    let discount = if discounted { share(price, PROMO_PERCENT, PERCENT) } else { 0 };
    price.saturating_sub(discount)
}

/// The figures of `lines`, shipped for `shipping_cents` to a US state, or abroad without one.
pub fn figures(
    lines: impl IntoIterator<Item = u64>,
    shipping_cents: u64,
    state: Option<&str>,
) -> Figures {
    let subtotal_cents = lines.into_iter().fold(0, u64::saturating_add);
    let tax_cents = share(subtotal_cents, state.map_or(0, tax_basis_points), BASIS_POINTS);
    let total_cents = subtotal_cents.saturating_add(shipping_cents).saturating_add(tax_cents);
    Figures { subtotal_cents, shipping_cents, tax_cents, total_cents }
}

/// `amount` in whole cents for each of `weights`, in proportion and to the last cent; all of it for the first if they
/// weigh nothing.
pub fn distribute(amount: u64, weights: &[u64]) -> Vec<u64> {
    let whole: u128 = weights.iter().copied().map(u128::from).sum();
    let mut weighed = 0;
    let mut given = 0;
    let mut parts = Vec::new();
    for weight in weights {
        weighed += u128::from(*weight);
        // What all so far have to get, less what they got: rounding never loses or makes a cent.
        let due = u128::from(amount).saturating_mul(weighed).checked_div(whole);
        let due = due.and_then(|due| u64::try_from(due).ok()).unwrap_or(amount);
        parts.push(due.saturating_sub(given));
        given = due;
    }
    parts
}

/// `part` of `whole` of an amount; half a cent is rounded up.
fn share(amount: u64, part: u64, whole: u64) -> u64 {
    amount.saturating_mul(part).saturating_add(whole / 2) / whole
}

/// The state's own sales tax, without what its counties add. Goods that go elsewhere are not taxed.
fn tax_basis_points(state: &str) -> u64 {
    match state.to_ascii_uppercase().as_str() {
        "CO" => 290,
        "AL" | "GA" | "HI" | "NY" | "WY" => 400,
        "MO" => 423,
        "LA" => 445,
        "OK" | "SD" => 450,
        "NC" => 475,
        "NM" => 513,
        "ND" | "WI" => 500,
        "VA" => 530,
        "ME" | "NE" => 550,
        "AZ" => 560,
        "OH" => 575,
        "UT" => 610,
        "DC" | "FL" | "IA" | "ID" | "KY" | "MD" | "MI" | "PA" | "SC" | "VT" | "WV" => 600,
        "AR" | "KS" | "WA" => 650,
        "CT" => 635,
        "IL" | "MA" | "TX" => 625,
        "NJ" => 663,
        "NV" => 685,
        "MN" => 688,
        "IN" | "MS" | "RI" | "TN" => 700,
        "CA" => 725,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_cent_is_lost_or_made(amount: u64, weights in prop::collection::vec(any::<u32>().prop_map(u64::from), 1..9)) {
            let parts = distribute(amount, &weights);
            prop_assert_eq!(parts.len(), weights.len());
            prop_assert_eq!(parts.iter().copied().map(u128::from).sum::<u128>(), u128::from(amount));
        }

        #[test]
        fn everybody_gets_their_share_to_the_cent(amount in 0..1_000_000_u64, weights in prop::collection::vec(0..10_000_u64, 1..9)) {
            let whole: u64 = weights.iter().sum();
            prop_assume!(whole > 0);
            for (part, weight) in distribute(amount, &weights).iter().zip(&weights) {
                prop_assert!((part * whole).abs_diff(amount * weight) < whole);
            }
        }
    }

    #[test]
    fn what_weighs_nothing_goes_to_the_first() {
        assert_eq!(distribute(7, &[0, 0]), [7, 0]);
        assert_eq!(distribute(7, &[1, 0, 1, 1]), [2, 0, 2, 3]);
        assert_eq!(distribute(7, &[]), [0; 0]);
    }

    #[test]
    fn the_documented_order_stays_below_its_limit() {
        let figures = figures([line(1_999, 1, false)], 0, Some("MA"));
        assert_eq!(
            figures,
            Figures {
                subtotal_cents: 1_999,
                shipping_cents: 0,
                tax_cents: 125,
                total_cents: 2_124
            }
        );
    }

    #[test]
    fn half_a_cent_is_rounded_up() {
        let tax = |amount| figures([amount], 0, Some("MA")).tax_cents;
        assert_eq!([tax(7), tax(8), tax(24), tax(1_000)], [0, 1, 2, 63]);
    }

    #[test]
    fn shipping_and_other_countries_are_not_taxed() {
        assert_eq!(figures([1_000], 400, Some("OR")).total_cents, 1_400);
        assert_eq!(figures([1_000], 400, None).total_cents, 1_400);
        assert_eq!(figures([1_000], 400, Some("ma")).tax_cents, 63);
    }

    #[test]
    fn the_promo_code_takes_a_tenth() {
        assert_eq!(line(1_999, 1, true), 1_799);
        assert_eq!(line(1_999, 3, false), 5_997);
    }

    #[test]
    fn nothing_overflows() {
        assert_eq!(figures([line(u64::MAX, 9, false), 1], 1, Some("MA")).total_cents, u64::MAX);
    }
}
