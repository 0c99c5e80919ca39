//! `gateway demo`: the whole pipeline at work against the sandbox provider, on one machine. Wiring, like `main`: it
//! starts every process as an operator would, sets up an account with the operator's own functions, and is then a
//! customer who sends messages over HTTP and receives signed webhooks.

mod expected;
mod fleet;
mod receiver;
mod setting;
mod signature;
mod story;

use std::fmt::Display;
use std::io::{self, Write};
use std::process::{ExitCode, ExitStatus};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use self::fleet::Fleet;
use self::receiver::Receiver;
use self::setting::Setting;
use self::story::Story;
use crate::admin::{AdminError, migrate};
use crate::config::{self, ConfigError, DemoConfig, LogFormat};
use crate::runtime::logging;

/// A signal from a terminal reaches the children as well, and one of them may be the first to react to it.
const SIGNAL_SKEW: Duration = Duration::from_millis(300);

/// Why the demo did not come to its end.
#[derive(Debug, thiserror::Error)]
enum DemoError {
    #[error("{0}; the demo needs DATABASE_URL and AMQP_URL, which scripts/demo provides")]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Admin(#[from] AdminError),
    #[error("cannot {0}: {1}")]
    Io(String, io::Error),
    #[error("http: {0}")]
    Http(#[from] reqwest::Error),
    #[error("{0} was not ready in time")]
    NotReady(&'static str),
    #[error("{0} ended by itself: {1}")]
    Died(&'static str, ExitStatus),
    #[error("not as expected:\n  {}", .0.join("\n  "))]
    Unexpected(Vec<String>),
    #[error("not all processes ended well: {}", .0.join(", "))]
    EndedBadly(Vec<String>),
    #[error("stopped before everything had come")]
    Stopped,
}

/// `gateway demo`: with `once` it ends as soon as everything expected has come, else it stays up until a signal.
#[must_use]
pub fn main(once: bool) -> ExitCode {
    // Fails only where one is installed already.
    drop(rustls::crypto::ring::default_provider().install_default());
    match run(once) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo: {error}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn run(once: bool) -> Result<(), DemoError> {
    let config = DemoConfig::read(&config::environment)?;
    let filter = config::environment("RUST_LOG").unwrap_or_else(|| "warn".to_owned());
    logging::start(LogFormat::Text, &filter);
    let stop = stop_on_signal().map_err(|error| DemoError::Io("listen for signals".into(), error))?;
    migrate::migrate(&config.database_url, &stop).await?;
    let setting = Setting::new(config, filter)?;
    let mut fleet = Fleet::default();
    let outcome = match fleet.start(&setting) {
        Ok(()) => watch(&setting, &mut fleet, once, &stop).await,
        Err(error) => Err(error),
    };
    say("ending every process");
    let problems = fleet.end().await;
    // What went wrong first is what matters.
    outcome?;
    if problems.is_empty() { Ok(()) } else { Err(DemoError::EndedBadly(problems)) }
}

/// Plays the story until it ends, a process dies, or a signal comes.
async fn watch(
    setting: &Setting,
    fleet: &mut Fleet,
    once: bool,
    stop: &CancellationToken,
) -> Result<(), DemoError> {
    let outcome = tokio::select! {
        biased;
        () = stop.cancelled() => Err(DemoError::Stopped),
        death = fleet.first_death() => {
            let told = tokio::time::timeout(SIGNAL_SKEW, stop.cancelled()).await.is_ok();
            Err(if told { DemoError::Stopped } else { death })
        }
        outcome = play(setting, once) => outcome,
    };
    let outcome = match outcome {
        // Rather than that nobody answers, say who is gone.
        Err(error @ DemoError::Http(_)) => {
            Err(tokio::time::timeout(SIGNAL_SKEW, fleet.first_death()).await.unwrap_or(error))
        }
        outcome => outcome,
    };
    match outcome {
        // Without `once` a signal is how it is meant to end.
        Err(DemoError::Stopped) if !once => Ok(()),
        outcome => outcome,
    }
}

async fn play(setting: &Setting, once: bool) -> Result<(), DemoError> {
    fleet::until_ready(setting).await?;
    let receiver =
        Receiver::start().await.map_err(|error| DemoError::Io("receive webhooks".into(), error))?;
    let mut story = Story::begin(setting, receiver).await?;
    story.send_all().await?;
    story.receive(once).await
}

fn stop_on_signal() -> io::Result<CancellationToken> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let stop = CancellationToken::new();
    let told = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        told.cancel();
    });
    Ok(stop)
}

/// Prints a line for people.
fn say(line: impl Display) {
    // Whoever stopped reading sees the exit code.
    let _ = writeln!(io::stdout().lock(), "{line}");
}
