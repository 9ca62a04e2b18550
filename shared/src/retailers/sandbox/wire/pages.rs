//! The words of the shop's public product pages.

use serde::Deserialize;

use crate::{
    money::Cents,
    orders::variants::{Variant, VariantSpecific},
    products::{Epid, Kind, Measure, Package, ProductPage, Size},
};

#[derive(Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "the shop's words")]
pub(in crate::retailers::sandbox) struct Page {
    product_id: String,
    name: String,
    made_by: Option<String>,
    text: Option<String>,
    facts: Vec<String>,
    highlights: Vec<String>,
    pictures: Vec<String>,
    chosen: Vec<Choice>,
    family: Vec<Member>,
    breadcrumbs: Vec<String>,
    written_by: Vec<String>,
    codes: Vec<Code>,
    parcel: Option<Parcel>,
    sent_from: Option<String>,
    catalogue_number: Option<String>,
    club_number: Option<String>,
    list_price_cents: Option<u64>,
    price_cents: Option<u64>,
    shipping_cents: Option<u64>,
    reviews: u32,
    stars: Option<f64>,
    questions: u32,
    fresh: bool,
    pantry: bool,
    handmade: bool,
    digital: bool,
}

#[derive(Deserialize)]
struct Choice {
    axis: String,
    value: String,
}

/// One of the products that a page lets choose from.
#[derive(Deserialize)]
pub(in crate::retailers::sandbox) struct Member {
    product_id: String,
    choices: Vec<Choice>,
}

#[derive(Deserialize)]
struct Code {
    kind: String,
    value: String,
}

/// In ounces and inches.
#[derive(Deserialize)]
struct Parcel {
    weight_oz: f64,
    width_in: f64,
    depth_in: f64,
    length_in: f64,
}

impl From<Page> for ProductPage {
    fn from(page: Page) -> Self {
        Self {
            product_id: page.product_id,
            title: page.name,
            brand: page.made_by,
            description: page.text,
            details: page.facts,
            feature_bullets: page.highlights,
            images: page.pictures,
            variant_specifics: page.chosen.into_iter().map(Into::into).collect(),
            all_variants: page.family.into_iter().map(Into::into).collect(),
            categories: page.breadcrumbs,
            authors: page.written_by,
            epids: page.codes.into_iter().map(Into::into).collect(),
            package: page.parcel.map(Into::into),
            item_location: page.sent_from,
            asin: page.catalogue_number,
            item_number: page.club_number,
            original_retail_price: page.list_price_cents.map(Cents),
            price: page.price_cents.map(Cents),
            ship_price: page.shipping_cents.map(Cents),
            review_count: Some(page.reviews),
            stars: page.stars,
            question_count: Some(page.questions),
            kind: Kind {
                fresh: page.fresh,
                pantry: page.pantry,
                handmade: page.handmade,
                digital: page.digital,
            },
        }
    }
}

impl From<Choice> for VariantSpecific {
    fn from(Choice { axis, value }: Choice) -> Self {
        Self { dimension: axis, value }
    }
}

impl From<Member> for Variant {
    fn from(Member { product_id, choices }: Member) -> Self {
        Self { product_id, specifics: choices.into_iter().map(Into::into).collect() }
    }
}

impl From<Code> for Epid {
    fn from(Code { kind, value }: Code) -> Self {
        Self { kind, value }
    }
}

impl From<Parcel> for Package {
    fn from(Parcel { weight_oz, width_in, depth_in, length_in }: Parcel) -> Self {
        let inches = |amount| Measure { amount, unit: "inches".to_owned() };
        Self {
            weight: Some(Measure { amount: weight_oz, unit: "ounces".to_owned() }),
            size: Some(Size {
                width: inches(width_in),
                depth: inches(depth_in),
                length: inches(length_in),
            }),
        }
    }
}
