//! `GET /managed-accounts/{short_id}/mails` lists what arrived at an account's forwarding address, newest first.
//!
//! `limit` (50, at most 500). What the mails said is not kept.

use http::StatusCode;
use serde::Serialize;
use spelter::{
    accounts::{
        Owner,
        mails::{Kind, Line},
    },
    aws::{accounts::Accounts, mail_log::MailLog},
    clock::modern_text,
    error::ApiError,
    http::{Endpoint, Request},
    id::{self, Kind as _},
};

/// What this function may touch.
pub struct ListAccountMails {
    /// The accounts.
    pub accounts: Accounts,
    /// What arrived at them.
    pub mail_log: MailLog,
}

/// The newest mails and how many there are in all.
#[derive(Serialize)]
pub struct Listing {
    mails: Vec<View>,
    total: usize,
}

/// A mail as a client sees it.
#[derive(Serialize)]
struct View {
    message_id: String,
    received_at: String,
    from_domain: Option<String>,
    kind: Kind,
    accepted: bool,
    reason: Option<String>,
}

const DEFAULT_LIMIT: usize = 50;
const MAX_LIMIT: usize = 500;

impl Endpoint for ListAccountMails {
    const SUCCESS: StatusCode = StatusCode::OK;
    type Answer = Listing;

    async fn handle(&self, owner: Owner, request: Request) -> Result<Listing, ApiError> {
        let id = request.id::<id::Account>("short_id")?;
        let limit = request.limit(DEFAULT_LIMIT, MAX_LIMIT)?;
        let found = self.accounts.get(&owner, &id).await?;
        let (account, _) = found.ok_or(ApiError::NotFound(id::Account::NAME))?;
        let newest = self.mail_log.list(&owner, &account.id, limit).await?;
        let mails = newest.lines.into_iter().map(View::new).collect();
        Ok(Listing { mails, total: newest.total })
    }
}

impl View {
    fn new(line: Line) -> Self {
        let Line { owner: _, account: _, message_id, received_at, from_domain, kind, refused } =
            line;
        Self {
            message_id,
            received_at: modern_text(received_at),
            from_domain,
            kind,
            accepted: refused.is_none(),
            reason: refused,
        }
    }
}
