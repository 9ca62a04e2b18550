//! A real `DynamoDB` API inside a unit test.

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_dynamodb::{
    Client,
    config::{Credentials, SharedCredentialsProvider},
    types::{
        AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType,
        Projection, ProjectionType, ScalarAttributeType,
    },
};
use tokio::net::TcpListener;

/// The configuration of clients of an emulator without tables. It ends with the test's runtime.
pub(super) async fn config() -> SdkConfig {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(dynoxide::server::serve_on(listener, dynoxide::Database::memory().unwrap()));
    let credentials = Credentials::new("a", "s", None, None, "test");
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static("us-east-1"))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .endpoint_url(url)
        .build()
}

/// A table with `pk` and `sk`, and with an index of keys for each attribute of `indexed`, by its name.
pub(super) async fn create_table(db: &Client, name: &str, indexed: &[&str]) {
    let mut create = db
        .create_table()
        .table_name(name)
        .billing_mode(BillingMode::PayPerRequest)
        .key_schema(key("pk", KeyType::Hash))
        .key_schema(key("sk", KeyType::Range));
    for attribute in ["pk", "sk"].iter().chain(indexed) {
        let definition = AttributeDefinition::builder().attribute_name(*attribute);
        let definition = definition.attribute_type(ScalarAttributeType::S).build().unwrap();
        create = create.attribute_definitions(definition);
    }
    for attribute in indexed {
        let keys = Projection::builder().projection_type(ProjectionType::KeysOnly).build();
        let index = GlobalSecondaryIndex::builder().index_name(*attribute).projection(keys);
        let index = index.key_schema(key(attribute, KeyType::Hash)).build().unwrap();
        create = create.global_secondary_indexes(index);
    }
    create.send().await.unwrap();
}

fn key(name: &str, kind: KeyType) -> KeySchemaElement {
    KeySchemaElement::builder().attribute_name(name).key_type(kind).build().unwrap()
}
