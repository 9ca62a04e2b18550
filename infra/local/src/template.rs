//! `template.yaml` as the things to run: functions, routes, queues, tables, keys, schedules.
//!
//! This is the only reader of the template, and holds no wiring of its own. Resource types the
//! local stack has nothing for (roles, log groups, alarms) are skipped and listed in `skipped`.

mod read;

use crate::{
    intrinsics::{self, ACCOUNT, IntrinsicError, Resources, Scope},
    model::{
        Alias, Bucket, Events, Function, HttpApi, Key, Queue, ReceiptRule, Table, bucket_arn,
        function_arn, key_arn, queue_arn, table_arn,
    },
    yaml::{self, YamlError},
};
use serde_json::{Map, Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::Duration,
};

const FUNCTION: &str = "AWS::Serverless::Function";
const HTTP_API: &str = "AWS::Serverless::HttpApi";
const TABLE: &str = "AWS::DynamoDB::Table";
const QUEUE: &str = "AWS::SQS::Queue";
const KEY: &str = "AWS::KMS::Key";
const ALIAS: &str = "AWS::KMS::Alias";
const BUCKET: &str = "AWS::S3::Bucket";
const RULE_SET: &str = "AWS::SES::ReceiptRuleSet";
const RULE: &str = "AWS::SES::ReceiptRule";
const IDENTITY: &str = "AWS::SES::EmailIdentity";
const LOG_GROUP: &str = "AWS::Logs::LogGroup";

