//! `docs/openapi.yaml` agrees with the template and the code. That every answer is as it says is checked with every
//! call of these tests, by [`tests::send`].

use std::collections::BTreeSet;

use http::{Method, StatusCode};
use serde_json::{Value, json};
use tests::{Api, openapi, operate};

use crate::template;

fn texts(value: &Value) -> BTreeSet<String> {
    let texts = value.as_array().unwrap().iter();
    texts.map(|text| text.as_str().unwrap().to_owned()).collect()
}

#[test]
fn every_route_is_described_and_there_are_no_others() {
    let mut routes = BTreeSet::new();
    for function in template::resources(&template::read(), "AWS::Serverless::Function").values() {
        let events = function["Properties"]["Events"].as_object().cloned().unwrap_or_default();
        for event in events.values().filter(|event| event["Type"] == "HttpApi") {
            let properties = &event["Properties"];
            if properties["ApiId"] == json!({"!Ref": "Api"}) {
                let text = |name: &str| properties[name].as_str().unwrap().to_owned();
                routes.insert((text("Method"), text("Path")));
            }
        }
    }
    let described = openapi::operations().into_iter().map(|(method, path, _)| (method, path));
    assert_eq!(routes, described.collect());
}

/// The specification's own, from <https://spec.openapis.org/oas/3.1/schema/2022-10-07>.
const OPENAPI: &str = include_str!("../fixtures/openapi-3.1.json");

#[test]
fn the_description_is_openapi() {
    let document = openapi::root();
    let openapi: Value = serde_json::from_str(OPENAPI).unwrap();
    let validator = jsonschema::draft202012::new(&openapi).unwrap();
    let faults: Vec<_> = validator
        .iter_errors(document)
        .map(|fault| format!("{}: {fault}", fault.instance_path()))
        .collect();
    assert!(faults.is_empty(), "{faults:#?}");
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        assert!(jsonschema::draft202012::meta::is_valid(schema), "{name}");
    }
    let references = references(document);
    assert!(references.len() > 50);
    for reference in references {
        let place = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(place).is_some(), "{reference}");
    }
}

/// Where every `$ref` points.
fn references(value: &Value) -> BTreeSet<&str> {
    match value {
        Value::Object(members) => {
            let own = members.get("$ref").and_then(Value::as_str);
            members.values().flat_map(references).chain(own).collect()
        }
        Value::Array(items) => items.iter().flat_map(references).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => BTreeSet::new(),
    }
}

#[test]
fn every_operation_has_a_name_of_its_own() {
    let operations = openapi::operations();
    let names: BTreeSet<_> =
        operations.iter().map(|(_, _, operation)| operation["operationId"].to_string()).collect();
    assert_eq!(names.len(), operations.len());
    assert!(!names.contains("null"));
}

#[test]
fn the_codes_are_those_of_the_table() {
    let table = operate(&["errors"]).unwrap();
    let rows = table.lines().filter_map(|line| line.strip_prefix("| `"));
    let codes: BTreeSet<_> =
        rows.filter_map(|row| row.split('`').next()).map(str::to_owned).collect();
    assert!(codes.len() > 50, "{table}");
    assert_eq!(texts(&openapi::root()["components"]["schemas"]["Code"]["enum"]), codes);
}

#[tokio::test]
async fn the_retailers_are_those_of_the_api() {
    let answer = Api::first().v1(Method::GET, "/v1/retailers", None).await.ok();
    let rows = answer["retailers"].as_array().unwrap().iter();
    let codes: BTreeSet<_> = rows.map(|row| row["retailer"].as_str().unwrap().to_owned()).collect();
    assert_eq!(texts(&openapi::root()["components"]["schemas"]["Retailer"]["enum"]), codes);
}

#[test]
fn an_answer_that_is_not_described_is_found() {
    let complaint = |status: StatusCode, body: &str| {
        openapi::complaint(&Method::GET, "/v1/addax/balance?x=1", status, body)
    };
    assert_eq!(complaint(StatusCode::OK, r#"{"balances": []}"#), None);
    for (status, body) in [
        (StatusCode::OK, r#"{"balances": [], "more": 1}"#),
        (StatusCode::OK, r#"{"balances": [{"currency": "USD"}]}"#),
        (StatusCode::OK, "[]"),
        (StatusCode::OK, "no JSON"),
        (StatusCode::CREATED, r#"{"balances": []}"#),
    ] {
        assert!(complaint(status, body).is_some(), "{status} {body}");
    }
}

#[test]
fn the_examples_are_as_described() {
    let mut found = 0;
    for (method, path, operation) in openapi::operations() {
        let responses = operation["responses"].as_object().unwrap().values();
        for holder in responses.chain(operation.get("requestBody")) {
            let content = &openapi::resolved(holder).unwrap()["content"]["application/json"];
            let named = content["examples"].as_object().into_iter().flat_map(|all| all.values());
            let examples = content.get("example").into_iter().chain(named.map(|one| &one["value"]));
            for example in examples {
                found += 1;
                let faults = openapi::faults(&content["schema"], example);
                assert!(faults.is_empty(), "{method} {path}: {faults:?}");
            }
        }
    }
    assert!(found >= 10, "{found}");
}
