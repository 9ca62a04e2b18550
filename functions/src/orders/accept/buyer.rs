//! Which account buys: the login in the order, the account the order names, one of the client's, one of the
//! operator's.

use std::collections::HashSet;

use spelter::{
    accounts::{self, AccountRef, ManagedAccount, Owner},
    aws::clients,
    email::Email,
    error::{ApiError, Code, Refusal},
    orders::{LoginSource, request::OrderRequest},
    retailers::{RetailerCode, Site},
};

use super::{AcceptOrder, unusable};

/// The account that buys.
pub(super) struct Buyer {
    pub(super) account: AccountRef,
    pub(super) email: Email,
    pub(super) login: LoginSource,
}

impl Buyer {
    fn of(account: &ManagedAccount, site: Site) -> Self {
        Self {
            account: AccountRef::new(site, &account.email_hash),
            email: account.email.clone(),
            login: LoginSource::Account { owner: account.owner.clone(), id: account.id.clone() },
        }
    }
}

impl AcceptOrder {
    pub(super) async fn buyer(
        &self,
        owner: &Owner,
        wanted: &OrderRequest,
        site: Site,
    ) -> Result<Buyer, ApiError> {
        let retailer = wanted.purchase.retailer;
        let operator = clients::operator(owner.mode);
        if let Some(email) = wanted.inline_email.clone() {
            let hash = self.keyed_hash.of_email(&email).await?;
            let account = AccountRef::new(site, &hash);
            return Ok(Buyer { account, email, login: LoginSource::Order });
        }
        if let Some(id) = &wanted.account_id {
            let found = self.accounts.get(owner, id).await?;
            let (account, _) = found
                .ok_or_else(|| unusable("retailer_credentials_id", "names no managed account"))?;
            if account.retailer.is_some_and(|other| other != retailer) {
                return Err(ApiError::Refused(Refusal::new(Code::MismatchingRetailer)));
            }
            return self.rested(&account, site);
        }
        if !wanted.addax
            && let Some(account) = self.choose(owner, retailer, wanted.bundled).await?
        {
            return self.rested(&account, site);
        }
        match self.choose(&operator, retailer, wanted.bundled).await? {
            // What is wrong with an account of the operator's is the operator's business.
            Some(account) if account.paused((self.now)()).is_some() => {
                Err(ApiError::Refused(Refusal::new(Code::ZmaTemporarilyOverloaded)))
            }
            Some(account) => Ok(Buyer::of(&account, site)),
            None if wanted.addax => {
                Err(ApiError::Refused(Refusal::new(Code::ZmaTemporarilyOverloaded)))
            }
            None => {
                let text = "is required: there is no managed account for this retailer";
                Err(unusable("retailer_credentials", text))
            }
        }
    }

    /// The client's own account as the buyer, unless it is paused: the order would only fail at its turn, or lock the
    /// account for good.
    fn rested(&self, account: &ManagedAccount, site: Site) -> Result<Buyer, ApiError> {
        match account.paused((self.now)()) {
            Some(refusal) => Err(ApiError::Refused(refusal)),
            None => Ok(Buyer::of(account, site)),
        }
    }

    async fn choose(
        &self,
        whose: &Owner,
        retailer: RetailerCode,
        bundled: bool,
    ) -> Result<Option<ManagedAccount>, ApiError> {
        let accounts = self.accounts.list(whose).await?;
        let now = (self.now)();
        if bundled {
            // Always the same while it can, since only orders of one account are bought together.
            return Ok(accounts::oldest(&accounts, retailer, now).cloned());
        }
        if let [] | [_] = accounts.as_slice() {
            // Nothing to choose from, so it does not matter which is free.
            return Ok(accounts::choose(&accounts, retailer, now, |_| false).cloned());
        }
        let refs: Vec<_> = accounts.iter().flat_map(ManagedAccount::refs).collect();
        let busy: HashSet<_> = self.leases.holders(&refs, now).await?.into_keys().collect();
        let is_busy =
            |account: &ManagedAccount| account.refs().iter().any(|one| busy.contains(one));
        let Some(chosen) = accounts::choose(&accounts, retailer, now, is_busy) else {
            return Ok(None);
        };
        self.accounts.mark_used(chosen, now).await?;
        Ok(Some(chosen.clone()))
    }
}
