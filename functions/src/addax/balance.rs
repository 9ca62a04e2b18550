//! `GET /v1/addax/balance` tells what a client has paid in and not spent yet, for each currency.
//!
//! A client with one currency finds its figures beside the list, too.

use http::StatusCode;
use serde_json::{Value, json};
use spelter::{
    accounts::Owner,
    aws::ledger::Ledger,
    error::ApiError,
    http::{Endpoint, Request},
    ledger::{Balance, LedgerAccount},
};

/// What this function may touch.
pub struct GetBalance {
    /// The client's ledger.
    pub ledger: Ledger,
}

impl Endpoint for GetBalance {
    const SUCCESS: StatusCode = StatusCode::OK;
    type Answer = Value;

    async fn handle(&self, owner: Owner, _: Request) -> Result<Value, ApiError> {
        let balances = self.ledger.balances(&owner).await?;
        Ok(body(balances.iter().map(|(currency, balance)| figures(currency, *balance)).collect()))
    }
}

fn body(balances: Vec<Value>) -> Value {
    let mut body = match balances.as_slice() {
        [only] => only.clone(),
        [] | [_, ..] => json!({}),
    };
    if let Some(members) = body.as_object_mut() {
        members.insert("balances".to_owned(), balances.into());
    }
    body
}

fn figures(currency: &str, balance: Balance) -> Value {
    json!({
        "currency": currency,
        "balance": balance.total(),
        "available": balance.of(LedgerAccount::Available),
        "held": balance.of(LedgerAccount::Held),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_single_currency_stands_beside_the_list() {
        let usd = json!({"currency": "USD", "balance": 5, "available": 3, "held": 2});
        let gbp = json!({"currency": "GBP", "balance": 1, "available": 1, "held": 0});
        assert_eq!(body(vec![]), json!({"balances": []}));
        assert_eq!(
            body(vec![usd.clone()]),
            json!({"balances": [usd], "currency": "USD", "balance": 5, "available": 3, "held": 2})
        );
        assert_eq!(body(vec![gbp.clone(), usd.clone()]), json!({"balances": [gbp, usd]}));
    }
}
