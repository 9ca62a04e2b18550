//! The shop's public pages: what anybody may see without an account.
//!
//! How often each was asked for is counted, also where it then fails.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use spelter::error::Code;

use super::{Shop, answer::Fault, behaviour, catalogue, store::Key};

/// How often the pages of a product were asked for.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Views {
    #[serde(default)]
    details: u64,
    #[serde(default)]
    offers: u64,
}

/// The text of a product's page, as the shop shows it.
#[derive(Debug, Clone, Copy, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "what a shop says of a product")]
struct Page {
    name: &'static str,
    made_by: Option<&'static str>,
    text: Option<&'static str>,
    facts: &'static [&'static str],
    highlights: &'static [&'static str],
    pictures: &'static [&'static str],
    breadcrumbs: &'static [&'static str],
    written_by: &'static [&'static str],
    codes: &'static [ForeignCode],
    parcel: Option<Parcel>,
    sent_from: Option<&'static str>,
    club_number: Option<&'static str>,
    list_price_cents: Option<u64>,
    reviews: u32,
    stars: Option<f64>,
    questions: u32,
    fresh: bool,
    pantry: bool,
    handmade: bool,
    digital: bool,
}

#[derive(Debug, Clone, Copy, Serialize)]
struct ForeignCode {
    kind: &'static str,
    value: &'static str,
}

#[derive(Debug, Clone, Copy, Serialize)]
struct Parcel {
    weight_oz: f64,
    width_in: f64,
    depth_in: f64,
    length_in: f64,
}

/// One of several products on one page.
#[derive(Debug, Clone, Copy, Serialize)]
struct Member {
    product_id: &'static str,
    choices: &'static [Choice],
}

#[derive(Debug, Clone, Copy, Serialize)]
struct Choice {
    axis: &'static str,
    value: &'static str,
}

/// `GET /pages/{product_id}`
pub async fn show(
    State(shop): State<Arc<Shop>>,
    Path(product_id): Path<String>,
) -> Result<Json<Value>, Fault> {
    look(&shop, &product_id, "details").await?;
    let page = find(&product_id).ok_or_else(|| unavailable(&product_id))?;
    let family = family(&product_id);
    let chosen = family.iter().find(|member| member.product_id == product_id);
    // What the shop sells first; else what it has at all.
    let offers = catalogue::find(&product_id).unwrap_or_default();
    let offer = offers.iter().find(|offer| offer.featured).or(offers.first());
    let mut body = json!(page);
    if let Value::Object(members) = &mut body {
        let more = [
            ("product_id", json!(product_id)),
            ("catalogue_number", json!(product_id)),
            ("family", json!(family)),
            ("chosen", json!(chosen.map(|member| member.choices).unwrap_or_default())),
            ("price_cents", json!(offer.map(|offer| offer.price_cents))),
            ("shipping_cents", json!(offer.map(|offer| offer.shipping_cents))),
        ];
        members.extend(more.map(|(name, value)| (name.to_owned(), value)));
    }
    Ok(Json(body))
}

/// `GET /pages/{product_id}/offers`
pub async fn offers(
    State(shop): State<Arc<Shop>>,
    Path(product_id): Path<String>,
) -> Result<Json<Value>, Fault> {
    look(&shop, &product_id, "offers").await?;
    check_chosen(&product_id)?;
    let offers = catalogue::find(&product_id).ok_or_else(|| unavailable(&product_id))?;
    Ok(Json(json!({ "product_id": product_id, "offers": offers })))
}

/// Refuses what stands for a family of products and is none of them.
pub fn check_chosen(product_id: &str) -> Result<(), Fault> {
    let family = family(product_id);
    if family.is_empty() || family.iter().any(|member| member.product_id == product_id) {
        return Ok(());
    }
    let details = json!({"product_id": product_id, "choices": family});
    Err(Fault::Explained { word: Code::InsufficientVariants.as_str(), details })
}

async fn look(shop: &Shop, product_id: &str, page: &str) -> Result<(), Fault> {
    shop.store.count(&Key::page_views(product_id), page).await?;
    behaviour::at_page(shop, product_id).await
}

fn unavailable(product_id: &str) -> Fault {
    Fault::code(Code::ProductUnavailable).about(product_id)
}

fn find(product_id: &str) -> Option<&'static Page> {
    if catalogue::is_endless(product_id) {
        return Some(&PLAIN);
    }
    PAGES.iter().find(|(id, _)| *id == product_id).map(|(_, page)| page)
}

