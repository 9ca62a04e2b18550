//! Who may buy: accounts, signing in, and the sessions that follow.

use std::{str::FromStr, sync::Arc};

use axum::{
    Extension, Json,
    extract::State,
    http::{HeaderMap, header::AUTHORIZATION},
};
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use deserr::Deserr;
use jiff::{SignedDuration, Timestamp};
use pbkdf2::pbkdf2_hmac_array;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use spelter::{
    aws::vault::Context,
    error::BoxError,
    fields::{Faults, Unfit},
    sealed::Sealed,
    totp::TotpSecret,
};
use subtle::ConstantTimeEq;

use super::{
    Shop,
    answer::{Body, Fault},
    behaviour::{self, Step},
    challenges,
    journal::{self, Visit},
    market::Market,
    store::Key,
};

/// The account that every sandbox has, made when it is first asked for.
pub const BUILT_IN_EMAIL: &str = "buyer@sandbox.example";

/// Not a secret: it is in the documents.
pub const BUILT_IN_PASSWORD: &str = "sandbox-password";

/// Ten million dollars: no test run spends them.
const BUILT_IN_GIFT_BALANCE_CENTS: u64 = 1_000_000_000;

/// The attribute that a purchase is paid from.
pub const GIFT_BALANCE: &str = "gift_balance_cents";

const SESSION_SECONDS: i64 = 60 * 60;

/// OWASP asks for 600,000. These passwords open nothing but a toy shop, and every test signs in with an unoptimised
/// build: what matters here is that the table never holds one in clear.
const HASH_ROUNDS: u32 = 1_000;

/// An account as it is stored.
#[derive(Clone, Serialize, Deserialize)]
pub struct Account {
    /// Its name, in lower case.
    pub email: String,
    salt: String,
    password_hash: String,
    totp_secret: Option<Sealed>,
    gift_balance_cents: u64,
    prime: bool,
    #[serde(default)]
    business: bool,
    /// Whether it mails a code at every sign-in.
    #[serde(default)]
    pub mails_codes: bool,
    /// Where its owner has the shop's mails forwarded to.
    #[serde(default)]
    pub forwards_to: Option<String>,
    #[serde(default)]
    clock_skew_seconds: i64,
}

impl Account {
    /// Whether an authenticator is set up.
    pub const fn has_totp(&self) -> bool {
        self.totp_secret.is_some()
    }

    /// Where its mail ends up.
    pub fn mailbox(&self) -> &str {
        self.forwards_to.as_deref().unwrap_or(&self.email)
    }

    /// What the shop's clock shows this account.
    pub fn clock(&self, now: Timestamp) -> Timestamp {
        now.checked_add(SignedDuration::from_secs(self.clock_skew_seconds)).unwrap_or(now)
    }
}

/// An account to be.
pub struct NewAccount<'a> {
    /// Its name, in lower case.
    pub email: &'a str,
    /// Its password.
    pub password: &'a SecretString,
    /// Its second factor.
    pub totp_secret: Option<TotpSecret>,
    /// What it can spend.
    pub gift_balance_cents: u64,
    /// Whether it has Prime.
    pub prime: bool,
    /// Whether it is a business account, which may number its purchases.
    pub business: bool,
    /// Whether it mails a code at every sign-in.
    pub mails_codes: bool,
    /// Where the owner has the shop's mails forwarded to.
    pub forwards_to: Option<String>,
    /// How far the shop's clock is ahead for this account.
    pub clock_skew_seconds: i64,
}

#[derive(Serialize, Deserialize)]
struct Session {
    email: String,
    market: Market,
    expires_at: i64,
}

/// What somebody signs in with. It has no `Debug`.
#[derive(Deserr)]
#[deserr(error = Faults)]
pub struct SignIn {
    email: String,
    #[deserr(from(String) = SecretString::from)]
    password: SecretString,
    #[deserr(default = Market::Us, try_from(&String) = Market::from_str -> Unfit)]
    market: Market,
}

/// `POST /sign-in`
pub async fn sign_in(
    State(shop): State<Arc<Shop>>,
    Body(request): Body<SignIn>,
) -> Result<Json<Value>, Fault> {
    let account = find(&shop, &request.email.to_lowercase()).await?;
    let account = account.ok_or_else(|| Fault::unauthorized("unknown_account"))?;
    let token = BASE64URL_NOPAD.encode(&rand::random::<[u8; 32]>());
    let visit = visit_of(&account.email, &token, request.market);

    let work = async {
        behaviour::at(&shop, Step::SignIn, &account.email, []).await?;
        check(&account, &request)?;
        challenges::after_password(&shop, &account, request.market, &token).await.map(Json)
    };
    // On the heap: mailing makes this a large future.
    journal::around(&shop, &visit, "sign_in", Box::pin(work)).await?
}

/// Begins a session for who has proved to be the owner of the account, and knows it by `token`.
pub async fn start_session(
    shop: &Shop,
    email: &str,
    market: Market,
    token: &str,
) -> Result<Value, Fault> {
    let expires_at = (shop.now)().as_second().saturating_add(SESSION_SECONDS);
    let session = Session { email: email.to_owned(), market, expires_at };
    shop.store.put(&Key::session(&hash(token)), &session).await?;
    Ok(json!({ "session": token, "expires_in_seconds": SESSION_SECONDS }))
}

/// What the journal calls whoever holds `token`.
pub fn visit_of(email: &str, token: &str, market: Market) -> Visit {
    Visit { email: email.to_owned(), session: public_name(&hash(token)), market }
}

