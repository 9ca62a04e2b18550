//! Lanes: what one receiver is told of one request, in order.
//!
//! A lane is there while something waits in it. Only its first delivery is ever tried; the next one follows once that
//! was received or given up. So the events of one request reach one URL in the order in which they happened.

use std::{fmt, str::FromStr};

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use url::Url;

use crate::{
    accounts::Owner,
    id::{DeliveryId, PayloadId, RequestId},
    sealed::Sealed,
};

/// Where a delivery goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Destination {
    /// A URL that a request named.
    Url {
        /// Without user and password.
        url: String,
        /// `user:password`, sealed.
        userinfo: Option<Sealed>,
    },
    /// The client's own endpoint, wherever that is when it is sent.
    Account,
}

/// Tells one receiver from another: half a SHA-256 of its URL, so that it fits keys and says nothing of the URL.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ReceiverKey(String);

const KEY_DIGITS: usize = 32;
const ACCOUNT: &str = "account";

impl ReceiverKey {
    fn of(text: &str) -> Self {
        Self(HEXLOWER.encode(&Sha256::digest(text)).chars().take(KEY_DIGITS).collect())
    }

    /// The client's own endpoint.
    pub fn account() -> Self {
        Self(ACCOUNT.to_owned())
    }
}

impl fmt::Display for ReceiverKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// A text that is no key of a receiver.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a key of a receiver")]
pub struct InvalidKey;

impl FromStr for ReceiverKey {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        let is_hex = |digit: char| digit.is_ascii_digit() || ('a'..='f').contains(&digit);
        let is_key = text == ACCOUNT || (text.len() == KEY_DIGITS && text.chars().all(is_hex));
        if is_key { Ok(Self(text.to_owned())) } else { Err(InvalidKey) }
    }
}

impl Destination {
    /// The exact URL.
    pub fn receiver(&self) -> ReceiverKey {
        match self {
            Self::Url { url, .. } => ReceiverKey::of(url),
            Self::Account => ReceiverKey::account(),
        }
    }

    /// The endpoint behind it: the URL without its query, where clients put ids of their own.
    pub fn endpoint(&self) -> ReceiverKey {
        match self {
            Self::Url { url, .. } => ReceiverKey::of(&without_query(url)),
            Self::Account => ReceiverKey::account(),
        }
    }

    /// The host and port behind that: some clients put ids into paths, too.
    pub fn origin(&self) -> ReceiverKey {
        match self {
            Self::Url { url, .. } => ReceiverKey::of(&origin_of(url)),
            Self::Account => ReceiverKey::account(),
        }
    }
}

/// The scheme, host and port of `url`.
fn origin_of(url: &str) -> String {
    Url::parse(url).map_or_else(|_| url.to_owned(), |url| url.origin().ascii_serialization())
}

/// `url` without query and fragment.
pub fn without_query(url: &str) -> String {
    let Ok(mut parsed) = Url::parse(url) else { return url.to_owned() };
    parsed.set_query(None);
    parsed.set_fragment(None);
    parsed.into()
}

/// Which lane.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LaneKey {
    /// What it tells of.
    pub request: RequestId,
    /// Whom it tells.
    pub receiver: ReceiverKey,
    /// The endpoint that is.
    pub endpoint: ReceiverKey,
    /// The host and port that it is at.
    pub origin: ReceiverKey,
}

/// How many lanes of one origin are worked on at once.
const AT_ONCE: u32 = 4;

impl LaneKey {
    /// The lane that tells `destination` of `request`.
    pub fn new(request: RequestId, destination: &Destination) -> Self {
        let (receiver, endpoint) = (destination.receiver(), destination.endpoint());
        Self { request, receiver, endpoint, origin: destination.origin() }
    }

    /// The message group of the queue: a host that hangs holds up nothing but its own groups, of which there are four,
    /// whatever its paths. SQS gives out nothing more of a group while a message of it is worked on.
    pub fn group(&self, owner: &Owner) -> String {
        let last = self.request.as_str().chars().next_back();
        let digit = last.and_then(|digit| digit.to_digit(16)).unwrap_or_default();
        let whose = ReceiverKey::of(&format!("{}#{}", owner.partition(), self.origin));
        format!("{whose}-{}", digit % AT_ONCE)
    }
}

impl fmt::Display for LaneKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} to {}", self.request, self.receiver)
    }
}

/// A delivery that waits in a lane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// Which.
    pub delivery: DeliveryId,
    /// What it says.
    pub payload: PayloadId,
}

/// A lane that is being worked on. Whoever holds its claim is the only one who may change what waits in it, but for
/// what is added at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Whose it is.
    pub owner: Owner,
    /// Which lane.
    pub lane: LaneKey,
    /// What tells this claim from others.
    pub token: String,
    /// The delivery that is to be tried.
    pub head: Waiting,
    /// How many wait, this one included, when it was claimed.
    pub waiting: usize,
    /// The number of this try of the first delivery, from 1.
    pub attempt: u32,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use uuid::Uuid;

    use super::*;
    use crate::id::Id;

    fn to(url: &str) -> Destination {
        Destination::Url { url: url.to_owned(), userinfo: None }
    }

    fn owner() -> Owner {
        let client = "cl_0123456789abcdef0123456789abcdef".parse().unwrap();
        Owner { client, mode: crate::retailers::Mode::Test }
    }

    #[test]
    fn urls_that_differ_in_their_query_are_one_endpoint() {
        let (one, other) = (to("https://a.example/x?id=1"), to("https://a.example/x?id=2"));
        assert_eq!(one.endpoint(), other.endpoint());
        assert_ne!(one.receiver(), other.receiver());
        assert_ne!(one.endpoint(), to("https://a.example/y").endpoint());
        assert_eq!(one.origin(), to("https://a.example/y").origin());
        assert_ne!(one.origin(), to("https://a.example:8443/x").origin());
        assert_eq!(Destination::Account.receiver(), ReceiverKey::account());
    }

    #[test]
    fn a_host_has_few_groups_and_a_lane_always_the_same_one() {
        let requests: Vec<RequestId> = (0..200).map(|_| Id::new(Uuid::new_v4())).collect();
        let url = |request: &RequestId| to(&format!("https://a.example/{request}"));
        let lane = |request: &RequestId| LaneKey::new(request.clone(), &url(request));
        let groups: BTreeSet<_> =
            requests.iter().map(|request| lane(request).group(&owner())).collect();
        assert_eq!(groups.len(), 4);
        assert!(groups.iter().all(|group| group.len() <= 128));
        let first = requests.first().unwrap();
        assert_eq!(lane(first).group(&owner()), lane(first).group(&owner()));
    }

    #[test]
    fn keys_read_back_and_other_texts_do_not() {
        for key in [to("https://a.example/").receiver(), ReceiverKey::account()] {
            assert_eq!(key.to_string().parse(), Ok(key));
        }
        for text in ["", "accounts", "0123", &"G".repeat(32)] {
            assert_eq!(text.parse::<ReceiverKey>(), Err(InvalidKey), "{text}");
        }
    }
}
