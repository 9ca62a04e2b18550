//! Mail that came in for managed accounts: each was stored by SES before its event comes.
//!
//! Who a mail is for, its envelope says and nothing else. A code wakes the job that waits for it, Gmail's question about
//! forwarding is answered, a tracking number is written down, and every mail leaves a line in its account's log. What is
//! for nobody goes back.
//!
//! SES invokes without waiting for an answer, and at least once. An error here brings the event back twice, and then to
//! the queue of failures; doing everything twice does no harm. No line of the log holds an address or a word of a mail.

mod forwarding;

use std::time::Instant;

use aws_lambda_events::ses::{SimpleEmailEvent, SimpleEmailReceipt, SimpleEmailService};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use spelter::{
    accounts::{
        AccountRef, ManagedAccount,
        health::SignIn,
        mails::{Kind, Line},
    },
    aws::{
        AwsError, accounts::Accounts, calls, leases::Leases, mail_log::MailLog, mailer::Mailer,
        mails::Mails, queue::Jobs, vault::Vault,
    },
    clock::Clock,
    dkim::Signatures,
    error::{BoxError, chain},
    mail::{
        self, Content,
        authenticity::{self, Verdict, Verdicts},
        message::{self, Mail},
        senders::{Brand, Sender, Trust},
        shipments::Shipment,
    },
    orders::{Event, Status, tracking},
    sign_in::{Challenge, MailedCode, Next},
    telemetry::millis_since,
};
use uuid::Uuid;

pub use self::forwarding::Forwarding;
use crate::{
    jobs::sign_in::code_context,
    orders::progress::{Progress, ProgressError},
};

/// What this function may touch.
pub struct InboundEmail<S> {
    /// The raw mails.
    pub mails: Mails,
    /// Whom they are for.
    pub accounts: Accounts,
    /// What came for whom.
    pub log: MailLog,
    /// Who waits for a code.
    pub leases: Leases,
    /// Wakes who waits.
    pub jobs: Jobs,
    /// Seals codes.
    pub vault: Vault,
    /// Orders whose parcels are on their way.
    pub progress: Progress,
    /// Checks signatures.
    pub signatures: S,
    /// Answers Gmail.
    pub forwarding: Forwarding,
    /// Sends back what is for nobody.
    pub mailer: Mailer,
    /// The domain of forwarding addresses.
    pub domain: String,
    /// The domain that the sandbox mails from.
    pub sandbox_domain: String,
    /// The time.
    pub now: Clock,
}

/// What SES says of a mail.
struct Report<'a> {
    message_id: &'a str,
    /// Its envelope's sender; empty for what is itself a notice that a mail could not be delivered.
    sender: &'a str,
    received_at: Timestamp,
    verdicts: Verdicts,
}

/// What became of a mail, for the account's log.
struct Noted {
    kind: Kind,
    refused: Option<&'static str>,
}

impl Noted {
    const fn accepted(kind: Kind) -> Self {
        Self { kind, refused: None }
    }

    const fn refused(kind: Kind, reason: &'static str) -> Self {
        Self { kind, refused: Some(reason) }
    }
}

/// Who sends mail back.
const BOUNCER: &str = "mailer-daemon";

/// A worker changes an order a few times in a second; one of so many tries falls between two of its changes.
const TRIES: usize = 10;

impl<S: Signatures> InboundEmail<S> {
    /// Reads every mail of an event, which is one.
    pub async fn run(&self, event: SimpleEmailEvent) -> Result<(), BoxError> {
        for record in event.records {
            self.read(&record.ses).await?;
        }
        Ok(())
    }

    /// Delivers a mail to each of its recipients; one that fails does not keep it from the others.
    async fn read(&self, service: &SimpleEmailService) -> Result<(), BoxError> {
        let (started, report) = (Instant::now(), Report::of(service)?);
        report.note();
        let (mut failed, mut unknown) = (None, Vec::new());
        for recipient in &service.receipt.recipients {
            match self.account_of(recipient).await {
                Ok(Some(account)) => {
                    if let Err(error) = self.deliver(&report, account).await {
                        failed = Some(error);
                    }
                }
                Ok(None) => unknown.push(recipient.as_str()),
                Err(error) => failed = Some(error.into()),
            }
        }
        // Not when the event comes again for the sake of others: nobody is told twice.
        if failed.is_none() && !unknown.is_empty() {
            self.send_back(&report, &unknown).await;
        }
        let id = report.message_id;
        tracing::info!(
            mail.id = id,
            duration_ms = millis_since(started),
            aws.calls = calls::take(),
            "mail {id} is done"
        );
        failed.map_or(Ok(()), Err)
    }

    async fn account_of(&self, recipient: &str) -> Result<Option<ManagedAccount>, AwsError> {
        match self.uuid_of(recipient) {
            Some(uuid) => self.accounts.by_uuid(uuid).await,
            None => Ok(None),
        }
    }

