//! Which orders are bought together, and when: the rules of the v1 document.
//!
//! A bundle is bought as soon as it holds more than $55 of products, or once it has waited for six hours. No two of
//! its orders name the same product.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    accounts::{AccountRef, Owner},
    backlog::Place,
    clock,
    id::{BundleId, OrderId},
    money::Cents,
};

/// As soon as a bundle holds more than this, it is bought.
pub const ENOUGH: Cents = Cents(5_500);
/// After this a bundle is bought whatever it holds.
pub const LONGEST_WAIT: Duration = Duration::from_hours(6);
/// The orders of a bundle are marked as being submitted in one transaction, which takes 100 items.
pub const MAX_MEMBERS: usize = 25;

/// What orders must have in common to be bought in one go: one account, one retailer, one way of paying.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Group(pub String);

/// Orders that wait for each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    /// Its id.
    pub id: BundleId,
    /// Whose orders they are.
    pub owner: Owner,
    /// The account that buys.
    pub account: AccountRef,
    /// What they have in common.
    pub group: Group,
    /// The orders, in the order they came.
    pub members: Vec<Member>,
    /// When the first one came.
    pub opened_at: Timestamp,
    /// When it was found to be ready; from then on nothing is added.
    pub launched_at: Option<Timestamp>,
    /// How often it was tried to be bought.
    pub attempts: u32,
    /// How often it was seen to that it has a job; each time it is waited for twice as long.
    pub dispatches: u32,
    /// Where the last job that was made of it stands in the account's backlog, or stood.
    pub place: Option<Place>,
    /// When the sweeper sees to it.
    pub due_at: Timestamp,
    /// Counts changes; a writer names the version it read.
    pub version: u64,
}

/// An order in a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Which.
    pub order: OrderId,
    /// Its products, as the client named them and as they will be bought.
    pub product_ids: Vec<String>,
    /// What its products cost when it came.
    pub subtotal: Cents,
}

impl Bundle {
    /// A new one, with its first member.
    pub fn open(
        id: BundleId,
        owner: Owner,
        account: AccountRef,
        group: Group,
        member: Member,
        now: Timestamp,
    ) -> Self {
        Self {
            id,
            owner,
            account,
            group,
            members: vec![member],
            opened_at: now,
            launched_at: None,
            attempts: 0,
            dispatches: 0,
            place: None,
            due_at: clock::after(now, LONGEST_WAIT),
            version: 0,
        }
    }

    /// Whether `member` may be added at `now`.
    pub fn takes(&self, member: &Member, now: Timestamp) -> bool {
        self.launched_at.is_none()
            && !self.is_ready(now)
            && self.members.len() < MAX_MEMBERS
            && !self.members.iter().any(|other| {
                other.product_ids.iter().any(|product| member.product_ids.contains(product))
            })
    }

    /// Whether it is to be bought at `now`.
    pub fn is_ready(&self, now: Timestamp) -> bool {
        !self.members.is_empty()
            && (self.subtotal() > ENOUGH
                || self.members.len() >= MAX_MEMBERS
                || now >= clock::after(self.opened_at, LONGEST_WAIT))
    }

    /// What its products cost.
    pub fn subtotal(&self) -> Cents {
        self.members.iter().map(|member| member.subtotal).sum()
    }

    /// The same without those that are not in `waiting` any more: orders that were aborted do not count.
    #[must_use]
    pub fn only(mut self, waiting: &[OrderId]) -> Self {
        self.members.retain(|member| waiting.contains(&member.order));
        self
    }
}

