//! Ids: one type for each kind of thing, so that an order's id cannot be passed for an account's.
//!
//! Every id is made of `[A-Za-z0-9_-]` only, because real clients put ids into paths without escaping.

use std::{cmp::Ordering, fmt, marker::PhantomData, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

/// What an id names, and how its text looks.
pub trait Kind {
    /// What stands before the random part.
    const PREFIX: &'static str;
    /// What a person calls it, for error messages.
    const NAME: &'static str;
    /// How many hexadecimal digits follow the prefix.
    const DIGITS: usize = 32;
}

/// The id of a `K`.
pub struct Id<K> {
    text: String,
    kind: PhantomData<fn() -> K>,
}

/// A text that is not an id of the wanted kind.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a {0} id")]
pub struct InvalidId(&'static str);

impl<K: Kind> Id<K> {
    /// The id whose random part is `random`. Version 7 UUIDs make ids that sort by time.
    pub fn new(random: Uuid) -> Self {
        let digits: String = random.simple().to_string().chars().take(K::DIGITS).collect();
        Self { text: format!("{}{digits}", K::PREFIX), kind: PhantomData }
    }

    /// The id as clients see it.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl<K: Kind> FromStr for Id<K> {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let digits = text.strip_prefix(K::PREFIX).ok_or(InvalidId(K::NAME))?;
        let hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
        if digits.len() == K::DIGITS && digits.chars().all(hex) {
            Ok(Self { text: text.to_owned(), kind: PhantomData })
        } else {
            Err(InvalidId(K::NAME))
        }
    }
}

/// A client of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {}
/// An order request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {}
/// The cancellation of a purchase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancellation {}
/// The return of goods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Return {}
/// Any of the three: what has a `request_id`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {}
/// Orders that are bought together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bundle {}
/// A return label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Label {}
/// A managed account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Account {}
/// One webhook to one URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {}
/// What deliveries say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payload {}
/// One movement of money.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Posting {}

impl Kind for Client {
    const PREFIX: &'static str = "cl_";
    const NAME: &'static str = "client";
}

/// `request_id`: 32 hexadecimal digits, as the v1 document shows them.
impl Kind for Order {
    const PREFIX: &'static str = "";
    const NAME: &'static str = "order";
}

impl Kind for Cancellation {
    const PREFIX: &'static str = "";
    const NAME: &'static str = "cancellation";
}

impl Kind for Return {
    const PREFIX: &'static str = "";
    const NAME: &'static str = "return";
}

impl Kind for Request {
    const PREFIX: &'static str = "";
    const NAME: &'static str = "request";
}

impl Kind for Bundle {
    const PREFIX: &'static str = "bundle_";
    const NAME: &'static str = "bundle";
}

/// Who knows it may have the label, so it is longer than a UUID can fill: [`crate::labels::new_id`].
impl Kind for Label {
    const PREFIX: &'static str = "";
    const NAME: &'static str = "label";
    const DIGITS: usize = 64;
}

/// What a client asks for and gets a `request_id` of.
pub trait Requested: Kind {}

impl Requested for Order {}
impl Requested for Cancellation {}
impl Requested for Return {}
impl Requested for Request {}

impl<K: Requested> Id<K> {
    /// The same id, where it does not matter what was asked for.
    pub fn request(&self) -> RequestId {
        Id { text: self.text.clone(), kind: PhantomData }
    }
}

/// `short_id`: `zn_acct_a1b2c3d4`. Twelve digits instead of eight, since ids are also looked up across a client's history.
impl Kind for Account {
    const PREFIX: &'static str = "zn_acct_";
    const NAME: &'static str = "managed account";
    const DIGITS: usize = 12;
}

impl Kind for Delivery {
    const PREFIX: &'static str = "msg_";
    const NAME: &'static str = "webhook delivery";
}

impl Kind for Payload {
    const PREFIX: &'static str = "pay_";
    const NAME: &'static str = "webhook payload";
}

impl Kind for Posting {
    const PREFIX: &'static str = "txn_";
    const NAME: &'static str = "transaction";
}

/// A client's id.
pub type ClientId = Id<Client>;
/// An order's `request_id`.
pub type OrderId = Id<Order>;
/// A cancellation's `request_id`.
pub type CancellationId = Id<Cancellation>;
/// A return's `request_id`.
pub type ReturnId = Id<Return>;
/// The `request_id` of an order, a cancellation or a return.
pub type RequestId = Id<Request>;
/// A label's id.
pub type LabelId = Id<Label>;
/// A bundle's id.
pub type BundleId = Id<Bundle>;
/// A managed account's `short_id`.
pub type AccountId = Id<Account>;
/// A delivery's id, the same on every retry.
pub type DeliveryId = Id<Delivery>;
/// A payload's id.
pub type PayloadId = Id<Payload>;
/// A posting's id in a client's ledger. Later ones are greater.
pub type PostingId = Id<Posting>;

impl<K> Clone for Id<K> {
    fn clone(&self) -> Self {
        Self { text: self.text.clone(), kind: PhantomData }
    }
}

impl<K> PartialEq for Id<K> {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl<K> Eq for Id<K> {}

impl<K> PartialOrd for Id<K> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// As their texts sort.
impl<K> Ord for Id<K> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.text.cmp(&other.text)
    }
}

impl<K> std::hash::Hash for Id<K> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl<K> fmt::Debug for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl<K> fmt::Display for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl<K> Serialize for Id<K> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de, K: Kind> Deserialize<'de> for Id<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_as_itself() {
        let id = AccountId::new(Uuid::from_u128(0xa1b2_c3d4_e5f6_0000_0000_0000_0000_0000));
        assert_eq!(id.as_str(), "zn_acct_a1b2c3d4e5f6");
        assert_eq!(id.as_str().parse(), Ok(id));
    }

    #[test]
    fn foreign_prefixes_lengths_and_characters_are_refused() {
        for text in
            ["", "cl_", "zn_acct_", "zn_acct_a1b2", "zn_acct_a1b2c3d4e5fg", "zn_acct_A1B2C3D4E5F6"]
        {
            assert_eq!(text.parse::<AccountId>(), Err(InvalidId("managed account")), "{text}");
        }
    }
}
