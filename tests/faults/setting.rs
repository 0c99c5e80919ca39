//! What a run is told by its environment; `scripts/faults` has an argument for each.

use std::time::Duration;

/// The size of a run.
#[derive(Clone, Debug)]
pub struct Setting {
    /// Decides what is struck when; the same seed strikes the same again.
    pub seed: u64,
    /// Requests a second.
    pub rate: u32,
    /// How long each fault goes on under load.
    pub time: Duration,
    /// Faults whose name holds one of these; none: all.
    pub only: Vec<String>,
    /// Only the faults that a short run takes.
    pub short: bool,
}

impl Setting {
    /// Reads `GATEPOST_FAULTS_SEED`, `_RATE`, `_SECONDS`, `_ONLY`. Without `_SECONDS` the run is short.
    pub fn read() -> Self {
        let short = variable("SECONDS").is_none();
        let number = |name: &str, default: u64| {
            variable(name).map_or(default, |text| {
                text.parse()
                    .unwrap_or_else(|_| panic!("GATEPOST_FAULTS_{name} is '{text}': it must be a number"))
            })
        };
        Self {
            seed: number("SEED", 1),
            rate: u32::try_from(number("RATE", 60)).expect("a rate"),
            time: Duration::from_secs(number("SECONDS", 8)),
            only: variable("ONLY")
                .map(|names| names.split(',').map(str::to_owned).collect())
                .unwrap_or_default(),
            short,
        }
    }

    /// Whether a fault of that name is run; `brief` ones are part of a short run.
    pub fn takes(&self, name: &str, brief: bool) -> bool {
        if self.only.is_empty() {
            brief || !self.short
        } else {
            self.only.iter().any(|part| name.contains(part))
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the tests' settings, not the product's")]
fn variable(name: &str) -> Option<String> {
    std::env::var(format!("GATEPOST_FAULTS_{name}")).ok().filter(|value| !value.is_empty())
}
