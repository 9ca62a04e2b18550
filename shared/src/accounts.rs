//! Managed accounts: retailer logins that clients store with us, and which of them an order uses.

pub mod credentials;

use std::{collections::BTreeMap, fmt};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    email::Email,
    id::{AccountId, ClientId},
    retailers::{Mode, RetailerCode, Site},
};

/// Whose things these are: a client, and whether they are of its live or its test world. Nothing is shared between
/// the two.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The client.
    pub client: ClientId,
    /// Live or test.
    pub mode: Mode,
}

impl Owner {
    /// What the keys of all its items start with.
    pub fn partition(&self) -> String {
        format!("{}#{}", self.client, self.mode.as_str())
    }
}

/// One retailer account, however we came to know its login: what is locked while a job runs.
///
/// It is made of the site and a keyed hash of the e-mail, so that a managed account and the same login sent inside an
/// order are one account, and so that nobody can read the e-mail from a queue.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AccountRef(String);

impl AccountRef {
    /// The account of `email_hash` at `site`.
    pub fn new(site: Site, email_hash: &EmailHash) -> Self {
        Self(format!("{}-{}", site.as_str(), email_hash.0))
    }

    /// One that was stored.
    pub(crate) fn stored(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// As a message group id and as a key: letters, digits and dashes.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AccountRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A keyed hash of an account's e-mail, hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EmailHash(pub String);

/// A retailer login that a client stored. Its secrets are elsewhere, sealed.
#[derive(Debug, Clone, PartialEq)]
pub struct ManagedAccount {
    /// `short_id`.
    pub id: AccountId,
    /// `id` in answers.
    pub uuid: Uuid,
    /// Whose it is.
    pub owner: Owner,
    /// The login's name.
    pub email: Email,
    /// The same, as [`AccountRef`] needs it.
    pub email_hash: EmailHash,
    /// Where it is an account; `None` for the default for any retailer.
    pub retailer: Option<RetailerCode>,
    /// Whether a TOTP secret is stored.
    pub has_totp: bool,
    /// Whether the forwarding of mail was confirmed.
    pub has_forwarding: bool,
    /// What the client keeps with it.
    pub retailer_config: BTreeMap<String, Value>,
    /// When it was stored.
    pub created_at: Timestamp,
    /// When it was changed.
    pub updated_at: Timestamp,
    /// When an order last chose it.
    pub last_used_at: Option<Timestamp>,
    /// Counts changes; a writer names the version it read.
    pub version: u64,
}

impl ManagedAccount {
    /// Where mail to it is to be forwarded. Unguessable, since the UUID is random.
    pub fn forwarding_email(&self, domain: &str) -> String {
        format!("{}@{domain}", self.uuid.simple())
    }

    /// The accounts it may stand for: one, unless it is the default for any retailer.
    pub fn refs(&self) -> Vec<AccountRef> {
        let retailers = match self.retailer {
            Some(retailer) => vec![retailer],
            None => RetailerCode::ALL.to_vec(),
        };
        let sites =
            retailers.into_iter().filter_map(|retailer| Site::of(retailer, self.owner.mode));
        let mut refs: Vec<_> = sites.map(|site| AccountRef::new(site, &self.email_hash)).collect();
        refs.dedup();
        refs
    }
}

/// The account an order of `retailer` uses when it names none: of those for that retailer, else of the defaults, one
/// that is free, and of several the one that was used longest ago.
pub fn choose(
    accounts: &[ManagedAccount],
    retailer: RetailerCode,
    is_busy: impl Fn(&ManagedAccount) -> bool,
) -> Option<&ManagedAccount> {
    fitting(accounts, retailer)
        .min_by_key(|account| (is_busy(account), account.last_used_at, account.created_at))
}

/// The account that all orders of `retailer` use that name none and may be bought together.
pub fn oldest(accounts: &[ManagedAccount], retailer: RetailerCode) -> Option<&ManagedAccount> {
    fitting(accounts, retailer).min_by_key(|account| (account.created_at, account.uuid))
}

/// The accounts for `retailer`; the defaults, if there are none.
fn fitting(
    accounts: &[ManagedAccount],
    retailer: RetailerCode,
) -> impl Iterator<Item = &ManagedAccount> {
    let of_it = accounts.iter().any(|account| account.retailer == Some(retailer));
    let wanted = of_it.then_some(retailer);
    accounts.iter().filter(move |account| account.retailer == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(
        name: &str,
        retailer: Option<RetailerCode>,
        last_used: Option<i64>,
    ) -> ManagedAccount {
        ManagedAccount {
            id: AccountId::new(Uuid::from_u128(1)),
            uuid: Uuid::from_u128(2),
            owner: Owner { client: ClientId::new(Uuid::from_u128(3)), mode: Mode::Test },
            email: format!("{name}@example.com").parse().unwrap(),
            email_hash: EmailHash(name.to_owned()),
            retailer,
            has_totp: false,
            has_forwarding: false,
            retailer_config: BTreeMap::new(),
            created_at: Timestamp::UNIX_EPOCH,
            updated_at: Timestamp::UNIX_EPOCH,
            last_used_at: last_used.map(|seconds| Timestamp::from_second(seconds).unwrap()),
            version: 1,
        }
    }

    fn chosen(accounts: &[ManagedAccount], busy: &[&str]) -> Option<String> {
        let is_busy = |account: &ManagedAccount| busy.contains(&account.email_hash.0.as_str());
        choose(accounts, RetailerCode::Amazon, is_busy).map(|account| account.email_hash.0.clone())
    }

    #[test]
    fn free_accounts_come_before_busy_ones_and_rested_ones_before_others() {
        let amazon = Some(RetailerCode::Amazon);
        let accounts = [
            account("a", amazon, Some(9)),
            account("b", amazon, Some(5)),
            account("c", amazon, None),
        ];
        assert_eq!(chosen(&accounts, &[]).as_deref(), Some("c"));
        assert_eq!(chosen(&accounts, &["c"]).as_deref(), Some("b"));
        assert_eq!(chosen(&accounts, &["a", "b", "c"]).as_deref(), Some("c"));
    }

    #[test]
    fn the_default_serves_only_where_no_account_of_the_retailer_is() {
        let default = account("default", None, None);
        let walmart = account("walmart", Some(RetailerCode::Walmart), None);
        let amazon = account("amazon", Some(RetailerCode::Amazon), None);
        assert_eq!(chosen(&[default.clone(), walmart.clone()], &[]).as_deref(), Some("default"));
        assert_eq!(chosen(&[default, amazon], &["amazon"]).as_deref(), Some("amazon"));
        assert_eq!(chosen(&[walmart], &[]), None);
    }

    #[test]
    fn orders_that_may_be_bundled_all_use_the_oldest_account() {
        let amazon = Some(RetailerCode::Amazon);
        let at = |second| Timestamp::from_second(second).unwrap();
        let older = ManagedAccount { created_at: at(1), ..account("a", amazon, Some(9)) };
        let newer = ManagedAccount { created_at: at(2), ..account("b", amazon, None) };
        let default = account("default", None, None);
        let accounts = [newer, default, older];
        let chosen = |retailer| oldest(&accounts, retailer).map(|one| one.email_hash.0.as_str());
        assert_eq!(chosen(RetailerCode::Amazon), Some("a"));
        assert_eq!(chosen(RetailerCode::AmazonUk), Some("default"));
    }

    #[test]
    fn in_the_test_world_every_retailer_is_one_sandbox_account() {
        assert_eq!(account("a", None, None).refs().len(), 1);
    }
}