/// Why a template cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// The file could not be read.
    #[error("cannot read the template {0}")]
    Unreadable(String, #[source] std::io::Error),
    /// It is not YAML.
    #[error("cannot parse the template")]
    Yaml(#[from] YamlError),
    /// A section is missing or of the wrong kind.
    #[error("the template has no {0}")]
    NoSection(&'static str),
    /// A value could not be resolved.
    #[error("{0}")]
    Intrinsic(String, #[source] IntrinsicError),
    /// A property is missing or of the wrong kind.
    #[error("{id}: {property} {problem}")]
    Property {
        /// The resource's logical id.
        id: String,
        /// Which property.
        property: String,
        /// What is wrong with it.
        problem: String,
    },
}

/// Where the template's APIs and emulators are reached, known before anything is resolved.
#[derive(Debug, Clone, Default)]
pub struct Places {
    /// URL of the emulator of SQS, KMS, S3 and SES.
    pub aws_url: String,
    /// URL of each HTTP API, by logical id.
    pub api_urls: BTreeMap<String, String>,
    /// Key id of each KMS key, by logical id: filled when the keys exist.
    pub key_ids: BTreeMap<String, String>,
}

/// A template with its parameters, ready to be asked for its resources.
pub struct Template {
    resources: Map<String, Value>,
    conditions: Map<String, Value>,
    function_globals: Value,
    parameters: BTreeMap<String, Value>,
    /// Where the outside is.
    pub places: Places,
}

impl Template {
    /// Reads a template file.
    pub fn read(path: &Path, given: &BTreeMap<String, String>) -> Result<Self, TemplateError> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| TemplateError::Unreadable(path.display().to_string(), error))?;
        Self::parse(&text, given)
    }

    /// Reads a template's text.
    pub fn parse(text: &str, given: &BTreeMap<String, String>) -> Result<Self, TemplateError> {
        let document = yaml::parse(text)?;
        let section = |name: &str| document.get(name).and_then(Value::as_object).cloned();
        let parameters = section("Parameters").unwrap_or_default();
        let parameters = intrinsics::parameters(&parameters, given)
            .map_err(|error| TemplateError::Intrinsic("Parameters".to_owned(), error))?;
        Ok(Self {
            resources: section("Resources").ok_or(TemplateError::NoSection("Resources"))?,
            conditions: section("Conditions").unwrap_or_default(),
            function_globals: document.pointer("/Globals/Function").cloned().unwrap_or_default(),
            parameters,
            places: Places::default(),
        })
    }

    /// A parameter's value as text.
    pub fn parameter(&self, name: &str) -> Option<String> {
        self.parameters.get(name).and_then(intrinsics::text)
    }

    /// The functions.
    pub fn functions(&self) -> Result<Vec<Function>, TemplateError> {
        self.of_type(FUNCTION)?.iter().map(|resource| self.function(resource)).collect()
    }

    /// The HTTP APIs.
    pub fn http_apis(&self) -> Result<Vec<HttpApi>, TemplateError> {
        self.of_type(HTTP_API)?.iter().map(read::http_api).collect()
    }

    /// Logical ids of the HTTP APIs, which is all that is known before they have addresses.
    pub fn http_api_ids(&self) -> Result<Vec<String>, TemplateError> {
        Ok(self.of_type(HTTP_API)?.into_iter().map(|api| api.id).collect())
    }

    /// What invokes the functions.
    pub fn events(&self) -> Result<Events, TemplateError> {
        let apis = self.http_apis()?;
        let mut events = Events::default();
        for resource in self.of_type(FUNCTION)? {
            let function = self.function(&resource)?;
            let declared = resource.object("Events")?;
            for (name, event) in &declared {
                read::event(&resource, &function, &apis, name, event, &mut events)?;
            }
        }
        Ok(events)
    }

    /// The queues, dead-letter queues first.
    pub fn queues(&self) -> Result<Vec<Queue>, TemplateError> {
        let queues: Result<Vec<_>, _> = self.of_type(QUEUE)?.iter().map(read::queue).collect();
        let mut queues = queues?;
        queues.sort_by_key(|queue| queue.redrives);
        Ok(queues)
    }

    /// The tables.
    pub fn tables(&self) -> Result<Vec<Table>, TemplateError> {
        self.of_type(TABLE)?.iter().map(|resource| self.table(resource)).collect()
    }

    /// The KMS keys.
    pub fn keys(&self) -> Result<Vec<Key>, TemplateError> {
        self.of_type(KEY)?.iter().map(read::key).collect()
    }

    /// The KMS aliases; the keys must be in `places` by now.
    pub fn aliases(&self) -> Result<Vec<Alias>, TemplateError> {
        self.of_type(ALIAS)?
            .iter()
            .map(|resource| {
                Ok(Alias {
                    name: resource.required_text("AliasName")?,
                    key_id: resource.required_text("TargetKeyId")?,
                })
            })
            .collect()
    }

    /// The buckets.
    pub fn buckets(&self) -> Result<Vec<Bucket>, TemplateError> {
        self.of_type(BUCKET)?
            .iter()
            .map(|resource| {
                let name = resource.text("BucketName")?;
                let name = name.unwrap_or_else(|| self.bucket_name(&resource.id));
                Ok(Bucket { logical_id: resource.id.clone(), name })
            })
            .collect()
    }

    /// The receipt rules that are enabled, in the order of the template; here every rule set is active.
    pub fn receipt_rules(&self) -> Result<Vec<ReceiptRule>, TemplateError> {
        let rules = self.of_type(RULE)?;
        let rules: Result<Vec<_>, _> = rules.iter().map(read::receipt_rule).collect();
        Ok(rules?.into_iter().flatten().collect())
    }

    /// What SES may send for: domains, or addresses.
    pub fn mail_identities(&self) -> Result<Vec<String>, TemplateError> {
        let identities = self.of_type(IDENTITY)?;
        identities.iter().map(|resource| resource.required_text("EmailIdentity")).collect()
    }

    /// Resource types the local stack has nothing for.
    pub fn skipped(&self) -> BTreeSet<String> {
        let known = [FUNCTION, HTTP_API, TABLE, QUEUE, KEY, ALIAS, BUCKET, RULE, IDENTITY];
        self.resources
            .values()
            .filter_map(type_of)
            .filter(|kind| !known.contains(kind))
            .map(str::to_owned)
            .collect()
    }

    /// A name for a resource the template leaves unnamed, the same at every start.
    fn physical_name(&self, logical_id: &str) -> String {
        let stage = self.parameter("Stage").unwrap_or_else(|| "local".to_owned());
        format!("spelter-{stage}-{logical_id}")
    }

    /// S3 takes no capitals.
    fn bucket_name(&self, logical_id: &str) -> String {
        self.physical_name(logical_id).to_lowercase()
    }

    fn scope(&self) -> Scope<'_> {
        Scope::new(&self.parameters, &self.conditions, self)
    }

    fn of_type(&self, wanted: &str) -> Result<Vec<Resource<'_>>, TemplateError> {
        let mut found = Vec::new();
        for (id, resource) in &self.resources {
            if type_of(resource) != Some(wanted) {
                continue;
            }
            let exists = match resource.get("Condition").and_then(Value::as_str) {
                Some(condition) => self
                    .scope()
                    .condition(condition)
                    .map_err(|error| TemplateError::Intrinsic(id.clone(), error))?,
                None => true,
            };
            if exists {
                found.push(self.resource(id, resource));
            }
        }
        Ok(found)
    }

    fn resource(&self, id: &str, resource: &Value) -> Resource<'_> {
        let own = resource.get("Properties").cloned().unwrap_or_else(|| json!({}));
        let properties = match type_of(resource) {
            Some(FUNCTION) => merge(&self.function_globals, &own),
            _ => own,
        };
        Resource {
            template: self,
            id: id.to_owned(),
            metadata: resource.get("Metadata").cloned().unwrap_or_default(),
            properties,
        }
    }

    fn function(&self, resource: &Resource<'_>) -> Result<Function, TemplateError> {
        let binary = resource.metadata.pointer("/BuildProperties/Binary").and_then(Value::as_str);
        let binary =
            binary.ok_or_else(|| resource.problem("Metadata", "lacks BuildProperties.Binary"))?;
        let name = self.function_name(resource)?;
        let log_group = match resource.pointer("/LoggingConfig/LogGroup")? {
            Some(Value::String(group)) => group,
            _ => format!("/aws/lambda/{name}"),
        };
        let mut environment = BTreeMap::new();
        if let Some(Value::Object(variables)) = resource.pointer("/Environment/Variables")? {
            for (variable, value) in variables {
                let value = intrinsics::text(&value)
                    .ok_or_else(|| resource.problem(&variable, "is not text"))?;
                environment.insert(variable, value);
            }
        }
        let invocations = resource.object("EventInvokeConfig")?;
        let invocations = resource.part("EventInvokeConfig", Value::Object(invocations));
        Ok(Function {
            logical_id: resource.id.clone(),
            binary: binary.to_owned(),
            handler: resource.text("Handler")?.unwrap_or_else(|| "bootstrap".to_owned()),
            // Lambda's own defaults.
            timeout: Duration::from_secs(resource.number("Timeout")?.unwrap_or(3)),
            memory_mb: resource.number("MemorySize")?.unwrap_or(128),
            environment,
            log_group,
            name,
            retries: invocations.number("MaximumRetryAttempts")?.unwrap_or(2),
            failures: read::failures(&invocations)?,
        })
    }

    fn function_name(&self, resource: &Resource<'_>) -> Result<String, TemplateError> {
        Ok(resource.text("FunctionName")?.unwrap_or_else(|| self.physical_name(&resource.id)))
    }

    fn table(&self, resource: &Resource<'_>) -> Result<Table, TemplateError> {
        let name = resource.text("TableName")?.unwrap_or_else(|| self.physical_name(&resource.id));
        let mut definition = Map::new();
        definition.insert("TableName".to_owned(), json!(name));
        for property in [
            "AttributeDefinitions",
            "KeySchema",
            "BillingMode",
            "ProvisionedThroughput",
            "GlobalSecondaryIndexes",
            "LocalSecondaryIndexes",
        ] {
            if let Some(value) = resource.value(property)? {
                definition.insert(property.to_owned(), value);
            }
        }
        let expiry = resource.value("TimeToLiveSpecification")?.unwrap_or_default();
        let expires = expiry.get("Enabled").and_then(Value::as_bool).unwrap_or(false);
        let expires_by = expiry.get("AttributeName").and_then(Value::as_str).map(str::to_owned);
        Ok(Table {
            logical_id: resource.id.clone(),
            name,
            definition: Value::Object(definition),
            expires_by: expires_by.filter(|_| expires),
        })
    }

    fn named(
        &self,
        scope: &Scope<'_>,
        id: &str,
        declared: &Value,
        property: &str,
    ) -> Result<Value, IntrinsicError> {
        let given = name_given(scope, declared, property)?;
        let fifo = declared.pointer("/Properties/FifoQueue").and_then(Value::as_bool);
        let suffix = if fifo == Some(true) { ".fifo" } else { "" };
        Ok(given.unwrap_or_else(|| json!(format!("{}{suffix}", self.physical_name(id)))))
    }
}

