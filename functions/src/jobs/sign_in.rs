//! Signs in with a retailer account, and waits where the retailer mails a code first.
//!
//! Nobody sleeps: the interrupted visit is kept sealed with the account's lease, the message goes back for as long as is
//! waited, and whoever has the code wakes it. Every code is taken away before it is used, so that it is used once.

use std::time::Duration;

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use spelter::{
    accounts::{
        AccountRef, Owner,
        credentials::{Login, Secrets},
        health,
    },
    aws::{
        accounts,
        leases::{Lease, TotpClaim},
        orders::secrets_context,
        vault::Context,
    },
    clock,
    error::{Code, Refusal, chain},
    orders::{LoginSource, Order},
    retailers::{Card, Connector, Factor, Question, SignIn, StepError},
    sign_in::{self, Challenge, MailedCode, Next, VerificationPage},
    totp,
};

use super::account::{AccountWorker, Stop, Turn};

/// What the interrupted visit of a challenge is sealed for.
const VISIT: &str = "visit";
/// What a code out of a mail is sealed for.
const MAILED_CODE: &str = "mailed-code";

/// For what a code that was mailed to `owner` is sealed.
pub fn code_context(owner: &Owner, account: &AccountRef) -> Context {
    Context { client: owner.partition(), account: account.to_string(), purpose: MAILED_CODE }
}

/// A code to answer with, and the mail it is from, if it is from one.
struct Answer {
    code: SecretString,
    mailed: Option<MailedCode>,
}

/// Times are kept in whole milliseconds.
const MOMENT: Duration = Duration::from_millis(1);

/// A code that the retailer has mailed, and the visit that waits for it.
pub(super) struct Mailed {
    visit: SecretString,
    page: VerificationPage,
    /// Before the retailer was asked.
    asked_at: Timestamp,
}

/// How far signing in came.
pub(super) enum Entry<S> {
    In(S),
    Mailed(Mailed),
}

impl<C: Connector> AccountWorker<C> {
    /// Signs in with the account of `order`.
    pub(super) async fn sign_in(&self, order: &Order, turn: &Turn) -> Result<C::Session, Stop> {
        Ok(self.sign_in_with_card(order, turn).await?.0)
    }

    /// The same, with the card that pays, if it is one of the order's own.
    pub(super) async fn sign_in_with_card(
        &self,
        order: &Order,
        turn: &Turn,
    ) -> Result<(C::Session, Option<Card>), Stop> {
        let (entry, card) = self.enter(order, turn).await?;
        match entry {
            Entry::In(session) => Ok((session, card)),
            Entry::Mailed(mailed) => self.wait_for_code(mailed, order, turn).await,
        }
    }

    /// Signs in as far as that goes without waiting: afresh, or on from where the account's challenge stands.
    pub(super) async fn enter(
        &self,
        order: &Order,
        turn: &Turn,
    ) -> Result<(Entry<C::Session>, Option<Card>), Stop> {
        let own = self.own_secrets(order).await?;
        let card = own.card.clone();
        let ours = |challenge: &&Challenge| challenge.owner == *order.login_owner();
        // Its client has read the code out of a mail that came before the order did.
        let is_for = |challenge: &Challenge| {
            challenge.is_open((self.now)())
                && order.created_at >= challenge.asked_at
                && !order.status.is_final()
        };
        let entry = match (turn.lease.challenge.as_ref().filter(ours), &own.verification_code) {
            (Some(challenge), _) if turn.goes_on() => {
                self.resume(challenge.clone(), order, own, turn).await?
            }
            (Some(challenge), Some(code)) if is_for(challenge) => {
                let code = Answer { code: code.clone(), mailed: None };
                self.answer_mailed(challenge, code, order, own, turn).await?
            }
            _ => self.begin(order, own, turn).await?,
        };
        Ok((entry, card))
    }

