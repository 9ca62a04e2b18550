//! What the shop sells.

use axum::{
    Extension, Json,
    extract::{Path, State},
};
use serde::Serialize;
use serde_json::{Value, json};
use spelter::error::Code;
use std::sync::Arc;

use super::{
    Shop,
    answer::Fault,
    behaviour::{self, Step},
    journal::Visit,
    magic, pages,
};

/// One seller's offer, as the shop shows it.
#[derive(Debug, Clone, Copy, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "what a shop says of an offer")]
pub struct Offer {
    /// Unique within the product.
    pub offer_id: &'static str,
    /// `New`, `Refurbished`, `Used - Good`, …
    pub condition: &'static str,
    /// Of one piece.
    pub price_cents: u64,
    /// Of one piece.
    pub shipping_cents: u64,
    handling_days: Days,
    /// Only together with other things.
    pub add_on: bool,
    /// What a buyer gets who does not choose.
    pub featured: bool,
    sold_by_us: bool,
    from_abroad: bool,
    prime: bool,
    prime_members_only: bool,
    club_members_only: bool,
    sent_by_us: bool,
    minimum_per_order: u32,
    /// How many may be in one cart.
    pub limit_per_order: u32,
    shipping_note: Option<&'static str>,
    note: Option<&'static str>,
    currency: &'static str,
    seller: Seller,
}

#[derive(Debug, Clone, Copy, Serialize)]
struct Days {
    min: u32,
    max: u32,
}

#[derive(Debug, Clone, Copy, Serialize)]
struct Seller {
    id: &'static str,
    name: &'static str,
    ratings: u32,
    positive_percent: u32,
}

/// `GET /products/{product_id}/offers`
pub async fn offers(
    State(shop): State<Arc<Shop>>,
    Extension(visit): Extension<Visit>,
    Path(product_id): Path<String>,
) -> Result<Json<Value>, Fault> {
    behaviour::at(&shop, Step::Offers, &visit.email, [product_id.as_str()]).await?;
    pages::check_chosen(&product_id)?;
    let offers = find(&product_id)
        .ok_or_else(|| Fault::code(Code::ProductUnavailable).about(&product_id))?;
    Ok(Json(json!({ "product_id": product_id, "offers": offers })))
}

impl Offer {
    /// Who sends it. What ships with Prime comes from the shop's own stock; everything else its seller sends.
    pub fn sender(&self) -> &'static str {
        if self.prime { OWN_STOCK } else { self.seller.id }
    }
}

/// The offers of a product; none for one that is sold out, `None` for one that there is not.
pub fn find(product_id: &str) -> Option<&'static [Offer]> {
    if is_endless(product_id) {
        return Some(&[OURS]);
    }
    PRODUCTS.iter().find(|(id, _)| *id == product_id).map(|(_, offers)| *offers)
}

/// Whether the product is one of those that there is no end of: the magic ones, and all whose id starts so, for tests
/// that need one nobody has asked for before.
pub fn is_endless(product_id: &str) -> bool {
    magic::of(product_id).is_some() || product_id.starts_with("THING-")
}

/// The ids of all products that can be bought.
#[cfg(test)]
pub(super) fn ids() -> impl Iterator<Item = &'static str> {
    PRODUCTS.iter().map(|(id, _)| *id)
}

/// One offer of a product.
pub fn offer(product_id: &str, offer_id: &str) -> Option<&'static Offer> {
    find(product_id)?.iter().find(|offer| offer.offer_id == offer_id)
}

/// The shop itself, as a sender.
pub const OWN_STOCK: &str = "SANDBOX";

const SHOP: Seller =
    Seller { id: OWN_STOCK, name: "Sandbox", ratings: 1_000_000, positive_percent: 98 };
const ACME: Seller =
    Seller { id: "A2ACME", name: "Acme Outlet", ratings: 4_210, positive_percent: 96 };
const CORNER: Seller =
    Seller { id: "A3CORNER", name: "Corner Shop", ratings: 87, positive_percent: 91 };
const FARAWAY: Seller =
    Seller { id: "A4FARAWAY", name: "Faraway Goods", ratings: 15_300, positive_percent: 94 };

/// New, from the shop's own stock.
const OURS: Offer = Offer {
    offer_id: "ours",
    condition: "New",
    price_cents: 1_999,
    shipping_cents: 0,
    handling_days: Days { min: 0, max: 1 },
    add_on: false,
    featured: true,
    sold_by_us: true,
    from_abroad: false,
    prime: true,
    prime_members_only: false,
    club_members_only: false,
    sent_by_us: true,
    minimum_per_order: 1,
    limit_per_order: 30,
    shipping_note: Some("In stock."),
    note: None,
    currency: "USD",
    seller: SHOP,
};

