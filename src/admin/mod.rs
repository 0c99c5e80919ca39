//! The operator's commands: `gateway admin …` for accounts, instances, keys, webhook endpoints, suppressions, opt-out
//! words, internal numbers, the decisions on messages and the audit; `gateway migrate` and `gateway healthcheck`.
//!
//! What a command does is a function on [`Admin`], which tests and the demo call as well. Each says exactly one
//! thing on standard output, or why not on standard error: exit code 2 for arguments that are not valid, 3 for an audit that
//! found something, 1 for everything else.

pub mod accounts;
mod answer;
pub mod api_keys;
mod audit;
pub mod health;
pub mod instances;
pub mod internal_numbers;
pub mod log;
pub mod migrate;
mod opt_out_words;
mod parse;
mod restored;
pub mod suppressions;
pub mod webhooks;

use std::io::Write;
use std::process::ExitCode;

use serde::Serialize;

use self::answer::Answer;
use crate::config::{self, AdminConfig, ConfigError, Environment};
use crate::runtime::secrets::SecretKey;
use crate::store::{Db, Pool, Session, StoreError, migrations};

/// The exit code for arguments that are not valid, the same as clap's.
const BAD_ARGUMENTS: u8 = 2;

/// `gateway admin …`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print one JSON object instead of text; errors, too.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Customers: their plans, limits and state.
    #[command(subcommand)]
    Account(accounts::Command),
    /// The senders of an account.
    #[command(subcommand)]
    Instance(instances::Command),
    /// The keys an account calls the API with.
    #[command(subcommand)]
    ApiKey(api_keys::Command),
    /// Where an account is told what happened.
    #[command(subcommand)]
    Webhook(webhooks::Command),
    /// The recipients an account must not write to.
    #[command(subcommand)]
    Suppression(suppressions::Command),
    /// The words an account's recipients opt out and in with, besides the built-in ones.
    #[command(subcommand)]
    OptOutWords(opt_out_words::Command),
    /// The numbers of an account's own team: notices to them are no broadcast.
    #[command(subcommand)]
    InternalNumber(internal_numbers::Command),
    /// The decisions on messages.
    #[command(subcommand)]
    Log(log::Command),
    /// Look whether everything that must hold of the database holds: exit code 0, or 3 where something is wrong.
    Audit(audit::Args),
    /// After a restore to an earlier moment, and before anything is started: what waits may have been sent since.
    Restored(restored::Args),
}

/// Why a command was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The arguments contradict each other, or what the environment allows.
    #[error("{0}")]
    Arguments(String),
    /// A setting is missing or not valid.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The database did not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no such account.
    #[error("account {0} does not exist")]
    NoAccount(i64),
    /// The account has no such thing.
    #[error("account {account_id} has no {what}")]
    Nothing {
        /// The tenant.
        account_id: i64,
        /// What was looked for.
        what: String,
    },
    /// No account has such a decision.
    #[error("there is no decision {0}")]
    NoDecision(i64),
    /// There is nothing to resume.
    #[error("instance `{0}` is not paused")]
    NotPaused(String),
    /// There is such a thing already.
    #[error("{0}")]
    Taken(String),
    /// The provider did not do it.
    #[error("{0}")]
    Provider(String),
    /// A process does not say that it is ready.
    #[error("not ready: {0}")]
    NotReady(String),
    /// Told to stop before anything was done.
    #[error("stopped before the database answered")]
    Stopped,
}

impl AdminError {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Arguments(_) => ExitCode::from(BAD_ARGUMENTS),
            Self::Config(_)
            | Self::Store(_)
            | Self::NoAccount(_)
            | Self::Nothing { .. }
            | Self::NoDecision(_)
            | Self::NotPaused(_)
            | Self::Taken(_)
            | Self::Provider(_)
            | Self::NotReady(_)
            | Self::Stopped => ExitCode::FAILURE,
        }
    }
}

