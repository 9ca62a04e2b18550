//! Clients of the API. The keys are made by `spelter-admin`, against the local stack or, with
//! `--table`, against a deployed one with the user's own AWS credentials.

use crate::{local, machine, operator, shell, stack::write_whole};
use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};
use std::{fs, path::Path, process::Command as Program};

/// What can be done with clients.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Make a client and print its key, once.
    Create(Create),
}

/// A client to make.
#[derive(Args)]
pub(crate) struct Create {
    /// What to call it.
    #[arg(long)]
    name: String,
    /// Make a live key instead of a test key.
    #[arg(long)]
    live: bool,
    /// Let its orders use, and be bought with, the operator's own accounts.
    #[arg(long)]
    operator: bool,
    /// The clients table of a deployed stack; without it, the local stack's.
    #[arg(long)]
    table: Option<String>,
}

/// The keys of the two clients every local stack has.
pub(crate) struct Tokens {
    pub(crate) first: String,
    pub(crate) second: String,
}

/// Does what the command says.
pub(crate) fn run(command: &Command) -> Result<()> {
    let Command::Create(create) = command;
    local::build()?;
    let mut program = match &create.table {
        Some(table) => {
            let mut program = operator::admin();
            program.args(["client", "create", "--table", table]);
            program
        }
        None => local_admin(&machine::binaries(), local::place().read_description()?.as_object())?,
    };
    program.args(["--name", &create.name, "--mode", if create.live { "live" } else { "test" }]);
    if create.operator {
        program.arg("--operator");
    }
    println!("{}", shell::output(&mut program)?);
    Ok(())
}

/// Makes the two clients of a new state directory, or reads the keys of an old one's.
pub(crate) fn seed(
    binaries: &Path,
    state: &Path,
    description: &Map<String, Value>,
) -> Result<Tokens> {
    let file = state.join("clients.json");
    let known = fs::read_to_string(&file).ok();
    let known: Option<Value> = known.and_then(|text| serde_json::from_str(&text).ok());
    let key = |name: &str| {
        known.as_ref().and_then(|known| known.get(name)).and_then(Value::as_str).map(str::to_owned)
    };
    if let (Some(first), Some(second)) = (key("first"), key("second")) {
        return Ok(Tokens { first, second });
    }
    let first = create_local(binaries, description, "Local client")?;
    let second = create_local(binaries, description, "Second local client")?;
    write_whole(&file, &json!({ "first": first, "second": second }).to_string())?;
    Ok(Tokens { first, second })
}

fn create_local(binaries: &Path, description: &Map<String, Value>, name: &str) -> Result<String> {
    let mut program = local_admin(binaries, Some(description))?;
    let printed = shell::output(program.args(["--name", name, "--mode", "test", "--json"]))?;
    let printed: Value = serde_json::from_str(&printed).context("spelter-admin printed no JSON")?;
    let key = printed.get("key").and_then(Value::as_str).context("spelter-admin printed no key")?;
    Ok(key.to_owned())
}

fn local_admin(binaries: &Path, description: Option<&Map<String, Value>>) -> Result<Program> {
    let field = |name: &str| {
        description
            .and_then(|description| description.get(name))
            .and_then(Value::as_str)
            .with_context(|| format!("the local stack has no {name}"))
    };
    let mut program = operator::local_admin(binaries, field("dynamodb_url")?);
    program.args(["client", "create", "--table", field("clients_table")?]);
    Ok(program)
}