    async fn begin(
        &self,
        order: &Order,
        own: Secrets,
        turn: &Turn,
    ) -> Result<Entry<C::Session>, Stop> {
        let asked_at = (self.now)();
        let login = self.login(order, own).await?;
        let answer = self.shop(turn)?.sign_in(&login, order.retailer).await;
        match self.noted(order, answer).await? {
            SignIn::In(session) => Ok(Entry::In(session)),
            SignIn::Asks(question) => self.follow(question, &login, asked_at, order, turn).await,
        }
    }

    /// Goes on with the challenge that this very job waits for.
    async fn resume(
        &self,
        challenge: Challenge,
        order: &Order,
        own: Secrets,
        turn: &Turn,
    ) -> Result<Entry<C::Session>, Stop> {
        match challenge.next(turn.lease.code_for(&challenge.owner), (self.now)()) {
            Next::Answer(mailed) => {
                let code = self.open_code(&mailed, &challenge.owner, turn).await?;
                let code = Answer { code, mailed: Some(mailed) };
                self.answer_mailed(&challenge, code, order, own, turn).await
            }
            Next::Wait(_) => {
                let visit = self.open_visit(&challenge, turn).await?;
                let Challenge { page, asked_at, .. } = challenge;
                Ok(Entry::Mailed(Mailed { visit, page, asked_at }))
            }
            Next::GiveUp => {
                self.leases.give_up(&turn.lease).await?;
                Err(self.refused(order, sign_in::not_verified(&challenge.page)).await)
            }
        }
    }

    async fn answer_mailed(
        &self,
        challenge: &Challenge,
        Answer { code, mailed }: Answer,
        order: &Order,
        own: Secrets,
        turn: &Turn,
    ) -> Result<Entry<C::Session>, Stop> {
        let visit = self.open_visit(challenge, turn).await?;
        let now = (self.now)();
        self.leases.end_challenge(&turn.lease, &challenge.owner, mailed.as_ref()).await?;
        let answer = self.shop(turn)?.answer(&visit, &code).await;
        match self.noted(order, answer).await? {
            SignIn::In(session) => Ok(Entry::In(session)),
            SignIn::Asks(question) => {
                // The right code may be on its way since before the wrong one was tried.
                let asked_at = match &mailed {
                    Some(wrong) if question.again => clock::after(wrong.received_at, MOMENT),
                    None if question.again => challenge.asked_at,
                    Some(_) | None => now,
                };
                let login = self.login(order, own).await?;
                self.follow(question, &login, asked_at, order, turn).await
            }
        }
    }

    /// Answers what an authenticator can answer. A mailed code is for the caller to wait for.
    async fn follow(
        &self,
        question: Question,
        login: &Login,
        asked_at: Timestamp,
        order: &Order,
        turn: &Turn,
    ) -> Result<Entry<C::Session>, Stop> {
        let time = match question.factor {
            Factor::Mail(page) => {
                return Ok(Entry::Mailed(Mailed { visit: question.visit, page, asked_at }));
            }
            Factor::Totp { time } => time,
        };
        let secret = login.totp.as_ref().ok_or_else(no_totp)?;
        // The retailer's clock decides whether a code is right, and ours how long we wait for the next.
        let (now, theirs) = ((self.now)(), time.unwrap_or_else(self.now));
        let fresh_at = clock::after(now, totp::rest_of_step(theirs));
        match self.leases.claim_totp(&turn.lease, totp::step(theirs), fresh_at).await? {
            TotpClaim::Used => return Err(Stop::Later(clock::until(fresh_at, now))),
            TotpClaim::Ours => {}
        }
        let asked_at = (self.now)();
        let answer = self.shop(turn)?.answer(&question.visit, &secret.code(theirs)).await;
        match self.noted(order, answer).await? {
            SignIn::In(session) => Ok(Entry::In(session)),
            SignIn::Asks(Question { factor: Factor::Totp { .. }, .. }) => {
                Err(self.refused(order, wrong_totp()).await)
            }
            SignIn::Asks(Question { factor: Factor::Mail(page), visit, .. }) => {
                Ok(Entry::Mailed(Mailed { visit, page, asked_at }))
            }
        }
    }

