//! `/managed-accounts…` and, with the same answers, `/users/managed-accounts…`.

pub mod create;
pub mod delete;
pub mod list;
pub mod mails;
pub mod update;
mod view;

use std::collections::BTreeMap;

use deserr::Deserr;
use secrecy::SecretString;
use serde_json::Value;
use spelter::{
    accounts::credentials::bounded,
    email::Email,
    error::ApiError,
    fields::{Faults, FieldError, Unfit},
    retailers::RetailerCode,
    totp::TotpSecret,
};

/// The fields of a create and of an update, apart from which of them must be there.
#[derive(Deserr)]
#[deserr(error = Faults)]
struct Fields {
    #[deserr(default, try_from(Option<String>) = some_email -> Unfit)]
    email: Option<Email>,
    #[deserr(default, try_from(Option<String>) = some_password -> Unfit)]
    password: Option<SecretString>,
    #[deserr(default, try_from(Option<String>) = some_retailer -> Unfit)]
    retailer: Option<RetailerCode>,
    #[deserr(default, try_from(Option<String>) = some_totp -> Unfit)]
    totp_secret: Option<TotpSecret>,
    #[deserr(default, try_from(Option<Value>) = some_config -> Unfit)]
    retailer_config: Option<BTreeMap<String, Value>>,
    #[deserr(default, try_from(Option<bool>) = ended_pause -> Unfit)]
    is_paused: Option<EndPause>,
}

/// An account's pause is to end.
struct EndPause;

const MAX_CONFIG_BYTES: usize = 16 * 1024;

fn some_email(text: Option<String>) -> Result<Option<Email>, Unfit> {
    let unfit = |invalid: spelter::email::InvalidEmail| Unfit(invalid.to_string());
    text.map(|text| text.parse().map_err(unfit)).transpose()
}

fn some_password(text: Option<String>) -> Result<Option<SecretString>, Unfit> {
    text.map(bounded).transpose()
}

fn some_retailer(text: Option<String>) -> Result<Option<RetailerCode>, Unfit> {
    text.map(|text| text.parse()).transpose()
}

fn some_totp(text: Option<String>) -> Result<Option<TotpSecret>, Unfit> {
    text.map(|text| text.parse()).transpose()
}

fn some_config(value: Option<Value>) -> Result<Option<BTreeMap<String, Value>>, Unfit> {
    match value {
        None => Ok(None),
        Some(Value::Object(members)) => Ok(Some(members.into_iter().collect())),
        Some(_) => Err(Unfit("must be an object".to_owned())),
    }
}

/// Accounts are paused for what they did. A client that wants no orders on one deletes it, or names another.
fn ended_pause(is_paused: Option<bool>) -> Result<Option<EndPause>, Unfit> {
    match is_paused {
        None => Ok(None),
        Some(false) => Ok(Some(EndPause)),
        Some(true) => Err(Unfit("must be false: accounts are paused by failing only".to_owned())),
    }
}

/// Merged key by key; a key set to null is deleted.
fn merge(
    config: &mut BTreeMap<String, Value>,
    changes: BTreeMap<String, Value>,
) -> Result<(), ApiError> {
    for (key, value) in changes {
        if value.is_null() {
            config.remove(&key);
        } else {
            config.insert(key, value);
        }
    }
    let bytes: usize = config.iter().map(|(key, value)| key.len() + value.to_string().len()).sum();
    if bytes <= MAX_CONFIG_BYTES {
        return Ok(());
    }
    let message = format!("must not be larger than {MAX_CONFIG_BYTES} bytes");
    Err(ApiError::Invalid(vec![FieldError::at("retailer_config", "value_error", message)]))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_merge_sets_keeps_and_deletes() {
        let map = |value: Value| some_config(Some(value)).unwrap().unwrap();
        let mut config = map(json!({"keep": 1, "change": 1, "delete": 1}));
        merge(&mut config, map(json!({"change": 2, "delete": null, "new": [3]}))).unwrap();
        assert_eq!(config, map(json!({"keep": 1, "change": 2, "new": [3]})));
    }

    #[test]
    fn many_small_changes_do_not_make_a_large_config() {
        let part = |name: &str| BTreeMap::from([(name.to_owned(), json!("x".repeat(10_000)))]);
        let mut config = BTreeMap::new();
        assert!(merge(&mut config, part("a")).is_ok());
        assert!(merge(&mut config, part("b")).is_err());
    }
}
