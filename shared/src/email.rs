//! An e-mail address that was checked once.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// The e-mail address of a retailer account, as the client wrote it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Email(String);

/// A text that is no e-mail address.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be an e-mail address")]
pub struct InvalidEmail;

/// RFC 5321 §4.5.3.1: 64 octets before the @, 254 in all.
const MAX_LOCAL: usize = 64;
const MAX_LENGTH: usize = 254;

impl Email {
    /// The address as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The form under which two spellings of one account are equal: retailers ignore case.
    pub fn canonical(&self) -> String {
        self.0.to_lowercase()
    }
}

impl FromStr for Email {
    type Err = InvalidEmail;

    fn from_str(text: &str) -> Result<Self, InvalidEmail> {
        let (local, domain) = text.rsplit_once('@').ok_or(InvalidEmail)?;
        let odd = |c: char| c.is_whitespace() || c.is_control() || "<>(),;:\\\"[]@".contains(c);
        let label = |label: &str| {
            !label.is_empty()
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.chars().all(|c| c.is_alphanumeric() || c == '-')
        };
        let valid = (1..=MAX_LOCAL).contains(&local.len())
            && text.len() <= MAX_LENGTH
            && !local.contains(odd)
            && !local.starts_with('.')
            && !local.ends_with('.')
            && !local.contains("..")
            && domain.contains('.')
            && domain.split('.').all(label);
        if valid { Ok(Self(text.to_owned())) } else { Err(InvalidEmail) }
    }
}

impl TryFrom<String> for Email {
    type Error = InvalidEmail;

    fn try_from(text: String) -> Result<Self, InvalidEmail> {
        text.parse()
    }
}

impl From<Email> for String {
    fn from(email: Email) -> Self {
        email.0
    }
}

/// Personal data: only the domain shows in logs.
impl fmt::Debug for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let domain = self.0.rsplit_once('@').map_or("", |(_, domain)| domain);
        write!(f, "***@{domain}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_people_have_are_accepted() {
        for text in [
            "a@b.co",
            "your-amazon-email@example.com",
            "Tim.O'Beaver+zinc@mail.example.co.uk",
            "jö@bücher.de",
        ] {
            assert_eq!(text.parse::<Email>().map(String::from), Ok(text.to_owned()), "{text}");
        }
    }

    #[test]
    fn other_texts_are_refused() {
        let long = format!("{}@example.com", "a".repeat(65));
        for text in [
            "",
            "@",
            "a",
            "a@",
            "@b.co",
            "a@b",
            "a b@c.de",
            "a@b..de",
            "a@-b.de",
            "a@b.de\r\n",
            ".a@b.de",
            "a..b@c.de",
            "<a@b.de>",
            "a@b@c.de",
            &long,
        ] {
            assert_eq!(text.parse::<Email>(), Err(InvalidEmail), "{text}");
        }
    }

    #[test]
    fn logs_show_the_domain_only() {
        assert_eq!(format!("{:?}", "tim@example.com".parse::<Email>().unwrap()), "***@example.com");
    }
}
