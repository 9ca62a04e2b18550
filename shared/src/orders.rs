//! An order and its lifecycle. Everything here is a decision: no clock, no storage, no network.

pub mod account_news;
pub mod bundling;
pub mod purchase;
pub mod reconcile;
pub mod request;
pub mod selection;
pub mod shipping;
pub mod tracking;
pub mod variants;

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    accounts::{AccountRef, Owner},
    backlog::Place,
    clock,
    email::Email,
    error::{Code, Refusal},
    id::{AccountId, BundleId, OrderId},
    ledger::Hold,
    orders::{bundling::Group, tracking::Tracking},
    retailers::{AccountStatus, CartLine, PastOrder, RetailerCode, Review, Site},
    sealed::Sealed,
    sign_in,
    webhooks::{EventKind, Target},
};

/// An accepted order request.
#[derive(Debug, Clone)]
pub struct Order {
    /// `request_id`.
    pub id: OrderId,
    /// Whose it is.
    pub owner: Owner,
    /// Where the client wants it bought.
    pub retailer: RetailerCode,
    /// Where it is bought.
    pub site: Site,
    /// The retailer account it is bought with: its turn in the queue and its lock.
    pub account: AccountRef,
    /// That account's e-mail.
    pub email: Email,
    /// Where that account's secrets are.
    pub login: LoginSource,
    /// The login that came with the order, sealed, for as long as it may be needed: [`Order::due_after`].
    pub secrets: Option<Sealed>,
    /// Whether its card waits in the table of cards.
    pub has_card: bool,
    /// With which others it may be bought together, if it may.
    pub group: Option<Group>,
    /// What it takes from its client's balance, if that pays: held until it ends, and longer if nobody knows whether
    /// it was bought.
    pub hold: Option<Hold>,
    /// The request without its secrets, as it is echoed.
    pub request: Value,
    /// Who is told what became of it.
    pub webhooks: Vec<Target>,
    /// Where it stands.
    pub status: Status,
    /// How it came there.
    pub updates: Vec<StatusUpdate>,
    /// How often it was seen to that it has a job; each time it is waited for twice as long.
    pub dispatches: u32,
    /// Where the last job that was made of it stands in the account's backlog, or stood.
    pub place: Option<Place>,
    /// When the sweeper sees to it.
    pub due_at: Option<Timestamp>,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When it was known to be bought or not.
    pub ended_at: Option<Timestamp>,
    /// The order that was made of it when its client asked for another try.
    pub retried_as: Option<OrderId>,
    /// Counts changes; a writer names the version it read.
    pub version: u64,
}

/// Whose secrets sign in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoginSource {
    /// They came with the order.
    Order,
    /// A managed account's: the client's own, or one of the operator's internal ones.
    Account {
        /// Whose account.
        owner: Owner,
        /// Which.
        id: AccountId,
    },
}

/// Where an order stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Status {
    /// Waits for its account's turn.
    Queued,
    /// Waits for others to be bought together with.
    Bundled {
        /// The bundle it is in.
        bundle: BundleId,
    },
    /// A worker is at it. Nothing was bought.
    Working(Attempt),
    /// "Buy" may have been pressed: from here it can only be found out, never tried again.
    Submitting(Marker),
    /// Bought.
    Placed(Placement),
    /// Not bought.
    Failed(Refusal),
    /// Perhaps bought: nobody could find out.
    ProbablyPlaced(Refusal),
}

/// One try at buying.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// From 1.
    pub number: u32,
    /// The fencing token of its lease.
    pub fence: u64,
    /// How far it came.
    pub step: Step,
}

/// The checkpoints of a purchase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Begun.
    Started,
    /// The retailer has mailed a code and waits for it.
    CodeRequested,
    /// Signed in at the retailer.
    SignedIn,
    /// Offers were chosen and are in the cart.
    CartFilled,
}

impl Step {
    /// As it stands in `status_updates`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Started => "request.started",
            Self::CodeRequested => "verification.requested",
            Self::SignedIn => "account.signed_in",
            Self::CartFilled => "cart.filled",
        }
    }
}

