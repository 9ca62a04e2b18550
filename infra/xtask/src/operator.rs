//! `operator`: the operator's own tool, `spelter-admin`, against the local stack.

use crate::{local, machine, shell};
use anyhow::{Context, Result};
use clap::Args;
use serde_json::Value;
use std::{path::Path, process::Command};

/// What the tool is to do.
#[derive(Args)]
pub(crate) struct Operator {
    /// Its arguments, but for the tables.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    arguments: Vec<String>,
}

/// Which table the tool reads from which variable.
const TABLES: [(&str, &str); 3] = [
    ("SPELTER_CLIENTS_TABLE", "ClientsTable"),
    ("SPELTER_LEDGER_TABLE", "LedgerTable"),
    ("SPELTER_ORDERS_TABLE", "OrdersTable"),
];

/// Does it.
pub(crate) fn run(operator: &Operator) -> Result<()> {
    let description = local::place().read_description()?;
    local::build()?;
    let text = |value: Option<&Value>, name: &str| {
        let text = value.and_then(Value::as_str).map(str::to_owned);
        text.with_context(|| format!("the local stack has no {name}"))
    };
    let url = text(description.get("dynamodb_url"), "dynamodb_url")?;
    let mut program = local_admin(&machine::binaries(), &url);
    for (variable, table) in TABLES {
        let name = description.get("tables").and_then(|tables| tables.get(table));
        program.env(variable, text(name, table)?);
    }
    shell::run(program.args(&operator.arguments))
}

/// The tool's name.
pub(crate) const PROGRAM: &str = "spelter-admin";

/// The tool.
pub(crate) fn admin() -> Command {
    Command::new(machine::binaries().join(PROGRAM))
}

/// The tool as it was built into `binaries`, speaking to the local stack's `DynamoDB`.
pub(crate) fn local_admin(binaries: &Path, dynamodb_url: &str) -> Command {
    let mut program = Command::new(binaries.join(PROGRAM));
    program
        .env("AWS_ENDPOINT_URL_DYNAMODB", dynamodb_url)
        .env("AWS_REGION", "us-east-1")
        .env("AWS_ACCESS_KEY_ID", "local")
        .env("AWS_SECRET_ACCESS_KEY", "local")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env_remove("AWS_PROFILE")
        .env_remove("AWS_SESSION_TOKEN");
    program
}
