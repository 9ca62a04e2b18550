//! How a managed account does at its retailer: when it last signed in, what went wrong since, and how long it rests.
//!
//! Retailers lock accounts that keep failing to sign in, and some lock them for good. A wrong password does not heal by
//! itself, so an account that keeps failing is paused; but somebody may put it right at the retailer, where nobody tells
//! us, so no pause is for ever.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    clock,
    error::{Code, Refusal},
};

/// So many failures in a row pause an account. A lock says of itself that there were too many, and counts as much.
const FAILURES_TO_PAUSE: u32 = 3;

/// How long the first pause takes; each further failure doubles it.
const FIRST_PAUSE: Duration = Duration::from_mins(15);

/// No pause takes longer.
const LONGEST_PAUSE: Duration = Duration::from_hours(24);

/// How an account does.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// When it last signed in.
    #[serde(with = "clock::optional_millis", default)]
    pub last_sign_in: Option<Timestamp>,
    /// What went wrong last, if it has not signed in since.
    pub last_error: Option<SignInError>,
    /// How often in a row it failed, at least [`FAILURES_TO_PAUSE`] once it was locked.
    pub failures: u32,
    /// Until when nobody should sign in with it.
    #[serde(with = "clock::optional_millis", default)]
    pub paused_until: Option<Timestamp>,
}

/// A sign-in that did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignInError {
    /// What it was.
    pub code: Trouble,
    /// The same in words, for the client.
    pub message: String,
    /// When it was.
    #[serde(with = "clock::millis")]
    pub at: Timestamp,
}

impl SignInError {
    /// As clients see it.
    pub fn to_json(&self) -> Value {
        let Self { code, message, at } = self;
        json!({"code": code, "message": message, "at": format!("{at:.6}")})
    }
}

/// Why an account does not sign in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trouble {
    /// Its e-mail, password or TOTP code is wrong.
    LoginFailed,
    /// The retailer has locked it.
    AccountLocked,
    /// The retailer mailed a code, and it did not reach us.
    AccountVerificationRequired,
}

/// What is heard of a sign-in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignIn {
    /// We are in.
    Succeeded,
    /// The mail with a code is there, perhaps too late for the sign-in that asked for it.
    CodeArrived,
    /// We are not, and it is the account's fault.
    Failed {
        /// Why.
        trouble: Trouble,
        /// The same in words, for the client.
        message: String,
    },
}

impl SignIn {
    /// What a retailer's refusal to sign in says of the account; nothing, if it is about something else.
    pub fn refused(refusal: &Refusal) -> Option<Self> {
        let trouble =
            if matches!(refusal.code, Code::InvalidLoginCredentials | Code::AccountLoginFailed) {
                Trouble::LoginFailed
            } else if refusal.code == Code::AccountLocked {
                Trouble::AccountLocked
            } else if refusal.code == Code::AccountLockedVerificationRequired {
                Trouble::AccountVerificationRequired
            } else {
                return None;
            };
        Some(Self::Failed { trouble, message: refusal.message.clone() })
    }
}

impl Health {
    /// The health after a sign-in that ended like this at `now`.
    #[must_use]
    pub fn after(self, outcome: SignIn, now: Timestamp) -> Self {
        let (trouble, message) = match outcome {
            SignIn::Succeeded => return Self { last_sign_in: Some(now), ..Self::default() },
            SignIn::CodeArrived => {
                let last_error = self.last_error.clone().filter(|_| !self.misses_mail());
                return Self { last_error, ..self };
            }
            SignIn::Failed { trouble, message } => (trouble, message),
        };
        let more = self.failures.saturating_add(1);
        let failures = match trouble {
            Trouble::LoginFailed => more,
            Trouble::AccountLocked => more.max(FAILURES_TO_PAUSE),
            // The login was right so far, and the next code may arrive.
            Trouble::AccountVerificationRequired => self.failures,
        };
        let paused_until = if failures == self.failures {
            self.paused_until
        } else {
            pause(failures).map(|pause| clock::after(now, pause))
        };
        let last_error = Some(SignInError { code: trouble, message, at: now });
        Self { last_error, failures, paused_until, ..self }
    }

    /// The health once somebody says that the account works again: only what has succeeded still counts.
    #[must_use]
    pub fn forgiven(self) -> Self {
        Self { last_sign_in: self.last_sign_in, ..Self::default() }
    }

    /// Whether the last sign-in waited for a mail in vain.
    pub fn misses_mail(&self) -> bool {
        let last = self.last_error.as_ref();
        last.is_some_and(|error| error.code == Trouble::AccountVerificationRequired)
    }

    /// Until when the account rests, if it does so at `now`.
    pub fn pause(&self, now: Timestamp) -> Option<Timestamp> {
        self.paused_until.filter(|until| *until > now)
    }

    /// For how many minutes it rests at `now`, rounded up.
    pub fn cooldown_minutes(&self, now: Timestamp) -> Option<u64> {
        let left = clock::until(self.pause(now)?, now);
        Some(left.as_millis().div_ceil(60_000).try_into().unwrap_or(u64::MAX))
    }
}

