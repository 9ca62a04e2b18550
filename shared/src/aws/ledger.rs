//! The ledgers of all clients, and what every order did in them: one table, so that a posting, the balance it changes
//! and its order's funds are written together or not at all.
//!
//! | item | pk | sk |
//! |---|---|---|
//! | balance | owner | `BALANCE#<currency>` |
//! | posting, never changed | owner | `POSTING#<currency>#<id>` |
//! | an order's funds | owner | `ORDER#<id>` |
//! | a payment's posting | owner | `REFERENCE#<hash of the reference>` |
//! | refund | owner | `REFUND#<order>`, see [`super::refunds`] |

use std::fmt::Write as _;

use aws_config::SdkConfig;
use aws_sdk_dynamodb::{
    Client,
    operation::query::builders::QueryFluentBuilder,
    types::{Put, ReturnValuesOnConditionCheckFailure, Update, builders::UpdateBuilder},
};
use data_encoding::HEXLOWER;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{
    AwsError, Item, batch_get, key, number, text,
    transaction::{self, NotWritten, Refused, Write},
};
use crate::{
    accounts::Owner,
    clock,
    guards::Guard,
    id::{OrderId, PostingId},
    ledger::{
        Balance, Books, Currency, FundsState, LedgerAccount, OrderFunds, Posting, PostingKind,
        Reference, SignedCents,
    },
    money::Cents,
};

/// The table of ledgers.
#[derive(Clone)]
pub struct Ledger {
    db: Client,
    table: String,
}

/// Why the ledger did not take a posting. Nothing of its transaction was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LedgerRefusal {
    /// The owner never paid anything in, in this currency.
    NoBalance,
    /// Less is available than the posting needs.
    TooLittle(Balance),
    /// The order's funds are not where the posting takes them from, or the payment was posted before.
    Repeated,
}

/// What became of a posting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Posted {
    /// It was written.
    New,
    /// It was not.
    Refused(LedgerRefusal),
}

/// How many writes one posting is: of the balance, of itself, and of its order's funds or its payment.
pub const WRITES: usize = 3;

#[derive(Serialize, Deserialize)]
struct StoredBalance {
    pk: String,
    sk: String,
    currency: String,
    /// How many made it.
    postings: u64,
    #[serde(default)]
    funded: SignedCents,
    #[serde(default)]
    available: SignedCents,
    #[serde(default)]
    held: SignedCents,
    #[serde(default)]
    spent: SignedCents,
}

#[derive(Serialize, Deserialize)]
struct StoredPosting {
    pk: String,
    sk: String,
    id: PostingId,
    currency: String,
    kind: PostingKind,
    entries: Vec<(LedgerAccount, SignedCents)>,
    #[serde(with = "clock::millis")]
    at: Timestamp,
    note: String,
}

#[derive(Serialize, Deserialize)]
struct StoredFunds {
    pk: String,
    sk: String,
    order: OrderId,
    currency: String,
    held: Cents,
    funds: FundsState,
}

#[derive(Serialize, Deserialize)]
struct StoredReference {
    pk: String,
    sk: String,
    currency: String,
    posting: PostingId,
}

impl Ledger {
    /// The table `table`.
    pub fn new(config: &SdkConfig, table: String) -> Self {
        Self { db: Client::new(config), table }
    }

    /// Posts by itself.
    pub async fn post(
        &self,
        owner: &Owner,
        currency: &str,
        posting: &Posting,
    ) -> Result<Posted, AwsError> {
        self.post_with(owner, currency, posting, vec![]).await
    }

    /// Writes all or nothing.
    pub(super) async fn commit(&self, writes: Vec<Write>) -> Result<(), NotWritten> {
        transaction::commit(&self.db, writes).await
    }

    /// Posts together with `others`; [`AwsError::Conflict`] if it is one of these that could not be written.
    pub(super) async fn post_with(
        &self,
        owner: &Owner,
        currency: &str,
        posting: &Posting,
        others: Vec<Write>,
    ) -> Result<Posted, AwsError> {
        let mut writes = self.writes(owner, currency, posting)?;
        writes.extend(others);
        match self.commit(writes).await {
            Ok(()) => Ok(Posted::New),
            Err(NotWritten::Refused(refused)) => {
                refusal(&refused)?.map(Posted::Refused).ok_or(AwsError::Conflict)
            }
            Err(NotWritten::Failed(error)) => Err(error),
        }
    }

