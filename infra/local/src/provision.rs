//! Creates the template's tables, queues, keys, buckets and mail identities in the emulators; what exists is kept.

use crate::{
    aws::{Aws, AwsError, Service},
    model::{Bucket, Queue, Table},
    template::{Template, TemplateError},
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

/// Why the stack's resources are not there.
#[derive(Debug, thiserror::Error)]
pub enum ProvisionError {
    /// A call failed.
    #[error(transparent)]
    Aws(#[from] AwsError),
    /// The template could not be read.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// A key that encrypted stored data is gone.
    #[error(
        "the KMS key {0} is lost: the emulator was ended before it could save. What was encrypted \
         with it cannot be read any more. Start again with --fresh"
    )]
    KeyLost(String),
    /// A table of an older template.
    #[error(
        "the table {table} exists with another {property} than the template says. Start again \
         with --fresh"
    )]
    TableChanged {
        /// The table.
        table: String,
        /// What differs.
        property: &'static str,
    },
    /// The list of keys could not be kept.
    #[error("cannot keep the list of keys in {0}")]
    Record(String, #[source] io::Error),
}

/// The KMS keys this state directory has had, so that a lost one is noticed.
pub struct KeyRecord {
    file: PathBuf,
    ids: BTreeMap<String, String>,
}

impl KeyRecord {
    /// Reads the record; there is none at the first start.
    pub fn open(state: &Path) -> Result<Self, ProvisionError> {
        let file = state.join("keys.json");
        let ids = match std::fs::read(&file) {
            Ok(text) => serde_json::from_slice(&text).map_err(io::Error::from),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeMap::new()),
            Err(error) => Err(error),
        };
        match ids {
            Ok(ids) => Ok(Self { file, ids }),
            Err(error) => Err(ProvisionError::Record(file.display().to_string(), error)),
        }
    }

    fn write(&self) -> Result<(), ProvisionError> {
        std::fs::write(&self.file, json!(self.ids).to_string())
            .map_err(|error| ProvisionError::Record(self.file.display().to_string(), error))
    }
}

/// Creates the keys that are missing; returns every key's id, and whether any was created.
pub async fn keys(
    aws: &Aws,
    template: &Template,
    record: &KeyRecord,
) -> Result<(BTreeMap<String, String>, bool), ProvisionError> {
    let mut ids = BTreeMap::new();
    let mut created = false;
    for key in template.keys()? {
        let id = if let Some(id) = record.ids.get(&key.logical_id) {
            match aws.call(Service::Kms, "DescribeKey", &json!({ "KeyId": id })).await {
                Ok(_) => id.clone(),
                Err(error) if error.is("NotFoundException") => {
                    return Err(ProvisionError::KeyLost(key.logical_id));
                }
                Err(error) => return Err(error.into()),
            }
        } else {
            created = true;
            let answer = aws.call(Service::Kms, "CreateKey", &key.definition).await?;
            text_at(&answer, "/KeyMetadata/KeyId")
        };
        ids.insert(key.logical_id, id);
    }
    Ok((ids, created))
}

/// Writes down which keys there are; to be called when the emulator has saved them.
pub fn record_keys(
    mut record: KeyRecord,
    ids: &BTreeMap<String, String>,
) -> Result<(), ProvisionError> {
    record.ids.clone_from(ids);
    record.write()
}

/// Creates the aliases that are missing.
pub async fn aliases(aws: &Aws, template: &Template) -> Result<(), ProvisionError> {
    for alias in template.aliases()? {
        let wanted = json!({ "AliasName": alias.name, "TargetKeyId": alias.key_id });
        let described =
            aws.call(Service::Kms, "DescribeKey", &json!({ "KeyId": alias.name })).await;
        match described {
            Ok(found) if text_at(&found, "/KeyMetadata/KeyId") == alias.key_id => {}
            Ok(_) => _ = aws.call(Service::Kms, "UpdateAlias", &wanted).await?,
            Err(error) if error.is("NotFoundException") => {
                aws.call(Service::Kms, "CreateAlias", &wanted).await?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Creates the queues that are missing and gives all of them the template's attributes.
pub async fn queues(aws: &Aws, queues: &[Queue]) -> Result<(), ProvisionError> {
    for queue in queues {
        let named = json!({ "QueueName": queue.name });
        match aws.call(Service::Sqs, "GetQueueUrl", &named).await {
            Ok(found) => {
                let mut attributes = queue.attributes.clone();
                // What a queue is cannot be changed.
                attributes.remove("FifoQueue");
                let wanted = json!({
                    "QueueUrl": text_at(&found, "/QueueUrl"),
                    "Attributes": attributes,
                });
                aws.call(Service::Sqs, "SetQueueAttributes", &wanted).await?;
            }
            Err(error) if error.is("QueueDoesNotExist") => {
                let wanted = json!({ "QueueName": queue.name, "Attributes": queue.attributes });
                aws.call(Service::Sqs, "CreateQueue", &wanted).await?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Creates the buckets that are missing. What is in them is never deleted here, while S3 does it by the rules of the
/// template.
pub async fn buckets(aws: &Aws, buckets: &[Bucket]) -> Result<(), ProvisionError> {
    for bucket in buckets {
        aws.create_bucket(&bucket.name).await?;
    }
    Ok(())
}

/// Makes SES send for the identities: here nobody has to prove that they are theirs.
pub async fn mail_identities(aws: &Aws, identities: &[String]) -> Result<(), ProvisionError> {
    for identity in identities {
        let (action, name) = if identity.contains('@') {
            ("VerifyEmailIdentity", "EmailAddress")
        } else {
            ("VerifyDomainIdentity", "Domain")
        };
        aws.query(Service::Ses, action, &[(name, identity)]).await?;
    }
    Ok(())
}

/// Creates the tables that are missing.
pub async fn tables(dynamodb: &Aws, tables: &[Table]) -> Result<(), ProvisionError> {
    for table in tables {
        let named = json!({ "TableName": table.name });
        match dynamodb.call(Service::DynamoDb, "DescribeTable", &named).await {
            Ok(found) => check_unchanged(table, &found)?,
            Err(error) if error.is("ResourceNotFoundException") => {
                dynamodb.call(Service::DynamoDb, "CreateTable", &table.definition).await?;
                expire(dynamodb, table).await?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

async fn expire(dynamodb: &Aws, table: &Table) -> Result<(), ProvisionError> {
    if let Some(attribute) = &table.expires_by {
        let specification = json!({
            "TableName": table.name,
            "TimeToLiveSpecification": { "AttributeName": attribute, "Enabled": true },
        });
        dynamodb.call(Service::DynamoDb, "UpdateTimeToLive", &specification).await?;
    }
    Ok(())
}

fn check_unchanged(table: &Table, found: &Value) -> Result<(), ProvisionError> {
    let changed = |property| ProvisionError::TableChanged { table: table.name.clone(), property };
    let found = found.get("Table").unwrap_or(&Value::Null);
    if table.definition.get("KeySchema") != found.get("KeySchema") {
        return Err(changed("key"));
    }
    if indexes(&table.definition) != indexes(found) {
        return Err(changed("set of indexes"));
    }
    Ok(())
}

/// Each global index's name and key.
fn indexes(description: &Value) -> BTreeMap<String, Value> {
    let indexes = description.get("GlobalSecondaryIndexes").and_then(Value::as_array);
    indexes
        .into_iter()
        .flatten()
        .map(|index| {
            (text_at(index, "/IndexName"), index.get("KeySchema").cloned().unwrap_or_default())
        })
        .collect()
}

fn text_at(value: &Value, pointer: &str) -> String {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}
