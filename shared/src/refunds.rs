//! Refunds of orders that were paid from the balance: who asked for one and why, and what the operator decided.
//!
//! An order has one refund at a time. While it is open, asking again changes nothing, except that a further part of the
//! order joins it. Once it is decided, it stands, and only another reason or another part begins a new one.

use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    fields::Unfit,
    id::OrderId,
    ledger::{FundsState, OrderFunds},
    money::Cents,
};

/// Why money should come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefundReason {
    /// The client tried to cancel and does not know whether that worked.
    AttemptingToCancel,
    /// The goods went back, with a label that is not ours.
    ReturnCompleted,
    /// The note says it.
    Other,
    /// We cancelled the order at the retailer. Only we say so.
    CancellationSucceeded,
    /// A return that we made has arrived. Only we say so.
    ReturnDelivered,
}

impl RefundReason {
    /// What a client may say.
    pub const OF_CLIENTS: [Self; 3] =
        [Self::AttemptingToCancel, Self::ReturnCompleted, Self::Other];

    /// The code as it stands in requests and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AttemptingToCancel => "attempting_to_cancel",
            Self::ReturnCompleted => "return_completed",
            Self::Other => "other",
            Self::CancellationSucceeded => "cancellation_succeeded",
            Self::ReturnDelivered => "return_delivered",
        }
    }
}

impl FromStr for RefundReason {
    type Err = Unfit;

    /// Reads what a client says.
    fn from_str(text: &str) -> Result<Self, Unfit> {
        let known = Self::OF_CLIENTS.into_iter().find(|reason| reason.as_str() == text);
        known.ok_or_else(|| {
            let codes = Self::OF_CLIENTS.map(Self::as_str);
            Unfit(format!("must be one of {}", codes.join(", ")))
        })
    }
}

/// Where a refund stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum RefundState {
    /// It waits for the operator.
    Requested,
    /// The money is back in the balance.
    Refunded(Decision),
    /// The operator said no.
    Declined(Decision),
}

/// An operator's decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// When.
    #[serde(with = "crate::clock::millis")]
    pub at: Timestamp,
    /// Why, for the client; or nothing.
    pub note: String,
}

impl RefundState {
    /// `refund_state` in answers.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Refunded(_) => "refunded",
            Self::Declined(_) => "declined",
        }
    }

    /// The operator's decision, once there is one.
    pub const fn decision(&self) -> Option<&Decision> {
        match self {
            Self::Requested => None,
            Self::Refunded(decision) | Self::Declined(decision) => Some(decision),
        }
    }
}

/// A refund of one order, or of parts of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refund {
    /// Of which order.
    pub order: OrderId,
    /// Why.
    pub reason: RefundReason,
    /// Why, in words; or nothing.
    pub note: String,
    /// Where it stands.
    pub state: RefundState,
    /// What is asked for; once refunded, what came back.
    pub amount: Cents,
    /// ISO 4217.
    pub currency: String,
    /// The retailer's ids of the parts it is about; none for the whole order.
    pub merchant_order_ids: Vec<String>,
    /// The parts of refunds of the same order that were decided before this one: they are not asked for again.
    pub decided_before: Vec<String>,
    /// When it was asked for.
    pub requested_at: Timestamp,
    /// Counts changes; a writer names the version it read.
    pub version: u64,
}

/// A wish for a refund.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// Why.
    pub reason: RefundReason,
    /// Why, in words; or nothing.
    pub note: String,
    /// The retailer's id of the part it is about; `None` for the whole order.
    pub merchant_order_id: Option<String>,
    /// How much; `None` for all that was paid and not refunded yet.
    pub amount: Option<Cents>,
}

/// Why there is nothing to refund.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NothingPaid {
    /// The client's own means paid for it.
    #[error("This order was not paid from the balance.")]
    NotFromBalance,
    /// Nothing is spent yet.
    #[error("This order has not been placed: its money is still held.")]
    StillHeld,
    /// It was not placed.
    #[error("This order was not placed: its money was given back.")]
    GivenBack,
}

/// A refund cannot be decided as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Undecidable {
    /// It was decided before.
    #[error("the refund is {0} already")]
    Decided(&'static str),
    /// More, or less, than can come back.
    #[error("the amount must be from 1 to {} cents", .0.0)]
    Amount(Cents),
}

