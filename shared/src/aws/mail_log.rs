//! The log of mails that arrived at accounts. DynamoDB deletes a line once it is old.

use aws_config::SdkConfig;
use aws_sdk_dynamodb::{
    Client, error::SdkError, operation::query::builders::QueryFluentBuilder, types::Select,
};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{AwsError, Item, text};
use crate::{
    accounts::{
        Owner,
        mails::{Kind, Line},
    },
    clock,
    id::AccountId,
};

/// Long enough to find out why last month's order did not get its code.
const KEPT_FOR: SignedDuration = SignedDuration::from_hours(30 * 24);

/// The table of the mail log.
#[derive(Clone)]
pub struct MailLog {
    db: Client,
    table: String,
}

/// Whether a line is new. SES reports a mail at least once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recorded {
    /// It was written now.
    New,
    /// It stands there since an earlier report of the same mail.
    Before,
}

/// The newest lines of an account and how many there are in all.
#[derive(Debug)]
pub struct Newest {
    /// Newest first.
    pub lines: Vec<Line>,
    /// How many there are in all.
    pub total: usize,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    pk: String,
    sk: String,
    owner: Owner,
    account: AccountId,
    message_id: String,
    #[serde(with = "clock::millis")]
    received_at: Timestamp,
    from_domain: Option<String>,
    kind: Kind,
    refused: Option<String>,
    /// Seconds since 1970, as DynamoDB's time to live wants them.
    expires_at: i64,
}

impl MailLog {
    /// The table `table`.
    pub fn new(config: &SdkConfig, table: String) -> Self {
        Self { db: Client::new(config), table }
    }

    /// Writes a line, unless it stands there.
    pub async fn record(&self, line: &Line) -> Result<Recorded, AwsError> {
        let item = serde_dynamo::to_item(store(line)).map_err(AwsError::corrupt("a mail"))?;
        let sent = self
            .db
            .put_item()
            .table_name(&self.table)
            .set_item(Some(item))
            .condition_expression("attribute_not_exists(pk)")
            .send()
            .await;
        match sent.map_err(SdkError::into_service_error) {
            Ok(_) => Ok(Recorded::New),
            Err(error) if error.is_conditional_check_failed_exception() => Ok(Recorded::Before),
            Err(error) => Err(AwsError::Call("dynamodb:PutItem", error.into())),
        }
    }

    /// The newest lines of an account, `limit` at the most.
    pub async fn list(
        &self,
        owner: &Owner,
        account: &AccountId,
        limit: usize,
    ) -> Result<Newest, AwsError> {
        let mut pages = self.query(owner, account).into_paginator().items().send();
        let mut lines = Vec::new();
        while lines.len() < limit {
            let Some(item) = pages.next().await else {
                return Ok(Newest { total: lines.len(), lines });
            };
            lines.push(read(item.map_err(AwsError::call("dynamodb:Query"))?)?);
        }
        Ok(Newest { lines, total: self.count(owner, account).await? })
    }

    async fn count(&self, owner: &Owner, account: &AccountId) -> Result<usize, AwsError> {
        let mut pages = self.query(owner, account).select(Select::Count).into_paginator().send();
        let mut total = 0_usize;
        while let Some(page) = pages.next().await {
            let page = page.map_err(AwsError::call("dynamodb:Query"))?;
            total = total.saturating_add(usize::try_from(page.count).unwrap_or_default());
        }
        Ok(total)
    }

    fn query(&self, owner: &Owner, account: &AccountId) -> QueryFluentBuilder {
        self.db
            .query()
            .table_name(&self.table)
            .key_condition_expression("pk = :account")
            .expression_attribute_values(":account", text(partition(owner, account)))
            .scan_index_forward(false)
            .consistent_read(true)
    }
}

fn partition(owner: &Owner, account: &AccountId) -> String {
    format!("{}#{account}", owner.partition())
}

fn store(line: &Line) -> Stored {
    let Line { owner, account, message_id, received_at, from_domain, kind, refused } = line.clone();
    Stored {
        pk: partition(&owner, &account),
        // As many digits for every time, so that texts sort as times do.
        sk: format!("{received_at:.3}#{message_id}"),
        expires_at: received_at.saturating_add(KEPT_FOR).map_or(i64::MAX, Timestamp::as_second),
        owner,
        account,
        message_id,
        received_at,
        from_domain,
        kind,
        refused,
    }
}

fn read(item: Item) -> Result<Line, AwsError> {
    let stored: Stored = serde_dynamo::from_item(item).map_err(AwsError::corrupt("a mail"))?;
    let Stored {
        pk: _,
        sk: _,
        owner,
        account,
        message_id,
        received_at,
        from_domain,
        kind,
        refused,
        expires_at: _,
    } = stored;
    Ok(Line { owner, account, message_id, received_at, from_domain, kind, refused })
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::{aws::emulator, id::ClientId, retailers::Mode};

    const TABLE: &str = "mails";

    #[tokio::test]
    async fn lines_are_listed_newest_first_and_each_mail_once() {
        let log = MailLog::new(&emulator::config().await, TABLE.to_owned());
        emulator::create_table(&log.db, TABLE, &[]).await;
        let line = |owner: &Owner, account: &AccountId, millis: i64| Line {
            owner: owner.clone(),
            account: account.clone(),
            message_id: format!("message{millis}"),
            received_at: Timestamp::from_millisecond(millis).unwrap(),
            from_domain: Some("example.com".to_owned()),
            kind: Kind::Code,
            refused: (millis % 2 == 0).then(|| "unsigned".to_owned()),
        };
        let owner = Owner { client: ClientId::new(Uuid::new_v4()), mode: Mode::Test };
        let other = Owner { mode: Mode::Live, ..owner.clone() };
        let account = AccountId::new(Uuid::new_v4());
        for millis in [999, 86_400_000, 1_000, 2_001] {
            let line = line(&owner, &account, millis);
            assert_eq!(log.record(&line).await.unwrap(), Recorded::New);
            assert_eq!(log.record(&line).await.unwrap(), Recorded::Before);
        }
        log.record(&line(&other, &account, 5)).await.unwrap();

        let newest = log.list(&owner, &account, 3).await.unwrap();
        let expected = [86_400_000, 2_001, 1_000].map(|millis| line(&owner, &account, millis));
        assert_eq!((newest.lines.as_slice(), newest.total), (expected.as_slice(), 4));
        let all = log.list(&owner, &account, 5).await.unwrap();
        assert_eq!((all.lines.len(), all.total), (4, 4));
        let others = log.list(&owner, &AccountId::new(Uuid::new_v4()), 5).await.unwrap();
        assert_eq!((others.lines.len(), others.total), (0, 0));
    }
}
