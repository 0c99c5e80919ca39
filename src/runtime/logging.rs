//! Logs on standard error, as text or as JSON lines. Ids only: no phone number, text or key is ever logged.

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt, registry};

use crate::config::LogFormat;

/// Libraries that would tell secrets, and the most that is heard of each, whatever `RUST_LOG` says.
const CAPS: [(&str, LevelFilter); 1] = [
    // Beyond it every frame is logged, the login with the broker's password among them.
    ("lapin", LevelFilter::DEBUG),
];

/// Sends `tracing` to standard error.
pub fn start(format: LogFormat, filter: &str) {
    let lines = fmt::layer().with_writer(std::io::stderr);
    let lines = match format {
        LogFormat::Text => lines.with_ansi(false).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    // Beside the filter, not in it: a filter's more specific target would win over a cap, and a cap over a lower level.
    let caps = Targets::new().with_default(LevelFilter::TRACE).with_targets(CAPS);
    // Fails only where a log is already set up: then there is one.
    drop(registry().with(EnvFilter::new(filter)).with(caps).with(lines).try_init());
}