    /// Passes on what the retailer said, and notes what it says of the account.
    async fn noted(
        &self,
        order: &Order,
        said: Result<SignIn<C::Session>, StepError>,
    ) -> Result<SignIn<C::Session>, Stop> {
        match said {
            Ok(SignIn::In(session)) => {
                self.note(order, &health::SignIn::Succeeded).await;
                Ok(SignIn::In(session))
            }
            Ok(asks @ SignIn::Asks(_)) => Ok(asks),
            Err(StepError::Refused(refusal)) => Err(self.refused(order, refusal).await),
            Err(error @ StepError::Unavailable(_)) => Err(error.into()),
        }
    }

    async fn refused(&self, order: &Order, refusal: Refusal) -> Stop {
        if let Some(outcome) = health::SignIn::refused(&refusal) {
            self.note(order, &outcome).await;
        }
        Stop::Refused(refusal)
    }

    /// Notes how a managed account did. That it could not be noted changes nothing for the order.
    async fn note(&self, order: &Order, outcome: &health::SignIn) {
        let LoginSource::Account { owner, id } = &order.login else { return };
        let noted = self.accounts.record_sign_in(owner, id, outcome, (self.now)()).await;
        if let Err(error) = noted {
            tracing::warn!(error = chain(&error), "how {id} did was not noted");
        }
    }

    /// The job stops, and is woken once the code is there.
    pub(super) async fn wait_for_code<T>(
        &self,
        mailed: Mailed,
        order: &Order,
        turn: &Turn,
    ) -> Result<T, Stop> {
        let challenge = self.challenge(mailed, order, turn).await?;
        self.leases.wait(&turn.lease, &challenge).await?;
        if !self.can_be_mailed(order).await? {
            // Nobody would ever bring the code. The visit stays for an order that does.
            return Err(self.refused(order, sign_in::not_verified(&challenge.page)).await);
        }
        let now = (self.now)();
        let wait = clock::until(challenge.until, now);
        self.jobs.return_after(&turn.receipt_handle, wait).await?;
        // Who brought the code or called the order off before the message went back has woken it in vain. It is woken, and
        // not gone on with here: another worker may have it already.
        let lease = self.leases.get(&turn.lease.account).await?;
        let lease = lease.filter(|lease| lease.fence == turn.lease.fence);
        let code = lease.as_ref().and_then(|lease| lease.code_for(&challenge.owner));
        let is_answered = matches!(challenge.next(code, now), Next::Answer(_));
        if is_answered || self.is_called_off(order).await? {
            self.jobs.wake(&turn.receipt_handle).await?;
        }
        Err(Stop::Parked)
    }

    async fn is_called_off(&self, order: &Order) -> Result<bool, Stop> {
        if order.status.is_final() {
            return Ok(false);
        }
        let order = self.progress.orders.get(&order.owner, &order.id).await?;
        Ok(order.is_some_and(|order| order.is_aborted()))
    }

    async fn challenge(
        &self,
        Mailed { visit, page, asked_at }: Mailed,
        order: &Order,
        turn: &Turn,
    ) -> Result<Challenge, Stop> {
        let owner = order.login_owner().clone();
        let context = visit_context(&owner, &turn.lease);
        let visit = self.vault.seal(&context, visit.expose_secret().as_bytes()).await?;
        // One that is taken up again waits no longer for it.
        let before = turn.lease.challenge.as_ref().filter(|_| turn.goes_on());
        let until = before.map_or_else(|| clock::after(asked_at, self.code_wait), |one| one.until);
        let (job, receipt_handle) = (Some(turn.request.clone()), turn.receipt_handle.clone());
        Ok(Challenge { job, owner, visit, page, asked_at, until, receipt_handle })
    }

