//! A client that has paid in, and whose orders are bought on the operator's accounts.

use anyhow::{Context, Result, anyhow};
use spelter::{
    accounts::Owner,
    aws::{clients::operator, ledger::Ledger},
    id::{ClientId, PostingId},
    ledger::{Amount, LedgerAccount, Posting},
    money::Cents,
    random,
    retailers::Mode,
};
use uuid::Uuid;

use crate::{aws, platform::Deployment, shop, world};

/// The account of the operator's that buys for it.
pub const OPERATORS_EMAIL: &str = "operator@example.com";

/// The client.
pub fn client() -> Owner {
    Owner { client: ClientId::new(Uuid::from_u128(2)), mode: Mode::Test }
}

/// The operator.
pub fn the_operator() -> Owner {
    operator(Mode::Test)
}

fn ledger(deployment: &Deployment) -> Result<Ledger> {
    Ok(Ledger::new(&aws::config(), deployment.table("LedgerTable")?))
}

/// Pays in.
pub async fn deposit(deployment: &Deployment, cents: u64) -> Result<()> {
    let now = world::now();
    let reference = "wire".parse().map_err(|_| anyhow!("no reference"))?;
    let amount = Amount::try_from(Cents(cents)).map_err(|_| anyhow!("no amount"))?;
    let id = PostingId::new(random::sortable_uuid(now));
    let posting = Posting::deposit(id, now, reference, amount);
    ledger(deployment)?.post(&client(), "USD", &posting).await?;
    Ok(())
}

/// What is wrong with the balance when all is over: more was spent than was paid in, something is still held, or something
/// else was spent than was bought for. The last two may be while an order of this client's `is_open`: has not ended, or
/// nobody knows how.
pub async fn faults(deployment: &Deployment, is_open: bool) -> Result<Vec<String>> {
    let balances = ledger(deployment)?.balances(&client()).await?;
    let Some((_, balance)) = balances.into_iter().next() else { return Ok(vec![]) };
    let of = |account| balance.of(account).0;
    let (available, held, spent) =
        (of(LedgerAccount::Available), of(LedgerAccount::Held), of(LedgerAccount::Spent));
    let bought = world::with(|world| shop::paid(&world.shop.ledger, OPERATORS_EMAIL));
    let bought = i64::try_from(bought).context("too much was bought")?;
    let mut faults = Vec::new();
    if available < 0 {
        faults.push(format!("the balance is overdrawn by {}", -available));
    }
    if !is_open && (held != 0 || spent != bought) {
        faults.push(format!("{held} is held and {spent} spent, and {bought} was bought for"));
    }
    Ok(faults)
}
