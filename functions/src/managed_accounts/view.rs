//! A managed account as a client sees it. Its secrets are not even loaded here.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use spelter::{
    accounts::{
        ManagedAccount,
        health::{Health, SignInError},
    },
    aws::leases::Holder,
    clock::modern_text,
    email::Email,
    id::{AccountId, RequestId},
    retailers::RetailerCode,
};
use uuid::Uuid;

/// The documented fields, and what today's clients also know.
#[derive(Serialize)]
pub struct View {
    id: Uuid,
    short_id: AccountId,
    email: Email,
    retailer: Option<RetailerCode>,
    forwarding_email: String,
    has_totp: bool,
    has_forwarding: bool,
    locked_by_job_id: Option<RequestId>,
    last_used_at: Option<String>,
    last_sign_in: Option<String>,
    last_error: Option<Value>,
    is_paused: bool,
    cooldown_minutes: Option<u64>,
    retailer_config: BTreeMap<String, Value>,
    created_at: String,
    updated_at: String,
}

impl View {
    pub(super) fn new(
        account: ManagedAccount,
        holder: Option<&Holder>,
        mail_domain: &str,
        now: Timestamp,
    ) -> Self {
        let forwarding_email = account.forwarding_email(mail_domain);
        let ManagedAccount {
            id,
            uuid,
            owner,
            email,
            email_hash: _,
            retailer,
            has_totp,
            has_forwarding,
            retailer_config,
            created_at,
            updated_at,
            last_used_at,
            health,
            version: _,
        } = account;
        let cooldown_minutes = health.cooldown_minutes(now);
        let Health { last_sign_in, last_error, failures: _, paused_until: _ } = health;
        // The lock is of the retailer account, which another client may use, too: its jobs are its own business.
        let own = holder.filter(|holder| holder.owner == owner);
        Self {
            id: uuid,
            short_id: id,
            email,
            retailer,
            forwarding_email,
            has_totp,
            has_forwarding,
            locked_by_job_id: own.map(|holder| holder.job.clone()),
            last_used_at: last_used_at.map(modern_text),
            last_sign_in: last_sign_in.map(modern_text),
            last_error: last_error.as_ref().map(SignInError::to_json),
            is_paused: cooldown_minutes.is_some(),
            cooldown_minutes,
            retailer_config,
            created_at: modern_text(created_at),
            updated_at: modern_text(updated_at),
        }
    }
}
