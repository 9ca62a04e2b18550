//! Writing what happens to a cancellation or a return: its new state and the news of it, all or nothing.

use spelter::{
    aftersale::AfterSale,
    aws::{
        aftersales::AfterSales,
        outbox::{News, Outbox},
        queue::Webhooks,
        transaction::Write,
    },
    clock::Clock,
};

use super::{Kind, view};
use crate::{
    news::{self, Happened},
    orders::progress::ProgressError,
};

/// What a change touches.
pub struct AfterSaleProgress<K: Kind> {
    /// The requests.
    pub requests: AfterSales<K>,
    /// The news of them.
    pub outbox: Outbox,
    /// Told at once after a change; the sweeper tells it again if that fails.
    pub webhooks: Webhooks,
    /// The time.
    pub now: Clock,
}

/// A change that is not written yet.
pub(crate) struct Change<K: Kind> {
    request: AfterSale<K>,
    news: Vec<News>,
}

impl<K: Kind> AfterSaleProgress<K> {
    /// Writes `event` and `also` something else, all or nothing.
    pub async fn advance(
        &self,
        request: AfterSale<K>,
        event: K::Event,
        also: Vec<Write>,
    ) -> Result<AfterSale<K>, ProgressError> {
        let mut change = self.change(request, event).await?;
        let mut writes = self.news(&change)?;
        writes.extend(also);
        self.requests.save(&mut change.request, writes).await?;
        Ok(self.written(change).await)
    }

    /// What `event` changes, to be written in a larger transaction.
    pub(crate) async fn change(
        &self,
        request: AfterSale<K>,
        event: K::Event,
    ) -> Result<Change<K>, ProgressError> {
        let now = (self.now)();
        let before = request.stage.clone();
        let (request, kinds) = request.on(event, now)?;
        let account = K::account_news(&before, &request.stage);
        let happened = Happened { kinds, account };
        let news = news::compose(&self.outbox, &view::about(&request), &happened, now).await?;
        Ok(Change { request, news })
    }

    /// For that transaction.
    pub(crate) fn writes(&self, change: &mut Change<K>) -> Result<Vec<Write>, ProgressError> {
        let mut writes = self.news(change)?;
        writes.push(self.requests.replace(&mut change.request)?);
        Ok(writes)
    }

    /// Once it is written: the request as it is then.
    pub(crate) async fn written(&self, change: Change<K>) -> AfterSale<K> {
        news::tell(&self.webhooks, &change.news).await;
        change.request
    }

    fn news(&self, change: &Change<K>) -> Result<Vec<Write>, ProgressError> {
        Ok(self.outbox.writes(&change.news, (self.now)())?)
    }
}