/// The bundle that `member` joins: the oldest of `open` that takes it, all of one group. `None` if it needs a new one.
pub fn choose<'a>(open: &'a [Bundle], member: &Member, now: Timestamp) -> Option<&'a Bundle> {
    open.iter().filter(|bundle| bundle.takes(member, now)).min_by_key(|bundle| bundle.opened_at)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::{
        accounts::EmailHash,
        id::ClientId,
        retailers::{Mode, Site},
    };

    /// One order on its way: minutes since the one before, what it buys and for how much, on which account, and
    /// whether its client aborts it while it waits.
    #[derive(Debug, Clone)]
    struct Arrival {
        minutes: i64,
        products: Vec<u8>,
        cents: u64,
        account: u8,
        is_aborted: bool,
    }

    fn arrivals() -> impl Strategy<Value = Vec<Arrival>> {
        let products = prop::collection::vec(0..6_u8, 1..3);
        let arrival = (0..200_i64, products, 0..7_000_u64, 0..3_u8, prop::bool::weighted(0.1));
        let arrival = arrival.prop_map(|(minutes, products, cents, account, is_aborted)| Arrival {
            minutes,
            products,
            cents,
            account,
            is_aborted,
        });
        prop::collection::vec(arrival, 0..60)
    }

    fn account(number: u8) -> AccountRef {
        AccountRef::new(Site::Sandbox, &EmailHash(number.to_string()))
    }

    fn owner() -> Owner {
        Owner { client: ClientId::new(Uuid::nil()), mode: Mode::Test }
    }

    fn member(number: u128, arrival: &Arrival) -> Member {
        Member {
            order: OrderId::new(Uuid::from_u128(number)),
            product_ids: arrival.products.iter().map(u8::to_string).collect(),
            subtotal: Cents(arrival.cents),
        }
    }

    /// The worker and the sweeper on a clock that a test turns: what was bought together, and when.
    #[derive(Default)]
    struct World {
        open: Vec<Bundle>,
        bought: Vec<(Timestamp, Bundle)>,
    }

    impl World {
        /// The sweeper comes by every minute.
        fn pass(&mut self, from: Timestamp, minutes: i64) -> Timestamp {
            let mut now = from;
            for _ in 0..minutes {
                now = clock::after(now, Duration::from_mins(1));
                self.launch(now);
            }
            now
        }

        fn launch(&mut self, now: Timestamp) {
            let (ready, open) =
                std::mem::take(&mut self.open).into_iter().partition(|bundle| bundle.is_ready(now));
            self.open = open;
            let ready: Vec<Bundle> = ready;
            self.bought.extend(ready.into_iter().map(|bundle| (now, bundle)));
        }

        fn arrive(&mut self, number: u128, arrival: &Arrival, now: Timestamp) {
            let member = member(number, arrival);
            let account = account(arrival.account);
            let own: Vec<_> =
                self.open.iter().filter(|bundle| bundle.account == account).cloned().collect();
            let chosen = choose(&own, &member, now).map(|bundle| bundle.id.clone());
            let joined = self.open.iter_mut().find(|bundle| Some(&bundle.id) == chosen.as_ref());
            if let Some(bundle) = joined {
                bundle.members.push(member);
            } else {
                let id = BundleId::new(Uuid::from_u128(number));
                let group = Group("gift".to_owned());
                self.open.push(Bundle::open(id, owner(), account, group, member, now));
            }
            self.launch(now);
        }

        fn abort(&mut self, number: u128) {
            let gone = OrderId::new(Uuid::from_u128(number));
            for bundle in &mut self.open {
                bundle.members.retain(|member| member.order != gone);
            }
            self.open.retain(|bundle| !bundle.members.is_empty());
        }
    }

    proptest! {
        #[test]
        fn whatever_arrives_the_rules_hold(arrivals in arrivals()) {
            let mut world = World::default();
            let mut now = Timestamp::UNIX_EPOCH;
            let mut expected = vec![];
            for (number, arrival) in (0..).zip(&arrivals) {
                now = world.pass(now, arrival.minutes);
                world.arrive(number, arrival, now);
                let waits = world.open.iter().flat_map(|bundle| &bundle.members)
                    .any(|member| member.order == OrderId::new(Uuid::from_u128(number)));
                if arrival.is_aborted && waits {
                    world.abort(number);
                } else {
                    expected.push((number, arrival, now));
                }
            }
            world.pass(now, 7 * 60);
            prop_assert!(world.open.is_empty(), "nothing waits forever");

            let mut bought = vec![];
            for (launched_at, bundle) in &world.bought {
                let waited = clock::until(*launched_at, bundle.opened_at);
                prop_assert!(bundle.subtotal() > ENOUGH || waited >= LONGEST_WAIT || bundle.members.len() == MAX_MEMBERS);
                prop_assert!(waited <= LONGEST_WAIT + Duration::from_mins(1));
                let but_last: Cents = bundle.members.iter().rev().skip(1).map(|member| member.subtotal).sum();
                prop_assert!(but_last <= ENOUGH, "it was bought as soon as it could be");
                let mut products: Vec<_> = bundle.members.iter()
                    .flat_map(|member| member.product_ids.iter().collect::<std::collections::BTreeSet<_>>()).collect();
                let all = products.len();
                products.sort_unstable();
                products.dedup();
                prop_assert_eq!(products.len(), all, "no product twice");
                for member in &bundle.members {
                    let (number, arrival, arrived_at) = *expected.iter()
                        .find(|(number, ..)| member.order == OrderId::new(Uuid::from_u128(*number))).unwrap();
                    prop_assert_eq!(&account(arrival.account), &bundle.account, "accounts are kept apart");
                    prop_assert!(clock::until(*launched_at, arrived_at) <= LONGEST_WAIT + Duration::from_mins(1));
                    bought.push(number);
                }
            }
            bought.sort_unstable();
            prop_assert_eq!(bought, expected.iter().map(|(number, ..)| *number).collect::<Vec<_>>(), "each once");
        }
    }

    #[test]
    fn exactly_55_dollars_is_not_yet_enough() {
        let arrival = |cents, product| Arrival {
            minutes: 0,
            products: vec![product],
            cents,
            account: 0,
            is_aborted: false,
        };
        let mut world = World::default();
        let now = Timestamp::UNIX_EPOCH;
        world.arrive(0, &arrival(5_500, 0), now);
        assert!(world.bought.is_empty());
        world.arrive(1, &arrival(1, 1), now);
        assert_eq!(world.bought.len(), 1);
    }
}
