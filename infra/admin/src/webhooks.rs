//! Webhooks as their receiver sees them.

mod check;
mod endpoint;
mod listen;
mod show;

use clap::Subcommand;
use spelter::error::BoxError;

#[derive(Subcommand)]
pub(crate) enum WebhooksCommand {
    /// Receives webhooks on this machine, prints them and checks their signatures, until Ctrl-C.
    Listen(listen::Listen),
}

pub(crate) async fn run(command: WebhooksCommand) -> Result<(), BoxError> {
    match command {
        WebhooksCommand::Listen(listen) => listen::run(listen).await,
    }
}