/// How long `failures` in a row pause an account.
fn pause(failures: u32) -> Option<Duration> {
    let doublings = failures.checked_sub(FAILURES_TO_PAUSE)?;
    let times = 2_u32.saturating_pow(doublings);
    Some(FIRST_PAUSE.saturating_mul(times).min(LONGEST_PAUSE))
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::UNIX_EPOCH;

    fn failed(trouble: Trouble) -> SignIn {
        SignIn::Failed { trouble, message: "No.".to_owned() }
    }

    #[test]
    fn a_mail_that_comes_late_is_missed_no_more() {
        let missed = Health::default().after(failed(Trouble::AccountVerificationRequired), START);
        assert!(missed.misses_mail());
        assert_eq!(missed.after(SignIn::CodeArrived, START), Health::default());
        let wrong = Health::default().after(failed(Trouble::LoginFailed), START);
        assert_eq!(wrong.clone().after(SignIn::CodeArrived, START), wrong);
    }

    fn minutes(count: u64) -> Timestamp {
        clock::after(START, Duration::from_mins(count))
    }

    fn after(outcomes: impl IntoIterator<Item = Trouble>) -> Health {
        outcomes.into_iter().fold(Health::default(), |health, one| health.after(failed(one), START))
    }

    #[test]
    fn the_third_wrong_login_in_a_row_pauses_and_further_ones_double_the_pause() {
        let until = |count| after(vec![Trouble::LoginFailed; count]).paused_until;
        assert_eq!([0, 1, 2].map(until), [None; 3]);
        let paused = [3, 4, 5, 9, 10, 200].map(until);
        assert_eq!(paused, [15, 30, 60, 960, 1440, 1440].map(|count| Some(minutes(count))));
    }

    #[test]
    fn a_lock_pauses_at_once() {
        use Trouble::{AccountLocked, LoginFailed};
        let pauses = |outcomes: &[Trouble]| after(outcomes.iter().copied()).paused_until;
        assert_eq!(pauses(&[AccountLocked]), Some(minutes(15)));
        assert_eq!(pauses(&[LoginFailed, LoginFailed, AccountLocked]), Some(minutes(15)));
        assert_eq!(pauses(&[AccountLocked, LoginFailed]), Some(minutes(30)));
        assert_eq!(pauses(&[AccountLocked, AccountLocked]), Some(minutes(30)));
    }

    #[test]
    fn a_code_that_did_not_come_is_shown_and_changes_no_pause() {
        use Trouble::{AccountLocked, AccountVerificationRequired};
        let health = after([AccountVerificationRequired; 9]);
        assert_eq!((health.failures, health.paused_until), (0, None));
        let error = health.last_error.unwrap();
        assert_eq!((error.code, error.at), (AccountVerificationRequired, START));
        let locked = after([AccountLocked]);
        let both = after([AccountLocked, AccountVerificationRequired]);
        assert_eq!(both.paused_until, locked.paused_until);
    }

    #[test]
    fn a_success_ends_what_was_wrong() {
        let health = after([Trouble::AccountLocked]).after(SignIn::Succeeded, minutes(20));
        let expected = Health { last_sign_in: Some(minutes(20)), ..Health::default() };
        assert_eq!(health, expected);
        let failed_again = health.after(failed(Trouble::LoginFailed), minutes(21));
        assert_eq!((failed_again.failures, failed_again.paused_until), (1, None));
        assert_eq!(failed_again.last_sign_in, Some(minutes(20)));
        assert_eq!(failed_again.forgiven(), expected);
    }

    #[test]
    fn a_pause_ends_by_itself_and_its_minutes_are_rounded_up() {
        let health = after([Trouble::AccountLocked]);
        assert_eq!(health.cooldown_minutes(START), Some(15));
        let moment_later = clock::after(START, Duration::from_millis(1));
        assert_eq!(health.cooldown_minutes(moment_later), Some(15));
        let just_before = clock::after(START, Duration::from_millis(15 * 60_000 - 1));
        assert_eq!(health.cooldown_minutes(just_before), Some(1));
        assert_eq!(health.cooldown_minutes(minutes(15)), None);
        assert_eq!(health.pause(minutes(15)), None);
    }

    #[test]
    fn only_what_is_about_the_account_is_its_trouble() {
        let trouble = |code| match SignIn::refused(&Refusal::new(code)) {
            Some(SignIn::Failed { trouble, .. }) => Some(trouble),
            Some(SignIn::Succeeded | SignIn::CodeArrived) | None => None,
        };
        for code in Code::ALL {
            let expected = match code.as_str() {
                "invalid_login_credentials" | "account_login_failed" => Some(Trouble::LoginFailed),
                "account_locked" => Some(Trouble::AccountLocked),
                "account_locked_verification_required" => {
                    Some(Trouble::AccountVerificationRequired)
                }
                _ => None,
            };
            assert_eq!(trouble(code), expected, "{code:?}");
        }
    }

    #[test]
    fn a_health_reads_back_as_it_was_written() {
        for health in [Health::default(), after([Trouble::AccountLocked])] {
            let text = serde_json::to_string(&health).unwrap();
            assert_eq!(serde_json::from_str::<Health>(&text).unwrap(), health, "{text}");
        }
    }
}
