//! Managed accounts: retailer logins that clients store with us, and which of them an order uses.

pub mod credentials;
pub mod health;
pub mod mails;

use std::{collections::BTreeMap, fmt};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use self::health::{Health, Trouble};
use crate::{
    email::Email,
    error::{Code, Refusal},
    id::{AccountId, ClientId},
    retailers::{Mode, RetailerCode, Site},
};

/// Whose things these are: a client, and whether they are of its live or its test world. Nothing is shared between
/// the two.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
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
    /// How its sign-ins go.
    pub health: Health,
    /// Counts changes; a writer names the version it read.
    pub version: u64,
}

impl ManagedAccount {
    /// Where mail to it is to be forwarded. Unguessable, since the UUID is random.
    pub fn forwarding_email(&self, domain: &str) -> String {
        format!("{}@{domain}", self.uuid.simple())
    }

    /// Why nobody should sign in with it at `now`, if it is paused.
    ///
    /// The `data` of the refusal: `account` (short id), `is_paused`, `cooldown_minutes`, `last_error`.
    pub fn paused(&self, now: Timestamp) -> Option<Refusal> {
        let cooldown_minutes = self.health.cooldown_minutes(now)?;
        let last_error = self.health.last_error.as_ref();
        let is_locked = last_error.is_some_and(|error| error.code == Trouble::AccountLocked);
        let code = if is_locked { Code::AccountLocked } else { Code::AccountLoginFailed };
        let text = format!(
            "The managed account {} failed to sign in and is paused; it may be tried again in {cooldown_minutes} \
             minutes, or at once when its login is changed or its pause ended.",
            self.id
        );
        Some(Refusal::new(code).saying(text).with(json!({
            "account": self.id,
            "is_paused": true,
            "cooldown_minutes": cooldown_minutes,
            "last_error": last_error.map(health::SignInError::to_json),
        })))
    }

    /// The accounts it may stand for: one, unless it is the default for any retailer.
    pub fn refs(&self) -> Vec<AccountRef> {
        self.refs_at(|_| true)
    }

    /// The same, of the retailers that are `wanted` only.
    pub fn refs_at(&self, wanted: impl Fn(RetailerCode) -> bool) -> Vec<AccountRef> {
        let retailers = match self.retailer {
            Some(retailer) => vec![retailer],
            None => RetailerCode::ALL.to_vec(),
        };
        let wanted = retailers.into_iter().filter(|retailer| wanted(*retailer));
        let sites = wanted.filter_map(|retailer| Site::of(retailer, self.owner.mode));
        let mut refs: Vec<_> = sites.map(|site| AccountRef::new(site, &self.email_hash)).collect();
        refs.dedup();
        refs
    }
}

/// The account an order of `retailer` uses when it names none: of those for that retailer, else of the defaults, one
/// that is free, and of several the one that was used longest ago.
///
/// It is paused at `now` only if they all are; then it is the one that is so no longer first.
pub fn choose(
    accounts: &[ManagedAccount],
    retailer: RetailerCode,
    now: Timestamp,
    is_busy: impl Fn(&ManagedAccount) -> bool,
) -> Option<&ManagedAccount> {
    fitting(accounts, retailer).min_by_key(|account| {
        (account.health.pause(now), is_busy(account), account.last_used_at, account.created_at)
    })
}

/// The account that all orders of `retailer` use that name none and may be bought together: the oldest that is not
/// paused at `now`. If they all are, the one that is so no longer first.
pub fn oldest(
    accounts: &[ManagedAccount],
    retailer: RetailerCode,
    now: Timestamp,
) -> Option<&ManagedAccount> {
    fitting(accounts, retailer)
        .min_by_key(|account| (account.health.pause(now), account.created_at, account.uuid))
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
    use super::{health::SignIn, *};

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
            health: Health::default(),
            version: 1,
        }
    }

    fn chosen(accounts: &[ManagedAccount], busy: &[&str]) -> Option<String> {
        let is_busy = |account: &ManagedAccount| busy.contains(&account.email_hash.0.as_str());
        let chosen = choose(accounts, RetailerCode::Amazon, Timestamp::UNIX_EPOCH, is_busy);
        chosen.map(|account| account.email_hash.0.clone())
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
        let chosen =
            |retailer| oldest(&accounts, retailer, at(0)).map(|one| one.email_hash.0.as_str());
        assert_eq!(chosen(RetailerCode::Amazon), Some("a"));
        assert_eq!(chosen(RetailerCode::AmazonUk), Some("default"));
    }

    /// The account, locked out at a second after 1970 began, and so paused for a quarter of an hour.
    fn paused(account: ManagedAccount, second: i64) -> ManagedAccount {
        let locked =
            SignIn::Failed { trouble: Trouble::AccountLocked, message: "Locked.".to_owned() };
        let health = Health::default().after(locked, Timestamp::from_second(second).unwrap());
        ManagedAccount { health, ..account }
    }

    #[test]
    fn paused_accounts_are_chosen_only_where_there_are_no_others() {
        let amazon = Some(RetailerCode::Amazon);
        let late = paused(account("late", amazon, None), 9);
        let early = paused(account("early", amazon, Some(5)), 1);
        let used = account("used", amazon, Some(9));
        let accounts = [late, early, used];
        assert_eq!(chosen(&accounts, &["used"]).as_deref(), Some("used"));
        assert_eq!(chosen(&accounts[..2], &["early"]).as_deref(), Some("early"));

        let at = |second| Timestamp::from_second(second).unwrap();
        let oldest_at =
            |now| oldest(&accounts, RetailerCode::Amazon, now).map(|one| &one.email_hash.0);
        assert_eq!(oldest_at(at(0)).map(String::as_str), Some("used"));
        let default = paused(account("default", None, None), 0);
        let all = [default, paused(account("own", amazon, None), 0)];
        // A default stands in for accounts that are not there, not for paused ones.
        assert_eq!(chosen(&all, &[]).as_deref(), Some("own"));
    }

    #[test]
    fn a_paused_account_says_why_and_for_how_long() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let account = paused(account("a", None, None), 0);
        let refusal = account.paused(at(61)).unwrap();
        assert_eq!(refusal.code, Code::AccountLocked);
        let data = json!({
            "account": account.id,
            "is_paused": true,
            "cooldown_minutes": 14,
            "last_error": {
                "code": "account_locked",
                "message": "Locked.",
                "at": "1970-01-01T00:00:00.000000Z",
            },
        });
        assert_eq!(refusal.data, data);
        assert_eq!(account.paused(at(15 * 60)), None);
    }

    #[test]
    fn in_the_test_world_every_retailer_is_one_sandbox_account() {
        assert_eq!(account("a", None, None).refs().len(), 1);
    }
}
