//! The routes of whoever runs the shop: accounts, bad behaviour, and what really happened.

use std::{str::FromStr, sync::Arc};

use axum::{
    Json,
    extract::{RawQuery, Request, State},
    http::StatusCode,
    middleware::Next,
    response::{IntoResponse, Response},
};
use deserr::Deserr;
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use spelter::{
    email::Email,
    fields::{Faults, Unfit},
    totp::TotpSecret,
};
use subtle::ConstantTimeEq;

use super::{
    Shop,
    accounts::{self, Account, NewAccount},
    answer::{self, Body, Fault},
    behaviour::{self, Behaviour, Step},
    history::Purchase,
    journal::Entry,
    pages::Views,
    store::{Key, Range},
};

/// Lets only those in who know the token. Without a token in the configuration, there are no such routes.
pub async fn only(State(shop): State<Arc<Shop>>, request: Request, next: Next) -> Response {
    let token = shop.admin_token.expose_secret();
    if token.is_empty() {
        return Fault::NotFound.into_response();
    }
    let given = request.headers().get("x-admin-token").map_or(&[][..], |value| value.as_bytes());
    // Hashes are equally long, so that the comparison does not even tell the length.
    let same: bool = Sha256::digest(given).ct_eq(&Sha256::digest(token)).into();
    if same {
        next.run(request).await
    } else {
        Fault::No { status: StatusCode::FORBIDDEN, word: "forbidden", product_id: None }
            .into_response()
    }
}

/// An account to be.
#[derive(Deserr)]
#[deserr(error = Faults)]
pub struct AccountRequest {
    #[deserr(try_from(&String) = parse_email -> Unfit)]
    email: Email,
    #[deserr(from(String) = SecretString::from)]
    password: SecretString,
    #[deserr(default, try_from(Option<String>) = parse_totp_secret -> Unfit)]
    totp_secret: Option<TotpSecret>,
    #[deserr(default)]
    gift_balance_cents: u64,
    #[deserr(default)]
    prime: bool,
    #[deserr(default)]
    business: bool,
    #[deserr(default)]
    mails_codes: bool,
    #[deserr(default, try_from(Option<String>) = parse_optional_email -> Unfit)]
    forwards_to: Option<Email>,
    #[deserr(default)]
    clock_skew_seconds: i64,
}

fn parse_email(text: &str) -> Result<Email, Unfit> {
    text.parse().map_err(|_| Unfit("must be an e-mail address".to_owned()))
}

fn parse_optional_email(text: Option<String>) -> Result<Option<Email>, Unfit> {
    text.map(|text| parse_email(&text)).transpose()
}

fn parse_totp_secret(text: Option<String>) -> Result<Option<TotpSecret>, Unfit> {
    text.map(|text| text.parse()).transpose()
}

/// `POST /admin/accounts` makes an account, or makes it anew.
pub async fn put_account(
    State(shop): State<Arc<Shop>>,
    Body(request): Body<AccountRequest>,
) -> Result<Json<Value>, Fault> {
    let email = &request.email.canonical();
    let new = NewAccount {
        email,
        password: &request.password,
        totp_secret: request.totp_secret,
        gift_balance_cents: request.gift_balance_cents,
        prime: request.prime,
        business: request.business,
        mails_codes: request.mails_codes,
        forwards_to: request.forwards_to.map(|mailbox| mailbox.as_str().to_owned()),
        clock_skew_seconds: request.clock_skew_seconds,
    };
    let account = accounts::seal(&shop, new).await?;
    shop.store.put(&Key::account(email), &account).await?;
    Ok(Json(json!({ "email": email })))
}

/// A behaviour and where it belongs.
#[derive(Deserr)]
#[deserr(error = Faults)]
pub struct BehaviourRequest {
    #[deserr(default)]
    email: Option<String>,
    #[deserr(default)]
    product_id: Option<String>,
    #[deserr(try_from(&String) = Step::from_str -> Unfit)]
    step: Step,
    behaviour: Behaviour,
}

/// `PUT /admin/behaviours`, in place of what was told for the same account or product and step.
pub async fn put_behaviour(
    State(shop): State<Arc<Shop>>,
    Body(request): Body<BehaviourRequest>,
) -> Result<Json<Value>, Fault> {
    let BehaviourRequest { email, product_id, step, behaviour } = request;
    let target = target(email, product_id)?;
    shop.store.put(&Key::behaviour(&target, step.as_str()), &behaviour).await?;
    Ok(Json(json!({ "target": target, "step": step.as_str() })))
}

/// `DELETE /admin/behaviours?email=…` or `?product_id=…`, with `&step=…` for one step only.
pub async fn delete_behaviours(
    State(shop): State<Arc<Shop>>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, Fault> {
    let parameter = |name| answer::parameter(query.as_deref(), name);
    let target = target(parameter("email"), parameter("product_id"))?;
    let steps = match parameter("step") {
        Some(name) => vec![name.parse().map_err(|_| Fault::field("step"))?],
        None => Step::ALL.to_vec(),
    };
    for step in steps {
        shop.store.delete(&Key::behaviour(&target, step.as_str())).await?;
    }
    Ok(Json(json!({ "target": target })))
}

fn target(email: Option<String>, product_id: Option<String>) -> Result<String, Fault> {
    match (email, product_id) {
        (Some(email), None) => Ok(behaviour::account(&email.to_lowercase())),
        (None, Some(product_id)) => Ok(behaviour::product(&product_id)),
        (None, None) | (Some(_), Some(_)) => Err(Fault::field("email")),
    }
}

/// `GET /admin/journal?email=…&since=<ms>`: every request of the account, or of all accounts; oldest first.
pub async fn journal(
    State(shop): State<Arc<Shop>>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, Fault> {
    let entries: Vec<Entry> = of_accounts(&shop, query.as_deref(), Range::journal).await?;
    let entries: Vec<_> = entries.into_iter().map(Entry::shown).collect();
    Ok(Json(json!({ "entries": entries })))
}

/// `GET /admin/ledger?email=…&since=<ms>`: every purchase of the account, or of all accounts; oldest first. A press of
/// the button is one purchase, however many orders the shop made of it.
pub async fn ledger(
    State(shop): State<Arc<Shop>>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, Fault> {
    let purchases: Vec<Purchase> = of_accounts(&shop, query.as_deref(), Range::purchases).await?;
    Ok(Json(json!({ "purchases": purchases })))
}

/// `GET /admin/page-views?product_id=…`: how often the product's public pages were asked for.
pub async fn page_views(
    State(shop): State<Arc<Shop>>,
    RawQuery(query): RawQuery,
) -> Result<Json<Views>, Fault> {
    let product_id = answer::parameter(query.as_deref(), "product_id");
    let product_id = product_id.ok_or_else(|| Fault::field("product_id"))?;
    Ok(Json(shop.store.get(&Key::page_views(&product_id)).await?.unwrap_or_default()))
}

async fn of_accounts<T: DeserializeOwned>(
    shop: &Shop,
    query: Option<&str>,
    range: impl Fn(&str, i64) -> Range,
) -> Result<Vec<T>, Fault> {
    let since_ms = answer::since(query)?;
    let emails = if let Some(email) = answer::parameter(query, "email") {
        vec![email.to_lowercase()]
    } else {
        let accounts: Vec<Account> = shop.store.list(&Range::accounts()).await?;
        accounts.into_iter().map(|account| account.email).collect()
    };
    let mut found = Vec::new();
    for email in emails {
        found.extend(shop.store.list(&range(&email, since_ms)).await?);
    }
    Ok(found)
}