/// What was made, with a secret that is not stored in clear and cannot be had again.
#[derive(Debug)]
pub struct MadeSecret<Id> {
    /// Its id.
    pub id: Id,
    /// Its secret.
    pub secret: String,
}

/// What the commands work with.
pub struct Admin {
    /// The database, with the schema this build needs.
    pool: Pool,
    secret_key: SecretKey,
    environment: Environment,
}

impl Admin {
    /// Connects to the database and checks its schema.
    ///
    /// # Errors
    /// [`AdminError::Store`].
    pub async fn open(config: AdminConfig) -> Result<Self, AdminError> {
        let pool = Pool::new(&config.database_url, 1)?;
        migrations::check(&pool).await?;
        Ok(Self { pool, secret_key: config.secret_key, environment: config.environment })
    }

    async fn session(&self) -> Result<Session, AdminError> {
        Ok(self.pool.get().await?)
    }

    /// A connection, where the account exists.
    async fn session_of(&self, account_id: i64) -> Result<Session, AdminError> {
        let session = self.session().await?;
        require_account(&session, account_id).await?;
        Ok(session)
    }
}

async fn require_account(db: &impl Db, account_id: i64) -> Result<(), AdminError> {
    if crate::store::accounts::exists(db, account_id).await? {
        Ok(())
    } else {
        Err(AdminError::NoAccount(account_id))
    }
}

/// Why a row of an account could not be inserted: the foreign keys to `accounts` are all called alike.
fn insert_error(error: StoreError, account_id: i64) -> AdminError {
    match error.constraint() {
        Some(name) if name.ends_with("_account_id_fkey") => AdminError::NoAccount(account_id),
        _ => error.into(),
    }
}

/// `gateway admin …`: carries out the command and prints its answer.
#[must_use]
pub fn main(args: Args) -> ExitCode {
    let json = args.json;
    match run(args.command) {
        Ok(answer) => print(answer, json),
        Err(error) => {
            print_error(&error.to_string(), json);
            error.exit_code()
        }
    }
}

/// Says on standard error that the arguments are not valid, in the form that was asked for.
#[must_use]
pub fn refuse_arguments(problem: &str, json: bool) -> ExitCode {
    print_error(problem, json);
    ExitCode::from(BAD_ARGUMENTS)
}

#[tokio::main(flavor = "current_thread")]
async fn run(command: Command) -> Result<Answer, AdminError> {
    // For the calls to providers; fails only where one is installed already.
    drop(rustls::crypto::ring::default_provider().install_default());
    let admin = Admin::open(AdminConfig::read(&config::environment)?).await?;
    match command {
        Command::Account(command) => accounts::run(&admin, command).await,
        Command::Instance(command) => instances::run(&admin, command).await,
        Command::ApiKey(command) => api_keys::run(&admin, command).await,
        Command::Webhook(command) => webhooks::run(&admin, command).await,
        Command::Suppression(command) => suppressions::run(&admin, command).await,
        Command::OptOutWords(command) => opt_out_words::run(&admin, command).await,
        Command::InternalNumber(command) => internal_numbers::run(&admin, command).await,
        Command::Log(command) => log::run(&admin, command).await,
        Command::Audit(args) => audit::run(&admin, args).await,
        Command::Restored(args) => restored::run(&admin, args).await,
    }
}

fn print(answer: Answer, json: bool) -> ExitCode {
    let code = answer.exit_code();
    // Fails where the reader is gone; a secret that could not be shown must not look like a success.
    match writeln!(std::io::stdout().lock(), "{}", answer.render(json)) {
        Ok(()) => code,
        Err(error) => {
            print_error(&format!("the answer could not be written: {error}"), json);
            ExitCode::FAILURE
        }
    }
}

fn print_error(problem: &str, json: bool) {
    #[derive(Serialize)]
    struct Problem<'a> {
        error: &'a str,
    }
    if json {
        let line = serde_json::to_string(&Problem { error: problem }).expect("a string always serialises");
        eprintln!("{line}");
    } else {
        eprintln!("error: {problem}");
    }
}
