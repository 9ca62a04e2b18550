//! `Custom::ActiveReceiptRuleSet`: makes the stack's receipt rule set the active one of SES, which CloudFormation cannot.
//!
//! There is one active set in a region, and somebody's mail may depend on it: a set that is not ours is replaced only if
//! it is named, and put out of force never. Whatever happens, CloudFormation is told: a stack that hears nothing waits an
//! hour.

use std::{collections::HashMap, time::Duration};

use aws_lambda_events::cloudformation::{
    CloudFormationCustomResourceRequest as Request, CloudFormationCustomResourceResponse,
    CloudFormationCustomResourceResponseStatus as Status,
};
use reqwest::Client;
use serde::Deserialize;
use serde_json::Value;
use spelter::{
    aws::receipt_rules::ReceiptRules,
    error::{BoxError, chain},
};

/// How long telling CloudFormation may take.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// The one thing that is made, whatever it is set to: another set is a change, nothing to be replaced and deleted.
const PHYSICAL_ID: &str = "active-receipt-rule-set";

/// CloudFormation takes 4,096 bytes in all.
const LONGEST_REASON_CHARS: usize = 1000;

/// What this function may touch.
pub struct ActivateReceiptRules {
    /// Which set is active.
    pub rules: ReceiptRules,
    /// The way to CloudFormation.
    pub http: Client,
}

/// What the template says.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Properties {
    rule_set_name: String,
    /// The one foreign set that may be replaced; empty for none.
    #[serde(default)]
    may_replace: String,
}

/// What CloudFormation wants.
enum Wanted {
    /// This set active, where the other is the one before, if there was one.
    Active(Properties, Option<String>),
    /// This set not active, if one was ever named.
    Inactive(Option<String>),
}

/// What is to be done.
#[derive(Debug, PartialEq)]
enum Step {
    Activate(String),
    Deactivate,
    Nothing,
    Refuse(String),
}

/// Who asks, and where the answer goes.
struct Caller {
    response_url: String,
    physical_resource_id: String,
    stack_id: String,
    request_id: String,
    logical_resource_id: String,
}

impl ActivateReceiptRules {
    /// Does what CloudFormation asks for, and tells it.
    pub async fn run(&self, request: Request) -> Result<(), BoxError> {
        let (caller, wanted) = read(request)?;
        let done = match wanted {
            Ok(wanted) => self.settle(wanted).await,
            Err(error) => Err(error),
        };
        if let Err(error) = &done {
            let error = chain(&**error);
            tracing::error!(error, "the receipt rule set is not as the stack wants it");
        }
        self.tell(caller, done.err()).await
    }

    async fn settle(&self, wanted: Wanted) -> Result<(), BoxError> {
        let active = self.rules.active().await?;
        match step(wanted, active) {
            Step::Activate(name) => {
                self.rules.activate(Some(&name)).await?;
                tracing::info!("the receipt rule set {name} is active");
            }
            Step::Deactivate => {
                self.rules.activate(None).await?;
                tracing::info!("no receipt rule set is active any more");
            }
            Step::Nothing => tracing::info!("the active receipt rule set stays as it is"),
            Step::Refuse(why) => return Err(why.into()),
        }
        Ok(())
    }

    async fn tell(&self, caller: Caller, error: Option<BoxError>) -> Result<(), BoxError> {
        let Caller {
            response_url,
            physical_resource_id,
            stack_id,
            request_id,
            logical_resource_id,
        } = caller;
        let mut answer = CloudFormationCustomResourceResponse::default();
        answer.status = if error.is_some() { Status::Failed } else { Status::Success };
        // A text even then: CloudFormation takes no null.
        let reason =
            error.map_or_else(|| "As the template says.".to_owned(), |error| chain(&*error));
        answer.reason = Some(reason.chars().take(LONGEST_REASON_CHARS).collect());
        answer.physical_resource_id = physical_resource_id;
        answer.stack_id = stack_id;
        answer.request_id = request_id;
        answer.logical_resource_id = logical_resource_id;
        answer.data = HashMap::new();
        // Without a content type: the URL is signed for none.
        let body = serde_json::to_vec(&answer)?;
        // The URL is a permission, so no error may show it.
        let sent = self.http.put(response_url).body(body).send().await;
        let sent = sent.and_then(reqwest::Response::error_for_status);
        sent.map_err(reqwest::Error::without_url)?;
        Ok(())
    }
}

