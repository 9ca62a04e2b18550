//! The keys of the table of orders, which also holds all that changes together with an order.
//!
//! | item | pk | sk |
//! |---|---|---|
//! | order | owner | `ORDER#<id>` |
//! | idempotency record | owner | `IDEMPOTENCY#<hash of the key>` |
//! | bundle that waits | owner | `BUNDLE#<account>#<group>#<id>` |
//! | cancellation | owner | `CANCELLATION#<id>` |
//! | return | owner | `RETURN#<id>` |
//! | webhooks that wait for one receiver | owner | `LANE#<request>#<receiver>#<endpoint>#<origin>` |
//! | delivery of a webhook | owner | `DELIVERY#<id>` |
//! | that a delivery is not tried any more | owner | `UNDELIVERED#<id>` |
//! | what deliveries say | owner | `PAYLOAD#<request>#<id>` |
//! | endpoint that fails or is disabled | owner | `ENDPOINT#<receiver or endpoint>` |
//! | the client's own endpoint and signing secrets | owner | `WEBHOOKS` |
//! | job that is not done | `BACKLOG#<account>` | `JOB#<place>` |
//! | how many of those there are | `BACKLOG#<account>` | `HEAD` |
//! | claim | `CLAIM#<account>` | the retailer's order id |
//! | claim of a return | `CLAIM#<account>` | `RETURN#<the retailer's return id>` |
//!
//! What something must still happen to also carries `due_shard` and `due_at`, and so shows in the index `due`.

use aws_sdk_dynamodb::types::AttributeValue;
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use super::{AwsError, Item, key};
use crate::{
    accounts::{AccountRef, Owner},
    backlog::Place,
    id::{BundleId, CancellationId, DeliveryId, Id, Kind, OrderId, PayloadId, RequestId, ReturnId},
    orders::bundling::Group,
    webhooks::lanes::{LaneKey, ReceiverKey},
};

/// Something that is due, by its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Due {
    /// An order.
    Order(Owner, OrderId),
    /// Orders to be bought together.
    Bundle(Owner, BundleKey),
    /// A cancellation.
    Cancellation(Owner, CancellationId),
    /// A return.
    Return(Owner, ReturnId),
    /// Jobs of an account.
    Backlog(AccountRef),
    /// Webhooks that wait for one receiver.
    Lane(Owner, LaneKey),
}

/// Where a bundle is.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct BundleKey {
    /// The account that buys.
    pub account: AccountRef,
    /// What its orders have in common.
    pub group: Group,
    /// Its id.
    pub id: BundleId,
}

/// In how many partitions of the index what is due is spread.
const DUE_SHARDS: u32 = 4;

/// What is found apart from each other in the index: a receiver that hangs must not hide an order from the sweeper.
#[derive(Debug, Clone, Copy)]
pub(super) enum DueKind {
    Backlog,
    Order,
    Bundle,
    Cancellation,
    Return,
    Lane,
}

impl DueKind {
    /// As the sweeper comes to them: whatever else is due may only be waiting for a job that has lost its message.
    const ALL: [Self; 6] =
        [Self::Backlog, Self::Order, Self::Bundle, Self::Cancellation, Self::Return, Self::Lane];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Order => "order",
            Self::Bundle => "bundle",
            Self::Cancellation => "cancellation",
            Self::Return => "return",
            Self::Backlog => "backlog",
            Self::Lane => "lane",
        }
    }

    /// The shard of what has this id.
    pub(super) fn shard(self, id: &str) -> String {
        let digit = id.chars().next_back().and_then(|digit| digit.to_digit(16)).unwrap_or_default();
        format!("{}-{}", self.as_str(), digit % DUE_SHARDS)
    }

    /// Every shard there is.
    pub(super) fn shards() -> impl Iterator<Item = (Self, String)> {
        let name = |kind: Self, shard| format!("{}-{shard}", kind.as_str());
        let of = move |kind| (0..DUE_SHARDS).map(move |shard| (kind, name(kind, shard)));
        Self::ALL.into_iter().flat_map(of)
    }
}

pub(super) fn order(owner: &Owner, id: &OrderId) -> Item {
    owned(owner, order_sk(id))
}

pub(super) fn order_sk(id: &OrderId) -> String {
    format!("ORDER#{id}")
}

/// Clients choose their keys, so the key is hashed: any length, any characters.
pub(super) fn idempotency_sk(key: &str) -> String {
    format!("IDEMPOTENCY#{}", HEXLOWER.encode(&Sha256::digest(key)))
}

pub(super) fn bundles_sk(account: &AccountRef, group: &Group) -> String {
    format!("BUNDLE#{account}#{}#", group.0)
}

pub(super) fn bundle_sk(bundle: &BundleKey) -> String {
    format!("{}{}", bundles_sk(&bundle.account, &bundle.group), bundle.id)
}

/// Each kind is filed under its own name.
pub(super) fn aftersale_sk<K: Kind>(kind: DueKind, id: &Id<K>) -> String {
    format!("{}#{id}", kind.as_str().to_uppercase())
}

pub(super) fn lane_sk(lane: &LaneKey) -> String {
    let LaneKey { request, receiver, endpoint, origin } = lane;
    format!("LANE#{request}#{receiver}#{endpoint}#{origin}")
}

/// What the keys of all deliveries begin with; their ids sort by time.
pub(super) const DELIVERY: &str = "DELIVERY#";
/// The same for those that are not tried any more.
pub(super) const UNDELIVERED: &str = "UNDELIVERED#";

