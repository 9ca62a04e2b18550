//! `docs/openapi.yaml` as the judge of every answer: its status must be described for its route, and its body must be
//! what is described, to the last member.
//!
//! The file allows further members, as clients must. Here they fail: what an answer has is to be described.

use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    sync::{LazyLock, Mutex, PoisonError},
};

use http::{Method, StatusCode};
use jsonschema::{ErrorIterator, Validator};
use serde_json::{Map, Value, json};

use crate::yaml;

/// The description, read once.
static DOCUMENT: LazyLock<Document> = LazyLock::new(Document::read);

/// The API's description.
pub struct Document {
    root: Value,
    strict: Value,
    /// Compiled schemas by their own text.
    validators: Mutex<BTreeMap<String, &'static Validator>>,
}

/// The description as JSON.
pub fn root() -> &'static Value {
    &DOCUMENT.root
}

/// Every operation below `paths`: its method, its path and what is said of it.
pub fn operations() -> Vec<(String, String, &'static Value)> {
    let paths = DOCUMENT.root["paths"].as_object().expect("paths");
    let operation = |path: &String, (method, operation): (&String, &'static Value)| {
        (method.to_uppercase(), path.clone(), operation)
    };
    let mut operations = Vec::new();
    for (path, item) in paths {
        let methods = item.as_object().expect("a path's operations").iter();
        let methods = methods.filter(|(name, _)| *name != "parameters");
        operations.extend(methods.map(|named| operation(path, named)));
    }
    operations
}

/// What is wrong with an answer. Paths that are no route have none: API Gateway answers them.
pub fn complaint(method: &Method, path: &str, status: StatusCode, text: &str) -> Option<String> {
    let (name, route, operation) = operations()
        .into_iter()
        .find(|(name, route, _)| name == method.as_str() && matches(route, path))?;
    let response = &operation["responses"][status.as_str()];
    let Some(response) = DOCUMENT.resolved(response) else {
        return Some(format!("{name} {route}: status {status} is not described"));
    };
    let Some(content) = response.get("content") else {
        let wrong = !text.is_empty();
        return wrong.then(|| format!("{name} {route}: a {status} has no body: {text}"));
    };
    let Ok(body) = serde_json::from_str(text) else {
        return Some(format!("{name} {route}: a {status} is JSON: {text}"));
    };
    let faults = DOCUMENT.faults(&content["application/json"]["schema"], &body);
    (!faults.is_empty()).then(|| format!("{name} {route}: {status}: {}: {text}", faults.join("; ")))
}

/// What keeps `value` from being what `schema` says; further members are allowed.
pub fn faults(schema: &Value, value: &Value) -> Vec<String> {
    let mut whole = json!({"components": root()["components"]});
    let members = whole.as_object_mut().expect("an object");
    members.extend(schema.as_object().expect("a schema").clone());
    let validator = jsonschema::draft202012::new(&whole).expect("a schema");
    texts(validator.iter_errors(value))
}

/// What stands where a `$ref` points.
pub fn resolved(value: &'static Value) -> Option<&'static Value> {
    DOCUMENT.resolved(value)
}

fn texts(errors: ErrorIterator) -> Vec<String> {
    errors.map(|error| format!("{}: {error}", error.instance_path())).collect()
}

fn matches(route: &str, path: &str) -> bool {
    let path = path.split('?').next().unwrap_or_default();
    let (route, path) = (route.split('/'), path.split('/'));
    route.clone().count() == path.clone().count()
        && route.zip(path).all(|(route, path)| route.starts_with('{') || route == path)
}

impl Document {
    fn read() -> Self {
        let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/openapi.yaml");
        let text = fs::read_to_string(file).expect("the API's description");
        let root = yaml::read(&text);
        let strict = json!({"components": strict(&root["components"])});
        Self { root, strict, validators: Mutex::default() }
    }

    fn resolved<'a>(&'a self, value: &'a Value) -> Option<&'a Value> {
        match value.get("$ref").and_then(Value::as_str) {
            Some(reference) => self.root.pointer(reference.strip_prefix('#')?),
            None => (!value.is_null()).then_some(value),
        }
    }

    fn faults(&self, schema: &Value, value: &Value) -> Vec<String> {
        texts(self.validator(schema).iter_errors(value))
    }

    fn validator(&self, schema: &Value) -> &'static Validator {
        let mut validators = self.validators.lock().unwrap_or_else(PoisonError::into_inner);
        validators.entry(schema.to_string()).or_insert_with(|| {
            let mut whole = self.strict.clone();
            let members = whole.as_object_mut().expect("an object");
            members.extend(strict(schema).as_object().expect("a schema").clone());
            // As many as there are different answers, kept as long as the tests run.
            Box::leak(Box::new(jsonschema::draft202012::new(&whole).expect("a schema")))
        })
    }
}

/// The schema, or whatever holds schemas, with objects closed.
fn strict(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let mut closed: Map<_, _> =
                members.iter().map(|(name, value)| (name.clone(), strict(value))).collect();
            if members.get("type") == Some(&json!("object"))
                && members.contains_key("properties")
                && !members.contains_key("additionalProperties")
            {
                closed.insert("additionalProperties".to_owned(), json!(false));
            }
            closed.into()
        }
        Value::Array(items) => items.iter().map(strict).collect(),
        other => other.clone(),
    }
}