    /// Whether mail to the account may reach us: only what is a managed account has an address to forward to. What is done
    /// again and again for an order after the sale does not hold the account up for a mail that did not come before.
    async fn can_be_mailed(&self, order: &Order) -> Result<bool, Stop> {
        match &order.login {
            LoginSource::Account { owner, id } if order.status.is_final() => {
                let account = self.accounts.get(owner, id).await?.map(|(account, _)| account);
                Ok(account.is_some_and(|account| !account.health.misses_mail()))
            }
            LoginSource::Account { .. } => Ok(true),
            LoginSource::Order => {
                let accounts = self.accounts.list(&order.owner).await?;
                Ok(accounts.iter().any(|account| account.refs().contains(&order.account)))
            }
        }
    }

    async fn open_visit(&self, challenge: &Challenge, turn: &Turn) -> Result<SecretString, Stop> {
        let context = visit_context(&challenge.owner, &turn.lease);
        Ok(self.vault.open_text(&context, &challenge.visit).await?)
    }

    async fn open_code(
        &self,
        mailed: &MailedCode,
        owner: &Owner,
        turn: &Turn,
    ) -> Result<SecretString, Stop> {
        let context = code_context(owner, &turn.lease.account);
        Ok(self.vault.open_text(&context, &mailed.code).await?)
    }

    /// The login that signs in.
    async fn login(&self, order: &Order, own: Secrets) -> Result<Login, Stop> {
        let (email, secrets) = match &order.login {
            LoginSource::Order => (order.email.clone(), own),
            LoginSource::Account { owner, id } => {
                let found = self.accounts.get(owner, id).await?;
                let (account, sealed) =
                    found.ok_or_else(|| no_login("The managed account was deleted."))?;
                if AccountRef::new(order.site, &account.email_hash) != order.account {
                    // Another retailer account by now, with a lock and a history of its own.
                    return Err(no_login("The managed account has another e-mail now."));
                }
                if let Some(refusal) = account.paused((self.now)()) {
                    return Err(Stop::Refused(refusal));
                }
                let sealed =
                    sealed.ok_or_else(|| no_login("The managed account has no password."))?;
                let context = accounts::secrets_context(owner, id);
                (account.email, self.vault.open_secrets(&context, &sealed).await?)
            }
        };
        secrets.login(email).ok_or_else(|| no_login("The account has no password."))
    }

    /// The secrets that came with the order: with its card, as long as there is one, else by themselves.
    async fn own_secrets(&self, order: &Order) -> Result<Secrets, Stop> {
        let (purpose, sealed) = if order.has_card {
            let sealed = self.progress.cards.get(&order.id).await?;
            // Another way of paying is not what was asked for.
            ("card", Some(sealed.ok_or_else(card_is_gone)?))
        } else {
            ("order", order.secrets.clone())
        };
        let Some(sealed) = sealed else { return Ok(Secrets::default()) };
        let context = secrets_context(&order.owner, &order.id, purpose);
        Ok(self.vault.open_secrets(&context, &sealed).await?)
    }
}

fn visit_context(owner: &Owner, lease: &Lease) -> Context {
    Context { client: owner.partition(), account: lease.account.to_string(), purpose: VISIT }
}

fn card_is_gone() -> Stop {
    let text = "The card that came with the order is not kept any more. Order again with the card.";
    Stop::Refused(Refusal::new(Code::PaymentInfoProblem).saying(text))
}

fn no_login(text: &str) -> Stop {
    Stop::Refused(Refusal::new(Code::AccountLoginFailed).saying(text))
}

fn no_totp() -> Stop {
    no_login("The retailer asks for a TOTP code, and the account has no TOTP secret.")
}

fn wrong_totp() -> Refusal {
    let text = "The retailer refused the TOTP code. Check the account's TOTP secret.";
    Refusal::new(Code::AccountLoginFailed).saying(text)
}
