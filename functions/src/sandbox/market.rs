//! The countries the shop has a market in. All markets share accounts, offers and figures; each has its currency.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use spelter::fields::Unfit;

/// Where somebody shops.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Market {
    Us,
    Uk,
    Ca,
    Mx,
}

impl Market {
    /// Every market.
    pub const ALL: [Self; 4] = [Self::Us, Self::Uk, Self::Ca, Self::Mx];

    /// Its name in a sign-in.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Us => "us",
            Self::Uk => "uk",
            Self::Ca => "ca",
            Self::Mx => "mx",
        }
    }

    /// ISO 4217.
    pub const fn currency(self) -> &'static str {
        match self {
            Self::Us => "USD",
            Self::Uk => "GBP",
            Self::Ca => "CAD",
            Self::Mx => "MXN",
        }
    }

    /// An amount as people there read it: `$6.30`.
    pub fn money(self, cents: u64) -> String {
        let sign = match self {
            Self::Us | Self::Ca | Self::Mx => '$',
            Self::Uk => '£',
        };
        format!("{sign}{}.{:02}", cents / 100, cents % 100)
    }
}

impl FromStr for Market {
    type Err = Unfit;

    fn from_str(text: &str) -> Result<Self, Unfit> {
        let named = Self::ALL.into_iter().find(|market| market.as_str() == text);
        named.ok_or_else(|| {
            Unfit(format!("must be one of {}", Self::ALL.map(Self::as_str).join(", ")))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_market_is_read_by_its_name() {
        for market in Market::ALL {
            assert_eq!(market.as_str().parse(), Ok(market));
        }
        assert!("fr".parse::<Market>().is_err());
    }

    #[test]
    fn money_has_two_digits_behind_the_point() {
        assert_eq!(Market::Us.money(630), "$6.30");
        assert_eq!(Market::Uk.money(5), "£0.05");
    }
}
