//! A product's page as a client sees it.
//!
//! Fields that the v1 document gives to some retailers only are shown for those only. Offers have two shapes: the
//! first is flat and has prices in units of the currency, the second has cents.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};
use serde_json::{Value, value::RawValue};
use spelter::{
    error::{Code, MoneyMoved, Refusal},
    money::Cents,
    orders::{
        selection::Offer,
        variants::{Variant, VariantSpecific},
    },
    products::{Content, Epid, Kind, MPN, Package, PageKey, ProductPage, Reading, Version},
    retailers::RetailerCode,
};

use super::look_up::{Asked, Seen};

/// The answer. Whatever became of the visit, the request itself succeeded.
#[derive(Serialize)]
#[serde(tag = "status", rename_all = "lowercase")]
pub enum View {
    /// Somebody is reading the page: ask again.
    Processing(Of),
    /// The page cannot be had.
    Failed(Failure),
    /// What the product is.
    Completed(Box<Details>),
    /// Who sells it.
    #[serde(rename = "completed")]
    Offers(Offers),
}

/// Which product it is about.
#[derive(Serialize)]
pub struct Of {
    retailer: RetailerCode,
    product_id: String,
}

/// An error like those of orders.
#[derive(Serialize)]
pub struct Failure {
    #[serde(flatten)]
    of: Of,
    #[serde(rename = "_type")]
    kind: &'static str,
    code: Code,
    message: String,
    data: Value,
    retryable: bool,
    money_moved: MoneyMoved,
}

/// The documented fields, and what real answers have beside them.
#[derive(Serialize)]
#[expect(clippy::struct_field_names, reason = "the fields of the v1 document")]
pub struct Details {
    #[serde(flatten)]
    of: Of,
    timestamp: i64,
    title: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    brand: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    product_description: Option<String>,
    product_details: Vec<String>,
    feature_bullets: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    main_image: Option<String>,
    images: Vec<String>,
    variant_specifics: Vec<VariantSpecific>,
    all_variants: Vec<Variant>,
    categories: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    authors: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mpn: Option<String>,
    epids_map: BTreeMap<String, String>,
    epids: Vec<Epid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    package_dimensions: Option<Package>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ship_price: Option<Cents>,
    #[serde(flatten)]
    kind: Kind,
    #[serde(flatten)]
    amazon: Option<AmazonDetails>,
    #[serde(skip_serializing_if = "Option::is_none")]
    item_location: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    item_number: Option<String>,
}

/// What only Amazon's products have.
#[derive(Serialize)]
struct AmazonDetails {
    #[serde(skip_serializing_if = "Option::is_none")]
    asin: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    original_retail_price: Option<Cents>,
    #[serde(skip_serializing_if = "Option::is_none")]
    price: Option<Cents>,
    #[serde(skip_serializing_if = "Option::is_none")]
    review_count: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stars: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    question_count: Option<u32>,
}