/// The refund to be written for `wish`; `None` if the one that `stands` remains as it is, or there is nothing left to
/// refund.
pub fn request(
    stands: Option<&Refund>,
    wish: &Wish,
    funds: Option<&OrderFunds>,
    now: Timestamp,
) -> Result<Option<Refund>, NothingPaid> {
    let funds = funds.ok_or(NothingPaid::NotFromBalance)?;
    let refundable = match funds.state {
        FundsState::Held => return Err(NothingPaid::StillHeld),
        FundsState::Released => return Err(NothingPaid::GivenBack),
        FundsState::Captured { refundable, .. } => refundable,
    };
    let Wish { reason, note, merchant_order_id, amount } = wish;
    let new = |version| Refund {
        order: funds.order.clone(),
        reason: *reason,
        note: note.clone(),
        state: RefundState::Requested,
        amount: amount.unwrap_or(refundable).min(refundable),
        currency: funds.currency.clone(),
        merchant_order_ids: merchant_order_id.iter().cloned().collect(),
        decided_before: stands.map(decided_parts).unwrap_or_default(),
        requested_at: now,
        version,
    };
    if let (Some(refund), Some(part)) = (stands, merchant_order_id)
        && decided_parts(refund).contains(part)
    {
        return Ok(None);
    }
    let wanted = match stands {
        None => Some(new(1)),
        Some(refund) => {
            let next = refund.version.saturating_add(1);
            let covered = covers(refund, merchant_order_id.as_ref());
            match refund.state {
                RefundState::Requested if covered => None,
                RefundState::Requested => {
                    let mut wider = Refund { version: next, ..refund.clone() };
                    wider.amount = refund.amount.plus(new(next).amount).min(refundable);
                    match merchant_order_id {
                        Some(id) => wider.merchant_order_ids.push(id.clone()),
                        None => wider.merchant_order_ids.clear(),
                    }
                    Some(wider)
                }
                RefundState::Refunded(_) | RefundState::Declined(_) => {
                    (!covered || refund.reason != *reason).then(|| new(next))
                }
            }
        }
    };
    Ok(wanted.filter(|refund| refund.amount > Cents::ZERO))
}

/// The parts of an order that were decided about.
fn decided_parts(refund: &Refund) -> Vec<String> {
    let mut parts = refund.decided_before.clone();
    if refund.state.decision().is_some() {
        parts.extend(refund.merchant_order_ids.iter().cloned());
    }
    parts
}

/// Whether `refund` is about the part, or about the whole order.
fn covers(refund: &Refund, merchant_order_id: Option<&String>) -> bool {
    refund.merchant_order_ids.is_empty()
        || merchant_order_id.is_some_and(|id| refund.merchant_order_ids.contains(id))
}

impl Refund {
    /// The refund with `amount` given back, at most `refundable`; what was asked for if no amount is given.
    pub fn approved(
        self,
        amount: Option<Cents>,
        refundable: Cents,
        decision: Decision,
    ) -> Result<Self, Undecidable> {
        let refund = self.decided(RefundState::Refunded(decision))?;
        let amount = amount.unwrap_or(refund.amount);
        if (Cents(1)..=refundable).contains(&amount) {
            Ok(Self { amount, ..refund })
        } else {
            Err(Undecidable::Amount(refundable))
        }
    }

    /// The refund without anything given back.
    pub fn declined(self, decision: Decision) -> Result<Self, Undecidable> {
        self.decided(RefundState::Declined(decision))
    }

