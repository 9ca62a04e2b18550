//! Reads a product's page for callers who did not wait.
//!
//! The message names a claim. It is renewed before the visit, so that of two messages of one claim one alone leads to
//! a visit; a message whose claim is gone is late, and whoever still wants the page has asked again.

use std::time::Duration;

use spelter::{
    aws::{products::Claim, queue::ProductMessage},
    clock,
    error::BoxError,
    retailers::Connector,
    sqs::{Job, Outcome, Received},
};

use crate::products::reader::{CLAIM, Reader};

/// What this function may touch.
pub struct ReadProduct<C> {
    /// What goes to the retailer.
    pub reader: Reader<C>,
}

impl<C: Connector> Job for ReadProduct<C> {
    type Message = ProductMessage;

    async fn run(&self, received: Received<ProductMessage>) -> Result<Outcome, BoxError> {
        let ProductMessage::Read { page, claim } = received.message;
        let now = (self.reader.now)();
        let until = clock::after(now, CLAIM);
        match self.reader.pages.claim(&page, claim, now, until).await? {
            Claim::Ours(claim) => {
                self.reader.read(&page, claim).await;
            }
            Claim::Taken(_) => tracing::info!(page = %page, "{page} is somebody else's by now"),
        }
        Ok(Outcome::Done)
    }

    /// Nothing here asks for it.
    async fn postpone(&self, _: &str, _: Duration) -> Result<(), BoxError> {
        Err("a page is not postponed but asked for again".into())
    }
}
