//! Readers of single resources and events.

use super::{Resource, TemplateError, type_of};
use crate::{
    intrinsics,
    model::{
        Authorizer, Events, Function, HttpApi, Key, Queue, QueueSource, ReceiptAction, ReceiptRule,
        Route, Schedule,
    },
    schedules,
};
use serde_json::{Map, Value, json};
use std::{collections::BTreeMap, time::Duration};

pub(super) fn http_api(resource: &Resource<'_>) -> Result<HttpApi, TemplateError> {
    let auth = resource.part("Auth", Value::Object(resource.object("Auth")?));
    let mut authorizers = BTreeMap::new();
    for (name, declared) in auth.object("Authorizers")? {
        let part = auth.part(&name, declared);
        authorizers.insert(name, authorizer(&part)?);
    }
    Ok(HttpApi {
        logical_id: resource.id.clone(),
        authorizers,
        default_authorizer: auth.text("DefaultAuthorizer")?,
    })
}

fn authorizer(resource: &Resource<'_>) -> Result<Authorizer, TemplateError> {
    if resource.text("AuthorizerPayloadFormatVersion")?.as_deref() != Some("2.0") {
        return Err(resource.problem("AuthorizerPayloadFormatVersion", "must be \"2.0\" locally"));
    }
    if resource.value("EnableSimpleResponses")? != Some(json!(true)) {
        return Err(resource.problem("EnableSimpleResponses", "must be true locally"));
    }
    let headers = resource.pointer("/Identity/Headers")?.unwrap_or_default();
    let headers = headers.as_array().cloned().unwrap_or_default();
    let identity = resource.part("Identity", Value::Object(resource.object("Identity")?));
    Ok(Authorizer {
        function_arn: resource.required_text("FunctionArn")?,
        identity_headers: headers.iter().filter_map(Value::as_str).map(str::to_lowercase).collect(),
        cache: Duration::from_secs(identity.number("ReauthorizeEvery")?.unwrap_or(0)),
    })
}

pub(super) fn event(
    resource: &Resource<'_>,
    function: &Function,
    apis: &[HttpApi],
    name: &str,
    event: &Value,
    events: &mut Events,
) -> Result<(), TemplateError> {
    let properties = event.get("Properties").cloned().unwrap_or_else(|| json!({}));
    let event_resource = resource.part(name, properties);
    match type_of(event) {
        Some("HttpApi") => events.routes.push(route(&event_resource, function, apis)?),
        Some("SQS") => {
            if event_resource.value("Enabled")? != Some(json!(false)) {
                events.queues.push(queue_source(&event_resource, function)?);
            }
        }
        Some("Schedule") => {
            if event_resource.value("Enabled")? != Some(json!(false)) {
                events.schedules.push(schedule(&event_resource, function, name)?);
            }
        }
        other => {
            let kind = other.unwrap_or("an event without type");
            events.skipped.push(format!("{} ({kind})", event_resource.id));
        }
    }
    Ok(())
}

fn route(
    event: &Resource<'_>,
    function: &Function,
    apis: &[HttpApi],
) -> Result<Route, TemplateError> {
    let api_id = event.required_text("ApiId")?;
    let api = apis
        .iter()
        .find(|api| api.id() == api_id)
        .ok_or_else(|| event.problem("ApiId", "names no HTTP API of the template"))?;
    let authorizer = match event.pointer("/Auth/Authorizer")? {
        Some(Value::String(name)) if name == "NONE" => None,
        Some(Value::String(name)) => Some(name),
        _ => api.default_authorizer.clone(),
    };
    if let Some(name) = authorizer.as_ref().filter(|name| !api.authorizers.contains_key(*name)) {
        return Err(event.problem("Auth", &format!("names the unknown authorizer {name}")));
    }
    Ok(Route {
        api: api.logical_id.clone(),
        method: event.text("Method")?.map(|method| method.to_uppercase()),
        path: event.text("Path")?.unwrap_or_else(|| "$default".to_owned()),
        function: function.name.clone(),
        authorizer,
        timeout: Duration::from_millis(event.number("TimeoutInMillis")?.unwrap_or(30_000)),
    })
}

fn queue_source(event: &Resource<'_>, function: &Function) -> Result<QueueSource, TemplateError> {
    let kinds = event.value("FunctionResponseTypes")?.unwrap_or_default();
    let scaling = event.part("ScalingConfig", Value::Object(event.object("ScalingConfig")?));
    Ok(QueueSource {
        function: function.name.clone(),
        queue_arn: event.required_text("Queue")?,
        batch_size: event.number("BatchSize")?.unwrap_or(10),
        reports_failures: kinds
            .as_array()
            .is_some_and(|kinds| kinds.contains(&json!("ReportBatchItemFailures"))),
        concurrency: scaling.number("MaximumConcurrency")?,
    })
}