/// The products that are chosen from on this product's page.
fn family(product_id: &str) -> &'static [Member] {
    let is_of = |(parent, members): &&(&str, &[Member])| {
        *parent == product_id || members.iter().any(|member| member.product_id == product_id)
    };
    FAMILIES.iter().find(is_of).map(|(_, members)| *members).unwrap_or_default()
}

const PLAIN: Page = Page {
    name: "A thing of the sandbox",
    made_by: Some("Sandbox"),
    text: Some("It does what it should."),
    facts: &["Item Weight: 8 ounces"],
    highlights: &["Made of sand"],
    pictures: &["https://sandbox.example/pictures/thing-1.jpg"],
    breadcrumbs: &["Things"],
    written_by: &[],
    codes: &[ForeignCode { kind: "MPN", value: "SAND-1" }],
    parcel: Some(Parcel { weight_oz: 8.0, width_in: 4.0, depth_in: 4.0, length_in: 4.0 }),
    sent_from: Some("China"),
    club_number: Some("1000001"),
    list_price_cents: None,
    reviews: 12,
    stars: Some(4.0),
    questions: 3,
    fresh: false,
    pantry: false,
    handmade: false,
    digital: false,
};

/// The example of the v1 document.
const POPSICLE_TRAY: Page = Page {
    name: "Nuby Garden Fresh Fruitsicle Frozen Pop Tray",
    made_by: Some("Nuby"),
    text: Some(
        "Size:1  Nuby's Garden Fresh Fruitsicle Frozen Popsicle Tray\nis specially designed for making fresh puree popsicles at home. Nuby’s\nFruitsicles are the perfect size for baby’s small hands and are designed to\ncatch drips as the pop melts. Fruitsicles are perfect for teething babies with\nsore gums. This set includes four fruitsicle handles and a tray to mold the\npops while keeping them in place while in your freezer. To use: fill\ncompartments with fresh puree, breast milk, or juice. Snap handles into mold\nand freeze until solid. BPA Free. By Nuby",
    ),
    facts: &[
        "Product Dimensions: 5.8 x 5.8 x 4 inches ; 7.8 ounces",
        "Shipping Weight: 8.5 ounces",
        "Domestic Shipping: Item can be shipped within U.S.",
        "UPC: 048526054381 013513034066",
        "Item model number: 5438",
    ],
    highlights: &[
        "Includes four freeze-and-feed popsicle molds with handles shaped perfectly for little hands",
        "Perfect for fresh homemade puree popsicles - turn fresh fruit/veggie puree or juice into 1 fl. oz popsicles",
        "Wide popsicle-holder base catches drips as the popsicle melts to reduce the risk of messes",
        "Great for teething babies to help soothe sore gums",
        "6 Months + / BPA Free",
    ],
    pictures: &[
        "https://images-na.ssl-images-amazon.com/images/I/61K0YbuLi-L.jpg",
        "https://images-na.ssl-images-amazon.com/images/I/81KtOn8ddTL.jpg",
        "https://images-na.ssl-images-amazon.com/images/I/71%2BruDKMSoL.jpg",
        "https://images-na.ssl-images-amazon.com/images/I/91AE6dpp5EL.jpg",
        "https://images-na.ssl-images-amazon.com/images/I/61FQEQJR2HL.jpg",
        "https://images-na.ssl-images-amazon.com/images/I/511agWyBf3L.jpg",
        "https://images-na.ssl-images-amazon.com/images/I/31cC6K6y%2ByL.jpg",
        "https://images-na.ssl-images-amazon.com/images/I/31ocdUye0ML.jpg",
    ],
    breadcrumbs: &[
        "Home & Kitchen",
        "Kitchen & Dining",
        "Kitchen Utensils & Gadgets",
        "Specialty Tools & Gadgets",
        "Ice Pop Molds",
    ],
    codes: &[
        ForeignCode { kind: "MPN", value: "5438" },
        ForeignCode { kind: "UPC", value: "048526054381" },
        ForeignCode { kind: "EAN", value: "0048526054381" },
    ],
    parcel: Some(Parcel { weight_oz: 8.5, width_in: 4.0, depth_in: 5.8, length_in: 5.8 }),
    list_price_cents: Some(899),
    reviews: 829,
    stars: Some(4.5),
    questions: 26,
    ..PLAIN
};

