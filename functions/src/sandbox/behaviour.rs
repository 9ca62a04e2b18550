//! How the shop can be told to behave badly: per account or per product, at a named step.
//!
//! Every step asks [`at`] before it does its work, so that what fails there has changed nothing; only the steps
//! `…_after_commit` come after.

use std::{str::FromStr, time::Duration};

use deserr::Deserr;
use serde::{Deserialize, Serialize};
use spelter::{
    error::Code,
    fields::{Faults, Unfit},
};

use super::{Shop, answer::Fault, magic, store::Key};

/// The longest that an order may be missing from the history: callers rely on it, so no behaviour exceeds it.
pub const MAX_HISTORY_LAG_MS: u64 = 2_000;

/// Longer than any caller waits.
const MAX_DELAY_MS: u64 = 60_000;

/// Where in a visit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Step {
    Page,
    SignIn,
    Offers,
    Cart,
    Shipping,
    Review,
    SubmitBeforeCommit,
    SubmitAfterCommit,
    History,
    OrderState,
    Cancel,
    CancelAfterCommit,
    PendingReturn,
    Return,
    ReturnAfterCommit,
    ReturnState,
}

impl Step {
    /// Every step, in the order of a visit.
    pub const ALL: [Self; 16] = [
        Self::Page,
        Self::SignIn,
        Self::Offers,
        Self::Cart,
        Self::Shipping,
        Self::Review,
        Self::SubmitBeforeCommit,
        Self::SubmitAfterCommit,
        Self::History,
        Self::OrderState,
        Self::Cancel,
        Self::CancelAfterCommit,
        Self::PendingReturn,
        Self::Return,
        Self::ReturnAfterCommit,
        Self::ReturnState,
    ];

    /// Its name in admin requests and keys.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Page => "page",
            Self::SignIn => "sign_in",
            Self::Offers => "offers",
            Self::Cart => "cart",
            Self::Shipping => "shipping",
            Self::Review => "review",
            Self::SubmitBeforeCommit => "submit_before_commit",
            Self::SubmitAfterCommit => "submit_after_commit",
            Self::History => "history",
            Self::OrderState => "order_state",
            Self::Cancel => "cancel",
            Self::CancelAfterCommit => "cancel_after_commit",
            Self::PendingReturn => "pending_return",
            Self::Return => "return",
            Self::ReturnAfterCommit => "return_after_commit",
            Self::ReturnState => "return_state",
        }
    }
}

impl FromStr for Step {
    type Err = Unfit;

    fn from_str(text: &str) -> Result<Self, Unfit> {
        let named = Self::ALL.into_iter().find(|step| step.as_str() == text);
        named.ok_or_else(|| {
            Unfit(format!("must be one of {}", Self::ALL.map(Self::as_str).join(", ")))
        })
    }
}

/// What the shop does instead of just answering.
#[derive(Debug, Clone, Serialize, Deserialize, Deserr)]
#[deserr(error = Faults)]
pub struct Behaviour {
    /// It waits first.
    #[deserr(default, try_from(Option<u64>) = delay -> Unfit)]
    delay_ms: Option<u64>,
    /// It dies without an answer.
    #[deserr(default)]
    drop: bool,
    /// It says no.
    #[deserr(default, try_from(Option<String>) = code -> Unfit)]
    fail: Option<Code>,
    /// How often it still does so; always without it.
    #[deserr(default)]
    times: Option<u64>,
    /// Orders younger than this do not show in the history.
    #[deserr(default, try_from(Option<u64>) = lag -> Unfit)]
    history_lag_ms: Option<u64>,
}

fn delay(millis: Option<u64>) -> Result<Option<u64>, Unfit> {
    at_most(millis, MAX_DELAY_MS)
}

fn lag(millis: Option<u64>) -> Result<Option<u64>, Unfit> {
    at_most(millis, MAX_HISTORY_LAG_MS)
}

fn at_most(millis: Option<u64>, most: u64) -> Result<Option<u64>, Unfit> {
    match millis {
        Some(millis) if millis > most => Err(Unfit(format!("must not be more than {most}"))),
        Some(_) | None => Ok(millis),
    }
}

fn code(text: Option<String>) -> Result<Option<Code>, Unfit> {
    let known = |text: String| {
        let code = Code::ALL.into_iter().find(|code| code.as_str() == text);
        code.ok_or_else(|| Unfit("must be an error code of v1".to_owned()))
    };
    text.map(known).transpose()
}

/// The name under which an account's behaviours are kept.
pub fn account(email: &str) -> String {
    format!("account:{email}")
}

/// The name under which a product's behaviours are kept.
pub fn product(product_id: &str) -> String {
    format!("product:{product_id}")
}

/// Does what the shop was told to do at `step`. If the step may go on, that is how many milliseconds the history lags.
pub async fn at<'a>(
    shop: &Shop,
    step: Step,
    email: &str,
    product_ids: impl IntoIterator<Item = &'a str>,
) -> Result<u64, Fault> {
    let product_ids: Vec<&str> = product_ids.into_iter().collect();
    let targets = std::iter::once(account(email)).chain(product_ids.iter().map(|id| product(id)));
    let lag = behave(shop, step, targets.collect()).await?;
    match magic::at(step, &product_ids) {
        Some((product_id, code)) => Err(Fault::code(code).about(product_id)),
        None => Ok(lag),
    }
}

/// Does what the shop was told to do with the public pages of a product. What has no offers for a buyer, by magic, has
/// no pages either.
pub async fn at_page(shop: &Shop, product_id: &str) -> Result<(), Fault> {
    behave(shop, Step::Page, vec![product(product_id)]).await?;
    match magic::at(Step::Offers, &[product_id]) {
        Some((product_id, code)) => Err(Fault::code(code).about(product_id)),
        None => Ok(()),
    }
}

async fn behave(shop: &Shop, step: Step, targets: Vec<String>) -> Result<u64, Fault> {
    let mut told = Vec::new();
    for target in targets {
        told.extend(one_of(shop, &target, step).await?);
    }

    let delay = told.iter().filter_map(|behaviour| behaviour.delay_ms).max();
    if let Some(delay) = delay {
        tokio::time::sleep(Duration::from_millis(delay)).await;
    }
    if told.iter().any(|behaviour| behaviour.drop) {
        (shop.hang_up)();
    }
    if let Some(code) = told.iter().find_map(|behaviour| behaviour.fail) {
        return Err(Fault::code(code));
    }
    Ok(told.iter().filter_map(|behaviour| behaviour.history_lag_ms).max().unwrap_or_default())
}

async fn one_of(shop: &Shop, target: &str, step: Step) -> Result<Option<Behaviour>, Fault> {
    let key = Key::behaviour(target, step.as_str());
    match shop.store.get::<Behaviour>(&key).await? {
        Some(behaviour) if behaviour.times.is_some() => {
            Ok(shop.store.take_one(&key, "times").await?.then_some(behaviour))
        }
        always_or_none => Ok(always_or_none),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use spelter::fields;

    use super::*;

    #[test]
    fn every_step_is_read_by_its_name() {
        for step in Step::ALL {
            assert_eq!(step.as_str().parse(), Ok(step));
        }
    }

    #[test]
    fn a_behaviour_out_of_bounds_names_its_field() {
        for (field, value) in [
            ("delay_ms", json!(60_001)),
            ("history_lag_ms", json!(2_001)),
            ("fail", json!("nonsense")),
            ("drop", json!(1)),
        ] {
            let faults = fields::read::<Behaviour>(json!({ field: value })).unwrap_err();
            assert_eq!(faults[0].dotted_path(), field);
        }
    }
}