    async fn deliver(&self, report: &Report<'_>, account: ManagedAccount) -> Result<(), BoxError> {
        let id = report.message_id;
        let Some(raw) = self.mails.raw(id, message::MAX_BYTES).await? else {
            tracing::warn!(mail.id = id, "the mail {id} is gone");
            return Ok(());
        };
        let (from_domain, noted) = match message::parse(&raw) {
            Ok(mail) => (from_domain(&mail), self.take(report, &raw, &mail, &account).await?),
            Err(reason) => (None, Noted::refused(Kind::Other, reason.as_str())),
        };
        let Noted { kind, refused } = noted;
        let line = Line {
            owner: account.owner,
            account: account.id.clone(),
            message_id: id.to_owned(),
            received_at: report.received_at,
            from_domain,
            kind,
            refused: refused.map(str::to_owned),
        };
        self.log.record(&line).await?;
        tracing::info!(
            mail.id = id,
            mail.bytes = raw.len(),
            account.id = %account.id,
            mail.kind = ?kind,
            mail.refused = refused,
            "mail {id} was read for {}",
            account.id
        );
        Ok(())
    }

    /// The UUID in a forwarding address of ours.
    fn uuid_of(&self, recipient: &str) -> Option<Uuid> {
        let (name, domain) = recipient.rsplit_once('@')?;
        let is_ours = domain.eq_ignore_ascii_case(&self.domain);
        is_ours.then(|| Uuid::try_parse(name).ok()).flatten()
    }

    /// Tells the sender that there is nobody. Nobody is told who sent what is harmful, what the sender's domain disowns or
    /// what is itself such a notice: its sender is most likely somebody else.
    ///
    /// SES sends one such notice a second; under a flood of mail to nobody most of its senders hear nothing.
    async fn send_back(&self, report: &Report<'_>, recipients: &[&str]) {
        let id = report.message_id;
        let Verdicts { spam, virus, spf, dmarc, dkim: _ } = report.verdicts;
        let is_suspect = [spam, virus, spf, dmarc].contains(&Verdict::Fail);
        let to_postmaster = |recipient: &&str| {
            let (name, _) = recipient.rsplit_once('@').unwrap_or((recipient, ""));
            [BOUNCER, "postmaster"].iter().any(|one| name.eq_ignore_ascii_case(one))
        };
        if report.sender.is_empty() || is_suspect || recipients.iter().any(to_postmaster) {
            tracing::info!(mail.id = id, "mail {id} is for nobody and dropped");
            return;
        }
        let sender = format!("{BOUNCER}@{}", self.domain);
        match self.mailer.bounce(id, &sender, recipients).await {
            Ok(true) => tracing::info!(mail.id = id, "mail {id} is for nobody and goes back"),
            Ok(false) => {
                tracing::warn!(
                    mail.id = id,
                    "mail {id} is for nobody, and SES does not send it back"
                );
            }
            Err(error) => {
                let error = chain(&error);
                tracing::warn!(
                    mail.id = id,
                    error,
                    "mail {id} is for nobody and was not sent back"
                );
            }
        }
    }

    /// Does what a mail calls for, if somebody vouches for it.
    async fn take(
        &self,
        report: &Report<'_>,
        raw: &[u8],
        mail: &Mail,
        account: &ManagedAccount,
    ) -> Result<Noted, BoxError> {
        let trust = Trust { mode: account.owner.mode, sandbox_domain: &self.sandbox_domain };
        let signatures = self.signatures.verify(raw, |domain| trust.may_vouch(domain)).await?;
        let vouched =
            authenticity::vouch(mail, report.verdicts, &signatures, &account.email, &trust);
        let sender = match vouched {
            Ok(sender) => sender,
            Err(reason) => return Ok(Noted::refused(Kind::Other, reason.as_str())),
        };
        match mail::content(sender, mail, &account.email) {
            Content::Code(code) => {
                let (received_at, sent_at) = (report.received_at, mail.date);
                let sent_at = sent_at.unwrap_or(received_at);
                self.deliver_code((code, received_at, sent_at), sender, account).await?;
                if account.health.misses_mail() {
                    // What is done after the sale waits for codes again.
                    let (ManagedAccount { owner, id, .. }, arrived) =
                        (account, SignIn::CodeArrived);
                    self.accounts.record_sign_in(owner, id, &arrived, (self.now)()).await?;
                }
                Ok(Noted::accepted(Kind::Code))
            }
            Content::Shipment(shipment) => {
                self.track(&shipment, sender, account).await?;
                Ok(Noted::accepted(Kind::Shipment))
            }
            Content::GmailConfirmation(confirmation) => {
                let kind = Kind::ForwardingConfirmation;
                if !self.forwarding.confirm(&confirmation.link).await? {
                    return Ok(Noted::refused(kind, "not_confirmed"));
                }
                self.accounts.set_forwarding(account, (self.now)()).await?;
                Ok(Noted::accepted(kind))
            }
            Content::Other(unused) => Ok(Noted::refused(Kind::Other, unused.as_str())),
        }
    }