/// Written before "buy" is pressed, by the only worker that may press it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Marker {
    /// The attempt it belongs to.
    pub attempt: u32,
    /// The fencing token of the worker's lease.
    pub fence: u64,
    /// When it was written, before the press.
    #[serde(with = "crate::clock::millis")]
    pub written_at: Timestamp,
    /// After this the worker cannot press any more: its invocation is over.
    #[serde(with = "crate::clock::millis")]
    pub deadline: Timestamp,
    /// What was agreed on.
    pub review: Review,
    /// What was in the cart.
    pub lines: Vec<CartLine>,
    /// Where it goes, as the retailer's history shows it.
    pub zip_code: String,
    /// Orders the account's history already held.
    pub known_orders: Vec<String>,
    /// What the site said of the account.
    pub account_status: AccountStatus,
    /// The bundle it is bought with.
    #[serde(default)]
    pub bundle: Option<BundleId>,
}

/// A purchase that was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Placement {
    /// What was agreed on.
    pub review: Review,
    /// What the retailer made of it.
    pub merchant_orders: Vec<PastOrder>,
    /// What the site said of the account.
    pub account_status: AccountStatus,
    /// What the retailer said of its parcels.
    #[serde(default)]
    pub tracking: Tracking,
    /// Which of the retailer's orders it may have been asked to cancel.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub asked_to_cancel: Vec<String>,
}

impl Placement {
    /// Where one of the retailer's orders can be followed as a whole, if the retailer says so.
    pub fn tracking_url<'a>(&'a self, past: &'a PastOrder) -> Option<&'a str> {
        let note = self.tracking.note_of(&past.merchant_order_id);
        let noted = note.and_then(|note| note.tracking_url.as_deref());
        noted.or(past.tracking_url.as_deref())
    }

    /// When one of the retailer's orders should arrive, `YYYY-MM-DD`.
    pub fn delivery_date(&self, past: &PastOrder) -> Option<&str> {
        let note = self.tracking.note_of(&past.merchant_order_id);
        let noted = note.and_then(|note| note.delivery_date.as_deref());
        let is_in = |product: &String| past.products.iter().any(|(bought, _)| bought == product);
        let mut promised = self.review.delivery_dates.iter().filter(|(product, _)| is_in(product));
        noted.or_else(|| promised.next().map(|(_, date)| date.as_str()))
    }
}

/// What happens to an order.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// It is put into a bundle.
    Join(BundleId),
    /// A worker takes it up, for the first time or after another was lost.
    Start(Attempt),
    /// A checkpoint is reached.
    Reach(Step),
    /// "Buy" is about to be pressed.
    Press(Marker),
    /// It was bought.
    Confirm(Placement),
    /// It was certainly not bought.
    Refuse(Refusal),
    /// Nobody can find out whether it was bought.
    GiveUp(Refusal),
    /// Its client wants it no more.
    Abort,
    /// The retailer says more of its parcels.
    Track(Tracking),
    /// The retailer is about to be asked to cancel this one of its orders.
    AskToCancel(String),
}

/// An event that cannot happen to an order as it stands.
#[derive(Debug, PartialEq, thiserror::Error)]
#[error("an order that is {from:?} cannot take {event:?}")]
pub struct IllegalTransition {
    /// How it stood.
    pub from: Box<Status>,
    /// What was tried.
    pub event: Box<Event>,
}

impl Status {
    /// The whole lifecycle. What is not listed cannot happen; above all, nothing leads out of `Submitting` back to
    /// where "buy" could be pressed again.
    pub fn on(self, event: Event) -> Result<Self, IllegalTransition> {
        match (self, event) {
            (Self::Queued, Event::Join(bundle)) => Ok(Self::Bundled { bundle }),
            (Self::Queued | Self::Working(_), Event::Start(attempt)) => Ok(Self::Working(attempt)),
            (Self::Working(attempt), Event::Reach(step)) if step > attempt.step => {
                Ok(Self::Working(Attempt { step, ..attempt }))
            }
            (Self::Bundled { .. } | Self::Working(_), Event::Press(marker)) => {
                Ok(Self::Submitting(marker))
            }
            (Self::Submitting(_), Event::Confirm(placement)) => Ok(Self::Placed(placement)),
            (
                Self::Queued | Self::Bundled { .. } | Self::Working(_) | Self::Submitting(_),
                Event::Refuse(refusal),
            ) => Ok(Self::Failed(refusal)),
            (Self::Submitting(_), Event::GiveUp(refusal)) => Ok(Self::ProbablyPlaced(refusal)),
            (Self::Queued | Self::Bundled { .. } | Self::Working(_), Event::Abort) => {
                Ok(Self::Failed(aborted()))
            }
            (Self::Placed(placement), Event::Track(tracking)) => {
                Ok(Self::Placed(Placement { tracking, ..placement }))
            }
            (Self::Placed(mut placement), Event::AskToCancel(id)) => {
                if !placement.asked_to_cancel.contains(&id) {
                    placement.asked_to_cancel.push(id);
                }
                Ok(Self::Placed(placement))
            }
            (from, event) => {
                Err(IllegalTransition { from: Box::new(from), event: Box::new(event) })
            }
        }
    }