    /// For a transaction: what writes `posting`, always [`WRITES`] items, in the order that [`refusal`] expects.
    ///
    /// Nothing is written if less than the posting needs is available, if there is no balance to take it from, or if
    /// the order's funds are not where the posting takes them from. Whoever writes it needs `dynamodb:PutItem` and
    /// `dynamodb:UpdateItem`.
    pub fn writes(
        &self,
        owner: &Owner,
        currency: &str,
        posting: &Posting,
    ) -> Result<Vec<Write>, AwsError> {
        Ok(vec![
            self.change_balance(owner, currency, posting)?,
            self.put_new(&stored_posting(owner, currency, posting), "a posting")?,
            self.change_subject(owner, currency, posting)?,
        ])
    }

    fn change_balance(
        &self,
        owner: &Owner,
        currency: &str,
        posting: &Posting,
    ) -> Result<Write, AwsError> {
        let mut change = "SET currency = :currency ADD postings :one".to_owned();
        let mut update = Update::builder()
            .table_name(&self.table)
            .set_key(Some(key([("pk", owner.partition()), ("sk", balance_sk(currency))])))
            .expression_attribute_values(":currency", text(currency))
            .expression_attribute_values(":one", number(1))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        for (account, amount) in posting.entries() {
            let name = account.as_str();
            // Writing to a string cannot fail.
            let _ = write!(change, ", {name} :{name}");
            update = update.expression_attribute_values(format!(":{name}"), number(amount.0));
        }
        update = match (posting.kind(), posting.needs()) {
            (_, Some(needs)) if Guard::Hold.stands() => update
                .condition_expression("available >= :needs")
                .expression_attribute_values(":needs", number(needs.0)),
            // The first deposit makes the balance.
            (PostingKind::Deposit { .. }, None) => update,
            (_, _) => update.condition_expression("attribute_exists(pk)"),
        };
        Write::update(update.update_expression(change))
    }

    /// An order's funds move from where they are and nowhere else; a payment is posted once.
    fn change_subject(
        &self,
        owner: &Owner,
        currency: &str,
        posting: &Posting,
    ) -> Result<Write, AwsError> {
        let amount = |account| Cents(posting.change(account).0.unsigned_abs());
        match posting.kind() {
            PostingKind::Deposit { reference } | PostingKind::Withdrawal { reference } => {
                let stored = StoredReference {
                    pk: owner.partition(),
                    sk: reference_sk(reference),
                    currency: currency.to_owned(),
                    posting: posting.id().clone(),
                };
                self.put_new(&stored, "a payment")
            }
            PostingKind::Hold { order } => {
                let stored = StoredFunds {
                    pk: owner.partition(),
                    sk: order_sk(order),
                    order: order.clone(),
                    currency: currency.to_owned(),
                    held: amount(LedgerAccount::Held),
                    funds: FundsState::Held,
                };
                self.put_new(&stored, "an order's funds")
            }
            PostingKind::Capture { order } => {
                let paid = amount(LedgerAccount::Spent);
                let state = FundsState::Captured { paid, refundable: paid };
                self.end_hold(owner, currency, order, amount(LedgerAccount::Held), state)
            }
            PostingKind::Release { order } => {
                let held = amount(LedgerAccount::Held);
                self.end_hold(owner, currency, order, held, FundsState::Released)
            }
            PostingKind::Refund { order } => {
                let back = amount(LedgerAccount::Available);
                Write::update(
                    self.update_funds(owner, order)
                        .update_expression("SET funds.refundable = funds.refundable - :back")
                        .condition_expression("currency = :currency AND funds.refundable >= :back")
                        .expression_attribute_values(":currency", text(currency))
                        .expression_attribute_values(":back", number(back.0)),
                )
            }
        }
    }

    /// The hold of `order` ends in `state`: only what is held, and all of it.
    fn end_hold(
        &self,
        owner: &Owner,
        currency: &str,
        order: &OrderId,
        held: Cents,
        state: FundsState,
    ) -> Result<Write, AwsError> {
        let value = |state| {
            serde_dynamo::to_attribute_value(state).map_err(AwsError::corrupt("an order's funds"))
        };
        Write::update(
            self.update_funds(owner, order)
                .update_expression("SET funds = :state")
                .condition_expression("currency = :currency AND held = :held AND funds = :before")
                .expression_attribute_values(":currency", text(currency))
                .expression_attribute_values(":held", number(held.0))
                .expression_attribute_values(":before", value(FundsState::Held)?)
                .expression_attribute_values(":state", value(state)?),
        )
    }

    fn update_funds(&self, owner: &Owner, order: &OrderId) -> UpdateBuilder {
        let key = key([("pk", owner.partition()), ("sk", order_sk(order))]);
        Update::builder().table_name(&self.table).set_key(Some(key))
    }

    /// All balances of `owner` by their currencies; none before the first deposit.
    pub async fn balances(&self, owner: &Owner) -> Result<Vec<(String, Balance)>, AwsError> {
        let items = self.query(owner, "BALANCE#").into_paginator().items().send();
        let items = items.try_collect().await.map_err(AwsError::call("dynamodb:Query"))?;
        let balances = items.into_iter().map(read_balance);
        balances.map(|read| read.map(|(currency, balance, _)| (currency, balance))).collect()
    }

