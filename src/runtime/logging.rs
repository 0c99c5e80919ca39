//! Logs on standard error, as text or as JSON lines. Ids only: no phone number, text or key is ever logged.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::LogFormat;

/// Sends `tracing` to standard error.
pub fn start(format: LogFormat, filter: &str) {
    let builder = fmt().with_env_filter(EnvFilter::new(filter)).with_writer(std::io::stderr);
    let started = match format {
        LogFormat::Text => builder.with_ansi(false).finish().try_init(),
        LogFormat::Json => builder.json().flatten_event(true).finish().try_init(),
    };
    // Fails only where a log is already set up: then there is one.
    drop(started);
}