    /// Whether it is decided whether it was bought.
    pub const fn is_final(&self) -> bool {
        match self {
            Self::Queued | Self::Bundled { .. } | Self::Working(_) | Self::Submitting(_) => false,
            Self::Placed(_) | Self::Failed(_) | Self::ProbablyPlaced(_) => true,
        }
    }

    /// A word for logs: why it failed, if it did.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Bundled { .. } => "bundled",
            Self::Working(_) => "working",
            Self::Submitting(_) => "submitting",
            Self::Placed(_) => "placed",
            Self::Failed(refusal) | Self::ProbablyPlaced(refusal) => refusal.code.as_str(),
        }
    }

    /// The attempt that the next worker begins.
    pub const fn next_attempt(&self) -> u32 {
        match self {
            Self::Working(attempt) => attempt.number.saturating_add(1),
            Self::Submitting(marker) => marker.attempt.saturating_add(1),
            Self::Queued
            | Self::Bundled { .. }
            | Self::Placed(_)
            | Self::Failed(_)
            | Self::ProbablyPlaced(_) => 1,
        }
    }
}

/// One line of `status_updates`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StatusUpdate {
    /// When.
    #[serde(with = "crate::clock::millis")]
    pub at: Timestamp,
    /// What, as `request.finished`.
    pub kind: String,
    /// What, in words.
    pub message: String,
    /// Whether it went well, of the last one.
    pub success: Option<bool>,
}

/// Stands for an account that is not the client's to know.
const INTERNAL_ACCOUNT: &str = "internal";

/// Updates beyond these are left out, oldest first: an order that is tried again and again must still fit its item.
const MAX_UPDATES: usize = 50;

impl Order {
    /// The bundle that it waits in or is bought with.
    pub const fn bundle(&self) -> Option<&BundleId> {
        match &self.status {
            Status::Bundled { bundle } => Some(bundle),
            Status::Submitting(marker) => marker.bundle.as_ref(),
            Status::Queued
            | Status::Working(_)
            | Status::Placed(_)
            | Status::Failed(_)
            | Status::ProbablyPlaced(_) => None,
        }
    }

    /// Whose login signs in: the client's own, or the operator's.
    pub const fn login_owner(&self) -> &Owner {
        match &self.login {
            LoginSource::Order => &self.owner,
            LoginSource::Account { owner, .. } => owner,
        }
    }

    /// Whether its client has called it off.
    pub fn is_aborted(&self) -> bool {
        matches!(&self.status, Status::Failed(refusal) if refusal.code == Code::AbortedRequest)
    }

    /// Whether it waits for a code that the retailer has mailed.
    pub const fn waits_for_code(&self) -> bool {
        matches!(&self.status, Status::Working(Attempt { step: Step::CodeRequested, .. }))
    }

    /// The account that buys, as the client may know it.
    pub fn shown_account(&self) -> &str {
        match &self.login {
            LoginSource::Account { owner, .. } if *owner != self.owner => INTERNAL_ACCOUNT,
            LoginSource::Order | LoginSource::Account { .. } => self.email.as_str(),
        }
    }

    /// How the order ends when nobody can find out what became of `marker`.
    pub fn probably_placed(&self, marker: &Marker, candidates: &[PastOrder]) -> Refusal {
        self.left_open(Refusal::new(Code::OrderProbablyPlaced), marker, candidates)
    }

    /// `refusal`, which leaves open what became of `marker`, with what a person needs to look.
    pub fn left_open(
        &self,
        refusal: Refusal,
        marker: &Marker,
        candidates: &[PastOrder],
    ) -> Refusal {
        let ids: Vec<_> = candidates.iter().map(|past| &past.merchant_order_id).collect();
        refusal.with_more(json!({
            "look_at": self.shown_account(),
            "since": clock::v1_text(marker.written_at),
            "candidates": ids,
        }))
    }