/// What is to be done where `active` is the active set.
fn step(wanted: Wanted, active: Option<String>) -> Step {
    match wanted {
        Wanted::Active(Properties { rule_set_name, may_replace }, before) => match active {
            Some(active) if active == rule_set_name => Step::Nothing,
            Some(active) if Some(&active) != before.as_ref() && active != may_replace => {
                Step::Refuse(foreign(&active, &rule_set_name))
            }
            Some(_) | None => Step::Activate(rule_set_name),
        },
        Wanted::Inactive(ours) if ours.is_some() && active == ours => Step::Deactivate,
        Wanted::Inactive(_) => Step::Nothing,
    }
}

fn foreign(active: &str, ours: &str) -> String {
    format!(
        "The receipt rule set {active} is active in this region and does not belong to this stack, so it was left as \
         it is; a region has one active set. To have {ours} in its place, deploy with ReplaceActiveRuleSet={active}. \
         To keep it, deploy in another region."
    )
}

/// Who asks for what. A request with properties that cannot be read is still answered.
fn read(request: Request) -> Result<(Caller, Result<Wanted, BoxError>), BoxError> {
    match request {
        Request::Create(create) => {
            let caller = Caller {
                response_url: create.response_url,
                physical_resource_id: PHYSICAL_ID.to_owned(),
                stack_id: create.stack_id,
                request_id: create.request_id,
                logical_resource_id: create.logical_resource_id,
            };
            let wanted = properties(create.resource_properties);
            Ok((caller, wanted.map(|properties| Wanted::Active(properties, None))))
        }
        Request::Update(update) => {
            let caller = Caller {
                response_url: update.response_url,
                physical_resource_id: update.physical_resource_id,
                stack_id: update.stack_id,
                request_id: update.request_id,
                logical_resource_id: update.logical_resource_id,
            };
            let before = properties(update.old_resource_properties).ok();
            let before = before.map(|properties| properties.rule_set_name);
            let wanted = properties(update.resource_properties);
            Ok((caller, wanted.map(|properties| Wanted::Active(properties, before))))
        }
        Request::Delete(delete) => {
            let caller = Caller {
                response_url: delete.response_url,
                physical_resource_id: delete.physical_resource_id,
                stack_id: delete.stack_id,
                request_id: delete.request_id,
                logical_resource_id: delete.logical_resource_id,
            };
            // What could not be made because of its properties must be deleted all the same.
            let ours = properties(delete.resource_properties).ok();
            Ok((caller, Ok(Wanted::Inactive(ours.map(|properties| properties.rule_set_name)))))
        }
        _ => Err("CloudFormation asks for something else than to create, update or delete".into()),
    }
}

fn properties(value: Value) -> Result<Properties, BoxError> {
    let read: Result<Properties, _> = serde_json::from_value(value);
    let properties = read.map_err(|error| format!("The resource's properties: {error}."))?;
    if properties.rule_set_name.is_empty() {
        return Err("The resource's properties: RuleSetName is empty.".into());
    }
    Ok(properties)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str, may_replace: &str) -> Properties {
        Properties { rule_set_name: name.to_owned(), may_replace: may_replace.to_owned() }
    }

    #[test]
    fn ours_becomes_active_unless_a_foreign_one_is() {
        let step_of = |may_replace: &str, before: Option<&str>, active: Option<&str>| {
            let before = before.map(str::to_owned);
            step(Wanted::Active(named("ours", may_replace), before), active.map(str::to_owned))
        };
        let activate = || Step::Activate("ours".to_owned());
        assert_eq!(step_of("", None, None), activate());
        assert_eq!(step_of("", None, Some("ours")), Step::Nothing);
        assert_eq!(step_of("theirs", None, Some("theirs")), activate());
        assert_eq!(step_of("", Some("ours before"), Some("ours before")), activate());
        for (may_replace, before) in [("", None), ("others", None), ("", Some("ours before"))] {
            let Step::Refuse(why) = step_of(may_replace, before, Some("theirs")) else {
                panic!("a foreign set was replaced")
            };
            assert!(why.contains("ReplaceActiveRuleSet=theirs"), "{why}");
        }
    }

    #[test]
    fn only_ours_is_put_out_of_force() {
        let step_of = |ours: Option<&str>, active: Option<&str>| {
            step(Wanted::Inactive(ours.map(str::to_owned)), active.map(str::to_owned))
        };
        assert_eq!(step_of(Some("ours"), Some("ours")), Step::Deactivate);
        for (ours, active) in [(Some("ours"), Some("theirs")), (Some("ours"), None), (None, None)] {
            assert_eq!(step_of(ours, active), Step::Nothing);
        }
    }

    #[test]
    fn properties_without_a_set_are_a_mistake() {
        for value in [Value::Null, serde_json::json!({}), serde_json::json!({"RuleSetName": ""})] {
            assert!(properties(value).is_err());
        }
    }
}
