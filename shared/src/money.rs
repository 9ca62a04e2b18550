//! Money: whole cents, never a fraction.

use std::{fmt, iter::Sum};

use serde::{Deserialize, Serialize};

/// An amount in cents of the retailer's currency.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cents(pub u64);

impl Cents {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// The sum; the largest amount there is, should it not fit. Such a price exceeds every limit, which is the safe side.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// `quantity` times the amount, saturating like [`Cents::plus`].
    #[must_use]
    pub fn times(self, quantity: u32) -> Self {
        Self(self.0.saturating_mul(u64::from(quantity)))
    }
}

impl Sum for Cents {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Self::plus)
    }
}

impl fmt::Display for Cents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02}", self.0 / 100, self.0 % 100)
    }
}
