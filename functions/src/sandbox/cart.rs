//! The cart: one for each account, whoever fills it.

use std::{collections::BTreeMap, sync::Arc};

use axum::{Extension, Json, extract::State};
use deserr::Deserr;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use spelter::{
    error::Code,
    fields::{Faults, Unfit},
};

use super::{
    Shop,
    answer::{Body, Fault},
    behaviour::{self, Step},
    catalogue,
    journal::Visit,
    prices,
    store::Key,
};

const MAX_LINES: usize = 100;

/// Add-on items come along with at least this much of other things.
const ADD_ON_MINIMUM_CENTS: u64 = 2_500;

/// What is in a cart, at the prices of the moment it was put in.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Line {
    /// The product.
    pub product_id: String,
    /// Which offer of it.
    pub offer_id: String,
    /// Who sends it.
    pub sender: String,
    /// How many.
    pub quantity: u32,
    /// Of one piece.
    pub price_cents: u64,
    /// Of one piece.
    pub shipping_cents: u64,
}

#[derive(Serialize, Deserialize)]
struct Cart {
    lines: Vec<Line>,
}

/// What is to be in the cart.
#[derive(Deserr)]
#[deserr(error = Faults)]
pub struct Wanted {
    #[deserr(try_from(Vec<WantedLine>) = bounded -> Unfit)]
    lines: Vec<WantedLine>,
}

/// So many pieces of an offer.
#[derive(Deserr)]
#[deserr(error = Faults)]
pub struct WantedLine {
    product_id: String,
    offer_id: String,
    #[deserr(try_from(u32) = at_least_one -> Unfit)]
    quantity: u32,
}

/// Lines of a request: not more than a cart can have.
pub fn bounded(lines: Vec<WantedLine>) -> Result<Vec<WantedLine>, Unfit> {
    if lines.len() <= MAX_LINES {
        Ok(lines)
    } else {
        Err(Unfit(format!("must not be more than {MAX_LINES}")))
    }
}

fn at_least_one(quantity: u32) -> Result<u32, Unfit> {
    if quantity > 0 { Ok(quantity) } else { Err(Unfit("must not be zero".to_owned())) }
}

/// `PUT /cart` empties the cart and puts these lines in.
pub async fn fill(
    State(shop): State<Arc<Shop>>,
    Extension(visit): Extension<Visit>,
    Body(wanted): Body<Wanted>,
) -> Result<Json<Value>, Fault> {
    let product_ids = wanted.lines.iter().map(|line| line.product_id.as_str());
    behaviour::at(&shop, Step::Cart, &visit.email, product_ids).await?;
    let lines = price(wanted.lines)?;
    let subtotal_cents =
        lines.iter().map(|line| prices::line(line.price_cents, line.quantity, false));
    let subtotal_cents = subtotal_cents.fold(0, u64::saturating_add);
    shop.store.put(&Key::cart(&visit.email), &Cart { lines }).await?;
    Ok(Json(json!({ "subtotal_cents": subtotal_cents })))
}

/// What is in the cart of `email`; there must be something.
pub async fn of(shop: &Shop, email: &str) -> Result<Vec<Line>, Fault> {
    match shop.store.get::<Cart>(&Key::cart(email)).await? {
        Some(Cart { lines }) if !lines.is_empty() => Ok(lines),
        Some(_) | None => Err(Fault::conflict("cart_empty")),
    }
}

/// The pieces of each offer, however many lines they stand in.
pub fn pieces<'a>(lines: impl IntoIterator<Item = &'a Line>) -> BTreeMap<(&'a str, &'a str), u64> {
    let mut pieces = BTreeMap::new();
    for line in lines {
        let count: &mut u64 =
            pieces.entry((line.product_id.as_str(), line.offer_id.as_str())).or_default();
        *count = count.saturating_add(line.quantity.into());
    }
    pieces
}

/// A part of `cart`, at its prices.
pub fn part(cart: &[Line], wanted: Vec<WantedLine>) -> Result<Vec<Line>, Fault> {
    let priced = |WantedLine { product_id, offer_id, quantity }: WantedLine| {
        let same = |line: &&Line| line.product_id == product_id && line.offer_id == offer_id;
        let line = cart.iter().find(same).cloned().ok_or_else(differs)?;
        Ok(Line { quantity, ..line })
    };
    wanted.into_iter().map(priced).collect()
}

/// Something else is in the cart than the caller thinks.
pub fn differs() -> Fault {
    Fault::conflict("cart_differs")
}

fn price(wanted: Vec<WantedLine>) -> Result<Vec<Line>, Fault> {
    let mut lines = Vec::new();
    let mut add_on = None;
    let mut regular_cents: u64 = 0;
    for WantedLine { product_id, offer_id, quantity } in wanted {
        let offer = catalogue::offer(&product_id, &offer_id)
            .ok_or_else(|| Fault::code(Code::ProductUnavailable).about(&product_id))?;
        if offer.add_on {
            add_on = Some(product_id.clone());
        } else {
            regular_cents =
                regular_cents.saturating_add(prices::line(offer.price_cents, quantity, false));
        }
        let (price_cents, shipping_cents) = (offer.price_cents, offer.shipping_cents);
        let sender = offer.sender().to_owned();
        lines.push(Line { product_id, offer_id, sender, quantity, price_cents, shipping_cents });
    }
    for ((product_id, offer_id), quantity) in pieces(&lines) {
        let offer = catalogue::offer(product_id, offer_id);
        if offer.is_some_and(|offer| quantity > offer.limit_per_order.into()) {
            return Err(Fault::code(Code::MaxQuantityExceeded).about(product_id));
        }
    }
    match add_on {
        Some(product_id) if regular_cents < ADD_ON_MINIMUM_CENTS => {
            Err(Fault::code(Code::AddOnItem).about(&product_id))
        }
        Some(_) | None => Ok(lines),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(lines: &[(&str, &str, u32)]) -> Option<&'static str> {
        let wanted = |(product_id, offer_id, quantity): &(&str, &str, u32)| WantedLine {
            product_id: (*product_id).to_owned(),
            offer_id: (*offer_id).to_owned(),
            quantity: *quantity,
        };
        match price(lines.iter().map(wanted).collect()) {
            Err(Fault::No { word, .. }) => Some(word),
            Err(fault) => panic!("{fault:?}"),
            Ok(priced) => {
                assert_eq!(priced.len(), lines.len());
                None
            }
        }
    }

    #[test]
    fn what_cannot_be_bought_does_not_go_into_the_cart() {
        type Lines = &'static [(&'static str, &'static str, u32)];
        let cases: [(Lines, _); 8] = [
            (&[], None),
            (&[("B0016NHH56", "ours", 2), ("B0016NHH56", "used", 1)], None),
            (&[("B0016NHH56", "nobodys", 1)], Some("product_unavailable")),
            (&[("B000000000", "ours", 1)], Some("product_unavailable")),
            (&[("B07ONLYONE1", "ours", 2)], Some("max_quantity_exceeded")),
            (
                &[("B07ONLYONE1", "ours", 1), ("B07ONLYONE1", "ours", 1)],
                Some("max_quantity_exceeded"),
            ),
            (&[("B07ADDON001", "ours", 9)], Some("add_on_item")),
            (&[("B07ADDON001", "ours", 1), ("B0016NHH56", "ours", 2)], None),
        ];
        for (lines, expected) in cases {
            assert_eq!(refused(lines), expected, "{lines:?}");
        }
    }
}
