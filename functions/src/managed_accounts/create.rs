//! `POST /managed-accounts` stores a retailer login for us to order with.
//!
//! Answers 201 with the account. The login is sealed first and never returned.

use std::collections::BTreeMap;

use http::StatusCode;
use serde_json::Value;
use spelter::{
    accounts::{ManagedAccount, Owner, credentials::Secrets, health::Health},
    aws::{
        accounts::{Accounts, secrets_context},
        keyed_hash::KeyedHash,
        vault::Vault,
    },
    clock::Clock,
    error::ApiError,
    fields::{self, FieldError},
    http::{Endpoint, Request},
    id::AccountId,
    random,
};

use super::{Fields, merge, view::View};

/// What this function may touch.
pub struct CreateManagedAccount {
    /// The accounts.
    pub accounts: Accounts,
    /// Seals the login.
    pub vault: Vault,
    /// Names the retailer account.
    pub keyed_hash: KeyedHash,
    /// The domain of forwarding addresses.
    pub mail_domain: String,
    /// The time.
    pub now: Clock,
}

impl Endpoint for CreateManagedAccount {
    const SUCCESS: StatusCode = StatusCode::CREATED;
    type Answer = View;

    async fn handle(&self, owner: Owner, request: Request) -> Result<View, ApiError> {
        let body = fields::without_blanks(request.json()?);
        // A new account is not paused, whether that is said or not.
        let Fields { email, password, retailer, totp_secret, retailer_config, is_paused: _ } =
            read(body)?;
        let email = email.ok_or_else(|| ApiError::Invalid(vec![no_email()]))?;
        let now = (self.now)();
        let mut account = ManagedAccount {
            id: AccountId::new(random::uuid()),
            uuid: random::uuid(),
            email_hash: self.keyed_hash.of_email(&email).await?,
            owner,
            email,
            retailer,
            has_totp: totp_secret.is_some(),
            has_forwarding: false,
            retailer_config: BTreeMap::new(),
            created_at: now,
            updated_at: now,
            last_used_at: None,
            health: Health::default(),
            version: 1,
        };
        merge(&mut account.retailer_config, retailer_config.unwrap_or_default())?;
        let secrets = Secrets { password, totp: totp_secret, ..Secrets::default() };
        let context = secrets_context(&account.owner, &account.id);
        let sealed = self.vault.seal_secrets(&context, &secrets).await?;
        self.accounts.insert(&account, sealed).await?;
        Ok(View::new(account, None, &self.mail_domain, now))
    }
}

/// Unlike in an update, the e-mail must be there; that is said together with whatever else is wrong.
fn read(body: Value) -> Result<Fields, ApiError> {
    let lacks_email = body.as_object().is_some_and(|members| !members.contains_key("email"));
    fields::read(body).map_err(|mut faults| {
        if lacks_email {
            faults.push(no_email());
        }
        ApiError::Invalid(faults)
    })
}

fn no_email() -> FieldError {
    FieldError::at("email", "missing", "is required")
}
