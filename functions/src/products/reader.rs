//! One visit to a retailer's public page, and what is written down of it.

use std::time::Duration;

use spelter::{
    aws::{AwsError, products::Products},
    clock::Clock,
    error::{BoxError, chain},
    products::{Content, PageKey, Reading, What},
    retailers::{Connector, StepError},
};

/// How long a retailer may take to show a page.
pub const READ_TIME: Duration = Duration::from_secs(15);

/// How long whoever goes to read a page at once claims it: longer than the visit and the writing take.
pub const CLAIM: Duration = Duration::from_secs(20);

/// What a visit to a retailer needs.
pub struct Reader<C> {
    /// What is known of pages.
    pub pages: Products,
    /// Where is read.
    pub shop: C,
    /// The time.
    pub now: Clock,
}

impl<C: Connector> Reader<C> {
    /// Reads `page` under the claim `claim` and writes down what the retailer said; `None` if it did not answer.
    ///
    /// What cannot be written down is read again by the next caller, when the claim has run out.
    pub async fn read(&self, page: &PageKey, claim: u64) -> Option<Reading> {
        let read_at = (self.now)();
        let visit = tokio::time::timeout(READ_TIME, self.visit(page)).await;
        let outcome = match visit.unwrap_or_else(|late| Err(StepError::Unavailable(late.into()))) {
            Ok(content) => Ok(content),
            Err(StepError::Refused(refusal)) => Err(refusal),
            Err(StepError::Unavailable(error)) => {
                self.note_outage(page, claim, &error).await;
                return None;
            }
        };
        let reading = Reading { read_at, outcome };
        warn(page, self.pages.put(page, claim, &reading, (self.now)()).await);
        Some(reading)
    }

    async fn visit(&self, page: &PageKey) -> Result<Content, StepError> {
        let (retailer, product_id) = (page.retailer, page.product_id.as_str());
        match page.what {
            What::Details => {
                let product = self.shop.product(retailer, product_id).await?;
                Ok(Content::Details(Box::new(product)))
            }
            What::Offers => {
                self.shop.public_offers(retailer, product_id).await.map(Content::Offers)
            }
        }
    }

    async fn note_outage(&self, page: &PageKey, claim: u64, error: &BoxError) {
        tracing::warn!(page = %page, error = chain(&**error), "{page} could not be read");
        warn(page, self.pages.put_outage(page, claim, (self.now)()).await);
    }
}

fn warn(page: &PageKey, written: Result<(), AwsError>) {
    if let Err(error) = written {
        tracing::warn!(page = %page, error = chain(&error), "what {page} says was not written down");
    }
}