/// `GET /account`
pub async fn show(
    State(shop): State<Arc<Shop>>,
    Extension(visit): Extension<Visit>,
) -> Result<Json<Value>, Fault> {
    let account =
        find(&shop, &visit.email).await?.ok_or_else(|| Fault::unauthorized("session_expired"))?;
    Ok(Json(json!({
        "email": account.email,
        "prime": account.prime,
        "fresh": false,
        "business": account.business,
        "charity": null,
        "gift_balance_cents": account.gift_balance_cents,
    })))
}

/// Whose visit a request belongs to.
pub async fn visit(shop: &Shop, headers: &HeaderMap) -> Result<Visit, Fault> {
    let header = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = header.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
    let hash = hash(token);
    let session = shop.store.get::<Session>(&Key::session(&hash)).await?;
    // DynamoDB removes what has expired within days, not at once.
    match session.filter(|session| session.expires_at > (shop.now)().as_second()) {
        Some(Session { email, market, expires_at: _ }) => {
            Ok(Visit { email, session: public_name(&hash), market })
        }
        None => Err(Fault::unauthorized("session_expired")),
    }
}

/// What an account can pay by gift balance.
pub async fn gift_balance(shop: &Shop, email: &str) -> Result<u64, Fault> {
    Ok(find(shop, email).await?.map_or(0, |account| account.gift_balance_cents))
}

/// Whether an account is a business.
pub async fn is_business(shop: &Shop, email: &str) -> Result<bool, Fault> {
    Ok(find(shop, email).await?.is_some_and(|account| account.business))
}

/// The account as it may be stored: its password hashed, its TOTP secret sealed.
pub async fn seal(shop: &Shop, new: NewAccount<'_>) -> Result<Account, Fault> {
    let NewAccount {
        email,
        password,
        totp_secret,
        gift_balance_cents,
        prime,
        business,
        mails_codes,
        forwards_to,
        clock_skew_seconds,
    } = new;
    let salt = HEXLOWER.encode(&rand::random::<[u8; 16]>());
    let totp_secret = match totp_secret {
        Some(secret) => {
            let text = secret.text().expose_secret();
            Some(shop.vault.seal(&context(email), text.as_bytes()).await?)
        }
        None => None,
    };
    let password_hash = HEXLOWER.encode(&password_hash(password, &salt));
    Ok(Account {
        email: email.to_owned(),
        salt,
        password_hash,
        totp_secret,
        gift_balance_cents,
        prime,
        business,
        mails_codes,
        forwards_to,
        clock_skew_seconds,
    })
}

/// The account of `email`, which is in lower case.
pub async fn find(shop: &Shop, email: &str) -> Result<Option<Account>, Fault> {
    let key = Key::account(email);
    let found = shop.store.get(&key).await?;
    if found.is_some() || email != BUILT_IN_EMAIL {
        return Ok(found);
    }
    let built_in = NewAccount {
        email,
        password: &BUILT_IN_PASSWORD.into(),
        totp_secret: None,
        gift_balance_cents: BUILT_IN_GIFT_BALANCE_CENTS,
        prime: true,
        business: false,
        mails_codes: false,
        forwards_to: None,
        clock_skew_seconds: 0,
    };
    shop.store.put_new(&key, &seal(shop, built_in).await?).await?;
    // Somebody else may have been first, with another salt.
    Ok(shop.store.get(&key).await?)
}

fn check(account: &Account, given: &SignIn) -> Result<(), Fault> {
    let expected = HEXLOWER.decode(account.password_hash.as_bytes()).map_err(corrupt)?;
    let same: bool = password_hash(&given.password, &account.salt).ct_eq(&expected).into();
    if same { Ok(()) } else { Err(Fault::unauthorized("wrong_password")) }
}

/// What the account's authenticator makes its codes of.
pub async fn totp_secret(shop: &Shop, account: &Account) -> Result<TotpSecret, Fault> {
    let unreadable = || Fault::Down("a stored TOTP secret cannot be read".into());
    let sealed = account.totp_secret.as_ref().ok_or_else(unreadable)?;
    let secret = shop.vault.open_text(&context(&account.email), sealed).await?;
    secret.expose_secret().parse().map_err(|_| unreadable())
}

fn corrupt(error: impl Into<BoxError>) -> Fault {
    Fault::Down(error.into())
}

fn password_hash(password: &SecretString, salt: &str) -> [u8; 32] {
    pbkdf2_hmac_array::<Sha256, 32>(
        password.expose_secret().as_bytes(),
        salt.as_bytes(),
        HASH_ROUNDS,
    )
}

/// Tokens are random and long, so that one round is enough.
pub fn hash(token: &str) -> String {
    HEXLOWER.encode(&Sha256::digest(token))
}

/// Enough of the hash to tell sessions apart.
fn public_name(hash: &str) -> String {
    hash.chars().take(16).collect()
}

/// KMS logs this, so the account is named by a hash.
fn context(email: &str) -> Context {
    Context { client: "sandbox".to_owned(), account: hash(email), purpose: "sandbox-totp" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_passwords_with_other_salts_have_other_hashes() {
        let password = SecretString::from("p");
        assert_eq!(password_hash(&password, "a"), password_hash(&password, "a"));
        assert_ne!(password_hash(&password, "a"), password_hash(&password, "b"));
    }

    #[test]
    fn the_journal_never_holds_a_token() {
        let token = "token";
        assert!(!public_name(&hash(token)).contains(token));
    }
}
