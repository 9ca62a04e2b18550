//! A secret that only the vault can read.

use serde::{Deserialize, Serialize};

/// A secret as it is stored: ciphertext, base64.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sealed(String);

impl Sealed {
    /// Takes what the vault made.
    pub fn from_base64(text: String) -> Self {
        Self(text)
    }

    /// For the vault.
    pub fn as_base64(&self) -> &str {
        &self.0
    }
}