/// New, from another seller but the shop's stock.
const STOCKED: Offer = Offer {
    offer_id: "stocked",
    price_cents: 2_149,
    handling_days: Days { min: 1, max: 2 },
    featured: false,
    sold_by_us: false,
    seller: ACME,
    ..OURS
};

/// New, sent by its seller.
const SENT: Offer = Offer {
    offer_id: "sent",
    price_cents: 1_649,
    shipping_cents: 599,
    handling_days: Days { min: 3, max: 5 },
    prime: false,
    sent_by_us: false,
    shipping_note: Some("Usually ships within 3 - 5 days."),
    ..STOCKED
};

/// Second-hand, sent by its seller.
const USED: Offer = Offer {
    offer_id: "used",
    condition: "Used - Good",
    price_cents: 899,
    note: Some("Some scratches, works well."),
    seller: CORNER,
    ..SENT
};

/// Cheap and slow.
const ABROAD: Offer = Offer {
    offer_id: "abroad",
    price_cents: 1_249,
    shipping_cents: 0,
    handling_days: Days { min: 7, max: 21 },
    from_abroad: true,
    shipping_note: Some("Ships from and sold by Faraway Goods."),
    seller: FARAWAY,
    ..SENT
};

/// Product ids and their offers. Ids that documents name as examples are here, so that the examples work.
const PRODUCTS: [(&str, &[Offer]); 14] = [
    ("B0016NHH56", &[ABROAD, USED, SENT, OURS, STOCKED]),
    ("0923568964", &[Offer { price_cents: 1_299, ..OURS }, Offer { price_cents: 450, ..USED }]),
    ("B00KFP6NHO", &[Offer { price_cents: 799, ..OURS }, Offer { price_cents: 849, ..STOCKED }]),
    ("B00Q3H18EQ", &[Offer { price_cents: 899, ..OURS }]),
    (
        "B06XGHJ5H3",
        &[Offer { price_cents: 3_499, ..STOCKED }, Offer { price_cents: 3_199, ..SENT }],
    ),
    (
        "B0000001234",
        &[Offer { price_cents: 1_000, ..OURS }, Offer { price_cents: 1_050, ..STOCKED }],
    ),
    // Nothing here comes with Prime, so nothing ships free.
    ("B07SENT0001", &[SENT, USED]),
    // One to a customer.
    ("B07ONLYONE1", &[Offer { limit_per_order: 1, ..OURS }]),
    // Too small to be sent alone.
    ("B07ADDON001", &[Offer { price_cents: 299, add_on: true, ..OURS }]),
    (
        "B07MEMBERS1",
        &[Offer { price_cents: 1_799, prime_members_only: true, club_members_only: true, ..OURS }],
    ),
    ("B07SOLDOUT1", &[]),
    // The products behind `B07VARIANTS`, which itself cannot be bought.
    ("B07VARSRED1", &[Offer { price_cents: 1_899, ..OURS }]),
    ("B07VARSBLU1", &[OURS]),
    ("B07VARMRED1", &[Offer { price_cents: 2_099, ..OURS }]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offers_of_one_product_have_ids_of_their_own() {
        for (product_id, offers) in PRODUCTS {
            for offer in offers {
                let same = offers.iter().filter(|other| other.offer_id == offer.offer_id);
                assert_eq!(same.count(), 1, "{product_id} {}", offer.offer_id);
            }
        }
    }

    #[test]
    fn what_ships_with_prime_ships_free() {
        for offer in PRODUCTS.iter().flat_map(|(_, offers)| *offers) {
            assert!(!offer.prime || offer.shipping_cents == 0, "{offer:?}");
        }
    }

    #[test]
    fn what_is_in_stock_the_shop_sends_and_the_rest_its_seller() {
        let senders = [OURS, STOCKED, SENT, USED, ABROAD].map(|offer| offer.sender());
        assert_eq!(senders, ["SANDBOX", "SANDBOX", "A2ACME", "A3CORNER", "A4FARAWAY"]);
    }

    #[test]
    fn magic_products_have_an_offer_and_unknown_ones_do_not_exist() {
        assert_eq!(find("SANDBOX-CREDIT-CARD-DECLINED").map(<[_]>::len), Some(1));
        assert_eq!(find("B07SOLDOUT1").map(<[_]>::len), Some(0));
        assert!(find("SANDBOX-NONSENSE").is_none());
        assert!(find("B000000000").is_none());
    }
}