impl Resources for Template {
    fn reference(&self, scope: &Scope<'_>, id: &str) -> Result<Option<Value>, IntrinsicError> {
        let Some(declared) = self.resources.get(id) else {
            return Ok(None);
        };
        let name = |property| self.named(scope, id, declared, property);
        Ok(Some(match type_of(declared) {
            Some(FUNCTION) => name("FunctionName")?,
            Some(TABLE) => name("TableName")?,
            Some(LOG_GROUP) => name("LogGroupName")?,
            Some(QUEUE) => {
                let name = name("QueueName")?;
                let name = name.as_str().unwrap_or_default();
                json!(format!("{}/{ACCOUNT}/{name}", self.places.aws_url))
            }
            Some(HTTP_API) => json!(id.to_lowercase()),
            Some(BUCKET) => match name_given(scope, declared, "BucketName")? {
                Some(name) => name,
                None => json!(self.bucket_name(id)),
            },
            Some(RULE_SET) => name("RuleSetName")?,
            Some(IDENTITY) => name("EmailIdentity")?,
            Some(KEY) => match self.places.key_ids.get(id) {
                Some(key_id) => json!(key_id),
                None => return Ok(None),
            },
            _ => json!(id),
        }))
    }

    fn attribute(
        &self,
        scope: &Scope<'_>,
        id: &str,
        attribute: &str,
    ) -> Result<Option<Value>, IntrinsicError> {
        let Some(declared) = self.resources.get(id) else {
            return Ok(None);
        };
        let name = |property| -> Result<String, IntrinsicError> {
            let name = self.named(scope, id, declared, property)?;
            Ok(name.as_str().unwrap_or_default().to_owned())
        };
        Ok(match (type_of(declared), attribute) {
            (Some(FUNCTION), "Arn") => Some(json!(function_arn(&name("FunctionName")?))),
            (Some(TABLE), "Arn") => Some(json!(table_arn(&name("TableName")?))),
            (Some(QUEUE), "Arn") => Some(json!(queue_arn(&name("QueueName")?))),
            (Some(QUEUE), "QueueName") => Some(json!(name("QueueName")?)),
            (Some(BUCKET), "Arn") => {
                let name = self.reference(scope, id)?;
                name.and_then(|name| name.as_str().map(|name| json!(bucket_arn(name))))
            }
            (Some(HTTP_API), "ApiEndpoint") => self.places.api_urls.get(id).map(|url| json!(url)),
            (Some(KEY), "Arn") => self.places.key_ids.get(id).map(|id| json!(key_arn(id))),
            _ => None,
        })
    }
}