    fn decided(self, state: RefundState) -> Result<Self, Undecidable> {
        match self.state {
            RefundState::Requested => {
                Ok(Self { state, version: self.version.saturating_add(1), ..self })
            }
            RefundState::Refunded(_) | RefundState::Declined(_) => {
                Err(Undecidable::Decided(self.state.as_str()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn funds(state: FundsState) -> OrderFunds {
        let order = OrderId::new(Uuid::from_u128(7));
        OrderFunds { order, currency: "USD".to_owned(), held: Cents(1000), state }
    }

    fn captured(refundable: u64) -> OrderFunds {
        funds(FundsState::Captured { paid: Cents(900), refundable: Cents(refundable) })
    }

    fn wish(reason: RefundReason, part: Option<&str>, amount: Option<u64>) -> Wish {
        Wish {
            reason,
            note: "It broke.".to_owned(),
            merchant_order_id: part.map(str::to_owned),
            amount: amount.map(Cents),
        }
    }

    fn whole() -> Wish {
        wish(RefundReason::Other, None, None)
    }

    fn decision() -> Decision {
        Decision { at: NOW, note: "As asked.".to_owned() }
    }

    fn requested(wish: &Wish) -> Refund {
        request(None, wish, Some(&captured(900)), NOW).unwrap().unwrap()
    }

    #[test]
    fn a_part_that_was_decided_about_is_not_asked_for_again() {
        let part = |id| wish(RefundReason::CancellationSucceeded, Some(id), Some(300));
        let ask =
            |stands: &Refund, wish: &Wish| request(Some(stands), wish, Some(&captured(600)), NOW);
        let first = requested(&part("A")).approved(None, Cents(900), decision()).unwrap();
        let second = ask(&first, &part("B")).unwrap().unwrap();
        assert_eq!(ask(&second, &part("A")), Ok(None), "while another is open");
        let second = second.declined(decision()).unwrap();
        assert_eq!(ask(&second, &part("A")), Ok(None));
        let other = ask(&second, &whole()).unwrap().unwrap().declined(decision()).unwrap();
        assert_eq!(ask(&other, &part("A")), Ok(None));
        assert_eq!(ask(&other, &part("B")), Ok(None));
        assert_eq!(ask(&other, &part("C")).unwrap().unwrap().merchant_order_ids, ["C"]);
    }

    #[test]
    fn only_what_was_paid_from_the_balance_is_refunded() {
        let refused = |funds: Option<&OrderFunds>| request(None, &whole(), funds, NOW).unwrap_err();
        assert_eq!(refused(None), NothingPaid::NotFromBalance);
        assert_eq!(refused(Some(&funds(FundsState::Held))), NothingPaid::StillHeld);
        assert_eq!(refused(Some(&funds(FundsState::Released))), NothingPaid::GivenBack);
        assert_eq!(request(None, &whole(), Some(&captured(0)), NOW), Ok(None));
    }

    #[test]
    fn without_an_amount_all_that_is_left_is_asked_for_and_never_more() {
        let amount =
            |wish: &Wish| request(None, wish, Some(&captured(400)), NOW).unwrap().unwrap().amount.0;
        assert_eq!(amount(&whole()), 400);
        assert_eq!(amount(&wish(RefundReason::Other, None, Some(150))), 150);
        assert_eq!(amount(&wish(RefundReason::Other, None, Some(5000))), 400);
    }

    #[test]
    fn an_open_refund_stands_and_only_another_part_joins_it() {
        let again = |stands: &Refund, wish: &Wish| {
            request(Some(stands), wish, Some(&captured(900)), NOW).unwrap()
        };
        assert_eq!(again(&requested(&whole()), &whole()), None);
        let first = wish(RefundReason::CancellationSucceeded, Some("A"), Some(300));
        let second = wish(RefundReason::CancellationSucceeded, Some("B"), Some(400));
        assert_eq!(again(&requested(&whole()), &first), None);
        let open = requested(&first);
        assert_eq!(again(&open, &first), None);
        let wider = again(&open, &second).unwrap();
        assert_eq!((wider.amount, wider.version), (Cents(700), 2));
        assert_eq!(wider.merchant_order_ids, ["A", "B"]);
        let widest = again(&wider, &whole()).unwrap();
        assert_eq!((widest.amount, widest.merchant_order_ids.len()), (Cents(900), 0));
    }

    #[test]
    fn after_a_decision_only_another_reason_or_part_begins_anew() {
        let cancel = wish(RefundReason::AttemptingToCancel, None, None);
        let declined = requested(&cancel).declined(decision()).unwrap();
        let again =
            |wish: &Wish| request(Some(&declined), wish, Some(&captured(900)), NOW).unwrap();
        assert_eq!(again(&cancel), None);
        let returned = wish(RefundReason::ReturnDelivered, None, None);
        let anew = again(&returned).unwrap();
        assert_eq!((anew.state, anew.version), (RefundState::Requested, 3));

        let part = wish(RefundReason::CancellationSucceeded, Some("A"), Some(300));
        let refunded = requested(&part).approved(None, Cents(900), decision()).unwrap();
        let other = wish(RefundReason::CancellationSucceeded, Some("B"), None);
        let anew = request(Some(&refunded), &other, Some(&captured(600)), NOW).unwrap().unwrap();
        assert_eq!((anew.amount, anew.merchant_order_ids), (Cents(600), vec!["B".to_owned()]));
        assert_eq!(request(Some(&refunded), &other, Some(&captured(0)), NOW), Ok(None));
    }

    #[test]
    fn a_refund_is_decided_once() {
        let approve = |refund: Refund, amount| refund.approved(amount, Cents(900), decision());
        let refunded = approve(requested(&whole()), Some(Cents(500))).unwrap();
        assert_eq!((refunded.state.as_str(), refunded.amount), ("refunded", Cents(500)));
        let declined = requested(&whole()).declined(decision()).unwrap();
        for decided in [refunded, declined] {
            let word = decided.state.as_str();
            assert_eq!(approve(decided.clone(), None), Err(Undecidable::Decided(word)));
            assert_eq!(decided.declined(decision()), Err(Undecidable::Decided(word)));
        }
        for amount in [0, 901] {
            let refused = approve(requested(&whole()), Some(Cents(amount)));
            assert_eq!(refused, Err(Undecidable::Amount(Cents(900))), "{amount}");
        }
    }

    #[test]
    fn clients_cannot_give_our_own_reasons() {
        for reason in RefundReason::OF_CLIENTS {
            assert_eq!(reason.as_str().parse(), Ok(reason));
        }
        for text in ["cancellation_succeeded", "return_delivered", "", "Other"] {
            assert!(text.parse::<RefundReason>().is_err(), "{text}");
        }
    }
}
