//! `gateway`: intake and callbacks, and everything an operator does by hand.

mod cli;

use std::io::Write;
use std::process::ExitCode;

use gatepost::admin::{self, AdminError, health, migrate};
use gatepost::config::{self, Environment, LogConfig, SandboxConfig};
use gatepost::runtime::{logging, process};
use gatepost::wiring::{self, StartError};
use gatepost::{demo, gateway, sandbox};
use tokio_util::sync::CancellationToken;

use self::cli::{Command, SandboxArgs};

fn main() -> ExitCode {
    let command = match cli::parse() {
        Ok(cli) => cli.command,
        Err(code) => return code,
    };
    match command {
        Command::Serve => wiring::main("gateway", gateway::run),
        Command::Migrate => process::run("gateway migrate", run_migrate),
        Command::Admin(args) => admin::main(args),
        Command::Sandbox(args) => process::run("gateway sandbox", |stop| run_sandbox(args, stop)),
        Command::Healthcheck => process::run("gateway healthcheck", run_healthcheck),
        Command::Demo { once } => demo::main(once),
    }
}

async fn run_migrate(stop: CancellationToken) -> Result<(), AdminError> {
    let log = LogConfig::read(&config::environment)?;
    logging::start(log.format, &log.filter);
    let url = config::database_url(&config::environment)?;
    print(&migrate::report(&migrate::migrate(&url, &stop).await?));
    Ok(())
}

async fn run_healthcheck(_stop: CancellationToken) -> Result<(), AdminError> {
    print(&health::check(config::ops_listen(&config::environment)?).await?);
    Ok(())
}

async fn run_sandbox(args: SandboxArgs, stop: CancellationToken) -> Result<(), StartError> {
    let log = LogConfig::read(&config::environment)?;
    logging::start(log.format, &log.filter);
    let config = SandboxConfig::read(&config::environment)?;
    if config.environment == Environment::Production {
        return refused("the sandbox is for development: it needs GATEPOST_ENV=development");
    }
    if args.callback_url.is_some() && config.meta_app_secret.is_none() {
        return refused("GATEPOST_META_APP_SECRET is not set: callbacks are signed with it");
    }
    let listener = wiring::listen(args.listen).await?;
    let settings = args.settings(config.meta_app_secret.map(|secret| secret.0));
    sandbox::run(listener, settings, stop).await.or_else(|error| refused(&error.to_string()))
}

fn refused(problem: &str) -> Result<(), StartError> {
    Err(StartError::Refused(problem.to_owned()))
}

fn print(text: &str) {
    // Whoever does not read it does not need it: the exit code says the same.
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}
