//! Mail that arrives for a managed account: what it says, who vouches for it, and what it is.
//!
//! Pure: bytes and verdicts in, a decision out. Signatures are checked by [`crate::dkim`], which asks DNS; nothing here
//! follows a link, stores anything or knows which order waits for a code.

pub mod authenticity;
pub mod codes;
pub mod gmail;
pub mod html;
pub mod message;
pub mod senders;
pub mod shipments;

#[cfg(test)]
mod corpus;

use secrecy::SecretString;

use self::{
    codes::NoCode,
    gmail::{Confirmation, Unconfirmed},
    message::Mail,
    senders::Sender,
    shipments::Shipment,
};
use crate::email::Email;

/// What a mail is that somebody vouched for.
pub enum Content {
    /// It brings a code that ends a sign-in.
    Code(SecretString),
    /// It says that an order is on its way.
    Shipment(Shipment),
    /// Google asks whether the account's mailbox may forward to us.
    GmailConfirmation(Confirmation),
    /// It is of no use here.
    Other(Unused),
}

/// Why a mail that somebody vouched for is of no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unused {
    /// It is from a shop, and brings neither a code nor a shipment.
    Shop(NoCode),
    /// It is from Google, and not to be confirmed.
    Google(Unconfirmed),
}

impl Unused {
    /// The word for the account's mail log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Shop(reason) => reason.as_str(),
            Self::Google(reason) => reason.as_str(),
        }
    }
}

/// What `mail` is, which `sender` vouched for (see [`authenticity::vouch`]) and which came to the account of `account`.
pub fn content(sender: Sender, mail: &Mail, account: &Email) -> Content {
    if sender == Sender::Google {
        return match gmail::confirmation(mail, account) {
            Ok(confirmation) => Content::GmailConfirmation(confirmation),
            Err(reason) => Content::Other(Unused::Google(reason)),
        };
    }
    match codes::code(sender, mail) {
        Ok(code) => Content::Code(code),
        Err(reason) => shipments::shipment(sender, mail)
            .map_or(Content::Other(Unused::Shop(reason)), Content::Shipment),
    }
}
