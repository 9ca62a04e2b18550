//! Whether somebody vouches for a mail, and who.
//!
//! The word of a retailer is a DKIM signature of its own domain that we checked ourselves; everything else can only take
//! it away. See `docs/mail.md`.

use super::{
    message::Mail,
    senders::{Sender, Trust},
};
use crate::email::Email;

/// A DKIM signature that was checked and holds. [`crate::dkim`] makes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// The domain that signed (`d=`), in lower case.
    pub domain: String,
    /// The names of the headers it covers (`h=`), in lower case.
    pub signed_headers: Vec<String>,
}

impl Signature {
    fn covers(&self, header: &str) -> bool {
        self.signed_headers.iter().any(|signed| signed == header)
    }
}

/// One of SES's verdicts. Source: Amazon SES, "Contents of notifications for Amazon SES email receiving".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The check was passed.
    Pass,
    /// It was not.
    Fail,
    /// It could not be said, or there was nothing to check.
    Gray,
    /// SES could not do the check.
    ProcessingFailed,
    /// Nobody asked for the check.
    Disabled,
}

impl Verdict {
    /// The verdict as the event spells it. A word we do not know is no verdict.
    pub fn named(text: &str) -> Self {
        match text {
            "PASS" => Self::Pass,
            "FAIL" => Self::Fail,
            "GRAY" => Self::Gray,
            "DISABLED" => Self::Disabled,
            _ => Self::ProcessingFailed,
        }
    }

    /// Its word in the event.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "PASS",
            Self::Fail => "FAIL",
            Self::Gray => "GRAY",
            Self::ProcessingFailed => "PROCESSING_FAILED",
            Self::Disabled => "DISABLED",
        }
    }
}

/// What SES found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are SES's")]
pub struct Verdicts {
    pub spam: Verdict,
    pub virus: Verdict,
    pub spf: Verdict,
    pub dkim: Verdict,
    pub dmarc: Verdict,
}

/// Why nobody vouches for a mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Distrust {
    /// SES found a virus.
    #[error("it holds a virus")]
    Virus,
    /// SES takes it for spam.
    #[error("it is spam")]
    Spam,
    /// It has no From, or none that is an address.
    #[error("it names no sender")]
    NoSender,
    /// It has more than one From.
    #[error("it names several senders")]
    SeveralSenders,
    /// A header that may stand once stands twice: a signature covers one of them, a reader may see the other.
    #[error("it repeats a header")]
    RepeatedHeader,
    /// The From is nobody we know.
    #[error("its sender is nobody we know")]
    UnknownSender,
    /// The sandbox writes to a live account, or a retailer to a test account.
    #[error("its sender has no business with accounts of this mode")]
    AnotherMode,
    /// No signature.
    #[error("it is not signed")]
    NoSignature,
    /// It has signatures, and none of the sender's that holds.
    #[error("it is not signed by its sender")]
    SignatureOfAnotherDomain,
    /// SES says that the signature is broken.
    #[error("its signature is broken")]
    BrokenSignature,
    /// The signature leaves out what the decision rests on.
    #[error("its signature covers too little")]
    UnsignedHeader,
    /// SES says that the sender's domain disowns it.
    #[error("its sender's domain disowns it")]
    Dmarc,
    /// It is a mail to somebody else.
    #[error("it is not addressed to this account")]
    NotToThisAccount,
}

impl Distrust {
    /// Every reason.
    pub const ALL: [Self; 13] = [
        Self::Virus,
        Self::Spam,
        Self::NoSender,
        Self::SeveralSenders,
        Self::RepeatedHeader,
        Self::UnknownSender,
        Self::AnotherMode,
        Self::NoSignature,
        Self::SignatureOfAnotherDomain,
        Self::BrokenSignature,
        Self::UnsignedHeader,
        Self::Dmarc,
        Self::NotToThisAccount,
    ];

