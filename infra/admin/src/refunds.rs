//! Refunds that clients wait for: looking at them and deciding them.

use clap::{Args, Subcommand};
use spelter::{
    aws::{
        self, AwsError,
        ledger::{Ledger, Posted},
        refunds::Refunds,
    },
    clock::{self, v1_text},
    error::BoxError,
    id::{OrderId, PostingId},
    ledger::FundsState,
    money::Cents,
    refunds::{Decision, Refund},
};
use uuid::Uuid;

use crate::ledger::{Whose, print_balances, why};

#[derive(Subcommand)]
pub(crate) enum RefundCommand {
    /// Prints a client's refunds.
    List(Whose),
    /// Gives the money back.
    Approve(Approve),
    /// Does not.
    Decline(Decide),
}

/// A decision about one refund.
#[derive(Args)]
pub(crate) struct Decide {
    #[command(flatten)]
    whose: Whose,
    /// The order's `request_id`.
    #[arg(long)]
    order: OrderId,
    /// Why, for the client.
    #[arg(long, default_value = "")]
    note: String,
}

/// A decision to give money back.
#[derive(Args)]
pub(crate) struct Approve {
    #[command(flatten)]
    decide: Decide,
    /// How many cents come back; without it, what was asked for.
    #[arg(long, value_name = "CENTS")]
    amount: Option<u64>,
}

pub(crate) async fn run(command: RefundCommand) -> Result<(), BoxError> {
    match command {
        RefundCommand::List(whose) => list(&whose).await,
        RefundCommand::Approve(approve) => self::approve(approve).await,
        RefundCommand::Decline(decide) => decline(decide).await,
    }
}

async fn list(whose: &Whose) -> Result<(), BoxError> {
    let refunds = Refunds::new(&aws::config().await, whose.table.clone());
    for refund in refunds.list(&whose.owner()).await? {
        print(&refund);
    }
    Ok(())
}

fn print(refund: &Refund) {
    let Refund { order, reason, note, state, amount, currency, .. } = refund;
    let (state, reason) = (state.as_str(), reason.as_str());
    let parts = if refund.merchant_order_ids.is_empty() {
        "the whole order".to_owned()
    } else {
        refund.merchant_order_ids.join(", ")
    };
    let at = v1_text(refund.requested_at);
    // Quoted: a note must not look like another line.
    println!("{order}  {state}  {amount} {currency}  {reason}  {at}  {parts}  {note:?}");
}

async fn approve(approve: Approve) -> Result<(), BoxError> {
    let Approve { decide: Decide { whose, order, note }, amount } = approve;
    let (config, owner) = (aws::config().await, whose.owner());
    let ledger = Ledger::new(&config, whose.table.clone());
    let refunds = Refunds::new(&config, whose.table.clone());
    let asked = refunds.get(&owner, &order).await?.ok_or(NONE)?;
    let funds = ledger.order_funds(&owner, &order).await?;
    let Some(FundsState::Captured { refundable, .. }) = funds.map(|funds| funds.state) else {
        return Err("the order's money is not spent".into());
    };
    let now = clock::system();
    let decision = Decision { at: now, note };
    let refund = asked.approved(amount.map(Cents), refundable, decision)?;
    let id = PostingId::new(Uuid::now_v7());
    match refunds.grant(&owner, &refund, id, now).await.map_err(conflict)? {
        Posted::New => {
            print(&refund);
            print_balances(&ledger, &owner).await
        }
        Posted::Refused(refusal) => Err(why(&refusal).into()),
    }
}

async fn decline(decide: Decide) -> Result<(), BoxError> {
    let Decide { whose, order, note } = decide;
    let owner = whose.owner();
    let refunds = Refunds::new(&aws::config().await, whose.table.clone());
    let asked = refunds.get(&owner, &order).await?.ok_or(NONE)?;
    let refund = asked.declined(Decision { at: clock::system(), note })?;
    refunds.save(&owner, &refund).await.map_err(conflict)?;
    print(&refund);
    Ok(())
}

const NONE: &str = "no refund of this order was asked for";

fn conflict(error: AwsError) -> BoxError {
    match error {
        AwsError::Conflict => "somebody else changed the refund meanwhile".into(),
        AwsError::Call(..) | AwsError::Corrupt(..) => error.into(),
    }
}