/// The name that the template gives a resource, if any.
fn name_given(
    scope: &Scope<'_>,
    declared: &Value,
    property: &str,
) -> Result<Option<Value>, IntrinsicError> {
    match declared.get("Properties").and_then(|properties| properties.get(property)) {
        Some(given) => scope.resolve(given),
        None => Ok(None),
    }
}

fn type_of(resource: &Value) -> Option<&str> {
    resource.get("Type").and_then(Value::as_str)
}

/// A resource whose properties are resolved when they are read.
struct Resource<'a> {
    template: &'a Template,
    id: String,
    metadata: Value,
    properties: Value,
}

impl Resource<'_> {
    fn problem(&self, property: &str, problem: &str) -> TemplateError {
        TemplateError::Property {
            id: self.id.clone(),
            property: property.to_owned(),
            problem: problem.to_owned(),
        }
    }

    fn resolve(&self, property: &str, value: &Value) -> Result<Option<Value>, TemplateError> {
        self.template
            .scope()
            .resolve(value)
            .map_err(|error| TemplateError::Intrinsic(format!("{}.{property}", self.id), error))
    }

    fn pointer(&self, pointer: &str) -> Result<Option<Value>, TemplateError> {
        match self.properties.pointer(pointer) {
            Some(value) => self.resolve(pointer.trim_start_matches('/'), value),
            None => Ok(None),
        }
    }

    fn value(&self, property: &str) -> Result<Option<Value>, TemplateError> {
        self.pointer(&format!("/{property}"))
    }

    fn text(&self, property: &str) -> Result<Option<String>, TemplateError> {
        match self.value(property)? {
            None => Ok(None),
            Some(value) => match intrinsics::text(&value) {
                Some(text) => Ok(Some(text)),
                None => Err(self.problem(property, "is not text")),
            },
        }
    }

    fn required_text(&self, property: &str) -> Result<String, TemplateError> {
        self.text(property)?.ok_or_else(|| self.problem(property, "is missing"))
    }

    fn number(&self, property: &str) -> Result<Option<u64>, TemplateError> {
        match self.text(property)? {
            None => Ok(None),
            Some(text) => match text.parse() {
                Ok(number) => Ok(Some(number)),
                Err(_) => Err(self.problem(property, "is not a number")),
            },
        }
    }

    fn object(&self, property: &str) -> Result<Map<String, Value>, TemplateError> {
        match self.properties.get(property) {
            None => Ok(Map::new()),
            Some(Value::Object(object)) => Ok(object.clone()),
            Some(_) => Err(self.problem(property, "is not a map")),
        }
    }

    /// A part of this resource, read like a resource of its own.
    fn part(&self, name: &str, properties: Value) -> Self {
        Self {
            template: self.template,
            id: format!("{}.{name}", self.id),
            metadata: Value::Null,
            properties,
        }
    }
}

