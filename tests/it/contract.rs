//! `template.yaml` agrees with the code: what is deployed, what it is told, what it may do, and how it fails.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use serde_json::{Value, json};

use crate::template::{self, resources, root};

const FUNCTION: &str = "AWS::Serverless::Function";
const QUEUE: &str = "AWS::SQS::Queue";
const TABLE: &str = "AWS::DynamoDB::Table";
const BUCKET: &str = "AWS::S3::Bucket";

/// Tables whose items are short-lived or not ours to keep: no backups.
const WITHOUT_BACKUPS: [&str; 4] = ["CardsTable", "LabelsTable", "ProductsTable", "SandboxTable"];

/// What IAM grants on no resource but all.
const WITHOUT_RESOURCES: [&str; 2] =
    ["ses:DescribeActiveReceiptRuleSet", "ses:SetActiveReceiptRuleSet"];

/// A function of the template.
struct Function {
    name: String,
    binary: String,
    properties: Value,
}

impl Function {
    fn all(template: &Value) -> Vec<Self> {
        let function = |(name, resource): (String, Value)| Self {
            name,
            binary: text(&resource["Metadata"]["BuildProperties"]["Binary"]),
            properties: resource["Properties"].clone(),
        };
        let functions: Vec<_> = resources(template, FUNCTION).into_iter().map(function).collect();
        assert!(functions.len() > 10, "the template was read");
        functions
    }

    fn environment(&self) -> BTreeMap<String, Value> {
        let variables = self.properties["Environment"]["Variables"].as_object();
        variables.cloned().unwrap_or_default().into_iter().collect()
    }

    fn events(&self, kind: &str) -> Vec<Value> {
        let events = self.properties["Events"].as_object().cloned().unwrap_or_default();
        let events = events.into_values().filter(|event| event["Type"] == kind);
        events.map(|event| event["Properties"].clone()).collect()
    }

    fn source(&self) -> String {
        let file = root().join("functions/src/bin").join(format!("{}.rs", self.binary));
        fs::read_to_string(file).unwrap()
    }

    fn statements(&self, template: &Value) -> Vec<Value> {
        let role = text(&self.properties["Role"]["!GetAtt"]);
        let role = role.strip_suffix(".Arn").expect("a role of the template");
        let policies = template["Resources"][role]["Properties"]["Policies"].as_array().unwrap();
        let statements = policies.iter().flat_map(|policy| {
            policy["PolicyDocument"]["Statement"].as_array().unwrap().iter().cloned()
        });
        statements.collect()
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("a text: {value}")).to_owned()
}

