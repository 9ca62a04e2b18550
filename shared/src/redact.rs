//! What is taken out of a request before it is stored, echoed or logged.

use serde_json::Value;

/// Members that are removed wherever they stand. Spelled as clients spell them, in lower case.
const SECRETS: [&str; 15] = [
    "password",
    "totp_2fa_key",
    "totp_secret",
    "totp_key",
    "verification_code",
    "number",
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

/// Members whose whole value may be a secret when it is of the wrong type.
const CONTAINERS: [&str; 2] = ["retailer_credentials", "payment_method"];

/// Whether a value under `key` must not be repeated in an error.
pub fn may_hold_secrets(key: &str) -> bool {
    let key = key.to_lowercase();
    SECRETS.contains(&key.as_str()) || CONTAINERS.contains(&key.as_str())
}

/// The `request` echo: the body without passwords, keys, card numbers, codes and tokens, and without the password
/// in a webhook's URL. `client_notes` are the client's own and come back as they were.
#[must_use]
pub fn echo(body: Value) -> Value {
    echo_below("", body)
}

fn echo_below(parent: &str, value: Value) -> Value {
    let keeps = |key: &str| {
        let key = key.to_lowercase();
        // "number" is a secret of a card only: other numbers are the client's business.
        !SECRETS.contains(&key.as_str()) || (key == "number" && parent != "payment_method")
    };
    match value {
        Value::Object(members) if parent != "client_notes" => members
            .into_iter()
            .filter(|(key, _)| keeps(key))
            .map(|(key, value)| {
                let value = echo_below(&key, value);
                (key, value)
            })
            .collect(),
        Value::Array(items) if parent != "client_notes" => {
            items.into_iter().map(|item| echo_below(parent, item)).collect()
        }
        Value::String(text) => Value::String(without_userinfo(text)),
        other => other,
    }
}

fn without_userinfo(text: String) -> String {
    if !text.contains("://") || !text.contains('@') {
        return text;
    }
    let Ok(mut url) = url::Url::parse(&text) else {
        return text;
    };
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
    fn a_webhooks_user_and_password_go_but_its_query_stays() {
        let body = json!({"webhooks": {"order_placed": ["https://me:pass@example.com/a?uuid=1"]}});
        assert_eq!(
            echo(body),
            json!({"webhooks": {"order_placed": ["https://example.com/a?uuid=1"]}})
        );
        assert_eq!(echo(json!("mail me at a@b.co")), json!("mail me at a@b.co"));
    }
}
