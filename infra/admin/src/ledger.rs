//! Clients' money: paying in and out, looking, checking the books, and settling what an order left open.

use clap::{ArgGroup, Args, Subcommand};
use spelter::{
    accounts::Owner,
    aws::{
        self,
        ledger::{Ledger, LedgerRefusal, Posted},
        orders::Orders,
    },
    clock,
    error::BoxError,
    id::{ClientId, OrderId, PostingId},
    ledger::{Amount, Balance, Currency, FundsState, Posting, Reference, audit},
    money::Cents,
    retailers::Mode,
};
use uuid::Uuid;

use crate::parse;

/// Whose money, and where it is written down.
#[derive(Args)]
pub(crate) struct Whose {
    /// The table of ledgers: the output `LedgerTableName` of the stack.
    #[arg(long, env = "SPELTER_LEDGER_TABLE")]
    pub(crate) table: String,
    /// The client, `cl_…`.
    #[arg(long)]
    client_id: ClientId,
    /// Its test money or its live money.
    #[arg(long, value_parser = parse::<Mode>)]
    mode: Mode,
}

impl Whose {
    /// The owner of the ledger.
    pub(crate) fn owner(&self) -> Owner {
        Owner { client: self.client_id.clone(), mode: self.mode }
    }

    async fn ledger(&self) -> Ledger {
        Ledger::new(&aws::config().await, self.table.clone())
    }
}

#[derive(Subcommand)]
pub(crate) enum LedgerCommand {
    /// A client has paid in.
    Deposit(Payment),
    /// A client is paid out.
    Withdraw(Payment),
    /// Prints a client's balances.
    Balance(Whose),
    /// Reads all of a client's books and says whether they agree.
    Check(Whose),
    /// Ends the hold of an order that ended as `order_probably_placed`, once somebody has looked.
    Settle(Settle),
}

/// Money from outside or to it.
#[derive(Args)]
pub(crate) struct Payment {
    #[command(flatten)]
    whose: Whose,
    /// Such as USD.
    #[arg(long, value_parser = parse::<Currency>)]
    currency: Currency,
    /// In cents.
    #[arg(long, value_parser = amount)]
    amount: Amount,
    /// What the payment is called outside, such as the bank's reference. The same one again changes nothing.
    #[arg(long, value_parser = parse::<Reference>)]
    reference: Reference,
    /// A remark, which the client can read.
    #[arg(long, default_value = "")]
    note: String,
}

/// What became of an order that nobody could find out by itself.
#[derive(Args)]
#[command(group = ArgGroup::new("outcome").required(true))]
pub(crate) struct Settle {
    #[command(flatten)]
    whose: Whose,
    /// The table of orders: the output `OrdersTableName` of the stack.
    #[arg(long, env = "SPELTER_ORDERS_TABLE")]
    orders_table: String,
    /// The order's `request_id`.
    #[arg(long)]
    order: OrderId,
    /// It was placed, and cost this many cents.
    #[arg(long, value_name = "CENTS", group = "outcome")]
    captured: Option<u64>,
    /// It was not placed.
    #[arg(long, group = "outcome")]
    released: bool,
    /// A remark, which the client can read.
    #[arg(long, default_value = "Settled by the operator.")]
    note: String,
}

/// Somebody may post while the books are read; what is still wrong after so many readings is wrong.
const READINGS: usize = 5;

pub(crate) async fn run(command: LedgerCommand) -> Result<(), BoxError> {
    match command {
        LedgerCommand::Deposit(payment) => pay(payment, Posting::deposit).await,
        LedgerCommand::Withdraw(payment) => pay(payment, Posting::withdrawal).await,
        LedgerCommand::Balance(whose) => {
            print_balances(&whose.ledger().await, &whose.owner()).await
        }
        LedgerCommand::Check(whose) => check(&whose).await,
        LedgerCommand::Settle(settling) => settle(settling).await,
    }
}

fn amount(text: &str) -> Result<Amount, String> {
    let cents: u64 = text.parse().map_err(|_| "must be a whole number of cents".to_owned())?;
    Amount::try_from(Cents(cents)).map_err(|unfit| unfit.0)
}

fn new_id() -> PostingId {
    PostingId::new(Uuid::now_v7())
}

type Make = fn(PostingId, jiff::Timestamp, Reference, Amount) -> Posting;

