//! What the shop asks for beyond the password: a code of the authenticator, or one that it mails.
//!
//! A code counts once, for the question it was given for. Who answers wrong too often is locked out of that sign-in.

use std::sync::Arc;

use axum::{Json, extract::State};
use deserr::Deserr;
use jiff::Timestamp;
use rand::Rng;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use spelter::{
    clock,
    error::{BoxError, Code},
    fields::Faults,
    totp::{self, TotpSecret},
};
use subtle::ConstantTimeEq;

use super::{
    Shop,
    accounts::{self, Account, hash},
    answer::{Body, Fault},
    journal,
    market::Market,
    store::Key,
};

/// So long a question can be answered.
const LIFE_SECONDS: i64 = 30 * 60;

/// Wrong answers to one question.
const MAX_WRONG: u32 = 5;

/// A sign-in that waits for a code. Of the code it keeps a hash.
#[derive(Clone, Serialize, Deserialize)]
struct Challenge {
    email: String,
    market: Market,
    asks: Asks,
    wrong: u32,
    expires_at: i64,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Asks {
    Totp,
    Mail { code_hash: String },
}

/// A code for a question. It has no `Debug`.
#[derive(Deserr)]
#[deserr(error = Faults)]
pub struct Answer {
    #[deserr(from(String) = SecretString::from)]
    challenge: SecretString,
    #[deserr(from(String) = SecretString::from)]
    code: SecretString,
}

/// What follows the right password: a session, or the first question of the account. Either is known by `token`.
pub async fn after_password(
    shop: &Shop,
    account: &Account,
    market: Market,
    token: &str,
) -> Result<Value, Fault> {
    if account.has_totp() {
        ask(shop, account, market, Asks::Totp, token).await
    } else {
        after_totp(shop, account, market, token).await
    }
}

async fn after_totp(
    shop: &Shop,
    account: &Account,
    market: Market,
    token: &str,
) -> Result<Value, Fault> {
    if !account.mails_codes {
        return accounts::start_session(shop, &account.email, market, token).await;
    }
    let code = SecretString::from(format!("{:06}", rand::rng().random_range(0..1_000_000)));
    // Asked first: the mail may be answered before we are.
    let asks = Asks::Mail { code_hash: code_hash(&code) };
    let question = ask(shop, account, market, asks, token).await?;
    shop.post_office.send_code(account.mailbox(), &account.email, &code).await?;
    Ok(question)
}

async fn ask(
    shop: &Shop,
    account: &Account,
    market: Market,
    asks: Asks,
    token: &str,
) -> Result<Value, Fault> {
    let expires_at = (shop.now)().as_second().saturating_add(LIFE_SECONDS);
    let challenge = Challenge { email: account.email.clone(), market, asks, wrong: 0, expires_at };
    shop.store.put(&Key::challenge(&hash(token)), &challenge).await?;
    Ok(question(shop, account, &challenge, token, false))
}

fn question(
    shop: &Shop,
    account: &Account,
    challenge: &Challenge,
    token: &str,
    wrong_code: bool,
) -> Value {
    let (factor, text) = match challenge.asks {
        Asks::Totp => ("totp", "Enter the code of your authenticator app."),
        Asks::Mail { .. } => {
            ("mail", "For your security, enter the code that we have e-mailed to you.")
        }
    };
    json!({
        "challenge": token,
        "factor": factor,
        "wrong_code": wrong_code,
        "shop_time_ms": account.clock((shop.now)()).as_millisecond(),
        "enter_code_at": "https://sandbox.example/verify",
        "page": "https://sandbox.example/sign-in/code",
        "text": text,
    })
}

/// `POST /sign-in/code`
pub async fn answer(
    State(shop): State<Arc<Shop>>,
    Body(request): Body<Answer>,
) -> Result<Json<Value>, Fault> {
    let token = request.challenge.expose_secret();
    let key = Key::challenge(&hash(token));
    let found = shop.store.get::<Challenge>(&key).await?;
    let found = found.filter(|found| found.expires_at > (shop.now)().as_second());
    let challenge = found.ok_or_else(|| Fault::unauthorized("session_expired"))?;
    let account = accounts::find(&shop, &challenge.email).await?;
    let account = account.ok_or_else(|| Fault::unauthorized("unknown_account"))?;

    let visit = accounts::visit_of(&account.email, token, challenge.market);
    let work = async {
        if is_right(&shop, &account, &challenge.asks, &request.code).await? {
            shop.store.delete(&key).await?;
            let next = match challenge.asks {
                Asks::Totp => after_totp(&shop, &account, challenge.market, token).await?,
                Asks::Mail { .. } => {
                    accounts::start_session(&shop, &account.email, challenge.market, token).await?
                }
            };
            return Ok(Json(next));
        }
        let wrong = challenge.wrong.saturating_add(1);
        if wrong >= MAX_WRONG {
            shop.store.delete(&key).await?;
            return Err(Fault::code(Code::AccountLocked));
        }
        let challenge = Challenge { wrong, ..challenge };
        shop.store.put(&key, &challenge).await?;
        Ok(Json(question(&shop, &account, &challenge, token, true)))
    };
    journal::around(&shop, &visit, "sign_in_code", Box::pin(work)).await?
}

async fn is_right(
    shop: &Shop,
    account: &Account,
    asks: &Asks,
    code: &SecretString,
) -> Result<bool, Fault> {
    match asks {
        Asks::Mail { code_hash: expected } => {
            Ok(code_hash(code).as_bytes().ct_eq(expected.as_bytes()).into())
        }
        Asks::Totp => {
            let secret = accounts::totp_secret(shop, account).await?;
            let Some(step) = matching_step(&secret, code, account.clock((shop.now)())) else {
                return Ok(false);
            };
            // Real retailers take a code once, and none that is older than the last.
            let step = i64::try_from(step).map_err(|error| Fault::Down(BoxError::from(error)))?;
            Ok(shop.store.raise(&Key::totp_steps(&account.email), "last_step", step).await?)
        }
    }
}

/// The step that `code` is of: that of now, or one before or after, since clocks differ.
fn matching_step(secret: &TotpSecret, code: &SecretString, now: Timestamp) -> Option<u64> {
    let before = now.checked_sub(totp::STEP).unwrap_or(now);
    let times = [now, before, clock::after(now, totp::STEP)];
    let same = |time: &Timestamp| -> bool {
        let expected = secret.code(*time);
        expected.expose_secret().as_bytes().ct_eq(code.expose_secret().as_bytes()).into()
    };
    times.into_iter().find(same).map(totp::step)
}

fn code_hash(code: &SecretString) -> String {
    hash(code.expose_secret())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_good_for_one_step_before_and_after() {
        let secret: TotpSecret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ".parse().unwrap();
        let at = |seconds: i64| Timestamp::from_second(1_700_000_010 + seconds).unwrap();
        let good = |seconds| matching_step(&secret, &secret.code(at(seconds)), at(0)).is_some();
        assert_eq!([-60, -30, 0, 30, 60].map(good), [false, true, true, true, false]);
        assert_eq!(matching_step(&secret, &secret.code(at(30)), at(0)), Some(totp::step(at(30))));
        assert!(matching_step(&secret, &"".into(), at(0)).is_none());
    }
}
