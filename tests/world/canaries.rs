//! Secrets that can be recognised wherever they turn up.

use data_encoding::BASE64_NOPAD;
use serde_json::Value;
use uuid::Uuid;

use crate::STACK;

const PASSWORD: &str = "canary-password-";
const TOTP: &str = "CANARYTOTP";
/// What every signing secret of webhooks begins with.
const SIGNING: &str = "zn_whsec_";

/// A card number that no other test data holds.
pub const CARD_NUMBER: &str = "4485275742308327";
/// A card verification code; with its leading zero it cannot be part of a number.
pub const CARD_CODE: &str = "0917";
/// What stands before the `@` of a webhook's URL.
pub const WEBHOOK_PASSWORD: &str = "canary-webhook-password";
/// A mailed code.
pub const VERIFICATION_CODE: &str = "canary-code-5521";

/// A new password.
pub fn password() -> String {
    format!("{PASSWORD}{}", Uuid::new_v4().simple())
}

/// A new TOTP secret.
pub fn totp_secret() -> String {
    let random = data_encoding::BASE32_NOPAD.encode(Uuid::new_v4().as_bytes());
    format!("{TOTP}{}", random.chars().take(22).collect::<String>())
}

/// What is found of canaries in `text`.
pub fn find(text: &str) -> Vec<&'static str> {
    let mut found = Vec::new();
    for (canary, name) in [
        (PASSWORD, "a password"),
        (TOTP, "a TOTP secret"),
        (CARD_NUMBER, "a card number"),
        (WEBHOOK_PASSWORD, "a webhook's password"),
        (SIGNING, "a signing secret"),
        (VERIFICATION_CODE, "a verification code"),
        (STACK.client_token.as_str(), "a client token"),
        (STACK.second_client_token.as_str(), "a client token"),
        (STACK.sandbox_admin_token.as_str(), "the shop's admin token"),
    ] {
        if text.contains(canary) || base64_forms(canary).iter().any(|form| text.contains(form)) {
            found.push(name);
        }
    }
    let whole = format!("\"security_code\":\"{CARD_CODE}\"");
    let in_base64 = base64_forms(&whole).iter().any(|form| text.contains(form));
    if holds_card_code(text) || in_base64 {
        found.push("a card code");
    }
    found
}

/// How `canary` looks inside a longer text that is base64: one form for each place it can start at, without the
/// characters that depend on what stands around it. Forms are base64 in events, and so is HTTP Basic.
fn base64_forms(canary: &str) -> [String; 3] {
    [0, 1, 2].map(|shift| {
        let mut bytes = vec![0; shift];
        bytes.extend(canary.as_bytes());
        let encoded = BASE64_NOPAD.encode(&bytes);
        let first = (shift * 8).div_ceil(6);
        let end = bytes.len() * 8 / 6;
        encoded.get(first..end).expect("a canary is longer than that").to_owned()
    })
}

/// `text` without the signing secret that the one resource shows which may.
pub fn without_signing_secret(text: &str) -> String {
    let Ok(Value::Object(mut members)) = serde_json::from_str(text) else { return text.to_owned() };
    members.remove("webhook_secret");
    Value::Object(members).to_string()
}

/// Fails if there is a canary in `text`. It does not print the text.
#[track_caller]
pub fn assert_none(text: &str, place: &str) {
    let found = find(text);
    assert!(found.is_empty(), "{place} holds {}", found.join(", "));
}

/// The code as a word of its own: inside a longer number or id it is chance.
fn holds_card_code(text: &str) -> bool {
    let is_word =
        |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-' || c == '_' || c == ':';
    text.match_indices(CARD_CODE).any(|(at, _)| {
        let before = text.get(..at).and_then(|text| text.chars().next_back());
        let after = text.get(at + CARD_CODE.len()..).and_then(|text| text.chars().next());
        !before.is_some_and(is_word) && !after.is_some_and(is_word)
    })
}