    /// Postings of `owner` with their currencies, newest first: of one currency or of all, `count` of them after the
    /// `offset` newest.
    pub async fn transactions(
        &self,
        owner: &Owner,
        currency: Option<&Currency>,
        count: usize,
        offset: usize,
    ) -> Result<Vec<(String, Posting)>, AwsError> {
        let currencies = match currency {
            Some(currency) => vec![currency.as_str().to_owned()],
            None => self.balances(owner).await?.into_iter().map(|(currency, _)| currency).collect(),
        };
        let needed = offset.saturating_add(count);
        let mut postings = Vec::new();
        for currency in currencies {
            postings.extend(self.newest(owner, &currency, needed).await?);
        }
        postings.sort_by(|(_, a), (_, b)| b.id().as_str().cmp(a.id().as_str()));
        Ok(postings.into_iter().skip(offset).take(count).collect())
    }

    async fn newest(
        &self,
        owner: &Owner,
        currency: &str,
        needed: usize,
    ) -> Result<Vec<(String, Posting)>, AwsError> {
        let query = self.query(owner, &format!("POSTING#{currency}#")).scan_index_forward(false);
        let mut items = query.into_paginator().items().send();
        let mut postings = Vec::new();
        while postings.len() < needed {
            let Some(item) = items.next().await else {
                break;
            };
            postings.push(read_posting(item.map_err(AwsError::call("dynamodb:Query"))?)?);
        }
        Ok(postings)
    }

    /// What `order` did to the balance; `None` if it was not paid from it.
    pub async fn order_funds(
        &self,
        owner: &Owner,
        order: &OrderId,
    ) -> Result<Option<OrderFunds>, AwsError> {
        self.item(owner, order_sk(order)).await?.map(read_funds).transpose()
    }

    /// What was posted for a payment, and in which currency.
    pub async fn referenced(
        &self,
        owner: &Owner,
        reference: &Reference,
    ) -> Result<Option<(String, Posting)>, AwsError> {
        let Some(item) = self.item(owner, reference_sk(reference)).await? else {
            return Ok(None);
        };
        let stored: StoredReference =
            serde_dynamo::from_item(item).map_err(AwsError::corrupt("a payment"))?;
        let found = self.item(owner, posting_sk(&stored.currency, &stored.posting)).await?;
        found.map(read_posting).transpose()
    }

    /// Everything about `owner`'s money. What is posted meanwhile may be in it in part.
    pub async fn books(&self, owner: &Owner) -> Result<Books, AwsError> {
        let mut items = self.query(owner, "").into_paginator().items().send();
        let mut books = Books::default();
        while let Some(item) = items.next().await {
            let item = item.map_err(AwsError::call("dynamodb:Query"))?;
            let sk = item.get("sk").and_then(|sk| sk.as_s().ok()).map(String::as_str);
            match sk.and_then(|sk| sk.split_once('#')).map(|(kind, _)| kind) {
                Some("BALANCE") => {
                    let (currency, balance, postings) = read_balance(item)?;
                    books.balances.insert(currency, (balance, postings));
                }
                Some("POSTING") => books.postings.push(read_posting(item)?),
                Some("ORDER") => books.orders.push(read_funds(item)?),
                Some("REFERENCE" | "REFUND") => {}
                Some(_) | None => {
                    return Err(AwsError::Corrupt("a ledger", "unknown key".into()));
                }
            }
        }
        Ok(books)
    }

    /// All items of `owner` whose sort key starts with `prefix`.
    pub(super) fn query(&self, owner: &Owner, prefix: &str) -> QueryFluentBuilder {
        let query = self
            .db
            .query()
            .table_name(&self.table)
            .expression_attribute_values(":owner", text(owner.partition()))
            .consistent_read(true);
        if prefix.is_empty() {
            return query.key_condition_expression("pk = :owner");
        }
        query
            .key_condition_expression("pk = :owner AND begins_with(sk, :prefix)")
            .expression_attribute_values(":prefix", text(prefix))
    }

    pub(super) async fn item(&self, owner: &Owner, sk: String) -> Result<Option<Item>, AwsError> {
        let found = self
            .db
            .get_item()
            .table_name(&self.table)
            .set_key(Some(key([("pk", owner.partition()), ("sk", sk)])))
            .consistent_read(true)
            .send()
            .await
            .map_err(AwsError::call("dynamodb:GetItem"))?;
        Ok(found.item)
    }

