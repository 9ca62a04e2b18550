//! Google's question whether a mailbox may forward to us.

use std::{collections::BTreeSet, sync::LazyLock};

use percent_encoding::percent_decode_str;
use regex::Regex;
use url::Url;

use super::message::Mail;
use crate::email::Email;

/// A forwarding that may be confirmed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confirmation {
    /// What to fetch to confirm it: on Google's own host, see [`confirmation`].
    pub link: Url,
}

/// Why a mail of Google's is not to be confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unconfirmed {
    /// There is no link of Google's that confirms.
    #[error("it has no link that confirms")]
    NoLink,
    /// There are several that differ.
    #[error("its links differ")]
    SeveralLinks,
    /// It names another mailbox than the account's, or none.
    #[error("another mailbox asks")]
    AnotherMailbox,
}

impl Unconfirmed {
    /// The word for the account's mail log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoLink => "no_confirmation_link",
            Self::SeveralLinks => "several_confirmation_links",
            Self::AnotherMailbox => "another_mailbox",
        }
    }
}

/// What a link that confirms starts with. `/mail/uf-` on the same hosts cancels.
const PREFIXES: [&str; 2] =
    ["https://mail-settings.google.com/mail/vf-", "https://mail.google.com/mail/vf-"];

/// An e-mail address in running text, in whatever language.
static ADDRESS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"[A-Za-z0-9][A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]*@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+")
        .ok()
});

/// The confirmation in a mail that Google vouched for, if the mailbox of `account` asks.
///
/// The language of the mail does not matter: the sender and the link decide. The mailbox must be written like the
/// account's e-mail, but for case, and at Gmail's own domains for dots and what follows a plus: there they always belong
/// to one owner, and Gmail writes the mailbox's own name here.
pub fn confirmation(mail: &Mail, account: &Email) -> Result<Confirmation, Unconfirmed> {
    let mut links: Vec<_> = mail.links.iter().filter_map(|link| confirming(link)).collect();
    links.sort();
    links.dedup();
    let link = match links.as_slice() {
        [] => return Err(Unconfirmed::NoLink),
        [link] => link.clone(),
        [..] => return Err(Unconfirmed::SeveralLinks),
    };
    if asking(mail) == BTreeSet::from([mailbox(&account.canonical())]) {
        Ok(Confirmation { link })
    } else {
        Err(Unconfirmed::AnotherMailbox)
    }
}

/// Whether `link` is one that confirms.
pub fn is_confirmation(link: &Url) -> bool {
    confirming(link.as_str()).is_some()
}

/// The link, if it confirms: Google's host by name, HTTPS on its own port, and one step of a path below `/mail/vf-`.
fn confirming(link: &str) -> Option<Url> {
    // By its letters first: what only becomes such a link while it is parsed (tabs, backslashes, a user's name, dots
    // that climb) is nothing that Google writes.
    let rest = PREFIXES.iter().find_map(|prefix| link.strip_prefix(prefix))?;
    let url = Url::parse(link).ok()?;
    let is_plain = PREFIXES.iter().any(|prefix| url.as_str().starts_with(prefix))
        && url.port().is_none()
        && url.username().is_empty()
        && url.password().is_none()
        && url.fragment().is_none();
    let rest = rest.split('?').next()?;
    let decoded = percent_decode_str(rest).decode_utf8().ok()?;
    let is_one_step = !decoded.is_empty()
        && !decoded.contains("..")
        && decoded.chars().all(|c| c.is_ascii_graphic() && !"/\\%#?<>\"".contains(c));
    (is_plain && is_one_step).then_some(url)
}

/// The mailboxes that the mail names, but for the address it was sent to and Google's own.
fn asking(mail: &Mail) -> BTreeSet<String> {
    let Some(pattern) = ADDRESS.as_ref() else { return BTreeSet::new() };
    let texts = mail.texts.iter().chain([&mail.subject]);
    texts
        .flat_map(|text| pattern.find_iter(text))
        .map(|address| address.as_str().to_lowercase())
        .filter(|address| !mail.to.contains(address) && !address.ends_with("@google.com"))
        .map(|address| mailbox(&address))
        .collect()
}

/// The mailbox behind an address in lower case. At Gmail's own domains dots and what follows a plus are no part of it.
fn mailbox(address: &str) -> String {
    match address.rsplit_once('@') {
        Some((name, "gmail.com" | "googlemail.com")) => {
            let name = name.split('+').next().unwrap_or_default();
            format!("{}@gmail.com", name.replace('.', ""))
        }
        Some(_) | None => address.to_owned(),
    }
}
