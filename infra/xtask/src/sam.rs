//! `sam-env`: what `sam local` must be told, so that its functions use the local stack.

use crate::local;
use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

/// This machine, as containers know it.
const HOST: &str = "host.docker.internal";
/// What the local stack's file names, and how the variable of a thing's id ends.
const GROUPS: [(&str, &str); 4] =
    [("tables", ""), ("queues", "_URL"), ("keys", "_ID"), ("buckets", "")];

/// Prints the file for `sam local --env-vars`.
pub(crate) fn print_environment() -> Result<()> {
    println!("{:#}", environment(&local::place().read_description()?)?);
    Ok(())
}

/// One block for all functions: SAM gives each only the variables that its template names.
fn environment(description: &Value) -> Result<Value> {
    let field = |name: &str| {
        description.get(name).with_context(|| format!("the local stack has no {name}"))
    };
    let mut variables = Map::new();
    for (group, ending) in GROUPS {
        let things = field(group)?.as_object().with_context(|| format!("{group} is no object"))?;
        for (name, id) in things {
            variables.insert(format!("{}{ending}", variable(name)), id.clone());
        }
    }
    let sandbox = field("sandbox_url")?.as_str().context("sandbox_url is no text")?;
    variables.insert("SANDBOX_URL".to_owned(), json!(sandbox.replace("127.0.0.1", HOST)));
    variables.insert("API_URL".to_owned(), field("api_url")?.clone());
    variables.insert("SANDBOX_ADMIN_TOKEN".to_owned(), field("sandbox_admin_token")?.clone());
    Ok(json!({ "Parameters": variables }))
}

/// `CardsTable` to `CARDS_TABLE`.
fn variable(resource: &str) -> String {
    let mut name = String::new();
    for letter in resource.chars() {
        if letter.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resources_become_the_variables_of_the_template() {
        let description = json!({
            "tables": {"CardsTable": "spelter-local-CardsTable"},
            "queues": {"JobsQueue": "http://127.0.0.1:4503/000000000000/spelter-local-jobs.fifo"},
            "keys": {"HashKey": "9b0f7bed"},
            "buckets": {"MailBucket": "spelter-local-mailbucket"},
            "api_url": "http://127.0.0.1:4500",
            "sandbox_url": "http://127.0.0.1:4501",
            "sandbox_admin_token": "sandbox_1",
        });
        let expected = json!({"Parameters": {
            "CARDS_TABLE": "spelter-local-CardsTable",
            "JOBS_QUEUE_URL": "http://127.0.0.1:4503/000000000000/spelter-local-jobs.fifo",
            "HASH_KEY_ID": "9b0f7bed",
            "MAIL_BUCKET": "spelter-local-mailbucket",
            "SANDBOX_URL": "http://host.docker.internal:4501",
            "API_URL": "http://127.0.0.1:4500",
            "SANDBOX_ADMIN_TOKEN": "sandbox_1",
        }});
        assert_eq!(environment(&description).ok(), Some(expected));
    }
}