    /// The item `sk` of `owner` and the funds of `order`, in one read.
    pub(super) async fn item_and_funds(
        &self,
        owner: &Owner,
        sk: String,
        order: &OrderId,
    ) -> Result<(Option<Item>, Option<OrderFunds>), AwsError> {
        let funds_sk = order_sk(order);
        let keys = [sk, funds_sk.clone()];
        let keys = keys.map(|sk| key([("pk", owner.partition()), ("sk", sk)])).to_vec();
        let items = batch_get(&self.db, &self.table, keys).await?;
        let (funds, others): (Vec<_>, Vec<_>) =
            items.into_iter().partition(|item| item.get("sk") == Some(&text(funds_sk.as_str())));
        let funds = funds.into_iter().next().map(read_funds).transpose()?;
        Ok((others.into_iter().next(), funds))
    }

    /// For a transaction: an item that must not be there yet.
    fn put_new<T: Serialize>(&self, stored: &T, kind: &'static str) -> Result<Write, AwsError> {
        let put = Put::builder()
            .table_name(&self.table)
            .set_item(Some(serde_dynamo::to_item(stored).map_err(AwsError::corrupt(kind))?))
            .condition_expression("attribute_not_exists(pk)");
        Write::put(put)
    }

    /// For a transaction: an item whose `version` is one above the stored one's, or which is the first.
    pub(super) fn put_version<T: Serialize>(
        &self,
        stored: &T,
        version: u64,
        kind: &'static str,
    ) -> Result<Write, AwsError> {
        let put = Put::builder()
            .table_name(&self.table)
            .set_item(Some(serde_dynamo::to_item(stored).map_err(AwsError::corrupt(kind))?));
        let put = if version == 1 {
            put.condition_expression("attribute_not_exists(pk)")
        } else {
            put.condition_expression("version = :read")
                .expression_attribute_values(":read", number(version.saturating_sub(1)))
        };
        Write::put(put)
    }
}

/// Whether it was the ledger that a transaction was refused for, and why. Its writes are the first of `refused`.
pub fn refusal(refused: &Refused) -> Result<Option<LedgerRefusal>, AwsError> {
    // An order that was posted before tells more than a balance that does not suffice to post it again.
    if (1..WRITES).any(|place| refused.at(place)) {
        return Ok(Some(LedgerRefusal::Repeated));
    }
    if !refused.at(0) {
        return Ok(None);
    }
    match refused.item(0) {
        None => Ok(Some(LedgerRefusal::NoBalance)),
        Some(item) => {
            let (_, balance, _) = read_balance(item.clone())?;
            Ok(Some(LedgerRefusal::TooLittle(balance)))
        }
    }
}

fn balance_sk(currency: &str) -> String {
    format!("BALANCE#{currency}")
}

fn posting_sk(currency: &str, id: &PostingId) -> String {
    format!("POSTING#{currency}#{id}")
}

fn order_sk(order: &OrderId) -> String {
    format!("ORDER#{order}")
}

/// References come from outside, so they are hashed: any characters.
fn reference_sk(reference: &Reference) -> String {
    format!("REFERENCE#{}", HEXLOWER.encode(&Sha256::digest(reference.as_str())))
}

fn stored_posting(owner: &Owner, currency: &str, posting: &Posting) -> StoredPosting {
    StoredPosting {
        pk: owner.partition(),
        sk: posting_sk(currency, posting.id()),
        id: posting.id().clone(),
        currency: currency.to_owned(),
        kind: posting.kind().clone(),
        entries: posting.entries().to_vec(),
        at: posting.at(),
        note: posting.note().to_owned(),
    }
}

fn read_posting(item: Item) -> Result<(String, Posting), AwsError> {
    let stored: StoredPosting =
        serde_dynamo::from_item(item).map_err(AwsError::corrupt("a posting"))?;
    let StoredPosting { pk: _, sk: _, id, currency, kind, entries, at, note } = stored;
    let posting = Posting::stored(id, at, kind, entries, note);
    Ok((currency, posting.map_err(AwsError::corrupt("a posting"))?))
}

fn read_balance(item: Item) -> Result<(String, Balance, u64), AwsError> {
    let stored: StoredBalance =
        serde_dynamo::from_item(item).map_err(AwsError::corrupt("a balance"))?;
    let balance = Balance::stored(stored.funded, stored.available, stored.held, stored.spent)
        .map_err(AwsError::corrupt("a balance"))?;
    Ok((stored.currency, balance, stored.postings))
}

fn read_funds(item: Item) -> Result<OrderFunds, AwsError> {
    let stored: StoredFunds =
        serde_dynamo::from_item(item).map_err(AwsError::corrupt("an order's funds"))?;
    let StoredFunds { pk: _, sk: _, order, currency, held, funds } = stored;
    Ok(OrderFunds { order, currency, held, state: funds })
}

#[cfg(test)]
mod tests;
