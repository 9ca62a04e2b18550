//! `up` and `down`: the stack on this machine.

use crate::{
    machine::{self, Profile},
    python::{self, Tools},
    shell::{self, phase},
    stack::{Guard, Options, Place},
};
use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::Value;
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    flag,
};
use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::sleep,
    time::Duration,
};

/// How `up` is run.
#[derive(Args)]
pub(crate) struct Up {
    /// Leave it running; `cargo xtask down` ends it.
    #[arg(long)]
    detach: bool,
    /// Forget all orders, accounts, keys and queued work first.
    #[arg(long)]
    fresh: bool,
    /// Port of the API.
    #[arg(long, default_value_t = 4500)]
    api_port: u16,
    /// Port of the sandbox retailer.
    #[arg(long, default_value_t = 4501)]
    sandbox_port: u16,
    /// Port of `DynamoDB`.
    #[arg(long, default_value_t = 4502)]
    dynamodb_port: u16,
    /// Port of SQS, KMS, S3 and SES's emulator.
    #[arg(long, default_value_t = 4503)]
    aws_port: u16,
    /// Port of Lambda's Invoke API.
    #[arg(long, default_value_t = 4504)]
    lambda_port: u16,
    /// Port that mail from outside comes in at.
    #[arg(long, default_value_t = 4505)]
    smtp_port: u16,
    /// A value for a template parameter, KEY=VALUE; may be given again.
    #[arg(long)]
    parameter: Vec<String>,
}

impl Up {
    fn options(&self) -> Options {
        let ports = [
            ("--api-port", self.api_port),
            ("--sandbox-port", self.sandbox_port),
            ("--dynamodb-port", self.dynamodb_port),
            ("--aws-port", self.aws_port),
            ("--lambda-port", self.lambda_port),
            ("--smtp-port", self.smtp_port),
        ];
        Options {
            ports: ports.iter().map(|(flag, port)| format!("{flag}={port}")).collect(),
            parameters: self.parameter.clone(),
            ends_with_us: !self.detach,
        }
    }
}

/// Where the stack of `up` is.
pub(crate) fn place() -> Place {
    Place::new("local")
}

/// Starts the stack.
pub(crate) fn up(up: &Up) -> Result<()> {
    let place = place();
    if let Some(pid) = place.running() {
        if up.fresh {
            bail!("the local stack runs (process {pid}): end it first with `cargo xtask down`");
        }
        if !up.parameter.is_empty() {
            bail!(
                "the local stack runs with its own parameters (process {pid}): `cargo xtask down` first"
            );
        }
        println!("The local stack already runs (process {pid}), as it was when it was started.");
        return greet(&place, &place.read_description()?);
    }
    let venv = phase("Python packages", || python::environment(Tools::Ministack))?;
    phase("Build", build)?;
    if up.fresh {
        place.clear()?;
    }
    let (child, description) = phase("Start", || place.start(&venv, &up.options()))?;
    if up.detach {
        return greet(&place, &description);
    }
    let guard = Guard::new(place.clone(), child);
    greet(&place, &description)?;
    follow(&place, guard)
}

/// Ends the stack.
pub(crate) fn down() -> Result<()> {
    let ended = phase("End", || place().end())?;
    println!("{}", if ended { "The local stack has ended." } else { "No local stack runs." });
    Ok(())
}

/// Builds the functions and what runs them. Always the same choice of packages: another one would
/// have other features of their dependencies, and cargo would build those again.
pub(crate) fn build() -> Result<()> {
    build_as(Profile::Dev)
}

/// The same, built as `profile` says.
pub(crate) fn build_as(profile: Profile) -> Result<()> {
    cargo_build(&["--bins", "--profile", profile.name()])
}

/// Builds one program with the features that it has in [`build`].
pub(crate) fn build_program(name: &str) -> Result<()> {
    cargo_build(&["--bin", name])
}

fn cargo_build(which: &[&str]) -> Result<()> {
    let mut cargo = machine::cargo();
    shell::run(cargo.args(["build", "--workspace"]).args(which))
}

/// Shows the log until Ctrl-C.
fn follow(place: &Place, mut guard: Guard) -> Result<()> {
    let asked_to_end = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        flag::register(signal, Arc::clone(&asked_to_end))?;
    }
    let mut log = File::open(place.log()).context("cannot read the log")?;
    log.seek(SeekFrom::End(0))?;
    println!("\nLogs follow; Ctrl-C ends the stack.\n");
    while !asked_to_end.load(Ordering::Relaxed) {
        show_new(&mut log)?;
        if !guard.is_running() {
            show_new(&mut log)?;
            bail!("the local stack ended by itself; its log is {}", place.log().display());
        }
        sleep(Duration::from_millis(100));
    }
    drop(guard);
    show_new(&mut log)
}

fn show_new(log: &mut File) -> Result<()> {
    let mut new = Vec::new();
    log.read_to_end(&mut new)?;
    io::stdout().write_all(&new)?;
    Ok(())
}

fn greet(place: &Place, description: &Value) -> Result<()> {
    let field = |name: &str| {
        let value = description.get(name).and_then(Value::as_str);
        value.with_context(|| format!("the local stack has no {name}"))
    };
    let (api, token) = (field("api_url")?, field("client_token")?);
    let (email, password) = (field("sandbox_email")?, field("sandbox_password")?);
    println!(
        r#"
Spelter runs.

  API          {api}
  test token   {token}
  sandbox      {sandbox}
  logs         {logs}
  details      {details}

Buy something at the sandbox retailer:

curl {api}/v1/orders -u {token}: -d '{{
  "retailer": "amazon",
  "products": [{{"product_id": "B0016NHH56", "quantity": 1}}],
  "max_price": 2300,
  "shipping_address": {{
    "first_name": "Tim",
    "last_name": "Beaver",
    "address_line1": "77 Massachusetts Avenue",
    "address_line2": "",
    "zip_code": "02139",
    "city": "Cambridge",
    "state": "MA",
    "country": "US",
    "phone_number": "5551230101"
  }},
  "shipping_method": "cheapest",
  "payment_method": {{"use_gift": true}},
  "retailer_credentials": {{"email": "{email}", "password": "{password}"}}
}}'

See what became of it, with the request_id of the answer:

curl {api}/v1/orders/REQUEST_ID -u {token}:

`cargo xtask down` ends it, `cargo xtask up` starts it again with everything still there."#,
        sandbox = field("sandbox_url")?,
        logs = field("logs")?,
        details = place.description().display(),
    );
    Ok(())
}
