//! `PUT /managed-accounts/{short_id}` changes what the body names and leaves the rest.
//!
//! Another login, or `"is_paused": false`, ends a pause and forgets what failed. Another e-mail is another mailbox, too,
//! whose forwarding nobody has confirmed.

use http::StatusCode;
use secrecy::SecretString;
use serde_json::Value;
use spelter::{
    accounts::{Owner, credentials::Secrets, health::Health},
    aws::{
        accounts::{Accounts, secrets_context},
        keyed_hash::KeyedHash,
        leases::Leases,
        vault::{Context, Vault},
    },
    clock::Clock,
    error::ApiError,
    fields::{self, FieldError},
    http::{Endpoint, Request},
    id::{self, Kind},
    sealed::Sealed,
    totp::TotpSecret,
};

use super::{Fields, merge, view::View};

/// What this function may touch.
pub struct UpdateManagedAccount {
    /// The accounts.
    pub accounts: Accounts,
    /// Who holds them.
    pub leases: Leases,
    /// Opens and seals the login.
    pub vault: Vault,
    /// Names the retailer account.
    pub keyed_hash: KeyedHash,
    /// The domain of forwarding addresses.
    pub mail_domain: String,
    /// The time.
    pub now: Clock,
}

impl Endpoint for UpdateManagedAccount {
    const SUCCESS: StatusCode = StatusCode::OK;
    type Answer = View;

    async fn handle(&self, owner: Owner, request: Request) -> Result<View, ApiError> {
        let id = request.id::<id::Account>("short_id")?;
        let body = request.json()?;
        let nulls = Nulls::of(&body);
        let Fields { email, password, retailer, totp_secret, retailer_config, is_paused } =
            fields::read(without_blanks_outside_config(body)).map_err(ApiError::Invalid)?;
        let found = self.accounts.get(&owner, &id).await?;
        let before = found.ok_or(ApiError::NotFound(id::Account::NAME))?;
        let (mut account, sealed) = before.clone();

        if nulls.email {
            return Err(ApiError::Invalid(vec![FieldError::at(
                "email",
                "string_type",
                "must be a string",
            )]));
        }
        let changes_secrets =
            nulls.password || nulls.totp_secret || password.is_some() || totp_secret.is_some();
        if changes_secrets || is_paused.is_some() {
            account.health = account.health.forgiven();
        }
        if let Some(email) = email {
            account.email_hash = self.keyed_hash.of_email(&email).await?;
            if account.email_hash != before.0.email_hash {
                account.health = Health::default();
                account.has_forwarding = false;
            }
            account.email = email;
        }
        account.retailer = if nulls.retailer { None } else { retailer.or(account.retailer) };
        merge(&mut account.retailer_config, retailer_config.unwrap_or_default())?;
        let had_totp = account.has_totp;
        account.has_totp = !nulls.totp_secret && (totp_secret.is_some() || had_totp);
        let context = secrets_context(&owner, &id);
        let change = Change { password, totp_secret, had_totp, nulls };
        let sealed = self.change_secrets(&context, sealed, change).await?;
        let now = (self.now)();
        account.updated_at = now;
        account.version = account.version.saturating_add(1);
        let account = self.accounts.replace(before, &account, sealed).await?;

        let holders = self.leases.holders(&account.refs(), now).await?;
        Ok(View::new(account, holders.values().next(), &self.mail_domain, now))
    }
}

impl UpdateManagedAccount {
    /// The bundle after the change. It is opened only if one of its secrets changes and another stays.
    async fn change_secrets(
        &self,
        context: &Context,
        sealed: Option<Sealed>,
        change: Change,
    ) -> Result<Option<Sealed>, ApiError> {
        let Change { password, totp_secret, had_totp, nulls } = change;
        if password.is_none() && totp_secret.is_none() && !nulls.password && !nulls.totp_secret {
            return Ok(sealed);
        }
        let keeps_password = password.is_none() && !nulls.password;
        let keeps_totp = had_totp && totp_secret.is_none() && !nulls.totp_secret;
        let mut secrets = match &sealed {
            Some(sealed) if keeps_password || keeps_totp => {
                self.vault.open_secrets(context, sealed).await?
            }
            Some(_) | None => Secrets::default(),
        };
        secrets.password = if nulls.password { None } else { password.or(secrets.password) };
        secrets.totp = if nulls.totp_secret { None } else { totp_secret.or(secrets.totp) };
        Ok(self.vault.seal_secrets(context, &secrets).await?)
    }
}

struct Change {
    password: Option<SecretString>,
    totp_secret: Option<TotpSecret>,
    had_totp: bool,
    nulls: Nulls,
}

/// Which fields the body sets to null: unlike in a create, that says to forget them.
#[derive(Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "one for each field")]
struct Nulls {
    email: bool,
    password: bool,
    retailer: bool,
    totp_secret: bool,
}

impl Nulls {
    fn of(body: &Value) -> Self {
        let is_null = |name: &str| body.get(name).is_some_and(Value::is_null);
        Self {
            email: is_null("email"),
            password: is_null("password"),
            retailer: is_null("retailer"),
            totp_secret: is_null("totp_secret"),
        }
    }
}

/// Nulls inside `retailer_config` delete keys, so they must be seen.
fn without_blanks_outside_config(mut body: Value) -> Value {
    let config = body.as_object_mut().and_then(|members| members.remove("retailer_config"));
    let mut body = fields::without_blanks(body);
    if let (Some(config), Some(members)) = (config, body.as_object_mut()) {
        members.insert("retailer_config".to_owned(), config);
    }
    body
}
