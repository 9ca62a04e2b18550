//! Which offer is bought: the cheapest that meets the seller selection criteria of the v1 document.

use deserr::Deserr;
use serde::{Deserialize, Serialize};

use crate::{fields::Faults, money::Cents};

/// One seller's offer of a product.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "the fields of the v1 offer object")]
pub struct Offer {
    /// The retailer's id of it.
    pub offer_id: String,
    /// The product it is an offer of.
    pub product_id: String,
    /// `New`, `Refurbished`, `Used - Like New`, …
    pub condition: String,
    /// For one piece, without shipping.
    pub price: Cents,
    /// Shipping of one piece.
    pub ship_price: Cents,
    /// Days until it is shipped, at the least.
    pub handling_days_min: u32,
    /// Days until it is shipped, at the most.
    pub handling_days_max: u32,
    /// Only together with other items.
    pub addon: bool,
    /// The retailer's default offer.
    pub buy_box: bool,
    /// Sold by the retailer itself.
    pub first_party: bool,
    /// Comes from abroad.
    pub international: bool,
    /// Ships with Prime.
    pub prime: bool,
    /// Ships with Prime only.
    pub prime_only: bool,
    /// The seller.
    pub merchant_id: String,
    /// The seller's name.
    pub seller_name: String,
    /// How many ratings the seller has.
    pub seller_num_ratings: u32,
    /// How many of 100 of them are positive.
    pub seller_percent_positive: u32,
    /// How many must be bought at once.
    pub min_quantity: u32,
    /// How many can be bought at once.
    pub max_quantity: u32,
    /// Sent from the retailer's own stock, whoever sells it.
    pub marketplace_fulfilled: bool,
    /// For members of the shop only.
    pub member_only: bool,
    /// What the seller says of shipping.
    pub greytext: Option<String>,
    /// What the seller says of this piece.
    pub comments: Option<String>,
    /// ISO 4217.
    pub currency: String,
}

/// What an offer must meet; what is absent does not matter.
#[derive(Debug, Clone, PartialEq, Eq, Deserr)]
#[deserr(error = Faults)]
pub struct Criteria {
    #[deserr(default)]
    addon: Option<bool>,
    #[deserr(default)]
    buy_box: Option<bool>,
    #[deserr(default)]
    condition_in: Option<Vec<String>>,
    #[deserr(default)]
    condition_not_in: Option<Vec<String>>,
    #[deserr(default)]
    first_party_seller: Option<bool>,
    #[deserr(default)]
    handling_days_max: Option<u32>,
    #[deserr(default)]
    international: Option<bool>,
    #[deserr(default)]
    max_item_price: Option<u64>,
    #[deserr(default)]
    merchant_id_in: Option<Vec<String>>,
    #[deserr(default)]
    merchant_id_not_in: Option<Vec<String>>,
    #[deserr(default)]
    min_seller_num_ratings: Option<u32>,
    #[deserr(default)]
    min_seller_percent_positive_feedback: Option<u32>,
    #[deserr(default)]
    prime: Option<bool>,
}

/// The document's default: `prime`, `handling_days_max: 6`, `condition_in: ["New"]`.
impl Default for Criteria {
    fn default() -> Self {
        Self {
            addon: None,
            buy_box: None,
            condition_in: Some(vec!["New".to_owned()]),
            condition_not_in: None,
            first_party_seller: None,
            handling_days_max: Some(6),
            international: None,
            max_item_price: None,
            merchant_id_in: None,
            merchant_id_not_in: None,
            min_seller_num_ratings: None,
            min_seller_percent_positive_feedback: None,
            prime: Some(true),
        }
    }
}

/// The offer to buy: the cheapest by price and shipping together. Of equally cheap ones the faster, then the one with
/// more ratings, then the lower id, so that the choice does not depend on the retailer's order.
pub fn choose<'a>(offers: &'a [Offer], criteria: &Criteria) -> Option<&'a Offer> {
    offers.iter().filter(|offer| criteria.meets(offer)).min_by_key(|offer| {
        (
            offer.price.plus(offer.ship_price),
            offer.handling_days_max,
            std::cmp::Reverse(offer.seller_num_ratings),
            &offer.offer_id,
        )
    })
}

