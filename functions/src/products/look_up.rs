//! Finding out what a product's page says, with one visit for all who ask at once.
//!
//! Who finds nothing fresh claims the page and reads it; the others wait for that. Whoever must not be kept waiting,
//! or has waited so long that a visit would no longer fit, leaves the visit to the queue. A reader that dies, or a
//! message that is lost, is made good by whoever asks after the claim has run out.

use std::time::Duration;

use jiff::Timestamp;
use spelter::{
    accounts::Owner,
    aws::{
        products::Claim,
        queue::{ProductMessage, ProductReads},
    },
    clock,
    error::ApiError,
    fields::FieldError,
    http::Request,
    products::{self, PageKey, ProductId, Question, Reading, Verdict, What},
    retailers::{Connector, RetailerCode, Site},
};

use super::reader::{CLAIM, READ_TIME, Reader};

/// How long a caller is kept waiting. An HTTP API gives up after 30 seconds.
const PATIENCE: Duration = Duration::from_secs(26);

/// How long a page is claimed for a visit that the queue brings about.
const QUEUED_CLAIM: Duration = Duration::from_mins(1);

/// What finding out needs.
pub struct LookUp<C> {
    /// What goes to the retailer.
    pub reader: Reader<C>,
    /// The way to the worker.
    pub queue: ProductReads,
}

/// What is asked for.
pub struct Asked {
    /// Which page.
    pub page: PageKey,
    /// How.
    pub question: Question,
}

/// What was found out.
#[derive(Debug)]
pub enum Seen {
    /// Somebody is reading the page.
    Processing,
    /// The retailer said this.
    Said(Reading),
    /// The retailer did not answer.
    Down,
}

impl Asked {
    /// Reads a request for the page `what` of the product in its path.
    pub fn read(owner: &Owner, request: &Request, what: What) -> Result<Self, ApiError> {
        if let Some(name) = request.query::<String>("retailer")? {
            RetailerCode::named(&name).map_err(ApiError::Refused)?;
        }
        let question: Question = request.read_query()?;
        let product_id: ProductId = request.path("product_id")?;
        let retailer = question.retailer;
        let site = Site::of(retailer, owner.mode).ok_or_else(|| {
            let message = "cannot be read with a live key yet: there is no live adapter for it";
            ApiError::Invalid(vec![FieldError::in_query("retailer", message)])
        })?;
        Ok(Self { page: PageKey { site, retailer, product_id, what }, question })
    }
}

impl<C: Connector> LookUp<C> {
    /// What the page says, or that it is not known yet.
    pub async fn run(&self, asked: &Asked) -> Result<Seen, ApiError> {
        let Asked { page, question } = asked;
        let began = self.now();
        let not_before = question.not_before(page.what, began);
        let patience = if question.is_async { Duration::ZERO } else { PATIENCE };
        let deadline = clock::after(began, patience);
        let mut waits = products::waits();
        let mut known = self.reader.pages.get(page).await?;
        loop {
            let now = self.now();
            match products::decide(&known, not_before, now) {
                Verdict::Answer(reading) => return Ok(Seen::Said(reading.clone())),
                Verdict::Down => return Ok(Seen::Down),
                Verdict::Wait => {
                    let wait = waits.next().unwrap_or(PATIENCE);
                    if clock::until(deadline, now) < wait {
                        return Ok(Seen::Processing);
                    }
                    tokio::time::sleep(wait).await;
                    known = self.reader.pages.get(page).await?;
                }
                Verdict::Claim => {
                    let in_time = clock::until(deadline, now) > READ_TIME;
                    let held = if in_time { CLAIM } else { QUEUED_CLAIM };
                    let until = clock::after(now, held);
                    match self.reader.pages.claim(page, known.version, now, until).await? {
                        Claim::Taken(newer) => known = newer,
                        Claim::Ours(claim) if in_time => {
                            let read = self.reader.read(page, claim).await;
                            return Ok(read.map_or(Seen::Down, Seen::Said));
                        }
                        Claim::Ours(claim) => {
                            let message = ProductMessage::Read { page: page.clone(), claim };
                            self.queue.send(&message).await?;
                            known.claimed_until = Some(until);
                        }
                    }
                }
            }
        }
    }

    fn now(&self) -> Timestamp {
        (self.reader.now)()
    }
}