pub(super) fn delivery_sk(id: &DeliveryId) -> String {
    format!("{DELIVERY}{id}")
}

pub(super) fn undelivered_sk(id: &DeliveryId) -> String {
    format!("{UNDELIVERED}{id}")
}

/// What the keys of all that was said of a request begin with.
pub(super) fn payloads_sk(request: &RequestId) -> String {
    format!("PAYLOAD#{request}#")
}

pub(super) fn payload_sk(request: &RequestId, id: &PayloadId) -> String {
    format!("{}{id}", payloads_sk(request))
}

/// What the keys of all endpoints begin with.
pub(super) const ENDPOINT: &str = "ENDPOINT#";

pub(super) fn endpoint_sk(key: &ReceiverKey) -> String {
    format!("{ENDPOINT}{key}")
}

/// The client's own endpoint and its signing secrets.
pub(super) const WEBHOOKS: &str = "WEBHOOKS";

const BACKLOG: &str = "BACKLOG#";
/// Of a backlog: what there is besides its jobs. It sorts before them.
const BACKLOG_HEAD: &str = "HEAD";

pub(super) fn backlog_pk(account: &AccountRef) -> String {
    format!("{BACKLOG}{account}")
}

pub(super) fn backlog_head(account: &AccountRef) -> Item {
    key([("pk", backlog_pk(account)), ("sk", BACKLOG_HEAD.to_owned())])
}

pub(super) fn is_backlog_head(item: &Item) -> bool {
    item.get("sk").and_then(|sk| sk.as_s().ok()).is_some_and(|sk| sk == BACKLOG_HEAD)
}

pub(super) fn backlog_job_sk(place: &Place) -> String {
    format!("JOB#{place}")
}

pub(super) fn backlog_job(account: &AccountRef, place: &Place) -> Item {
    key([("pk", backlog_pk(account)), ("sk", backlog_job_sk(place))])
}

pub(super) fn claim_pk(account: &AccountRef) -> String {
    format!("CLAIM#{account}")
}

pub(super) fn claimed_return_sk(merchant_return_id: &str) -> String {
    format!("RETURN#{merchant_return_id}")
}

pub(super) fn owned(owner: &Owner, sk: String) -> Item {
    key([("pk", owner.partition()), ("sk", sk)])
}

/// What an item of the index `due` is.
pub(super) fn read_due(item: &Item) -> Result<Due, AwsError> {
    let part = |name: &str| item.get(name).map(AttributeValue::as_s)?.ok().map(String::as_str);
    let due = || {
        if let Some(account) = part("pk")?.strip_prefix(BACKLOG) {
            return Some(Due::Backlog(AccountRef::stored(account)));
        }
        let (client, mode) = part("pk")?.split_once('#')?;
        let owner = Owner { client: client.parse().ok()?, mode: mode.parse().ok()? };
        let parts: Vec<_> = part("sk")?.split('#').collect();
        match parts.as_slice() {
            ["ORDER", order] => Some(Due::Order(owner, order.parse().ok()?)),
            ["CANCELLATION", id] => Some(Due::Cancellation(owner, id.parse().ok()?)),
            ["RETURN", id] => Some(Due::Return(owner, id.parse().ok()?)),
            ["LANE", request, receiver, endpoint, origin] => {
                let (request, receiver) = (request.parse().ok()?, receiver.parse().ok()?);
                let (endpoint, origin) = (endpoint.parse().ok()?, origin.parse().ok()?);
                Some(Due::Lane(owner, LaneKey { request, receiver, endpoint, origin }))
            }
            ["BUNDLE", account, group, id] => {
                let (account, group) = (AccountRef::stored(account), Group((*group).to_owned()));
                Some(Due::Bundle(owner, BundleKey { account, group, id: id.parse().ok()? }))
            }
            _ => None,
        }
    };
    due().ok_or_else(|| AwsError::Corrupt("the index of what is due", "unknown key".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_in_the_index_read_back() {
        let owner = "cl_0123456789abcdef0123456789abcdef#test";
        let id = "0123456789abcdef0123456789abcdef";
        let item = |sk: String| key([("pk", owner.to_owned()), ("sk", sk)]);
        assert!(matches!(read_due(&item(format!("ORDER#{id}"))), Ok(Due::Order(..))));
        let lane = LaneKey {
            request: id.parse().unwrap(),
            receiver: id.parse().unwrap(),
            endpoint: ReceiverKey::account(),
            origin: id.parse().unwrap(),
        };
        let found = read_due(&item(lane_sk(&lane)));
        assert!(matches!(found, Ok(Due::Lane(_, found)) if found == lane));
        let id_of = |text: &str| text.parse::<CancellationId>().unwrap();
        let sk = aftersale_sk(DueKind::Cancellation, &id_of(id));
        assert!(matches!(read_due(&item(sk)), Ok(Due::Cancellation(..))));
        let sk = aftersale_sk(DueKind::Return, &id_of(id));
        assert!(matches!(read_due(&item(sk)), Ok(Due::Return(..))));
        let bundle = BundleKey {
            account: AccountRef::stored("sandbox-abc"),
            group: Group("amazon-gift".to_owned()),
            id: format!("bundle_{id}").parse().unwrap(),
        };
        let found = read_due(&item(bundle_sk(&bundle)));
        assert!(matches!(found, Ok(Due::Bundle(_, found)) if found == bundle));
        assert!(read_due(&item("OTHER#1".to_owned())).is_err());
        let account = AccountRef::stored("sandbox-abc");
        assert_eq!(read_due(&backlog_head(&account)).unwrap(), Due::Backlog(account));
    }
}