impl Criteria {
    /// Whether `offer` may be bought.
    pub fn meets(&self, offer: &Offer) -> bool {
        let is = |wanted: Option<bool>, actual: bool| wanted.is_none_or(|wanted| wanted == actual);
        let named =
            |list: &[String], name: &str| list.iter().any(|entry| entry.eq_ignore_ascii_case(name));
        let within = |list: &Option<Vec<String>>, name: &str| {
            list.as_ref().is_none_or(|list| named(list, name))
        };
        let outside = |list: &Option<Vec<String>>, name: &str| {
            list.as_ref().is_none_or(|list| !named(list, name))
        };

        is(self.addon, offer.addon)
            && is(self.buy_box, offer.buy_box)
            && within(&self.condition_in, &offer.condition)
            && outside(&self.condition_not_in, &offer.condition)
            && is(self.first_party_seller, offer.first_party)
            && self.handling_days_max.is_none_or(|days| offer.handling_days_max <= days)
            && is(self.international, offer.international)
            && self.max_item_price.is_none_or(|price| offer.price <= Cents(price))
            && within(&self.merchant_id_in, &offer.merchant_id)
            && outside(&self.merchant_id_not_in, &offer.merchant_id)
            && self.min_seller_num_ratings.is_none_or(|ratings| offer.seller_num_ratings >= ratings)
            && self
                .min_seller_percent_positive_feedback
                .is_none_or(|percent| offer.seller_percent_positive >= percent)
            && is(self.prime, offer.prime)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::fields;

    fn offers() -> impl Strategy<Value = Vec<Offer>> {
        prop::collection::vec(offer(), 0..12)
    }

    fn offer() -> impl Strategy<Value = Offer> {
        let figures = (0..5_u64, 0..3_u64, 0..9_u32, 0..4_u32, 90..=100_u32);
        let words = (
            prop::sample::select(vec!["New", "Refurbished", "Used - Good"]),
            prop::sample::select(vec!["A", "B"]),
        );
        (figures, words, any::<[bool; 5]>(), "[a-z]{4}").prop_map(
            |((price, ship, days, ratings, percent), (condition, merchant), flags, offer_id)| {
                Offer {
                    offer_id,
                    product_id: "P".to_owned(),
                    condition: condition.to_owned(),
                    price: Cents(price),
                    ship_price: Cents(ship),
                    handling_days_min: 0,
                    handling_days_max: days,
                    addon: flags[0],
                    buy_box: flags[1],
                    first_party: flags[2],
                    international: flags[3],
                    prime: flags[4],
                    prime_only: false,
                    merchant_id: merchant.to_owned(),
                    seller_name: merchant.to_owned(),
                    seller_num_ratings: ratings,
                    seller_percent_positive: percent,
                    min_quantity: 1,
                    max_quantity: 9,
                    marketplace_fulfilled: flags[4],
                    member_only: false,
                    greytext: None,
                    comments: None,
                    currency: "USD".to_owned(),
                }
            },
        )
    }

    proptest! {
        #[test]
        fn the_choice_meets_the_criteria_and_no_cheaper_offer_does(offers in offers(), days in 0..9_u32, price in 0..5_u64, prime: bool) {
            let criteria: Criteria = fields::read(json!({
                "handling_days_max": days, "max_item_price": price, "prime": prime, "condition_in": ["New", "refurbished"],
            })).unwrap();
            let total = |offer: &Offer| offer.price.plus(offer.ship_price);
            match choose(&offers, &criteria) {
                Some(chosen) => {
                    prop_assert!(criteria.meets(chosen));
                    prop_assert!(offers.iter().all(|offer| !criteria.meets(offer) || total(offer) >= total(chosen)));
                }
                None => prop_assert!(!offers.iter().any(|offer| criteria.meets(offer))),
            }
        }

        #[test]
        fn the_choice_does_not_depend_on_the_order(mut offers in offers()) {
            let total = |offers: &[Offer]| choose(offers, &Criteria::default()).cloned();
            let first = total(&offers);
            offers.reverse();
            prop_assert_eq!(first.map(|offer| offer.offer_id), total(&offers).map(|offer| offer.offer_id));
        }
    }

    #[test]
    fn the_default_is_the_documents() {
        let documented = json!({"prime": true, "handling_days_max": 6, "condition_in": ["New"]});
        assert_eq!(fields::read::<Criteria>(documented).unwrap(), Criteria::default());
    }
}