    /// The order after `event` at `now`, and which webhooks that calls for.
    pub fn on(
        mut self,
        event: Event,
        now: Timestamp,
    ) -> Result<(Self, Vec<EventKind>), IllegalTransition> {
        let before = self.status.clone();
        self.status = self.status.on(event)?;
        let news = news(&before, &self.status);
        self.updates.extend(update(&before, &self.status, now));
        let surplus = self.updates.len().saturating_sub(MAX_UPDATES);
        self.updates.drain(..surplus);
        if self.status.is_final() && !before.is_final() {
            self.ended_at = Some(now);
            self.has_card = false;
        }
        if self.login_is_kept_until().is_none() {
            self.secrets = None;
        }
        self.due_at = self.due_after(now);
        Ok((self, news))
    }

    /// When something must be done about the order, if nothing else happens after `now`.
    ///
    /// One that is worked on gets another job. One that was placed is asked after its parcels. A login that came
    /// with the order is forgotten in the end.
    pub fn due_after(&self, now: Timestamp) -> Option<Timestamp> {
        let forget_at = self.secrets.is_some().then(|| self.login_is_kept_until()).flatten();
        match &self.status {
            Status::Working(Attempt { step: Step::CodeRequested, .. }) => {
                Some(clock::after(now, sign_in::LONGEST_WAIT + UNATTENDED_AFTER))
            }
            // Its account's backlog is watched.
            Status::Queued => None,
            Status::Working(_) | Status::Submitting(_) => Some(clock::after(now, UNATTENDED_AFTER)),
            Status::Bundled { .. } => {
                Some(clock::after(now, bundling::LONGEST_WAIT + UNATTENDED_AFTER))
            }
            Status::Placed(placement) => {
                let placed_at = self.ended_at.unwrap_or(now);
                let read_at = tracking::next_read(placement, placed_at, now);
                read_at.into_iter().chain(forget_at).min()
            }
            Status::Failed(_) | Status::ProbablyPlaced(_) => forget_at,
        }
    }

    /// Until when the login that came with the order is kept: to place it, to try it again, to ask after its parcels,
    /// to cancel it or to return it.
    pub fn login_is_kept_until(&self) -> Option<Timestamp> {
        let after_the_end =
            |kept_for| self.ended_at.map(|ended_at| clock::after(ended_at, kept_for));
        match &self.status {
            Status::Queued
            | Status::Bundled { .. }
            | Status::Working(_)
            | Status::Submitting(_) => Some(Timestamp::MAX),
            Status::Placed(_) => after_the_end(KEPT_AFTER_PLACEMENT),
            Status::Failed(_) => after_the_end(KEPT_AFTER_FAILURE),
            Status::ProbablyPlaced(_) => None,
        }
    }
}

/// After this without a further change it is seen to that there is a job: the message of the one that caused the last
/// change would long be back by itself.
const UNATTENDED_AFTER: Duration = Duration::from_mins(10);
/// Retailers take goods back for a month or two.
const KEPT_AFTER_PLACEMENT: Duration = Duration::from_hours(90 * 24);
/// Whoever tries a failed order again does so soon.
const KEPT_AFTER_FAILURE: Duration = Duration::from_hours(24);

fn news(before: &Status, after: &Status) -> Vec<EventKind> {
    match (before, after) {
        (Status::Placed(before), Status::Placed(after)) => tracking::news(before, after),
        (Status::Queued, Status::Working(_) | Status::Bundled { .. })
        | (_, Status::Working(Attempt { step: Step::CodeRequested, .. })) => {
            vec![EventKind::StatusUpdated]
        }
        (
            _,
            Status::Queued | Status::Bundled { .. } | Status::Working(_) | Status::Submitting(_),
        ) => vec![],
        (_, Status::Placed(_)) => vec![EventKind::RequestSucceeded, EventKind::StatusUpdated],
        (_, Status::Failed(_) | Status::ProbablyPlaced(_)) => {
            vec![EventKind::RequestFailed, EventKind::StatusUpdated]
        }
    }
}

fn aborted() -> Refusal {
    Refusal::new(Code::AbortedRequest).with(json!({"msg": "Order aborted and dequeued"}))
}