/// The resources that a value names, through `!Ref`, `!GetAtt` or `!Sub`.
fn named(template: &Value, value: &Value) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    match value {
        Value::Object(members) => {
            for (key, inner) in members {
                match (key.as_str(), inner) {
                    ("!Ref", Value::String(name)) => names.extend([name.clone()]),
                    ("!GetAtt", Value::String(path)) => {
                        names.extend(path.split('.').next().map(str::to_owned));
                    }
                    ("!Sub", Value::String(text)) => {
                        let parts =
                            text.split("${").skip(1).filter_map(|part| part.split_once('}'));
                        let parts = parts.filter_map(|(name, _)| name.split('.').next());
                        names.extend(parts.map(str::to_owned));
                    }
                    (_, inner) => names.extend(named(template, inner)),
                }
            }
        }
        Value::Array(items) => {
            names.extend(items.iter().flat_map(|item| named(template, item)));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    names.retain(|name| template["Resources"].get(name).is_some());
    names
}

/// One or several texts, as IAM takes them.
fn list(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_else(|| vec![value.clone()])
}

#[test]
fn the_manifest_the_template_and_the_folder_name_the_same_binaries() {
    let template = template::read();
    let manifest = fs::read_to_string(root().join("functions/Cargo.toml")).unwrap();
    let blocks = manifest.split("[[bin]]").skip(1);
    let in_manifest: Vec<(String, String)> = blocks
        .map(|block| {
            let line = |key: &str| {
                let mut lines = block.lines().filter_map(|line| line.split_once(" = "));
                let (_, value) = lines.find(|(name, _)| *name == key).unwrap();
                value.trim_matches('"').to_owned()
            };
            (line("name"), line("path"))
        })
        .collect();
    for (name, path) in &in_manifest {
        assert_eq!(path, &format!("src/bin/{name}.rs"));
    }
    let in_manifest: BTreeSet<_> = in_manifest.into_iter().map(|(name, _)| name).collect();
    let files = fs::read_dir(root().join("functions/src/bin")).unwrap();
    let files: BTreeSet<_> = files
        .map(|file| file.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    let functions = Function::all(&template);
    let in_template: BTreeSet<_> = functions.iter().map(|one| one.binary.clone()).collect();
    assert_eq!(in_manifest, files);
    assert_eq!(in_manifest, in_template);
    assert_eq!(functions.len(), in_template.len(), "one function for each binary");
}

#[test]
fn a_main_names_the_route_that_leads_to_it() {
    for function in Function::all(&template::read()) {
        let source = function.source();
        let doc = source.lines().next().unwrap();
        let routes = function.events("HttpApi");
        let named = |route: &Value| {
            doc.contains(&format!("`{} {}`", text(&route["Method"]), text(&route["Path"])))
        };
        assert!(routes.is_empty() || routes.iter().any(named), "{}: {doc}", function.binary);
    }
}

#[test]
fn a_function_is_told_what_its_main_requires_and_nothing_else() {
    let template = template::read();
    let globals = &template["Globals"]["Function"]["Environment"]["Variables"];
    let globals: Vec<_> = globals.as_object().unwrap().keys().collect();
    assert_eq!(globals, ["RUST_LOG"], "what the telemetry of every function reads");
    let mut wrong = Vec::new();
    for function in Function::all(&template) {
        let told: BTreeSet<_> = function.environment().into_keys().collect();
        // Something optional is told to be empty.
        let source = function.source().replace("optional(", "required(");
        // `required("X")` and `required::<T>("X")`
        let calls = source.split("required").skip(1).filter_map(|rest| rest.split_once("(\""));
        let calls = calls.filter(|(kind, _)| kind.is_empty() || kind.starts_with("::<"));
        let required: BTreeSet<_> =
            calls.filter_map(|(_, rest)| rest.split('"').next()).map(str::to_owned).collect();
        if told != required {
            wrong.push(format!("{} is told {told:?} and requires {required:?}", function.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_function_has_a_role_and_a_log_group_of_its_own() {
    let template = template::read();
    let functions = Function::all(&template);
    let mut own = BTreeSet::new();
    for function in &functions {
        let stem = function.name.strip_suffix("Function").unwrap();
        assert_eq!(function.properties["Role"], json!({"!GetAtt": format!("{stem}Role.Arn")}));
        let logs = format!("{stem}Logs");
        assert_eq!(function.properties["LoggingConfig"]["LogGroup"], json!({"!Ref": logs}));
        let group = &template["Resources"][&logs]["Properties"];
        assert_eq!(group["RetentionInDays"], json!({"!Ref": "LogRetentionDays"}), "{logs}");
        own.extend([text(&group["LogGroupName"]["!Sub"])]);

        let role = &template["Resources"][format!("{stem}Role")]["Properties"];
        let lambda = json!([{
            "Effect": "Allow",
            "Principal": {"Service": "lambda.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }]);
        assert_eq!(role["AssumeRolePolicyDocument"]["Statement"], lambda, "{stem}Role");
        assert_eq!(role.get("ManagedPolicyArns"), None, "{stem}Role");
    }
    assert_eq!(own.len(), functions.len(), "no two functions write to one log group");
    assert_eq!(resources(&template, "AWS::IAM::Role").len(), functions.len());
    assert_eq!(resources(&template, "AWS::Logs::LogGroup").len(), functions.len());
}

#[test]
fn a_role_allows_exact_actions_on_exact_resources() {
    let template = template::read();
    for function in Function::all(&template) {
        for statement in function.statements(&template) {
            let name = &function.name;
            assert_eq!(statement["Effect"], "Allow", "{name}");
            for forbidden in ["NotAction", "NotResource"] {
                assert_eq!(statement.get(forbidden), None, "{name}");
            }
            let actions = list(&statement["Action"]);
            if actions.iter().all(|action| WITHOUT_RESOURCES.iter().any(|one| action == one)) {
                assert_eq!(statement["Resource"], "*", "{name}");
                continue;
            }
            for value in [actions, list(&statement["Resource"])].concat() {
                // An object is named by its bucket and a folder: its key is not known before it is there.
                let value = value.to_string().replace("Bucket.Arn}/mail/*", "");
                assert!(!value.contains('*'), "{name}: {statement}");
            }
            let resources = list(&statement["Resource"]);
            for resource in resources {
                assert!(!named(&template, &resource).is_empty(), "{name}: {statement}");
            }
        }
    }
}

#[test]
fn a_role_reaches_what_its_function_is_told_of_and_nothing_else() {
    let template = template::read();
    let guarded = |name: &String| {
        let kind = &template["Resources"][name]["Type"];
        [TABLE, QUEUE, BUCKET, "AWS::KMS::Key"].iter().any(|guarded| kind == guarded)
    };
    let mut wrong = Vec::new();
    for function in Function::all(&template) {
        let environment: Value = function.environment().into_values().collect();
        let mut told = named(&template, &environment);
        for event in function.events("SQS") {
            told.extend(named(&template, &event["Queue"]));
        }
        told.extend(named(&template, &function.properties["EventInvokeConfig"]));
        told.retain(guarded);
        let statements = function.statements(&template);
        let mut reached: BTreeSet<_> = statements
            .iter()
            .flat_map(|statement| named(&template, &statement["Resource"]))
            .collect();
        // Who mail is from is no address of a service that it would be told of.
        reached.retain(|name| template["Resources"][name]["Type"] != "AWS::SES::EmailIdentity");
        let logs = function.name.replace("Function", "Logs");
        assert!(reached.remove(&logs), "{} writes to its own log group", function.name);
        if reached != told {
            wrong.push(format!("{} reaches {reached:?} and is told of {told:?}", function.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_queue_function_says_which_messages_failed() {
    let template = template::read();
    let mut sources = 0;
    for function in Function::all(&template) {
        for event in function.events("SQS") {
            sources += 1;
            assert_eq!(event["FunctionResponseTypes"], json!(["ReportBatchItemFailures"]));
            assert!(event["BatchSize"].is_u64(), "{}", function.name);
        }
    }
    assert_eq!(sources, 5);
}

#[test]
fn what_no_worker_can_finish_reaches_a_dead_letter_queue() {
    let template = template::read();
    let queues = resources(&template, QUEUE);
    let mut dead = BTreeSet::new();
    for (name, queue) in &queues {
        let redrive = &queue["Properties"]["RedrivePolicy"];
        if name.ends_with("DeadLetterQueue") || name.ends_with("FailuresQueue") {
            assert!(redrive.is_null(), "{name} keeps what reaches it");
        } else {
            let target = text(&redrive["deadLetterTargetArn"]["!GetAtt"]);
            let target = target.strip_suffix(".Arn").unwrap();
            assert!(redrive["maxReceiveCount"].as_u64() >= Some(2), "{name}");
            // A FIFO queue's dead letters need a FIFO queue.
            let is_fifo = |queue: &Value| queue["Properties"]["FifoQueue"] == true;
            assert_eq!(is_fifo(queue), is_fifo(&queues[target]), "{name}");
            dead.insert(target.to_owned());
        }
        assert_eq!(queue["Properties"]["MessageRetentionPeriod"], 1_209_600, "{name}: 14 days");
        assert_eq!(queue["Properties"]["KmsMasterKeyId"], json!({"!Ref": "DataKey"}), "{name}");
    }
    let expected = queues.keys().filter(|name| name.ends_with("DeadLetterQueue"));
    assert_eq!(dead, expected.cloned().collect());
}

#[test]
fn the_jobs_queue_orders_each_account_and_no_more() {
    let template = template::read();
    let queue = &template["Resources"]["JobsQueue"]["Properties"];
    assert_eq!(queue["FifoQueue"], true);
    assert_eq!(queue["DeduplicationScope"], "messageGroup");
    assert_eq!(queue["FifoThroughputLimit"], "perMessageGroupId");
    assert_eq!(queue["QueueName"]["!Sub"], "spelter-${Stage}-jobs.fifo");
    let functions = Function::all(&template);
    let processor = functions.iter().find(|one| one.binary == "order-processor").unwrap();
    let event = &processor.events("SQS")[0];
    assert_eq!(event["Queue"], json!({"!GetAtt": "JobsQueue.Arn"}));
    assert_eq!(event["BatchSize"], 1);
}

#[test]
fn tables_cost_by_use_are_encrypted_and_can_be_restored() {
    let template = template::read();
    let tables = resources(&template, TABLE);
    assert!(WITHOUT_BACKUPS.iter().all(|name| tables.contains_key(*name)));
    for (name, table) in tables {
        let properties = &table["Properties"];
        assert_eq!(properties["BillingMode"], "PAY_PER_REQUEST", "{name}");
        let encryption =
            json!({"SSEEnabled": true, "SSEType": "KMS", "KMSMasterKeyId": {"!Ref": "DataKey"}});
        assert_eq!(properties["SSESpecification"], encryption, "{name}");
        let lasting = !WITHOUT_BACKUPS.contains(&name.as_str());
        let backups = json!({"PointInTimeRecoveryEnabled": lasting});
        assert_eq!(properties["PointInTimeRecoverySpecification"], backups, "{name}");
        let policy = if lasting { "Retain" } else { "Delete" };
        for rule in ["DeletionPolicy", "UpdateReplacePolicy"] {
            assert_eq!(table[rule], policy, "{name}");
        }
        let expires = json!({"AttributeName": "expires_at", "Enabled": true});
        let expiry = &properties["TimeToLiveSpecification"];
        assert!(expiry.is_null() || *expiry == expires, "{name}");
        assert!(lasting || *expiry == expires, "{name}");
    }
}

#[test]
fn keys_outlive_the_stack_and_have_aliases() {
    let template = template::read();
    let keys = resources(&template, "AWS::KMS::Key");
    let aliases = resources(&template, "AWS::KMS::Alias");
    let named: BTreeSet<_> =
        aliases.values().map(|alias| text(&alias["Properties"]["TargetKeyId"]["!Ref"])).collect();
    assert_eq!(named, keys.keys().cloned().collect());
    for (name, key) in keys {
        for rule in ["DeletionPolicy", "UpdateReplacePolicy"] {
            assert_eq!(key[rule], "Retain", "{name}");
        }
    }
}

#[test]
fn mails_are_encrypted_private_and_deleted_after_a_week() {
    let template = template::read();
    let buckets = resources(&template, BUCKET);
    assert_eq!(buckets.keys().collect::<Vec<_>>(), ["MailBucket"]);
    let bucket = &buckets["MailBucket"]["Properties"];
    let private = bucket["PublicAccessBlockConfiguration"].as_object().unwrap();
    assert_eq!(private.len(), 4);
    assert!(private.values().all(|blocked| blocked == true), "{private:?}");
    let encryption = &bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"];
    let by_our_key = json!([{
        "BucketKeyEnabled": true,
        "ServerSideEncryptionByDefault": {
            "SSEAlgorithm": "aws:kms",
            "KMSMasterKeyID": {"!GetAtt": "DataKey.Arn"},
        },
    }]);
    assert_eq!(encryption, &by_our_key);
    let rules = bucket["LifecycleConfiguration"]["Rules"].as_array().unwrap();
    // For all objects: a rule for some would have a filter.
    let everything = rules.iter().find(|rule| {
        rule["ExpirationInDays"] == 7
            && rule["Status"] == "Enabled"
            && ["Prefix", "TagFilters"].iter().all(|filter| rule.get(*filter).is_none())
    });
    assert!(everything.is_some(), "{rules:?}");
    assert!(bucket.get("VersioningConfiguration").is_none(), "an old version would outlive it");
}

#[test]
fn a_mail_is_stored_before_its_function_is_told() {
    let template = template::read();
    let rule = &template["Resources"]["MailRule"]["Properties"]["Rule"];
    assert_eq!(rule["Enabled"], true);
    assert_eq!(rule["ScanEnabled"], true);
    assert_eq!(rule["Recipients"], json!([{"!Ref": "InboundMailDomain"}]));
    let expected = json!([
        {"S3Action": {"BucketName": {"!Ref": "MailBucket"}, "ObjectKeyPrefix": "mail/"}},
        {"LambdaAction": {
            "FunctionArn": {"!GetAtt": "InboundEmailFunction.Arn"},
            "InvocationType": "Event",
        }},
    ]);
    assert_eq!(rule["Actions"], expected);
}

#[test]
fn only_our_receipt_rule_writes_mails_and_invokes_their_function() {
    let template = template::read();
    let resources = &template["Resources"];
    let rule = &resources["MailRule"]["Properties"]["Rule"]["Name"]["!Sub"];
    let set = &resources["MailRuleSet"]["Properties"]["RuleSetName"]["!Sub"];
    let arn = format!(
        "arn:${{AWS::Partition}}:ses:${{AWS::Region}}:${{AWS::AccountId}}:receipt-rule-set/{}:receipt-rule/{}",
        text(set),
        text(rule)
    );
    let from_the_rule = json!({
        "aws:SourceAccount": {"!Ref": "AWS::AccountId"},
        "aws:SourceArn": {"!Sub": arn},
    });
    let ses = json!({"Service": "ses.amazonaws.com"});
    let policies = [
        &resources["MailBucketPolicy"]["Properties"]["PolicyDocument"],
        &resources["DataKey"]["Properties"]["KeyPolicy"],
    ];
    for policy in policies {
        let statements = policy["Statement"].as_array().unwrap();
        let of_ses: Vec<_> = statements.iter().filter(|one| one["Principal"] == ses).collect();
        assert_eq!(of_ses.len(), 1);
        assert_eq!(of_ses[0]["Condition"], json!({"StringEquals": from_the_rule}));
    }
    let permission = &resources["InboundEmailPermission"]["Properties"];
    assert_eq!(permission["SourceAccount"], json!({"!Ref": "AWS::AccountId"}));
    assert_eq!(permission["SourceArn"], json!({"!Sub": arn}));
}
