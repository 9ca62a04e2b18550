//! Which product of a family is bought: the one that has every wanted size, colour, ….

use deserr::Deserr;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    error::{Code, Refusal},
    fields::Faults,
};

/// One property of a product, such as its colour.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Deserr)]
#[deserr(error = Faults)]
pub struct VariantSpecific {
    /// What varies: `Size`, `Color`, ….
    pub dimension: String,
    /// How it is in this product.
    pub value: String,
}

/// One product of a family.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Variant {
    /// Its own product id.
    pub product_id: String,
    /// What tells it from the others.
    #[serde(rename = "variant_specifics")]
    pub specifics: Vec<VariantSpecific>,
}

/// The product id to buy where an order names `product_id` and the specifics `wanted`, and the product's page lists
/// `all_variants`. Upper and lower case and blanks around a text do not matter.
///
/// A named product that already is as wanted is bought itself. Refuses with `invalid_variant` where a dimension, a
/// value or the combination does not exist, and with `insufficient_variants` where several products are as wanted;
/// both list all variants.
pub fn resolve(
    product_id: &str,
    all_variants: &[Variant],
    wanted: &[VariantSpecific],
) -> Result<String, Refusal> {
    if all_variants.is_empty() && wanted.is_empty() {
        return Ok(product_id.to_owned());
    }
    let left: Vec<_> = all_variants.iter().filter(|variant| variant.meets(wanted)).collect();
    if left.iter().any(|variant| variant.product_id == product_id) {
        return Ok(product_id.to_owned());
    }
    match left.as_slice() {
        [] => Err(refusal(Code::InvalidVariant, product_id, all_variants)),
        [variant] => Ok(variant.product_id.clone()),
        [_, _, ..] => Err(refusal(Code::InsufficientVariants, product_id, all_variants)),
    }
}

/// The refusal `code` with what could be chosen instead.
pub fn refusal(code: Code, product_id: &str, all_variants: &[Variant]) -> Refusal {
    Refusal::new(code).with(json!({
        "product_id": product_id,
        "all_variants": all_variants.iter().map(shown).collect::<Vec<_>>(),
    }))
}

fn shown(Variant { product_id, specifics }: &Variant) -> Value {
    let specific = |VariantSpecific { dimension, value }: &VariantSpecific| json!({"dimension": dimension, "value": value});
    json!({
        "product_id": product_id,
        "variant_specifics": specifics.iter().map(specific).collect::<Vec<_>>(),
    })
}

impl Variant {
    fn meets(&self, wanted: &[VariantSpecific]) -> bool {
        wanted.iter().all(|one| self.specifics.iter().any(|own| own.says(one)))
    }
}