/// The line that tells of a change; parcels that moved are told of once they all have numbers.
fn update(before: &Status, after: &Status, at: Timestamp) -> Option<StatusUpdate> {
    let (kind, message, success) = match after {
        Status::Queued => ("request.accepted", "Waiting for the account's turn.".to_owned(), None),
        Status::Bundled { .. } => {
            ("order.bundled", "Waiting to be bought together with other orders.".to_owned(), None)
        }
        Status::Working(attempt) if attempt.step == Step::CodeRequested => {
            let text = "The retailer has mailed a verification code and waits for it.";
            (attempt.step.as_str(), text.to_owned(), None)
        }
        Status::Working(attempt) => {
            (attempt.step.as_str(), format!("Attempt {}.", attempt.number), None)
        }
        Status::Submitting(_) => {
            ("order.submitting", "The order is being submitted.".to_owned(), None)
        }
        Status::Placed(placement) if before.is_final() => {
            if !tracking::news(placed(before)?, placement).contains(&EventKind::TrackingObtained) {
                return None;
            }
            ("tracking.obtained", "Every parcel has a tracking number.".to_owned(), None)
        }
        Status::Placed(_) => ("request.finished", "The order was placed.".to_owned(), Some(true)),
        Status::Failed(refusal) | Status::ProbablyPlaced(refusal) => {
            ("request.finished", refusal.message.clone(), Some(false))
        }
    };
    Some(StatusUpdate { at, kind: kind.to_owned(), message, success })
}