fn schedule(
    event: &Resource<'_>,
    function: &Function,
    name: &str,
) -> Result<Schedule, TemplateError> {
    let expression = event.required_text("Schedule")?;
    let every = schedules::parse_rate(&expression).ok_or_else(|| {
        let problem = format!("is `{expression}`: the local stack knows rate(N unit) only");
        event.problem("Schedule", &problem)
    })?;
    let rule = event.text("Name")?;
    Ok(Schedule {
        function: function.name.clone(),
        rule: rule.unwrap_or_else(|| format!("{}-{name}", function.name)),
        every,
        input: event.text("Input")?,
    })
}

pub(super) fn queue(resource: &Resource<'_>) -> Result<Queue, TemplateError> {
    // Properties that are attributes of the same name; KmsMasterKeyId is left to AWS, the emulator
    // encrypts nothing.
    const ATTRIBUTES: [&str; 10] = [
        "FifoQueue",
        "ContentBasedDeduplication",
        "DeduplicationScope",
        "FifoThroughputLimit",
        "VisibilityTimeout",
        "MessageRetentionPeriod",
        "MaximumMessageSize",
        "DelaySeconds",
        "ReceiveMessageWaitTimeSeconds",
        "RedrivePolicy",
    ];
    let mut attributes = BTreeMap::new();
    for attribute in ATTRIBUTES {
        if let Some(value) = resource.value(attribute)? {
            let text = intrinsics::text(&value).unwrap_or_else(|| value.to_string());
            attributes.insert(attribute.to_owned(), text);
        }
    }
    let name = resource.template.named(
        &resource.template.scope(),
        &resource.id,
        &json!({ "Properties": resource.properties }),
        "QueueName",
    );
    let name = name
        .map_err(|error| TemplateError::Intrinsic(format!("{}.QueueName", resource.id), error))?;
    Ok(Queue {
        logical_id: resource.id.clone(),
        name: name.as_str().unwrap_or_default().to_owned(),
        redrives: attributes.contains_key("RedrivePolicy"),
        attributes,
    })
}

pub(super) fn key(resource: &Resource<'_>) -> Result<Key, TemplateError> {
    let mut definition = Map::new();
    for property in ["Description", "KeySpec", "KeyUsage"] {
        if let Some(value) = resource.value(property)? {
            definition.insert(property.to_owned(), value);
        }
    }
    Ok(Key { logical_id: resource.id.clone(), definition: Value::Object(definition) })
}

/// The queue that is told of events that failed for good.
pub(super) fn failures(invocations: &Resource<'_>) -> Result<Option<String>, TemplateError> {
    let Some(destination) = invocations.pointer("/DestinationConfig/OnFailure")? else {
        return Ok(None);
    };
    let text = |name: &str| destination.get(name).and_then(Value::as_str);
    match (text("Type"), text("Destination")) {
        (Some("SQS"), Some(arn)) => Ok(Some(arn.to_owned())),
        _ => Err(invocations.problem("DestinationConfig", "must be an SQS queue locally")),
    }
}

/// A receipt rule; none if it is switched off.
pub(super) fn receipt_rule(resource: &Resource<'_>) -> Result<Option<ReceiptRule>, TemplateError> {
    let rule = resource.part("Rule", Value::Object(resource.object("Rule")?));
    if rule.value("Enabled")? != Some(json!(true)) {
        return Ok(None);
    }
    let recipients = rule.value("Recipients")?.unwrap_or_default();
    let recipients = recipients.as_array().cloned().unwrap_or_default();
    let actions = rule.value("Actions")?.unwrap_or_default();
    let actions = actions.as_array().cloned().unwrap_or_default();
    let actions: Result<Vec<_>, _> =
        actions.iter().map(|action| receipt_action(&rule, action)).collect();
    Ok(Some(ReceiptRule {
        recipients: recipients.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        scans: rule.value("ScanEnabled")? == Some(json!(true)),
        actions: actions?,
    }))
}

fn receipt_action(rule: &Resource<'_>, action: &Value) -> Result<ReceiptAction, TemplateError> {
    let text = |pointer: &str| action.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    if let Some(bucket) = text("/S3Action/BucketName") {
        let prefix = text("/S3Action/ObjectKeyPrefix").unwrap_or_default();
        return Ok(ReceiptAction::Store { bucket, prefix });
    }
    let kind = text("/LambdaAction/InvocationType");
    let function_arn = text("/LambdaAction/FunctionArn").filter(|_| {
        // What is left out is `Event`.
        kind.is_none_or(|kind| kind == "Event")
    });
    function_arn.map(|function_arn| ReceiptAction::Invoke { function_arn }).ok_or_else(|| {
        let problem = "has one that the local stack does not know: it knows S3Action, and \
                       LambdaAction of the type Event";
        rule.problem("Actions", problem)
    })
}