/// All offers of a product, in one of two shapes.
#[derive(Serialize)]
#[expect(clippy::struct_field_names, reason = "the fields of the v1 document")]
pub struct Offers {
    #[serde(flatten)]
    of: Of,
    timestamp: i64,
    offers: Shaped,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Shaped {
    One(Vec<FlatOffer>),
    Two(Vec<NestedOffer>),
}

#[derive(Serialize)]
struct FlatOffer {
    product_id: String,
    addon: bool,
    condition: String,
    handling_days_max: u32,
    handling_days_min: u32,
    international: bool,
    merchant_id: String,
    price: Units,
    ship_price: Units,
    currency: String,
    buy_box_winner: bool,
    comments: Option<String>,
    seller_name: String,
    seller_num_ratings: u32,
    seller_percent_positive: u32,
    #[serde(flatten)]
    amazon: Option<AmazonFlatOffer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    member_only: Option<bool>,
}

/// What only Amazon's offers have.
#[derive(Serialize)]
struct AmazonFlatOffer {
    offerlisting_id: String,
    greytext: Option<String>,
    prime: bool,
    prime_only: bool,
}

#[derive(Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "the fields of the v1 offer object")]
struct NestedOffer {
    offer_id: String,
    product_id: String,
    /// What cannot be had is not offered.
    available: bool,
    addon: bool,
    condition: String,
    price: Cents,
    currency: String,
    shipping_options: [ShippingOption; 1],
    handling_days: Days,
    minimum_quantity: u32,
    maximum_quantity: u32,
    marketplace_fulfilled: bool,
    buy_box_winner: bool,
    international: bool,
    comments: Option<String>,
    seller: Seller,
    #[serde(flatten)]
    amazon: Option<AmazonNestedOffer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    member_only: Option<bool>,
}

#[derive(Serialize)]
struct AmazonNestedOffer {
    greytext: Option<String>,
    prime: bool,
    prime_only: bool,
}

#[derive(Serialize)]
struct ShippingOption {
    price: Cents,
}

#[derive(Serialize)]
struct Days {
    min: u32,
    max: u32,
}

#[derive(Serialize)]
struct Seller {
    id: String,
    name: String,
    num_ratings: u32,
    percent_positive: u32,
    first_party: bool,
}

/// Cents as units with two decimals: `9.79`, exactly.
struct Units(Cents);

impl Serialize for Units {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = RawValue::from_string(self.0.to_string()).map_err(serde::ser::Error::custom)?;
        text.serialize(serializer)
    }
}

/// The answer to what was asked.
pub(super) fn of(asked: Asked, seen: Seen) -> View {
    let Asked { page, question } = asked;
    let PageKey { site: _, retailer, product_id, what: _ } = page;
    let of = Of { retailer, product_id: product_id.to_string() };
    match seen {
        Seen::Processing => View::Processing(of),
        Seen::Down => failed(of, Refusal::new(Code::InternalError)),
        Seen::Said(Reading { outcome: Err(refusal), read_at: _ }) => failed(of, refusal),
        Seen::Said(Reading { outcome: Ok(content), read_at }) => {
            let timestamp = read_at.as_second();
            match content {
                Content::Details(page) => View::Completed(Box::new(details(of, timestamp, *page))),
                Content::Offers(offers) => {
                    let offers = shaped(retailer, question.version, offers);
                    View::Offers(Offers { of, timestamp, offers })
                }
            }
        }
    }
}

fn failed(of: Of, Refusal { code, message, data }: Refusal) -> View {
    let retryable = code.row().retryable;
    let money_moved = MoneyMoved::No;
    View::Failed(Failure { of, kind: "error", code, message, data, retryable, money_moved })
}

fn details(of: Of, timestamp: i64, page: ProductPage) -> Details {
    let ProductPage {
        // What was asked for is what is answered.
        product_id: _,
        title,
        brand,
        description,
        details,
        feature_bullets,
        images,
        variant_specifics,
        all_variants,
        categories,
        authors,
        epids,
        package,
        item_location,
        asin,
        item_number,
        original_retail_price,
        price,
        ship_price,
        review_count,
        stars,
        question_count,
        kind,
    } = page;
    let amazon =
        AmazonDetails { asin, original_retail_price, price, review_count, stars, question_count };
    let epids_map: BTreeMap<_, _> =
        epids.iter().map(|epid| (epid.kind.clone(), epid.value.clone())).collect();
    Details {
        timestamp,
        title,
        brand,
        product_description: description,
        product_details: details,
        feature_bullets,
        main_image: images.first().cloned(),
        images,
        variant_specifics,
        all_variants,
        categories,
        authors,
        mpn: epids_map.get(MPN).cloned(),
        epids_map,
        epids,
        package_dimensions: package,
        ship_price,
        kind,
        amazon: of.retailer.is_amazon().then_some(amazon),
        item_location: item_location.filter(|_| of.retailer == RetailerCode::Aliexpress),
        item_number: item_number.filter(|_| of.retailer == RetailerCode::Costco),
        of,
    }
}

