//! `GET /managed-accounts` lists a client's accounts, newest first.
//!
//! `limit` (50, at most 500), `offset`, and `search` in e-mail and retailer.

use http::StatusCode;
use serde::Serialize;
use spelter::{
    accounts::{ManagedAccount, Owner},
    aws::{accounts::Accounts, leases::Leases},
    clock::Clock,
    error::ApiError,
    http::{Endpoint, Request},
    retailers::RetailerCode,
};

use super::view::View;

/// What this function may touch.
pub struct ListManagedAccounts {
    /// The accounts.
    pub accounts: Accounts,
    /// Who holds them.
    pub leases: Leases,
    /// The domain of forwarding addresses.
    pub mail_domain: String,
    /// The time.
    pub now: Clock,
}

/// A page of accounts and how many there are in all.
#[derive(Serialize)]
pub struct Listing {
    credentials: Vec<View>,
    total: usize,
}

const DEFAULT_LIMIT: usize = 50;
const MAX_LIMIT: usize = 500;

impl Endpoint for ListManagedAccounts {
    const SUCCESS: StatusCode = StatusCode::OK;
    type Answer = Listing;

    async fn handle(&self, owner: Owner, request: Request) -> Result<Listing, ApiError> {
        let limit = request.limit(DEFAULT_LIMIT, MAX_LIMIT)?;
        let offset: usize = request.query("offset")?.unwrap_or_default();
        let search: Option<String> = request.query("search")?;

        let mut accounts = self.accounts.list(&owner).await?;
        if let Some(search) = search {
            accounts.retain(|account| matches(account, &search.to_lowercase()));
        }
        let total = accounts.len();
        let page: Vec<_> = accounts.into_iter().skip(offset).take(limit).collect();

        let refs: Vec<_> = page.iter().flat_map(ManagedAccount::refs).collect();
        let now = (self.now)();
        let holders = self.leases.holders(&refs, now).await?;
        let view = |account: ManagedAccount| {
            let holder = account.refs().iter().find_map(|one| holders.get(one));
            View::new(account, holder, &self.mail_domain, now)
        };
        Ok(Listing { credentials: page.into_iter().map(view).collect(), total })
    }
}

fn matches(account: &ManagedAccount, search: &str) -> bool {
    let retailer = account.retailer.map(RetailerCode::as_str).unwrap_or_default();
    account.email.canonical().contains(search) || retailer.contains(search)
}