    /// Keeps a code with the retailer account it is for, and wakes the job that waits for it.
    async fn deliver_code(
        &self,
        (code, received_at, sent_at): (SecretString, Timestamp, Timestamp),
        sender: Sender,
        account: &ManagedAccount,
    ) -> Result<(), BoxError> {
        for place in places(sender, account) {
            let context = code_context(&account.owner, &place);
            let code = self.vault.seal(&context, code.expose_secret().as_bytes()).await?;
            let mailed = MailedCode { code, received_at, sent_at };
            let waiting = self.leases.deliver_code(&place, &account.owner, &mailed).await?;
            let is_answered = |challenge: &Challenge| {
                matches!(challenge.next(Some(&mailed), (self.now)()), Next::Answer(_))
            };
            if let Some(challenge) = waiting.filter(is_answered) {
                // One that has just come back by itself sees the code, too.
                self.jobs.wake(&challenge.receipt_handle).await?;
            }
        }
        Ok(())
    }

    /// Writes down the number of a parcel.
    async fn track(
        &self,
        shipment: &Shipment,
        sender: Sender,
        account: &ManagedAccount,
    ) -> Result<(), BoxError> {
        let Some(number) = &shipment.tracking_number else { return Ok(()) };
        for place in places(sender, account) {
            for merchant_order_id in &shipment.merchant_order_ids {
                let carrier = shipment.carrier.as_deref();
                self.track_one(&place, merchant_order_id, carrier, number, account).await?;
            }
        }
        Ok(())
    }

    async fn track_one(
        &self,
        place: &AccountRef,
        merchant_order_id: &str,
        carrier: Option<&str>,
        number: &str,
        account: &ManagedAccount,
    ) -> Result<(), BoxError> {
        for _ in 0..TRIES {
            let claimant = self.progress.orders.claimant(place, merchant_order_id).await?;
            let ours = claimant.filter(|order| *order.login_owner() == account.owner);
            let Some(order) = ours else { return Ok(()) };
            let Status::Placed(placement) = &order.status else { return Ok(()) };
            let now = (self.now)();
            let learnt =
                tracking::learn_from_mail(placement, merchant_order_id, carrier, number, now);
            if learnt == placement.tracking {
                return Ok(());
            }
            match self.progress.advance(order, Event::Track(learnt), None).await {
                Ok(_) => return Ok(()),
                // Somebody else changed it. What that was decides whether there is still something to write.
                Err(ProgressError::Lost) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err("an order changes all the time".into())
    }
}

impl<'a> Report<'a> {
    fn of(service: &'a SimpleEmailService) -> Result<Self, BoxError> {
        let SimpleEmailService { mail, receipt, .. } = service;
        let SimpleEmailReceipt { spam_verdict, virus_verdict, spf_verdict, .. } = receipt;
        let SimpleEmailReceipt { dkim_verdict, dmarc_verdict, .. } = receipt;
        let verdict =
            |status: &Option<String>| Verdict::named(status.as_deref().unwrap_or_default());
        Ok(Self {
            message_id: mail.message_id.as_deref().ok_or("an event without a message id")?,
            sender: mail.source.as_deref().unwrap_or_default().trim_matches(['<', '>']),
            received_at: Timestamp::from_millisecond(receipt.timestamp.timestamp_millis())?,
            verdicts: Verdicts {
                spam: verdict(&spam_verdict.status),
                virus: verdict(&virus_verdict.status),
                spf: verdict(&spf_verdict.status),
                dkim: verdict(&dkim_verdict.status),
                dmarc: verdict(&dmarc_verdict.status),
            },
        })
    }

    /// Says that it came in, before anything can go wrong with it.
    fn note(&self) {
        let id = self.message_id;
        let Verdicts { spam, virus, spf, dkim, dmarc } = self.verdicts;
        tracing::info!(
            mail.id = id,
            mail.spam = spam.as_str(),
            mail.virus = virus.as_str(),
            mail.spf = spf.as_str(),
            mail.dkim = dkim.as_str(),
            mail.dmarc = dmarc.as_str(),
            "mail {id} came in"
        );
    }
}

/// The retailer accounts that mail of `sender` to `account` can be about.
fn places(sender: Sender, account: &ManagedAccount) -> Vec<AccountRef> {
    match sender {
        Sender::Retailer(brand) => account.refs_at(|retailer| Brand::of(retailer) == brand),
        Sender::Sandbox => account.refs(),
        Sender::Google => Vec::new(),
    }
}

/// The domain a mail says that it is from; a mail that names several senders says nothing.
fn from_domain(mail: &Mail) -> Option<String> {
    match mail.from.as_slice() {
        [from] => from.rsplit_once('@').map(|(_, domain)| domain.to_owned()),
        [..] => None,
    }
}
