//! What a run is told by its arguments.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

/// Measures Gatepost against what the machine can do.
#[derive(Clone, Debug, Parser)]
pub struct Setting {
    /// What to measure; nothing named: all of it.
    pub names: Vec<String>,
    /// A short run that fails only on gross breakage.
    #[arg(long)]
    pub smoke: bool,
    /// Where the figures are written as JSON.
    #[arg(long, default_value = concat!(env!("CARGO_TARGET_TMPDIR"), "/bench.json"))]
    pub json: PathBuf,
    /// How long each measurement takes, in seconds.
    #[arg(long, default_value_t = 8)]
    pub seconds: u64,
    /// `scale`: how many messages are there already.
    #[arg(long, value_delimiter = ',', default_values_t = [0, 1_000_000, 10_000_000])]
    pub rows: Vec<i64>,
    /// `scale`: how many accounts there are.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 1_000, 10_000])]
    pub accounts: Vec<i64>,
    /// `scale`: how many instances have a backlog at once.
    #[arg(long, default_value_t = 10_000)]
    pub instances: i64,
    /// Cargo says so.
    #[arg(long, hide = true)]
    bench: bool,
}

impl Setting {
    /// How long one measurement takes.
    pub fn time(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }

    /// Whether that is to be measured.
    pub fn takes(&self, name: &str) -> bool {
        self.names.is_empty() || self.names.iter().any(|named| named == name)
    }
}
