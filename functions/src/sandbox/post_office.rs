//! The shop's mails.

use mail_builder::MessageBuilder;
use secrecy::{ExposeSecret, SecretString};
use spelter::{aws::mailer::Mailer, error::BoxError};

use super::answer::Fault;

/// Sends from the shop's own domain.
pub struct PostOffice {
    /// What sends.
    pub mailer: Mailer,
    /// The shop's domain.
    pub domain: String,
}

impl PostOffice {
    /// Mails a code for `account` to `mailbox`: the account's own, or where its owner has mail of the shop forwarded to.
    pub async fn send_code(
        &self,
        mailbox: &str,
        account: &str,
        code: &SecretString,
    ) -> Result<(), Fault> {
        let code = code.expose_secret();
        let text = format!(
            "Hello,\n\nYour verification code is {code}. It is valid for 30 minutes. Never give it to anybody.\n\n\
             Your sandbox\n"
        );
        self.send(mailbox, account, "Your sandbox verification code", &text).await
    }

    /// Mails that an order has left, so that its owner need not ask.
    pub async fn send_shipped(
        &self,
        mailbox: &str,
        account: &str,
        order_id: &str,
        carrier: &str,
        tracking_number: &str,
    ) -> Result<(), Fault> {
        let text = format!(
            "Hello,\n\nyour order is on its way.\n\nOrder: {order_id}\nCarrier: {carrier}\n\
             Tracking number: {tracking_number}\n\nYour sandbox\n"
        );
        self.send(mailbox, account, "Your sandbox order has shipped", &text).await
    }

    /// As a mailbox that forwards does it: addressed to the account, delivered to where it forwards to.
    async fn send(
        &self,
        mailbox: &str,
        account: &str,
        subject: &str,
        text: &str,
    ) -> Result<(), Fault> {
        let sender = format!("no-reply@{}", self.domain);
        let message = MessageBuilder::new()
            .from(("Sandbox", sender.as_str()))
            .to(account)
            .subject(subject)
            .text_body(text)
            .write_to_vec()
            .map_err(|error| Fault::Down(BoxError::from(error)))?;
        Ok(self.mailer.send(&sender, mailbox, message).await?)
    }
}
