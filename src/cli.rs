//! The command line of `gateway`.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use gatepost::admin;
use gatepost::sandbox::Settings;

/// A guarded gateway for transactional WhatsApp messages.
#[derive(Debug, Parser)]
#[command(name = "gateway", version, max_term_width = 110)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Serve customers and providers' callbacks.
    Serve,
    /// Bring the database's schema up to date.
    Migrate,
    /// Manage accounts, instances, API keys, webhook endpoints, suppressions, opt-out words and internal numbers;
    /// explain decisions; audit the database, and take it up again after a restore.
    Admin(admin::Args),
    /// Be a provider that sends nothing, for development.
    Sandbox(SandboxArgs),
    /// Ask the process of this environment whether it is ready: exit code 0 or 1.
    Healthcheck,
    /// Show the whole pipeline at work against the sandbox.
    Demo {
        /// End when every expected webhook came, with 0, or else after a minute.
        #[arg(long)]
        once: bool,
    },
}

#[derive(Debug, clap::Args)]
pub struct SandboxArgs {
    /// Where it is reached.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8090", env = "GATEPOST_SANDBOX_LISTEN")]
    pub listen: SocketAddr,
    /// Where callbacks go, for example http://127.0.0.1:8080/callbacks/meta; none where not given.
    #[arg(long, value_name = "URL", env = "GATEPOST_SANDBOX_CALLBACK_URL")]
    pub callback_url: Option<String>,
    /// The access token that every send must carry; any will do where not given.
    #[arg(long)]
    token: Option<String>,
    /// How long a send waits for its answer.
    #[arg(long, value_name = "N", default_value_t = 0)]
    latency_ms: u64,
    /// The time to the first callback, and from each to the next.
    #[arg(long, value_name = "N", default_value_t = 200)]
    callback_delay_ms: u64,
    /// How many callbacks are posted at a time.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..))]
    callback_workers: u16,
    /// The share of sends that fail, whoever the recipient is.
    #[arg(long, value_name = "P", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=100))]
    fault_percent: u8,
}

impl SandboxArgs {
    /// The sandbox's settings; `app_secret` signs its callbacks.
    pub fn settings(self, app_secret: Option<String>) -> Settings {
        let defaults = Settings::default();
        Settings {
            callback_url: self.callback_url,
            app_secret: app_secret.unwrap_or(defaults.app_secret),
            token: self.token,
            latency: Duration::from_millis(self.latency_ms),
            callback_delay: Duration::from_millis(self.callback_delay_ms),
            callback_workers: self.callback_workers.into(),
            fault_percent: self.fault_percent,
            ..Settings::default()
        }
    }
}

/// Reads the arguments of this process. Where there is nothing to do, because they are not valid or because help was
/// asked for, that is said and the exit code given.
pub fn parse() -> Result<Cli, ExitCode> {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    Cli::try_parse_from(&arguments).map_err(|error| {
        let json = arguments.iter().any(|argument| argument == "--json");
        if error.use_stderr() && json {
            return admin::refuse_arguments(&in_one_line(&error, &arguments), json);
        }
        // Fails where nobody reads it.
        let _ = error.print();
        u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from)
    })
}

/// What is wrong and what is allowed, without the hints on usage that follow.
fn in_one_line(error: &clap::Error, arguments: &[OsString]) -> String {
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return format!("a command is missing: one of {}", commands(arguments));
    }
    let text = error.render().to_string();
    let paragraph = text.split("\n\n").next().unwrap_or_default();
    let lines: Vec<&str> = paragraph.trim_start_matches("error: ").lines().map(str::trim).collect();
    let problem = lines.join(" ");
    match error.kind() {
        ErrorKind::InvalidSubcommand => format!("{problem}: allowed are {}", commands(arguments)),
        _ => problem,
    }
}

/// The names of the commands that may follow those among the arguments.
fn commands(arguments: &[OsString]) -> String {
    let mut command = Cli::command();
    for argument in arguments.iter().skip(1).filter(|argument| !argument.to_string_lossy().starts_with('-')) {
        let Some(next) = command.find_subcommand(argument).cloned() else { break };
        command = next;
    }
    let names: Vec<&str> = command.get_subcommands().map(clap::Command::get_name).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::{Cli, OsString, in_one_line};

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn bad_arguments_are_explained_in_one_line() {
        let cases = [
            (
                "gateway admin",
                "one of account, instance, api-key, webhook, suppression, opt-out-words, internal-number, log, audit, restored",
            ),
            ("gateway admin account destroy", "create, set-plan"),
            ("gateway admin account create --name N --plan gold", "starter, growth, scale"),
            ("gateway admin account create --name N", "--plan"),
            ("gateway admin account create --name N --plan scale --timezone Mars", "IANA"),
            ("gateway admin account set-limits 7", "--daily"),
            ("gateway admin account set-limits 7 --clear --daily 3", "cannot be used with"),
            ("gateway admin account suspend 0", "account id"),
            ("gateway admin instance resume --account 7 --id a", "--note"),
            ("gateway admin instance set-rate --account 7 --id a fast", "30/min,burst=3"),
            ("gateway admin instance set-connection --account 7 --id a up", "connecting"),
            ("gateway admin instance register-webhook --account 7 --id a", "--callback-url"),
            ("gateway admin instance register-webhook --account 7 --id a --callback-url x", "https://"),
            ("gateway admin webhook create --account 7 --url x", "--url"),
            ("gateway admin webhook create --account 7 --url http://a --events message.lost", "message.read"),
            ("gateway admin suppression add --account 7 --phone 12", "+966500000001"),
            ("gateway admin suppression add --account 7 --phone +966500000001 --until soon", "30d"),
            ("gateway admin instance set-confirmation --account 7 --id a", "--opt-out"),
            ("gateway admin opt-out-words add --account 7 --word !", "a letter or a digit"),
            ("gateway admin internal-number add --account 7", "--phone"),
            ("gateway admin log show 0", "log_id"),
            ("gateway admin restored", "--until"),
            ("gateway admin restored --until 1h --instance a", "--account"),
            ("gateway sandbox --fault-percent 101", "0..=100"),
        ];
        for (line, named) in cases {
            let arguments: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            let problem = in_one_line(&Cli::try_parse_from(&arguments).unwrap_err(), &arguments);
            assert!(problem.contains(named) && !problem.contains('\n'), "{line}: {problem}");
        }
    }
}
