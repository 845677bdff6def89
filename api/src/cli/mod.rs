//! The command line: `ledger …`.

mod account;
mod audit;
mod claims;
mod comparison;
mod earlier;
mod health;
mod import;
mod keys;
mod logins;
mod migrate;
mod model;
mod output;
mod receipt;
mod sample;
mod scan;
mod serve;
mod setup;
mod sweep;
#[cfg(feature = "training")]
mod training;
mod verdict;
mod witness;
mod worker;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use self::output::Output;
use self::verdict::Verdict;

/// Coherency Ledger: a clinical record kept as a signed, append-only log.
#[derive(Debug, Parser)]
#[command(
    name = "ledger",
    version,
    about,
    long_about = "Coherency Ledger: a clinical record kept as a signed, append-only log.\n\n\
        Every registration, booking, edit, wound scan and look at a record is an Ed25519-signed event in \
        Postgres. Read models in MongoDB and caches in Redis are derived from it. Anybody with the log's \
        public key can check, offline, that nothing was changed, removed or back-dated.",
    after_help = "Exit status:\n  0  done, and everything checked is in order\n  1  could not be done; the \
        message says why\n  2  the command line is wrong\n  3  done, and something was refused or found \
        wrong; the output says what\n\nA first ledger:\n  ledger keys init --dir keys\n  ledger migrate --logins logins.env\n  set -a; . ./logins.env\n  \
        ledger account create-admin --login admin\n  ledger serve & ledger worker &"
)]
struct Cli {
    /// Print one JSON object for programs instead of text for people
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Answer commands and queries over HTTP
    Serve(serve::Serve),
    /// Keep the read models up to date, measure wound scans, purge what was erased
    Worker(worker::Worker),
    /// Bring the database's tables up to date and begin the log if it is empty
    Migrate(migrate::Migrate),
    /// Make the ledger's keys
    #[command(subcommand)]
    Keys(keys::Keys),
    /// Accounts, for the operator at the machine
    #[command(subcommand)]
    Account(account::Account),
    /// What is taken: times, numbers, log-in names
    #[command(subcommand)]
    Claims(claims::Claims),
    /// Import files of other systems
    #[command(subcommand)]
    Import(import::Import),
    /// Make and measure wound captures
    #[command(subcommand)]
    Scan(scan::Scan),
    /// Check and export the evidence
    #[command(subcommand)]
    Audit(audit::Audit),
    /// Check receipts offline
    #[command(subcommand)]
    Receipt(receipt::Receipt),
    /// Cosign checkpoints of other ledgers, so that none can rewrite its past
    Witness(witness::Witness),
    /// Score and pack the wound segmentation network; with the feature `training` also make it
    #[command(subcommand)]
    Model(model::Model),
    /// The sample clinic
    #[command(subcommand)]
    Sample(sample::Sample),
    /// Ask a running server whether it is ready
    Health(health::Health),
}

/// Reads the command line, does what it says and answers with the exit status.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    let output = Output::new(cli.json);
    // One TLS provider for every client in the process. It is set once; a second try changes nothing.
    let _already = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            output.failure(&anyhow::Error::new(error).context("cannot start the runtime"));
            return ExitCode::FAILURE;
        }
    };
    let verdict = runtime.block_on(dispatch(cli.command, &output));
    runtime.shutdown_timeout(std::time::Duration::from_secs(5));
    match verdict {
        Ok(Verdict::InOrder) => ExitCode::SUCCESS,
        Ok(Verdict::Findings) => ExitCode::from(3),
        Err(error) => {
            output.failure(&error);
            ExitCode::FAILURE
        }
    }
}

async fn dispatch(command: Command, output: &Output) -> anyhow::Result<Verdict> {
    match command {
        Command::Serve(serve) => serve.run().await,
        Command::Worker(worker) => worker.run().await,
        Command::Migrate(migrate) => migrate.run(output).await,
        Command::Keys(keys) => keys.run(output).await,
        Command::Account(account) => account.run(output).await,
        Command::Claims(claims) => claims.run(output).await,
        Command::Import(import) => import.run(output).await,
        Command::Scan(scan) => scan.run(output).await,
        Command::Audit(audit) => audit.run(output).await,
        Command::Receipt(receipt) => receipt.run(output),
        Command::Witness(witness) => witness.run(output).await,
        Command::Model(model) => model.run(output),
        Command::Sample(sample) => sample.run(output).await,
        Command::Health(health) => health.run(output).await,
    }
}

#[cfg(test)]
mod tests {
    use super::Cli;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
