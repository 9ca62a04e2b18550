//! What is taken out of a request before it is stored, echoed or logged.

use serde_json::Value;

/// Members that are removed wherever they stand. Spelled as clients spell them, in lower case.
const SECRETS: [&str; 14] = [
    "password",
    "totp_2fa_key",
    "totp_secret",
    "totp_key",
    "verification_code",
    "card_number",
    "security_code",
    "cvv",
    "cvc",
    "client_token",
    "api_key",
    "authorization",
    "cookie",
    "cookies",
];

/// Objects that hold secrets under names we may not know: of these only the listed members are kept.
const CONTAINERS: [(&str, &[&str]); 2] = [
    ("retailer_credentials", &["email"]),
    (
        "payment_method",
        &[
            "name_on_card",
            "expiration_month",
            "expiration_year",
            "use_gift",
            "use_account_payment_defaults",
            "is_virtual_card",
            "reuse",
        ],
    ),
];

/// Whether a value under `key` must not be repeated in an error.
pub fn may_hold_secrets(key: &str) -> bool {
    let key = key.to_lowercase();
    SECRETS.contains(&key.as_str()) || CONTAINERS.iter().any(|(name, _)| *name == key)
}

/// The `request` echo: the body without passwords, keys, card numbers, codes and tokens, and without the password
/// in a webhook's URL. `client_notes` are the client's own and come back as they were.
#[must_use]
pub fn echo(body: Value) -> Value {
    echo_below("", body)
}

fn echo_below(parent: &str, value: Value) -> Value {
    if parent == "client_notes" {
        return value;
    }
    match value {
        Value::Object(members) => members
            .into_iter()
            .filter(|(key, value)| is_kept(parent, &key.to_lowercase(), value))
            .map(|(key, value)| {
                let below = if parent == "webhooks" { "webhooks" } else { &key.to_lowercase() };
                let value = echo_below(below, value);
                (key, value)
            })
            .collect(),
        Value::Array(items) => items.into_iter().map(|item| echo_below(parent, item)).collect(),
        Value::String(text) if parent == "webhooks" => Value::String(without_userinfo(text)),
        other => other,
    }
}

fn is_kept(parent: &str, key: &str, value: &Value) -> bool {
    if let Some((_, kept)) = CONTAINERS.iter().find(|(name, _)| *name == parent) {
        return kept.contains(&key) && !value.is_object() && !value.is_array();
    }
    !(SECRETS.contains(&key) || key == "number" && is_card_number(value))
}

fn is_card_number(value: &Value) -> bool {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    (12..=19).contains(&text.chars().filter(char::is_ascii_digit).count())
}

fn without_userinfo(text: String) -> String {
    let Ok(mut url) = url::Url::parse(&text) else { return text };
    if url.password().is_none() && url.username().is_empty() {
        return text;
    }
    // Both fail only for URLs that cannot have a user, which have none.
    let _ = url.set_password(None);
    let _ = url.set_username("");
    url.into()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn secrets_go_at_every_depth_and_the_rest_stays() {
        let body = json!({
            "client_token": "zn_live_x",
            "retailer_credentials": {"email": "a@b.co", "password": "p", "totp_2fa_key": "k", "verification_code": "1"},
            "payment_method": {"name_on_card": "Ben", "number": "4111", "security_code": "1", "expiration_year": 2030},
            "client_notes": {"list": [{"number": "4", "keep": 1}]},
            "unknown": [{"Password": "p", "number": 7}],
        });
        assert_eq!(
            echo(body),
            json!({
                "retailer_credentials": {"email": "a@b.co"},
                "payment_method": {"name_on_card": "Ben", "expiration_year": 2030},
                "client_notes": {"list": [{"number": "4", "keep": 1}]},
                "unknown": [{"number": 7}],
            })
        );
    }

    #[test]
    fn secrets_under_other_names_go_too() {
        let body = json!({
            "Payment_Method": {"card": {"number": "4111111111111111"}, "cvv2": "123", "use_gift": false},
            "retailer_credentials": {"email": "a@b.co", "passwd": "p", "totp": "k"},
            "card": {"number": "4111-1111-1111-1111", "keep": 1},
        });
        let kept = json!({
            "Payment_Method": {"use_gift": false},
            "retailer_credentials": {"email": "a@b.co"},
            "card": {"keep": 1},
        });
        assert_eq!(echo(body), kept);
    }

    #[test]
    fn a_webhooks_user_and_password_go_but_its_query_stays() {
        for url in ["https://me:pass@example.com/a?uuid=1", "https:me:pass@example.com/a?uuid=1"] {
            let body = json!({"webhooks": {"order_placed": [url]}, "gift_message": "me:x@b.co"});
            let kept = json!({
                "webhooks": {"order_placed": ["https://example.com/a?uuid=1"]},
                "gift_message": "me:x@b.co",
            });
            assert_eq!(echo(body), kept);
        }
    }
}
