//! What an operator does with a deployment, local or deployed: clients and their keys, their money and their refunds.
//!
//! It speaks to DynamoDB directly with the operator's own AWS credentials, so there is no admin API to protect. Only
//! `webhooks` is for clients: it receives on this machine what they are told.

mod errors;
mod ledger;
mod refunds;
mod webhooks;

use std::{process::ExitCode, str::FromStr};

use clap::{Parser, Subcommand};
use serde_json::json;
use spelter::{
    aws::{self, clients},
    client_key::ClientKey,
    clock,
    error::{BoxError, chain},
    fields::Unfit,
    id::ClientId,
    retailers::Mode,
};
use uuid::Uuid;

#[derive(Parser)]
#[command(name = "spelter-admin", about = "What an operator does with a deployment")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Clients and their keys.
    #[command(subcommand)]
    Client(ClientCommand),
    /// Clients' prepaid balances.
    #[command(subcommand)]
    Ledger(ledger::LedgerCommand),
    /// Refunds that clients wait for.
    #[command(subcommand)]
    Refund(refunds::RefundCommand),
    /// What clients are told, seen from their side.
    #[command(subcommand)]
    Webhooks(webhooks::WebhooksCommand),
    /// Prints the page of error codes.
    Errors,
}

#[derive(Subcommand)]
enum ClientCommand {
    /// Creates a client, or another key of one, and prints the key. It cannot be shown again.
    Create {
        /// The table of clients: the output `ClientsTableName` of the stack.
        #[arg(long, env = "SPELTER_CLIENTS_TABLE")]
        table: String,
        /// What a person calls the client.
        #[arg(long)]
        name: String,
        /// Whether its orders are for real.
        #[arg(long, default_value = "test", value_parser = ["test", "live"])]
        mode: String,
        /// Another key of this client instead of a new client.
        #[arg(long, conflicts_with = "operator")]
        client_id: Option<String>,
        /// A key of the operator: managed accounts stored with it serve clients without accounts of their own.
        #[arg(long)]
        operator: bool,
        /// Print an object with the client's id, too.
        #[arg(long)]
        json: bool,
    },
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Client(command) => client(command).await,
        Command::Ledger(command) => ledger::run(command).await,
        Command::Refund(command) => refunds::run(command).await,
        Command::Webhooks(command) => webhooks::run(command).await,
        Command::Errors => {
            print!("{}", errors::page());
            Ok(())
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", chain(&*error));
            ExitCode::FAILURE
        }
    }
}

/// For `value_parser`: what is unfit, in words.
fn parse<T: FromStr<Err = Unfit>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|unfit: Unfit| unfit.0)
}

async fn client(command: ClientCommand) -> Result<(), BoxError> {
    let ClientCommand::Create { table, name, mode, client_id, operator, json } = command;
    let mode: Mode = if mode == "live" { Mode::Live } else { Mode::Test };
    let client = match client_id {
        Some(id) => id.parse()?,
        None if operator => clients::operator(mode).client,
        None => ClientId::new(Uuid::new_v4()),
    };
    let key = ClientKey::generate(mode, &mut rand::rng());
    let clients = clients::Clients::new(&aws::config().await, table);
    clients.insert(&key, client.clone(), name, clock::system()).await?;
    if json {
        println!("{}", json!({"client_id": client, "key": key.expose()}));
    } else {
        println!("{}", key.expose());
    }
    Ok(())
}