    /// The word for the account's mail log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Virus => "virus",
            Self::Spam => "spam",
            Self::NoSender => "no_sender",
            Self::SeveralSenders => "several_senders",
            Self::RepeatedHeader => "repeated_header",
            Self::UnknownSender => "unknown_sender",
            Self::AnotherMode => "another_mode",
            Self::NoSignature => "no_signature",
            Self::SignatureOfAnotherDomain => "signature_of_another_domain",
            Self::BrokenSignature => "broken_signature",
            Self::UnsignedHeader => "unsigned_header",
            Self::Dmarc => "dmarc",
            Self::NotToThisAccount => "not_to_this_account",
        }
    }
}

/// Who vouches for `mail`, which came to the forwarding address of the account of `account`. `signatures` are those
/// that hold.
///
/// SPF is not looked at: a mail that a Gmail filter forwards comes from Gmail's servers, so its SPF speaks for Gmail.
pub fn vouch(
    mail: &Mail,
    verdicts: Verdicts,
    signatures: &[Signature],
    account: &Email,
    trust: &Trust<'_>,
) -> Result<Sender, Distrust> {
    harmless(verdicts)?;
    let from = one_sender(mail)?;
    let (sender, signers) = trust.sender_of(from).ok_or(Distrust::UnknownSender)?;
    if !trust.deals_with(sender) {
        return Err(Distrust::AnotherMode);
    }
    let signature =
        signatures.iter().find(|signature| signers.contains(&signature.domain.as_str())).ok_or(
            if mail.is_signed { Distrust::SignatureOfAnotherDomain } else { Distrust::NoSignature },
        )?;
    not_disowned(verdicts)?;
    if !["from", "subject"].iter().all(|header| signature.covers(header)) {
        return Err(Distrust::UnsignedHeader);
    }
    match sender {
        // It is addressed to the forwarding address, and names the mailbox in its text: see `gmail`.
        Sender::Google => {}
        Sender::Retailer(_) | Sender::Sandbox => addressed_to(mail, signature, account)?,
    }
    Ok(sender)
}

fn harmless(verdicts: Verdicts) -> Result<(), Distrust> {
    if verdicts.virus == Verdict::Fail {
        return Err(Distrust::Virus);
    }
    if verdicts.spam == Verdict::Fail {
        return Err(Distrust::Spam);
    }
    Ok(())
}

fn one_sender(mail: &Mail) -> Result<&str, Distrust> {
    let from = match mail.from.as_slice() {
        [] => return Err(Distrust::NoSender),
        [from] => from,
        [..] => return Err(Distrust::SeveralSenders),
    };
    if mail.repeats_a_header { Err(Distrust::RepeatedHeader) } else { Ok(from) }
}

/// What SES says against a mail whose signature holds for us.
///
/// GRAY and the like take nothing away: SES did not look, and we did. A FAIL does, although our own check is the
/// stricter one: DMARC passes when an aligned signature does, so that two checks of one thing disagree, and a code that
/// is lost costs a resubmission while a wrong one is typed into a retailer's account.
fn not_disowned(verdicts: Verdicts) -> Result<(), Distrust> {
    if verdicts.dkim == Verdict::Fail {
        return Err(Distrust::BrokenSignature);
    }
    if verdicts.dmarc == Verdict::Fail {
        return Err(Distrust::Dmarc);
    }
    Ok(())
}

/// Whether the sender wrote to this account. Otherwise anybody who has an account there could send the genuine mail
/// that he got to the forwarding address of somebody else.
fn addressed_to(mail: &Mail, signature: &Signature, account: &Email) -> Result<(), Distrust> {
    if !mail.to.contains(&account.canonical()) {
        return Err(Distrust::NotToThisAccount);
    }
    if signature.covers("to") { Ok(()) } else { Err(Distrust::UnsignedHeader) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_are_named_as_ses_names_them() {
        for word in ["PASS", "FAIL", "GRAY", "PROCESSING_FAILED", "DISABLED"] {
            assert_eq!(Verdict::named(word).as_str(), word);
        }
        for unknown in ["", "pass", "MAYBE"] {
            assert_eq!(Verdict::named(unknown), Verdict::ProcessingFailed);
        }
    }
}
