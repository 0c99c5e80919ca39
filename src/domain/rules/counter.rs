//! Rules about how often something happened; the counting itself is done where counters can be shared.

use std::sync::Arc;
use std::time::Duration;

use super::{Purposes, Signal};

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Counter {
    /// Distinct recipients that the instance tried to send the same text to (see [`super::Reading::identity`]).
    SameText,
    /// Accepted recipients of the instance that the account had never written to.
    NewRecipients,
    /// Attempts of the instance that were blocked for policy, counting this one; only asked when this one is.
    Blocked,
}

impl Counter {
    /// All counters.
    pub const ALL: [Self; 3] = [Self::SameText, Self::NewRecipients, Self::Blocked];

    /// The name in the rules file.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SameText => "same_text",
            Self::NewRecipients => "new_recipients",
            Self::Blocked => "blocked",
        }
    }

    /// The counter of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|counter| counter.as_str() == name)
    }
}

/// Fires when a counter has reached a number within a time.
#[derive(Clone, Debug)]
pub struct CounterRule {
    /// The rule's id.
    pub rule: Arc<str>,
    /// What is counted.
    pub counter: Counter,
    /// What it adds to the score, 1 to 100.
    pub weight: u8,
    /// The purposes it applies to.
    pub purposes: Purposes,
    /// The count it fires at, 1 to 1000.
    pub at_least: u32,
    /// How far back is counted, one second to one day.
    pub window: Duration,
}

impl CounterRule {
    /// The signal at this count, if it is high enough.
    #[must_use]
    pub fn signal(&self, count: u32) -> Option<Signal> {
        (count >= self.at_least).then(|| Signal {
            rule: Arc::clone(&self.rule),
            weight: self.weight,
            facts: vec![
                ("count", i64::from(count)),
                ("at_least", i64::from(self.at_least)),
                ("window_seconds", i64::try_from(self.window.as_secs()).unwrap_or(i64::MAX)),
            ],
        })
    }
}
