//! What arrived at an account's forwarding address: enough to see why a code was not taken, and nothing of what it said.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Owner;
use crate::id::AccountId;

/// One mail that arrived. Never its subject, its content or a code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Whose account it is.
    pub owner: Owner,
    /// The account it was for.
    pub account: AccountId,
    /// SES's id of it.
    pub message_id: String,
    /// When SES says it arrived. Every report of the same mail must say the same.
    pub received_at: Timestamp,
    /// The domain it says it is from; nothing if it does not say so clearly.
    pub from_domain: Option<String>,
    /// What it is.
    pub kind: Kind,
    /// Why it was refused, a word; nothing if it was accepted.
    pub refused: Option<String>,
}

/// What a mail is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// It brings a code to sign in with.
    Code,
    /// It asks whether mail may be forwarded to us.
    ForwardingConfirmation,
    /// It tells of a parcel.
    Shipment,
    /// Anything else.
    Other,
}
