//! Signing in where the retailer mails a code first: which code answers, how long is waited for it, and what is said
//! when none came.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    accounts::Owner,
    clock,
    error::{Code, Refusal},
    guards::Guard,
    id::RequestId,
    sealed::Sealed,
};

/// Nobody waits longer for a mail, whatever is configured.
pub const LONGEST_WAIT: Duration = Duration::from_hours(1);

/// For so long an interrupted sign-in can be taken up with a code that a client sends along. A retailer that has
/// forgotten it by then says so, and is signed in to afresh.
const VISIT_LIFE: Duration = Duration::from_hours(1);

/// Retailers give their codes about so long.
pub const CODE_LIFE: Duration = Duration::from_mins(10);

/// A retailer's clock may go so much after ours: a code is not taken for older than its challenge because of it.
const CLOCK_DIFFERENCE: Duration = Duration::from_mins(1);

/// What a retailer shows while it waits for a code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerificationPage {
    /// Where a person can enter the code.
    pub verification_url: String,
    /// What the retailer says.
    pub text: String,
    /// The page that the sign-in stopped at.
    pub current_url: String,
}

/// A sign-in that waits for a mailed code. It is kept with the account's lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Challenge {
    /// The request whose job waits; nobody's once it has given up.
    #[serde(default)]
    pub job: Option<RequestId>,
    /// Whose login signs in. A code that was forwarded to somebody else is not for it.
    pub owner: Owner,
    /// The interrupted visit, as its connector wrote it.
    pub visit: Sealed,
    /// What the retailer showed.
    pub page: VerificationPage,
    /// Before the retailer was asked, or when the wrong code came that it was given: what was mailed earlier answers
    /// something else.
    #[serde(with = "clock::millis")]
    pub asked_at: Timestamp,
    /// Until when the job waits.
    #[serde(with = "clock::millis")]
    pub until: Timestamp,
    /// What wakes the job.
    pub receipt_handle: String,
}

/// A code out of a mail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailedCode {
    /// The code.
    pub code: Sealed,
    /// When the mail reached us.
    #[serde(with = "clock::millis")]
    pub received_at: Timestamp,
    /// When it was written, by its own word; else when it reached us.
    #[serde(with = "clock::millis")]
    pub sent_at: Timestamp,
}

/// What a job does about its challenge.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// Answers it with this code.
    Answer(MailedCode),
    /// Waits for so long.
    Wait(Duration),
    /// Gives up.
    GiveUp,
}

impl Challenge {
    /// What is next at `now`, when `code` is the newest code that was mailed to the account.
    pub fn next(&self, code: Option<&MailedCode>, now: Timestamp) -> Next {
        match code {
            Some(code) if self.is_answered_by(code, now) => Next::Answer(code.clone()),
            _ if now < self.until => Next::Wait(clock::until(self.until, now)),
            _ => Next::GiveUp,
        }
    }

    /// Whether `code` can be the one that was asked for: it came and was written after that, and not too long ago.
    fn is_answered_by(&self, code: &MailedCode, now: Timestamp) -> bool {
        !Guard::Challenge.stands()
            || code.received_at >= self.asked_at
                && clock::after(code.sent_at, CLOCK_DIFFERENCE) >= self.asked_at
                && now <= clock::after(code.received_at, CODE_LIFE)
    }

    /// Whether a code that a client sends along at `now` may still take up the visit.
    pub fn is_open(&self, now: Timestamp) -> bool {
        now < clock::after(self.asked_at, VISIT_LIFE)
    }
}

/// No code came, or none that was right. The data are those of real answers.
pub fn not_verified(page: &VerificationPage) -> Refusal {
    let VerificationPage { verification_url, text, current_url } = page;
    Refusal::new(Code::AccountLockedVerificationRequired).with(json!({
        "verification_url": verification_url,
        "text": text,
        "current_url": current_url,
    }))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::{
        id::{ClientId, OrderId},
        retailers::Mode,
    };

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + second).unwrap()
    }

    fn challenge() -> Challenge {
        Challenge {
            job: Some(OrderId::new(Uuid::from_u128(1)).request()),
            owner: Owner { client: ClientId::new(Uuid::from_u128(2)), mode: Mode::Test },
            visit: Sealed::from_base64("visit".to_owned()),
            page: VerificationPage {
                verification_url: "https://shop.example/verify".to_owned(),
                text: "Enter the code".to_owned(),
                current_url: "https://shop.example/sign-in".to_owned(),
            },
            asked_at: at(0),
            until: at(600),
            receipt_handle: "handle".to_owned(),
        }
    }

    fn code(received: i64, sent: i64) -> MailedCode {
        let code = Sealed::from_base64("code".to_owned());
        MailedCode { code, received_at: at(received), sent_at: at(sent) }
    }

    #[test]
    fn a_code_that_came_after_the_question_answers_it() {
        for sent in [1, -30] {
            let code = code(2, sent);
            assert_eq!(challenge().next(Some(&code), at(3)), Next::Answer(code));
        }
    }

    #[test]
    fn a_code_of_an_earlier_question_does_not() {
        for code in [code(-1, -1), code(-1, 5), code(5, -120)] {
            assert_eq!(
                challenge().next(Some(&code), at(6)),
                Next::Wait(Duration::from_secs(594)),
                "{code:?}"
            );
        }
    }

    #[test]
    fn a_code_expires() {
        let long = Challenge { until: at(3600), ..challenge() };
        let early = code(1, 1);
        assert_eq!(long.next(Some(&early), at(601)), Next::Answer(early.clone()));
        assert_eq!(long.next(Some(&early), at(602)), Next::Wait(Duration::from_secs(2998)));
    }

    #[test]
    fn without_a_code_the_wait_ends() {
        assert_eq!(challenge().next(None, at(599)), Next::Wait(Duration::from_secs(1)));
        assert_eq!(challenge().next(None, at(600)), Next::GiveUp);
        // One that came in the last moment still counts.
        assert!(matches!(challenge().next(Some(&code(599, 599)), at(601)), Next::Answer(_)));
    }

    #[test]
    fn a_client_may_answer_for_an_hour() {
        assert!(challenge().is_open(at(3599)));
        assert!(!challenge().is_open(at(3600)));
    }

    #[test]
    fn the_refusal_carries_the_data_of_real_answers() {
        let refusal = not_verified(&challenge().page);
        assert_eq!(refusal.code, Code::AccountLockedVerificationRequired);
        let members: Vec<_> = refusal.data.as_object().unwrap().keys().cloned().collect();
        assert_eq!(members, ["current_url", "text", "verification_url"]);
    }
}