const SHIRT: Page = Page {
    name: "Sandbox T-Shirt",
    text: Some("A shirt in two sizes and two colors, one of which is always gone."),
    facts: &["Fabric: 100% cotton"],
    highlights: &["Soft", "Washable"],
    pictures: &[
        "https://sandbox.example/pictures/shirt-1.jpg",
        "https://sandbox.example/pictures/shirt-2.jpg",
    ],
    breadcrumbs: &["Clothing", "Shirts"],
    list_price_cents: Some(2_499),
    ..PLAIN
};

/// Says as little as a page can.
const BARE: Page = Page {
    name: "A thing nobody wrote about",
    made_by: None,
    text: None,
    facts: &[],
    highlights: &[],
    pictures: &[],
    breadcrumbs: &[],
    codes: &[],
    parcel: None,
    sent_from: None,
    club_number: None,
    reviews: 0,
    stars: None,
    questions: 0,
    ..PLAIN
};

const PAGES: [(&str, Page); 15] = [
    ("B0016NHH56", Page { name: "Sandbox Castle Bucket", list_price_cents: Some(2_499), ..PLAIN }),
    (
        "0923568964",
        Page {
            name: "The Sand Reckoner",
            made_by: None,
            written_by: &["Archimedes", "Thomas Heath"],
            breadcrumbs: &["Books", "Science & Math"],
            codes: &[
                ForeignCode { kind: "ISBN", value: "0923568964" },
                ForeignCode { kind: "EAN", value: "9780923568962" },
            ],
            ..PLAIN
        },
    ),
    ("B00KFP6NHO", POPSICLE_TRAY),
    ("B00Q3H18EQ", POPSICLE_TRAY),
    ("B06XGHJ5H3", Page { name: "Sandbox Rake Set", handmade: true, ..PLAIN }),
    ("B0000001234", Page { name: "Sandbox Shovel", ..PLAIN }),
    ("B07SENT0001", Page { name: "Sandbox Sieve", ..PLAIN }),
    ("B07ONLYONE1", Page { name: "Sandbox Crown", ..PLAIN }),
    ("B07ADDON001", Page { name: "Sandbox Flag", ..PLAIN }),
    ("B07MEMBERS1", Page { name: "Sandbox Members' Bucket", ..PLAIN }),
    ("B07SOLDOUT1", BARE),
    ("B07VARIANTS", SHIRT),
    ("B07VARSRED1", SHIRT),
    ("B07VARSBLU1", SHIRT),
    ("B07VARMRED1", SHIRT),
];

/// What stands for several products, and those. The first family has no page of its own: one of its products stands
/// for both.
const FAMILIES: [(&str, &[Member]); 2] = [
    (
        "B00KFP6NHO",
        &[
            Member { product_id: "B00Q3H18EQ", choices: &[Choice { axis: "Size", value: "2" }] },
            Member { product_id: "B00KFP6NHO", choices: &[Choice { axis: "Size", value: "1" }] },
        ],
    ),
    (
        "B07VARIANTS",
        &[
            Member { product_id: "B07VARSRED1", choices: &[SMALL, RED] },
            Member { product_id: "B07VARSBLU1", choices: &[SMALL, BLUE] },
            Member { product_id: "B07VARMRED1", choices: &[MEDIUM, RED] },
        ],
    ),
];

const SMALL: Choice = Choice { axis: "Size", value: "S" };
const MEDIUM: Choice = Choice { axis: "Size", value: "M" };
const RED: Choice = Choice { axis: "Color", value: "Red" };
const BLUE: Choice = Choice { axis: "Color", value: "Blue" };

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_sold_has_a_page_and_only_a_parent_is_not_sold() {
        for (product_id, _) in PAGES {
            let is_sold = catalogue::find(product_id).is_some();
            assert_eq!(is_sold, check_chosen(product_id).is_ok(), "{product_id}");
        }
        for product_id in catalogue::ids() {
            assert!(find(product_id).is_some(), "{product_id}");
        }
    }

    #[test]
    fn everybody_of_a_family_has_a_page() {
        for (parent, members) in FAMILIES {
            assert!(find(parent).is_some());
            assert!(members.iter().all(|member| find(member.product_id).is_some()), "{parent}");
        }
    }

    #[test]
    fn magic_products_have_a_page_and_unknown_ones_do_not() {
        assert!(find("SANDBOX-CREDIT-CARD-DECLINED").is_some());
        assert!(find("B000000000").is_none());
    }
}
