//! `GET /v1/addax/transactions` lists what changed a client's balance, newest first.
//!
//! `count` (100, at most 500), `offset` (at most 10,000) and `currency`.

use std::ops::RangeInclusive;

use http::StatusCode;
use serde_json::{Value, json};
use spelter::{
    accounts::Owner,
    aws::ledger::Ledger,
    clock::v1_text,
    error::ApiError,
    fields::FieldError,
    http::{Endpoint, Request},
    ledger::{Currency, LedgerAccount, Posting},
};

/// What this function may touch.
pub struct ListTransactions {
    /// The client's ledger.
    pub ledger: Ledger,
}

const DEFAULT_COUNT: usize = 100;
const COUNTS: RangeInclusive<usize> = 1..=500;
/// What is skipped is read, too.
const OFFSETS: RangeInclusive<usize> = 0..=10_000;

impl Endpoint for ListTransactions {
    const SUCCESS: StatusCode = StatusCode::OK;
    type Answer = Value;

    async fn handle(&self, owner: Owner, request: Request) -> Result<Value, ApiError> {
        let count = within(&request, "count", &COUNTS)?.unwrap_or(DEFAULT_COUNT);
        let offset = within(&request, "offset", &OFFSETS)?.unwrap_or_default();
        let currency: Option<Currency> = request.query("currency")?;
        let found = self.ledger.transactions(&owner, currency.as_ref(), count, offset).await?;
        let transactions: Vec<_> =
            found.iter().map(|(currency, posting)| transaction(currency, posting)).collect();
        Ok(json!({"transactions": transactions, "count": count, "offset": offset}))
    }
}

fn within(
    request: &Request,
    name: &'static str,
    allowed: &RangeInclusive<usize>,
) -> Result<Option<usize>, ApiError> {
    let value = request.query::<usize>(name)?;
    if value.is_none_or(|value| allowed.contains(&value)) {
        return Ok(value);
    }
    let message = format!("must be between {} and {}", allowed.start(), allowed.end());
    Err(ApiError::Invalid(vec![FieldError::in_query(name, message)]))
}

fn transaction(currency: &str, posting: &Posting) -> Value {
    json!({
        "id": posting.id(),
        "type": posting.kind().as_str(),
        "currency": currency,
        "amount": posting.balance_change(),
        "available_change": posting.change(LedgerAccount::Available),
        "request_id": posting.kind().order(),
        "created_at": v1_text(posting.at()),
        "note": posting.note(),
    })
}