impl VariantSpecific {
    fn says(&self, other: &Self) -> bool {
        let same =
            |one: &str, other: &str| one.trim().to_lowercase() == other.trim().to_lowercase();
        same(&self.dimension, &other.dimension) && same(&self.value, &other.value)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PARENT: &str = "PARENT";

    fn specific(dimension: &str, value: &str) -> VariantSpecific {
        VariantSpecific { dimension: dimension.to_owned(), value: value.to_owned() }
    }

    fn variant(product_id: &str, specifics: &[(&str, &str)]) -> Variant {
        let specifics = specifics.iter().map(|(dimension, value)| specific(dimension, value));
        Variant { product_id: product_id.to_owned(), specifics: specifics.collect() }
    }

    /// Two sizes and two colours, without the blue M.
    fn shirts() -> Vec<Variant> {
        vec![
            variant("S-RED", &[("Size", "S"), ("Color", "Red")]),
            variant("S-BLUE", &[("Size", "S"), ("Color", "Blue")]),
            variant("M-RED", &[("Size", "M"), ("Color", "Red")]),
        ]
    }

    #[test]
    fn a_choice_names_one_product_or_is_refused() {
        type Wanted = &'static [(&'static str, &'static str)];
        let cases: [(&str, Wanted, Result<&str, Code>); 13] = [
            (PARENT, &[("Size", "S"), ("Color", "Blue")], Ok("S-BLUE")),
            (PARENT, &[("color", " BLUE "), ("SIZE", "s")], Ok("S-BLUE")),
            (PARENT, &[("Color", "Blue")], Ok("S-BLUE")),
            (PARENT, &[("Size", "M")], Ok("M-RED")),
            (PARENT, &[("Size", "S"), ("size", "s"), ("Color", "Red")], Ok("S-RED")),
            (PARENT, &[], Err(Code::InsufficientVariants)),
            (PARENT, &[("Size", "S")], Err(Code::InsufficientVariants)),
            (PARENT, &[("Size", "M"), ("Color", "Blue")], Err(Code::InvalidVariant)),
            (PARENT, &[("Size", "S"), ("Size", "M")], Err(Code::InvalidVariant)),
            (PARENT, &[("Size", "XL")], Err(Code::InvalidVariant)),
            (PARENT, &[("Material", "Wool")], Err(Code::InvalidVariant)),
            // A product of the family that is as wanted is what was named.
            ("S-RED", &[("Size", "S")], Ok("S-RED")),
            ("S-RED", &[("Size", "M")], Ok("M-RED")),
        ];
        for (product_id, wanted, expected) in cases {
            let wanted: Vec<_> = wanted.iter().map(|(name, value)| specific(name, value)).collect();
            let resolved = resolve(product_id, &shirts(), &wanted).map_err(|refusal| refusal.code);
            assert_eq!(resolved, expected.map(str::to_owned), "{product_id} {wanted:?}");
        }
    }

    #[test]
    fn a_product_without_variants_is_itself_and_takes_no_choice() {
        assert_eq!(resolve("P", &[], &[]), Ok("P".to_owned()));
        let refused = resolve("P", &[], &[specific("Size", "S")]).unwrap_err();
        assert_eq!(refused.code, Code::InvalidVariant);
        assert_eq!(refused.data, json!({"product_id": "P", "all_variants": []}));
    }

    #[test]
    fn a_refusal_lists_what_there_is() {
        let family = [variant("P1", &[("Size", "1")]), variant("P2", &[("Size", "2")])];
        let expected = json!({
            "product_id": "P",
            "all_variants": [
                {"product_id": "P1", "variant_specifics": [{"dimension": "Size", "value": "1"}]},
                {"product_id": "P2", "variant_specifics": [{"dimension": "Size", "value": "2"}]},
            ],
        });
        assert_eq!(resolve("P", &family, &[]).unwrap_err().data, expected);
        let invalid = resolve("P", &family, &[specific("Size", "3")]).unwrap_err();
        assert_eq!(invalid.data, expected);
    }

    /// Some cells of a grid of sizes, colours and materials, each with an id of its own.
    fn families() -> impl Strategy<Value = Vec<Variant>> {
        prop::collection::btree_set((0..3_u8, 0..3_u8, 0..2_u8), 1..12).prop_map(|cells| {
            let cell = |(size, color, material): (u8, u8, u8)| Variant {
                product_id: format!("P{size}{color}{material}"),
                specifics: vec![
                    specific("Size", &format!("size {size}")),
                    specific("Color", &format!("Color {color}")),
                    specific("Material", &format!("MATERIAL {material}")),
                ],
            };
            cells.into_iter().map(cell).collect()
        })
    }

    /// What a client may write: words of the grid in any case, and some that are not of it.
    fn wishes() -> impl Strategy<Value = Vec<VariantSpecific>> {
        let dimension = prop::sample::select(vec!["Size", "COLOR", "material", "Length"]);
        let value = prop::sample::select(vec![
            "Size 0",
            "SIZE 1",
            "size 3",
            "color 0",
            "Color 2",
            "Material 1",
            "",
        ]);
        let wish = (dimension, value).prop_map(|(dimension, value)| specific(dimension, value));
        prop::collection::vec(wish, 0..4)
    }

    proptest! {
        #[test]
        fn every_product_is_found_by_all_its_specifics(
            family in families(), index: prop::sample::Index, upper: bool, reverse: bool,
        ) {
            let chosen = index.get(&family);
            let mut wanted = chosen.specifics.clone();
            if upper {
                for one in &mut wanted {
                    one.value = one.value.to_uppercase();
                }
            }
            if reverse {
                wanted.reverse();
            }
            prop_assert_eq!(resolve(PARENT, &family, &wanted), Ok(chosen.product_id.clone()));
        }

        #[test]
        fn what_is_bought_is_as_wanted_and_a_refusal_says_why(family in families(), wanted in wishes()) {
            let meeting: Vec<_> = family.iter().filter(|variant| variant.meets(&wanted)).collect();
            match resolve(PARENT, &family, &wanted) {
                Ok(product_id) => {
                    prop_assert_eq!(meeting.len(), 1);
                    prop_assert_eq!(&product_id, &meeting[0].product_id);
                }
                Err(refused) => {
                    let none = refused.code == Code::InvalidVariant;
                    prop_assert!(none || refused.code == Code::InsufficientVariants);
                    prop_assert_eq!(none, meeting.is_empty());
                    let listed = refused.data["all_variants"].as_array().map(Vec::len);
                    prop_assert_eq!(listed, Some(family.len()));
                }
            }
        }

        #[test]
        fn the_choice_does_not_depend_on_the_order(mut family in families(), mut wanted in wishes()) {
            let code = |outcome: Result<String, Refusal>| outcome.map_err(|refused| refused.code);
            let first = code(resolve(PARENT, &family, &wanted));
            family.reverse();
            wanted.reverse();
            prop_assert_eq!(first, code(resolve(PARENT, &family, &wanted)));
        }

        #[test]
        fn a_product_of_the_family_without_a_wish_is_itself(family in families(), index: prop::sample::Index) {
            let named = &index.get(&family).product_id;
            prop_assert_eq!(resolve(named, &family, &[]), Ok(named.clone()));
        }
    }
}