/// SAM's merge of `Globals` into a resource: maps are merged, lists are joined, the rest replaced.
fn merge(global: &Value, own: &Value) -> Value {
    match (global, own) {
        (Value::Object(global), Value::Object(own))
            if intrinsics::function(global).is_none() && intrinsics::function(own).is_none() =>
        {
            let mut merged = global.clone();
            for (name, value) in own {
                let value = match global.get(name) {
                    Some(inherited) => merge(inherited, value),
                    None => value.clone(),
                };
                merged.insert(name.clone(), value);
            }
            Value::Object(merged)
        }
        (Value::Array(global), Value::Array(own)) => global.iter().chain(own).cloned().collect(),
        _ => own.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ReceiptAction;

    const TEMPLATE: &str = r#"
Parameters:
  Stage: {Type: String, Default: prod}
  Seconds: {Type: Number, Default: 90}
Conditions:
  IsProd: !Equals [!Ref Stage, prod]
Globals:
  Function:
    Handler: bootstrap
    MemorySize: 256
    Environment: {Variables: {RUST_LOG: info, SHARED: "1"}}
Resources:
  Key: {Type: "AWS::KMS::Key", Properties: {KeySpec: HMAC_256, KeyUsage: GENERATE_VERIFY_MAC}}
  KeyAlias:
    Type: AWS::KMS::Alias
    Properties: {AliasName: !Sub "alias/${Stage}-key", TargetKeyId: !Ref Key}
  Table:
    Type: AWS::DynamoDB::Table
    Properties:
      KeySchema: [{AttributeName: pk, KeyType: HASH}]
      SSESpecification: {KMSMasterKeyId: !Ref Key}
      TimeToLiveSpecification: {AttributeName: expires_at, Enabled: true}
  Jobs:
    Type: AWS::SQS::Queue
    Properties:
      QueueName: !Sub "${Stage}-jobs.fifo"
      FifoQueue: true
      VisibilityTimeout: !Ref Seconds
      RedrivePolicy: {deadLetterTargetArn: !GetAtt Dead.Arn, maxReceiveCount: 3}
  Dead: {Type: "AWS::SQS::Queue", Properties: {FifoQueue: true}}
  Mails: {Type: "AWS::S3::Bucket"}
  Named: {Type: "AWS::S3::Bucket", Properties: {BucketName: !Sub "${Stage}-named"}}
  Shop: {Type: "AWS::SES::EmailIdentity", Properties: {EmailIdentity: !Sub "${Stage}.example.com"}}
  Off: {Type: "AWS::SES::ReceiptRule", Properties: {Rule: {Enabled: false, Actions: [{StopAction: {}}]}}}
  Inbound:
    Type: AWS::SES::ReceiptRule
    Properties:
      Rule:
        Enabled: true
        ScanEnabled: true
        Recipients: [!Ref Shop]
        Actions:
          - S3Action: {BucketName: !Ref Mails, ObjectKeyPrefix: mail/}
          - LambdaAction: {FunctionArn: !GetAtt Worker.Arn}
  OnlyProd: {Type: "AWS::SQS::Queue", Condition: IsProd}
  Role: {Type: "AWS::IAM::Role", Properties: {Name: !Cidr [x]}}
  Api:
    Type: AWS::Serverless::HttpApi
    Properties:
      Auth:
        DefaultAuthorizer: Who
        Authorizers:
          Who:
            FunctionArn: !GetAtt Worker.Arn
            AuthorizerPayloadFormatVersion: "2.0"
            EnableSimpleResponses: true
            Identity: {Headers: [Authorization], ReauthorizeEvery: 60}
  Worker:
    Type: AWS::Serverless::Function
    Metadata: {BuildProperties: {Binary: worker}}
    Properties:
      FunctionName: !Sub "${Stage}-worker"
      Timeout: !Ref Seconds
      EventInvokeConfig:
        MaximumRetryAttempts: 1
        DestinationConfig: {OnFailure: {Type: SQS, Destination: !GetAtt Dead.Arn}}
      Environment:
        Variables: {RUST_LOG: debug, QUEUE: !Ref Jobs, TABLE: !Ref Table, KEY: !GetAtt Key.Arn, SELF: !GetAtt Api.ApiEndpoint}
      Events:
        Call: {Type: HttpApi, Properties: {ApiId: !Ref Api, Path: "/x/{id}", Method: get}}
        Open: {Type: HttpApi, Properties: {ApiId: !Ref Api, Auth: {Authorizer: NONE}}}
        Messages:
          Type: SQS
          Properties: {Queue: !GetAtt Jobs.Arn, BatchSize: 1, FunctionResponseTypes: [ReportBatchItemFailures], ScalingConfig: {MaximumConcurrency: 50}}
        Tick: {Type: Schedule, Properties: {Schedule: rate(1 minute)}}
        Mail: {Type: S3, Properties: {}}
"#;

    fn template() -> Template {
        let given = BTreeMap::from([("Stage".to_owned(), "test".to_owned())]);
        let mut template = Template::parse(TEMPLATE, &given).unwrap();
        template.places = Places {
            aws_url: "http://aws".to_owned(),
            api_urls: BTreeMap::from([("Api".to_owned(), "http://api".to_owned())]),
            key_ids: BTreeMap::from([("Key".to_owned(), "k-1".to_owned())]),
        };
        template
    }

    #[test]
    fn a_function_has_globals_defaults_and_resolved_environment() {
        let functions = template().functions().unwrap();
        let [function] = functions.as_slice() else { panic!("one function") };
        assert_eq!(function.name, "test-worker");
        assert_eq!(function.binary, "worker");
        assert_eq!(function.memory_mb, 256);
        assert_eq!(function.timeout, Duration::from_secs(90));
        assert_eq!(function.retries, 1);
        assert_eq!(function.failures, Some(queue_arn("spelter-test-Dead.fifo")));
        let environment = |name: &str| function.environment.get(name).unwrap().as_str();
        assert_eq!(environment("RUST_LOG"), "debug");
        assert_eq!(environment("SHARED"), "1");
        assert_eq!(environment("QUEUE"), "http://aws/000000000000/test-jobs.fifo");
        assert_eq!(environment("TABLE"), "spelter-test-Table");
        assert_eq!(environment("KEY"), "arn:aws:kms:us-east-1:000000000000:key/k-1");
        assert_eq!(environment("SELF"), "http://api");
    }

    #[test]
    fn events_become_routes_sources_and_schedules() {
        let events = template().events().unwrap();
        let routes: Vec<_> = events
            .routes
            .iter()
            .map(|route| {
                (route.method.as_deref(), route.path.as_str(), route.authorizer.as_deref())
            })
            .collect();
        assert_eq!(routes, [(Some("GET"), "/x/{id}", Some("Who")), (None, "$default", None)]);
        let [source] = events.queues.as_slice() else { panic!("one queue") };
        assert_eq!(source.queue_arn, queue_arn("test-jobs.fifo"));
        assert!(source.reports_failures);
        assert_eq!((source.batch_size, source.concurrency), (1, Some(50)));
        let [schedule] = events.schedules.as_slice() else { panic!("one schedule") };
        assert_eq!(schedule.every, Duration::from_mins(1));
        assert_eq!(events.skipped, ["Worker.Mail (S3)"]);
    }

    #[test]
    fn dead_letter_queues_come_first_and_conditions_count() {
        let queues = template().queues().unwrap();
        let names: Vec<_> = queues.iter().map(|queue| queue.name.as_str()).collect();
        assert_eq!(names, ["spelter-test-Dead.fifo", "test-jobs.fifo"]);
        let jobs = queues.last().unwrap();
        assert_eq!(jobs.attributes["VisibilityTimeout"], "90");
        let policy: Value = serde_json::from_str(&jobs.attributes["RedrivePolicy"]).unwrap();
        assert_eq!(policy["deadLetterTargetArn"], queue_arn("spelter-test-Dead.fifo"));
    }

    #[test]
    fn buckets_identities_and_receipt_rules_name_each_other() {
        let template = template();
        let buckets = template.buckets().unwrap();
        let names: Vec<_> = buckets.iter().map(|bucket| bucket.name.as_str()).collect();
        assert_eq!(names, ["spelter-test-mails", "test-named"]);
        assert_eq!(template.mail_identities().unwrap(), ["test.example.com"]);
        let expected = ReceiptRule {
            recipients: vec!["test.example.com".to_owned()],
            scans: true,
            actions: vec![
                ReceiptAction::Store {
                    bucket: "spelter-test-mails".to_owned(),
                    prefix: "mail/".to_owned(),
                },
                ReceiptAction::Invoke { function_arn: function_arn("test-worker") },
            ],
        };
        assert_eq!(template.receipt_rules().unwrap(), [expected]);
    }

    #[test]
    fn an_action_that_is_not_there_locally_is_an_error() {
        let text = TEMPLATE.replace("Enabled: false", "Enabled: true");
        let rules = Template::parse(&text, &BTreeMap::new()).unwrap().receipt_rules();
        let problem = rules.unwrap_err().to_string();
        assert!(problem.starts_with("Off.Rule: Actions has one"), "{problem}");
    }

    #[test]
    fn tables_keys_and_aliases_are_ready_to_create() {
        let template = template();
        let tables = template.tables().unwrap();
        assert_eq!(tables[0].expires_by.as_deref(), Some("expires_at"));
        assert_eq!(tables[0].definition.get("SSESpecification"), None);
        assert_eq!(template.keys().unwrap()[0].definition["KeySpec"], "HMAC_256");
        let alias = Alias { name: "alias/test-key".to_owned(), key_id: "k-1".to_owned() };
        assert_eq!(template.aliases().unwrap(), [alias]);
        assert!(template.skipped().contains("AWS::IAM::Role"));
    }
}
