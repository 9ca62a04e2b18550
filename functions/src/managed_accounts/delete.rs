//! `DELETE /managed-accounts/{short_id}` deletes an account with its secrets. Orders that wait for it will fail.

use http::StatusCode;
use spelter::{
    accounts::Owner,
    aws::accounts::Accounts,
    error::ApiError,
    http::{Endpoint, Request},
    id::{self, Kind},
};

/// What this function may touch.
pub struct DeleteManagedAccount {
    /// The accounts.
    pub accounts: Accounts,
}

impl Endpoint for DeleteManagedAccount {
    const SUCCESS: StatusCode = StatusCode::NO_CONTENT;
    type Answer = ();

    async fn handle(&self, owner: Owner, request: Request) -> Result<(), ApiError> {
        let id = request.id::<id::Account>("short_id")?;
        let existed = self.accounts.delete(&owner, &id).await?;
        if existed { Ok(()) } else { Err(ApiError::NotFound(id::Account::NAME)) }
    }
}
