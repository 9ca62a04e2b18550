//! Which of a retailer's shipping options is taken: `shipping_method` or the `shipping` object of the v1 document.

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    error::{Code, Refusal},
    money::Cents,
};

/// How a retailer offers to ship a cart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShippingOption {
    /// The retailer's id of it.
    pub id: String,
    /// The retailer's words for it.
    pub name: String,
    /// For the whole cart.
    pub price: Cents,
    /// Days until it arrives, at the most.
    pub days: u32,
}

/// What the client asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShippingChoice {
    /// The cheapest there is.
    Cheapest,
    /// The fastest there is.
    Fastest,
    /// Free, or not at all.
    Free,
    /// The best within limits.
    Within {
        /// What is best.
        order_by: OrderBy,
        /// Days until it arrives.
        max_days: Option<u32>,
        /// Price of the shipping.
        max_price: Option<Cents>,
    },
}

/// What makes one option better than another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderBy {
    /// Its price, then its speed.
    Price,
    /// Its speed, then its price.
    Speed,
}

/// The option to take, or why none fits.
pub fn choose(
    options: &[ShippingOption],
    choice: ShippingChoice,
) -> Result<&ShippingOption, Refusal> {
    let by_price = |option: &&ShippingOption| (option.price, option.days, option.id.clone());
    let by_speed = |option: &&ShippingOption| (option.days, option.price, option.id.clone());
    let all = options.iter();
    match choice {
        ShippingChoice::Cheapest => all.min_by_key(by_price).ok_or_else(unavailable),
        ShippingChoice::Fastest => all.min_by_key(by_speed).ok_or_else(unavailable),
        ShippingChoice::Free => all
            .filter(|option| option.price == Cents::ZERO)
            .min_by_key(by_speed)
            .ok_or_else(|| Refusal::new(Code::NoFreeShipping)),
        ShippingChoice::Within { order_by, max_days, max_price } => {
            let fits = |option: &&ShippingOption| {
                max_days.is_none_or(|days| option.days <= days)
                    && max_price.is_none_or(|price| option.price <= price)
            };
            let fitting = all.filter(fits);
            let best = match order_by {
                OrderBy::Price => fitting.min_by_key(by_price),
                OrderBy::Speed => fitting.min_by_key(by_speed),
            };
            best.ok_or_else(|| none_within(options, max_days))
        }
    }
}

fn unavailable() -> Refusal {
    Refusal::new(Code::ShippingMethodUnavailable)
}

fn none_within(options: &[ShippingOption], max_days: Option<u32>) -> Refusal {
    let too_slow =
        max_days.is_some_and(|days| days <= 2 && options.iter().all(|option| option.days > days));
    let code = if too_slow { Code::NoTwoDayShipping } else { Code::ShippingMethodUnavailable };
    let offered = |option: &ShippingOption| json!({"name": option.name, "price": option.price, "days": option.days});
    Refusal::new(code)
        .with(json!({"shipping_options": options.iter().map(offered).collect::<Vec<_>>()}))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> Vec<ShippingOption> {
        [("slow", 0, 7), ("mid", 400, 3), ("fast", 1500, 1)]
            .map(|(id, price, days)| ShippingOption {
                id: id.to_owned(),
                name: id.to_owned(),
                price: Cents(price),
                days,
            })
            .to_vec()
    }

    fn within(order_by: OrderBy, max_days: Option<u32>, max_price: Option<u64>) -> ShippingChoice {
        ShippingChoice::Within { order_by, max_days, max_price: max_price.map(Cents) }
    }

    #[test]
    fn each_method_takes_the_option_it_names() {
        let cases = [
            (ShippingChoice::Cheapest, Ok("slow")),
            (ShippingChoice::Fastest, Ok("fast")),
            (ShippingChoice::Free, Ok("slow")),
            (within(OrderBy::Price, Some(5), Some(1000)), Ok("mid")),
            (within(OrderBy::Speed, None, None), Ok("fast")),
            (within(OrderBy::Speed, None, Some(1000)), Ok("mid")),
            (within(OrderBy::Price, Some(1), Some(1000)), Err(Code::ShippingMethodUnavailable)),
            (within(OrderBy::Price, Some(0), None), Err(Code::NoTwoDayShipping)),
        ];
        for (choice, expected) in cases {
            let options = options();
            let chosen = choose(&options, choice)
                .map(|option| option.id.as_str())
                .map_err(|refusal| refusal.code);
            assert_eq!(chosen, expected, "{choice:?}");
        }
    }

    #[test]
    fn without_free_options_free_is_refused() {
        let paid = &options()[1..];
        assert_eq!(
            choose(paid, ShippingChoice::Free).map_err(|refusal| refusal.code),
            Err(Code::NoFreeShipping)
        );
        assert_eq!(
            choose(&[], ShippingChoice::Cheapest).map_err(|refusal| refusal.code),
            Err(Code::ShippingMethodUnavailable)
        );
    }
}
