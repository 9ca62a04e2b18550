//! Who may vouch for a mail: the one table of domains, and of the addresses that mail codes.

use crate::retailers::{Mode, RetailerCode};

/// Who vouches for a mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Sender {
    /// A retailer.
    Retailer(Brand),
    /// Our own small shop.
    Sandbox,
    /// Google, for its confirmations of forwarding.
    Google,
}

/// A retailer as its customers know it: one login for all its countries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Brand {
    Aliexpress,
    Amazon,
    Costco,
    Walmart,
}

impl Brand {
    /// Every brand.
    pub const ALL: [Self; 4] = [Self::Aliexpress, Self::Amazon, Self::Costco, Self::Walmart];

    /// The brand of a retailer.
    pub const fn of(retailer: RetailerCode) -> Self {
        match retailer {
            RetailerCode::Aliexpress => Self::Aliexpress,
            RetailerCode::Amazon
            | RetailerCode::AmazonUk
            | RetailerCode::AmazonCa
            | RetailerCode::AmazonMx => Self::Amazon,
            RetailerCode::Costco => Self::Costco,
            RetailerCode::Walmart => Self::Walmart,
        }
    }

    /// The domains it mails from. A subdomain that is not listed is somebody else's: sellers write to buyers from
    /// `marketplace.amazon.com`, with texts of their own that Amazon signs.
    pub const fn domains(self) -> &'static [&'static str] {
        match self {
            Self::Aliexpress => &["aliexpress.com", "notice.aliexpress.com", "mail.aliexpress.com"],
            Self::Amazon => &[
                "amazon.com",
                "amazon.co.uk",
                "amazon.ca",
                "amazon.com.mx",
                "amazon.es",
                "amazon.de",
                "amazon.fr",
                "amazon.it",
                "amazon.co.jp",
                "amazon.com.br",
                "amazon.nl",
            ],
            Self::Costco => &["costco.com", "online.costco.com", "costco.ca", "costco.co.uk"],
            Self::Walmart => &["walmart.com", "walmart.ca"],
        }
    }

    /// The names before the @ under which it mails codes. Orders, shipments and advertisements have other ones.
    pub const fn code_mailboxes(self) -> &'static [&'static str] {
        match self {
            Self::Aliexpress => &["transaction", "noreply", "no-reply", "account", "security"],
            Self::Amazon => &["account-update", "no-reply", "verification"],
            Self::Costco => &["costco", "no-reply", "noreply", "account", "donotreply"],
            Self::Walmart => &["help", "no-reply", "noreply", "account", "security"],
        }
    }
}

/// The address of Google's confirmations, and the domain that signs them.
pub const GOOGLE: &str = "forwarding-noreply@google.com";
const GOOGLE_DOMAIN: &str = "google.com";

/// Whom an account believes.
#[derive(Debug, Clone, Copy)]
pub struct Trust<'a> {
    /// The world of the account: a test account shops at the sandbox only, and a live one never does.
    pub mode: Mode,
    /// The domain that the sandbox mails from and signs as.
    pub sandbox_domain: &'a str,
}

impl Trust<'_> {
    /// Whether a signature of `domain` can vouch for anything: of the others nobody needs to ask DNS.
    pub fn may_vouch(&self, domain: &str) -> bool {
        domain == GOOGLE_DOMAIN
            || domain == self.sandbox_domain
            || Brand::ALL.iter().any(|brand| brand.domains().contains(&domain))
    }

    /// Who mails from `address` (in lower case), and the domains whose signature proves it: the address's own, and its
    /// parents in the table. The mode is not looked at.
    pub(super) fn sender_of<'s>(&'s self, address: &'s str) -> Option<(Sender, Vec<&'s str>)> {
        if address == GOOGLE {
            return Some((Sender::Google, vec![GOOGLE_DOMAIN]));
        }
        let (_, domain) = address.rsplit_once('@')?;
        if domain == self.sandbox_domain {
            return Some((Sender::Sandbox, vec![domain]));
        }
        let brand = Brand::ALL.into_iter().find(|brand| brand.domains().contains(&domain))?;
        let mut signers = brand.domains().to_vec();
        signers.retain(|signer| is_same_or_parent(signer, domain));
        Some((Sender::Retailer(brand), signers))
    }

    /// Whether an account of this mode does business with `sender`.
    pub(super) const fn deals_with(&self, sender: Sender) -> bool {
        match (sender, self.mode) {
            (Sender::Google, Mode::Live | Mode::Test)
            | (Sender::Sandbox, Mode::Test)
            | (Sender::Retailer(_), Mode::Live) => true,
            (Sender::Sandbox, Mode::Live) | (Sender::Retailer(_), Mode::Test) => false,
        }
    }
}

fn is_same_or_parent(parent: &str, domain: &str) -> bool {
    let rest = domain.strip_suffix(parent);
    rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}
