//! The local stack as a process: `cargo xtask up` starts it and says how to use it.

use clap::Parser;
use rustix::process::Signal;
use spelter_local::{
    child,
    stack::{self, Ports, Settings},
};
use std::{collections::BTreeMap, error::Error, path::PathBuf, process::ExitCode};
use tokio::signal::unix::{SignalKind, signal};

/// Runs the functions of a template on this machine.
#[derive(Parser)]
struct Arguments {
    /// The template to run.
    #[arg(long, default_value = "template.yaml")]
    template: PathBuf,
    /// The directory of the functions' binaries.
    #[arg(long)]
    bin_dir: PathBuf,
    /// The directory that survives restarts.
    #[arg(long)]
    state_dir: PathBuf,
    /// The Python virtual environment with ministack.
    #[arg(long)]
    python_venv: PathBuf,
    /// Where to write what is where, once everything is up.
    #[arg(long)]
    stack_file: PathBuf,
    /// A value for a template parameter; may be given again.
    #[arg(long, value_name = "KEY=VALUE", value_parser = parameter)]
    parameter: Vec<(String, String)>,
    /// Port of the API; 0 takes any free one.
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
    /// End when the process that started this one ends.
    #[arg(long)]
    end_with_parent: bool,
}

fn main() -> ExitCode {
    if let Err(error) = child::become_if_asked(std::env::args_os()) {
        eprintln!("cannot start the program: {error}");
        return ExitCode::FAILURE;
    }
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", chain(&*error));
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn run(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    if arguments.end_with_parent {
        child::end_with_parent(Signal::TERM)?;
    }
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    stack::run(settings(arguments)?, stop).await?;
    Ok(())
}

fn settings(arguments: Arguments) -> std::io::Result<Settings> {
    // Children run elsewhere, so every path must be absolute.
    Ok(Settings {
        template: arguments.template,
        parameters: arguments.parameter.into_iter().collect::<BTreeMap<_, _>>(),
        binaries: std::path::absolute(arguments.bin_dir)?,
        state: std::path::absolute(arguments.state_dir)?,
        venv: std::path::absolute(arguments.python_venv)?,
        stack_file: std::path::absolute(arguments.stack_file)?,
        ports: Ports {
            api: arguments.api_port,
            sandbox: arguments.sandbox_port,
            dynamodb: arguments.dynamodb_port,
            aws: arguments.aws_port,
            lambda: arguments.lambda_port,
            smtp: arguments.smtp_port,
        },
    })
}

fn parameter(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected KEY=VALUE".to_owned()),
    }
}

/// An error with everything that led to it.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