async fn pay(payment: Payment, make: Make) -> Result<(), BoxError> {
    let Payment { whose, currency, amount, reference, note } = payment;
    let (ledger, owner) = (whose.ledger().await, whose.owner());
    let posting = make(new_id(), clock::system(), reference.clone(), amount).noting(note);
    match ledger.post(&owner, currency.as_str(), &posting).await? {
        Posted::New => println!("posted {}", posting.id()),
        Posted::Refused(LedgerRefusal::Repeated) => {
            let before = ledger.referenced(&owner, &reference).await?;
            let (its_currency, before) = before.ok_or("the payment's posting is not there")?;
            if its_currency != currency.as_str() || !is_same(&before, &posting) {
                let words = describe(&its_currency, &before);
                return Err(format!("this reference is another payment's: {words}").into());
            }
            println!("posted before as {}; nothing was changed", before.id());
        }
        Posted::Refused(refusal) => return Err(why(&refusal).into()),
    }
    print_balances(&ledger, &owner).await
}

/// Whether two postings move the same money for the same reason.
fn is_same(a: &Posting, b: &Posting) -> bool {
    a.kind() == b.kind() && a.entries() == b.entries()
}

fn describe(currency: &str, posting: &Posting) -> String {
    let word = posting.kind().as_str();
    format!("{} is a {word} of {} {currency}", posting.id(), posting.balance_change())
}

/// Why a posting was refused, in words.
pub(crate) fn why(refusal: &LedgerRefusal) -> String {
    match refusal {
        LedgerRefusal::NoBalance => "the client has no balance in this currency".to_owned(),
        LedgerRefusal::TooLittle(balance) => format!("the client has too little: {balance}"),
        LedgerRefusal::Repeated => "somebody else posted it meanwhile".to_owned(),
    }
}

/// Prints one line for each currency.
pub(crate) async fn print_balances(ledger: &Ledger, owner: &Owner) -> Result<(), BoxError> {
    let balances = ledger.balances(owner).await?;
    if balances.is_empty() {
        println!("no balance: nothing was ever paid in");
    }
    for (currency, balance) in balances {
        print_balance(&currency, &balance);
    }
    Ok(())
}

fn print_balance(currency: &str, balance: &Balance) {
    println!("{currency}: balance {}; {balance}", balance.total());
}

async fn check(whose: &Whose) -> Result<(), BoxError> {
    let (ledger, owner) = (whose.ledger().await, whose.owner());
    let mut findings = Vec::new();
    for _ in 0..READINGS {
        let books = ledger.books(&owner).await?;
        findings = audit(&books);
        if findings.is_empty() {
            for (currency, (balance, postings)) in &books.balances {
                print_balance(currency, balance);
                println!("{currency}: {postings} postings, each zero in sum, make this balance");
            }
            println!("the books agree ({} orders)", books.orders.len());
            return Ok(());
        }
    }
    Err(format!("the books do not agree:\n{}", findings.join("\n")).into())
}

async fn settle(settling: Settle) -> Result<(), BoxError> {
    let Settle { whose, orders_table, order, captured, released: _, note } = settling;
    let (config, owner) = (aws::config().await, whose.owner());
    let ledger = Ledger::new(&config, whose.table.clone());
    let funds = ledger.order_funds(&owner, &order).await?;
    let funds = funds.ok_or("this order was not paid from the client's balance")?;
    match funds.state {
        FundsState::Held => {}
        FundsState::Captured { paid, .. } => {
            return Err(format!("it was captured before: it cost {paid} {}", funds.currency).into());
        }
        FundsState::Released => return Err("it was released before".into()),
    }
    // A worker that is still at it settles the money itself.
    let found = Orders::new(&config, orders_table).get(&owner, &order).await?;
    if !found.ok_or("there is no such order")?.status.is_final() {
        return Err("the order has not ended yet".into());
    }
    let (id, now) = (new_id(), clock::system());
    let posting = match captured {
        Some(paid) if Cents(paid) > funds.held => {
            return Err(format!("only {} {} is held for it", funds.held, funds.currency).into());
        }
        Some(paid) => Posting::capture(id, now, order, funds.held, Cents(paid)),
        None => Posting::release(id, now, order, funds.held),
    };
    match ledger.post(&owner, &funds.currency, &posting.noting(note)).await? {
        Posted::New => print_balances(&ledger, &owner).await,
        Posted::Refused(refusal) => Err(why(&refusal).into()),
    }
}