fn placed(status: &Status) -> Option<&Placement> {
    match status {
        Status::Placed(placement) => Some(placement),
        Status::Queued
        | Status::Bundled { .. }
        | Status::Working(_)
        | Status::Submitting(_)
        | Status::Failed(_)
        | Status::ProbablyPlaced(_) => None,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::money::Cents;

    pub(crate) fn review() -> Review {
        Review {
            checkout_id: "c".to_owned(),
            subtotal: Cents(1999),
            shipping: Cents(0),
            tax: Cents(1),
            total: Cents(2000),
            gift_certificate: None,
            product_subtotals: vec![("P".to_owned(), Cents(1999))],
            currency: "USD".to_owned(),
            delivery_dates: vec![],
            rejected_promo_codes: vec![],
        }
    }

    pub(crate) fn marker() -> Marker {
        Marker {
            attempt: 1,
            fence: 1,
            written_at: Timestamp::UNIX_EPOCH,
            deadline: Timestamp::UNIX_EPOCH,
            review: review(),
            lines: vec![],
            zip_code: "02139".to_owned(),
            known_orders: vec![],
            account_status: AccountStatus::default(),
            bundle: None,
        }
    }

    fn attempt(step: Step) -> Attempt {
        Attempt { number: 1, fence: 1, step }
    }

    pub(crate) fn placement() -> Placement {
        Placement {
            review: review(),
            merchant_orders: vec![],
            account_status: AccountStatus::default(),
            tracking: Tracking::default(),
            asked_to_cancel: vec![],
        }
    }

    /// An order in a history, of these products and so many of each.
    pub(crate) fn past_order(id: &str, products: &[(&str, u32)]) -> PastOrder {
        let products = products.iter().map(|(product, count)| ((*product).to_owned(), *count));
        PastOrder {
            merchant_order_id: id.to_owned(),
            placed_at: Timestamp::UNIX_EPOCH,
            products: products.collect(),
            total: Cents(2000),
            zip_code: "02139".to_owned(),
            tracking_url: None,
        }
    }

    fn bundle() -> BundleId {
        BundleId::new(uuid::Uuid::nil())
    }

    fn statuses() -> [Status; 7] {
        let refusal = Refusal::new(Code::InternalError);
        [
            Status::Queued,
            Status::Bundled { bundle: bundle() },
            Status::Working(attempt(Step::Started)),
            Status::Submitting(marker()),
            Status::Placed(placement()),
            Status::Failed(refusal.clone()),
            Status::ProbablyPlaced(refusal),
        ]
    }

    fn events() -> [Event; 10] {
        let refusal = Refusal::new(Code::InternalError);
        [
            Event::Join(bundle()),
            Event::Start(attempt(Step::Started)),
            Event::Reach(Step::SignedIn),
            Event::Press(marker()),
            Event::Confirm(placement()),
            Event::Refuse(refusal.clone()),
            Event::GiveUp(refusal),
            Event::Abort,
            Event::Track(Tracking::default()),
            Event::AskToCancel("1".to_owned()),
        ]
    }

    /// Row: status; column: event; the letter of the status that follows, or `-` where it cannot happen.
    const TABLE: [&str; 7] = [
        "BW---F-F--",
        "---S-F-F--",
        "-WWS-F-F--",
        "----PF?---",
        "--------PP",
        "----------",
        "----------",
    ];

    fn letter(status: &Status) -> char {
        match status {
            Status::Queued => 'Q',
            Status::Bundled { .. } => 'B',
            Status::Working(_) => 'W',
            Status::Submitting(_) => 'S',
            Status::Placed(_) => 'P',
            Status::Failed(_) => 'F',
            Status::ProbablyPlaced(_) => '?',
        }
    }

    #[test]
    fn every_status_takes_exactly_the_events_of_the_table() {
        for (status, row) in statuses().iter().zip(TABLE) {
            let actual: String = events()
                .into_iter()
                .map(|event| status.clone().on(event).map_or('-', |next| letter(&next)))
                .collect();
            assert_eq!(actual, row, "{status:?}");
        }
    }

    #[test]
    fn once_submitting_nothing_leads_back_to_the_button() {
        let mut reached = vec![Status::Submitting(marker())];
        let mut next = reached.clone();
        while let Some(status) = next.pop() {
            for event in events() {
                let Ok(after) = status.clone().on(event) else {
                    continue;
                };
                assert!(!matches!(
                    after,
                    Status::Queued
                        | Status::Bundled { .. }
                        | Status::Working(_)
                        | Status::Submitting(_)
                ));
                if !reached.contains(&after) {
                    reached.push(after.clone());
                    next.push(after);
                }
            }
        }
    }

    #[test]
    fn that_a_retailer_is_asked_to_cancel_is_kept_once_and_told_to_nobody() {
        let before = Status::Placed(placement());
        let ask = |status: Status| status.on(Event::AskToCancel("1".to_owned())).unwrap();
        let after = ask(ask(before.clone()));
        assert_eq!(placed(&after).unwrap().asked_to_cancel, ["1"]);
        assert_eq!(news(&before, &after), []);
        assert_eq!(update(&before, &after, Timestamp::UNIX_EPOCH), None);
    }

    #[test]
    fn checkpoints_only_move_forward() {
        let working = Status::Working(attempt(Step::CartFilled));
        assert!(working.clone().on(Event::Reach(Step::SignedIn)).is_err());
        assert!(
            Status::Working(attempt(Step::SignedIn)).on(Event::Reach(Step::CartFilled)).is_ok()
        );
    }

    /// As orders under way are stored. A field that is added must have a default, or they could not be read any more.
    const STORED: [&str; 7] = [
        r#"{"state":"queued"}"#,
        r#"{"state":"bundled","bundle":"bundle_0123456789abcdef0123456789abcdef"}"#,
        r#"{"state":"working","number":2,"fence":3,"step":"cart_filled"}"#,
        r#"{"state":"submitting","attempt":1,"fence":2,"written_at":1,"deadline":2,"review":{"checkout_id":"c",
            "subtotal":1,"shipping":0,"tax":0,"total":1,"gift_certificate":null,"product_subtotals":[["P",1]],
            "currency":"USD","delivery_dates":[["P","2026-01-01"]]},"lines":[{"product_id":"P","offer_id":"O",
            "quantity":1}],"zip_code":"02139","known_orders":["1"],"account_status":{"prime":true,"fresh":false,
            "business":false,"charity":null}}"#,
        r#"{"state":"placed","review":{"checkout_id":"c","subtotal":1,"shipping":0,"tax":0,"total":1,
            "gift_certificate":1,"product_subtotals":[],"currency":"USD","delivery_dates":[]},"merchant_orders":[{
            "merchant_order_id":"1","placed_at":1,"products":[["P",1]],"total":1,"zip_code":"02139",
            "tracking_url":null}],"account_status":{"prime":true,"fresh":false,"business":false,"charity":null}}"#,
        r#"{"state":"failed","code":"internal_error","message":"m","data":{}}"#,
        r#"{"state":"probably_placed","code":"order_probably_placed","message":"m","data":{}}"#,
    ];

    #[test]
    fn orders_that_were_stored_before_can_still_be_read() {
        let letters: String = STORED
            .iter()
            .map(|stored| letter(&serde_json::from_str(stored).expect(stored)))
            .collect();
        assert_eq!(letters, "QBWSPF?");
    }

    #[test]
    fn a_status_reads_back_from_storage() {
        for status in statuses() {
            let stored = json!(status);
            assert_eq!(serde_json::from_value::<Status>(stored).unwrap(), status);
        }
    }
}