fn shaped(retailer: RetailerCode, version: Version, offers: Vec<Offer>) -> Shaped {
    let offers = offers.into_iter();
    match version {
        Version::One => Shaped::One(offers.map(|offer| flat(retailer, offer)).collect()),
        Version::Two => Shaped::Two(offers.map(|offer| nested(retailer, offer)).collect()),
    }
}

fn flat(retailer: RetailerCode, offer: Offer) -> FlatOffer {
    let Offer {
        offer_id,
        product_id,
        condition,
        price,
        ship_price,
        handling_days_min,
        handling_days_max,
        addon,
        buy_box,
        first_party: _,
        international,
        prime,
        prime_only,
        merchant_id,
        seller_name,
        seller_num_ratings,
        seller_percent_positive,
        min_quantity: _,
        max_quantity: _,
        marketplace_fulfilled: _,
        member_only,
        greytext,
        comments,
        currency,
    } = offer;
    let amazon = AmazonFlatOffer { offerlisting_id: offer_id, greytext, prime, prime_only };
    FlatOffer {
        product_id,
        addon,
        condition,
        handling_days_max,
        handling_days_min,
        international,
        merchant_id,
        price: Units(price),
        ship_price: Units(ship_price),
        currency,
        buy_box_winner: buy_box,
        comments,
        seller_name,
        seller_num_ratings,
        seller_percent_positive,
        amazon: retailer.is_amazon().then_some(amazon),
        member_only: of_costco(retailer, member_only),
    }
}

fn nested(retailer: RetailerCode, offer: Offer) -> NestedOffer {
    let Offer {
        offer_id,
        product_id,
        condition,
        price,
        ship_price,
        handling_days_min,
        handling_days_max,
        addon,
        buy_box,
        first_party,
        international,
        prime,
        prime_only,
        merchant_id,
        seller_name,
        seller_num_ratings,
        seller_percent_positive,
        min_quantity,
        max_quantity,
        marketplace_fulfilled,
        member_only,
        greytext,
        comments,
        currency,
    } = offer;
    NestedOffer {
        offer_id,
        product_id,
        available: true,
        addon,
        condition,
        price,
        currency,
        shipping_options: [ShippingOption { price: ship_price }],
        handling_days: Days { min: handling_days_min, max: handling_days_max },
        minimum_quantity: min_quantity,
        maximum_quantity: max_quantity,
        marketplace_fulfilled,
        buy_box_winner: buy_box,
        international,
        comments,
        seller: Seller {
            id: merchant_id,
            name: seller_name,
            num_ratings: seller_num_ratings,
            percent_positive: seller_percent_positive,
            first_party,
        },
        amazon: retailer.is_amazon().then_some(AmazonNestedOffer { greytext, prime, prime_only }),
        member_only: of_costco(retailer, member_only),
    }
}

fn of_costco(retailer: RetailerCode, member_only: bool) -> Option<bool> {
    (retailer == RetailerCode::Costco).then_some(member_only)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_have_two_exact_decimals() {
        let cases =
            [(0, "0.00"), (5, "0.05"), (979, "9.79"), (800, "8.00"), (123_456_789, "1234567.89")];
        for (cents, expected) in cases {
            assert_eq!(serde_json::to_string(&Units(Cents(cents))).unwrap(), expected);
        }
    }

    #[test]
    fn what_cannot_be_read_says_why_and_what_is_being_read_says_so() {
        let of = || Of { retailer: RetailerCode::Amazon, product_id: "B1".to_owned() };
        let text = |view: &View| serde_json::to_string(view).unwrap();
        assert_eq!(
            text(&View::Processing(of())),
            r#"{"status":"processing","retailer":"amazon","product_id":"B1"}"#
        );
        let failed = text(&failed(of(), Refusal::new(Code::ExpiredProductId)));
        let start = r#"{"status":"failed","retailer":"amazon","product_id":"B1","_type":"error","code":"expired_product_id""#;
        assert!(failed.starts_with(start), "{failed}");
    }
}
