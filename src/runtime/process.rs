//! The life of a process: start-up, the wait for a signal, and an end with an honest exit code.

use std::process::ExitCode;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

/// How long a process may take to finish its work after a signal: below the 15 s operators are promised.
pub const GRACE: Duration = Duration::from_secs(12);

/// Runs `body` on a runtime until it ends by itself or, after SIGTERM or SIGINT has cancelled the token it is given,
/// within [`GRACE`]. The exit code is 0 only where `body` ended without an error in time.
pub fn run<Fut, E>(name: &str, body: impl FnOnce(CancellationToken) -> Fut) -> ExitCode
where
    Fut: Future<Output = Result<(), E>>,
    E: std::fmt::Display,
{
    // Fails only where one is installed already.
    drop(rustls::crypto::ring::default_provider().install_default());
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("{name}: cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let outcome = runtime.block_on(supervise(name, body));
    // Tasks that outlive the body hold nothing that is not also in the database.
    runtime.shutdown_timeout(Duration::from_millis(200));
    outcome
}

/// Does the work, unless one of the tasks it relies on ends before `stop`, as it does by a fault alone: then `None`, and
/// the process should end, to be started anew.
pub async fn unless_ended<T>(
    work: impl Future<Output = T>,
    tasks: &[AbortHandle],
    stop: &CancellationToken,
) -> Option<T> {
    tokio::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return Some(done),
            () = tokio::time::sleep(Duration::from_secs(1)) => {
                if !stop.is_cancelled() && tasks.iter().any(AbortHandle::is_finished) {
                    return None;
                }
            }
        }
    }
}

async fn supervise<Fut, E>(name: &str, body: impl FnOnce(CancellationToken) -> Fut) -> ExitCode
where
    Fut: Future<Output = Result<(), E>>,
    E: std::fmt::Display,
{
    let stop = CancellationToken::new();
    let signals = match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
        (Ok(terminate), Ok(interrupt)) => (terminate, interrupt),
        (Err(error), _) | (_, Err(error)) => {
            eprintln!("{name}: cannot listen for signals: {error}");
            return ExitCode::FAILURE;
        }
    };
    let (mut terminate, mut interrupt) = signals;
    let body = body(stop.clone());
    tokio::pin!(body);
    let outcome = tokio::select! {
        outcome = &mut body => Some(outcome),
        _ = terminate.recv() => None,
        _ = interrupt.recv() => None,
    };
    let outcome = match outcome {
        Some(outcome) => Ok(outcome),
        None => {
            info!(process = name, "stopping");
            stop.cancel();
            tokio::time::timeout(GRACE, body).await
        }
    };
    match outcome {
        Ok(Ok(())) => {
            info!(process = name, "stopped");
            ExitCode::SUCCESS
        }
        Ok(Err(error)) => {
            // Both: whoever started it by hand sees why, whatever the log's filter.
            error!(process = name, %error, "ended");
            eprintln!("{name}: {error}");
            ExitCode::FAILURE
        }
        Err(_) => {
            error!(process = name, grace_s = GRACE.as_secs(), "did not stop in time");
            ExitCode::FAILURE
        }
    }
}
