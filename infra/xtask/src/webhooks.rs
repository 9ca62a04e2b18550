//! `webhooks`: what clients are told, received on this machine by `spelter-admin`.

use crate::{
    local,
    operator::{self, PROGRAM},
    shell,
};
use anyhow::Result;
use clap::Args;
use serde_json::Value;
use std::env;

/// What to do.
#[derive(Args)]
pub(crate) struct Webhooks {
    /// `listen`, and how.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    arguments: Vec<String>,
}

/// Which variable the program reads what from of the local stack's description. A token in the arguments would be seen by
/// everybody on this machine.
const CALLER: [(&str, &str); 2] =
    [("SPELTER_API_URL", "api_url"), ("SPELTER_CLIENT_TOKEN", "client_token")];

/// Does it, as the local stack's first client if that stack runs. A secret that was given needs no stack.
pub(crate) fn run(webhooks: &Webhooks) -> Result<()> {
    local::build_program(PROGRAM)?;
    let mut program = operator::admin();
    program.arg("webhooks").args(&webhooks.arguments);
    if let Ok(description) = local::place().read_description() {
        for (variable, name) in CALLER {
            if env::var_os(variable).is_some() {
                continue;
            }
            if let Some(value) = description.get(name).and_then(Value::as_str) {
                program.env(variable, value);
            }
        }
    }
    Err(shell::replace_with(&mut program))
}
