//! The content rules: what a text says, as signals with weights, and what follows from their sum.
//!
//! The rules are a file ([`Rules::parse`]); the one that is built in is `default.toml` beside this module, with
//! the points of the wording in `wording.toml`. Reading a
//! text takes time in proportion to its length, whatever the text and the rules are.

mod counter;
mod error;
mod file;
mod hidden;
mod lexicon;
mod run;
mod score;
mod stem;
mod text;
mod unmasked;
mod view;
mod word;

use std::fmt;
use std::sync::Arc;

use serde::Serialize;

pub use counter::{Counter, CounterRule};
pub use error::RulesError;
pub use lexicon::{Found, Vocabulary};
pub use score::{BLOCK, PAUSE, THROTTLE, action, score};

use super::fold::Table;
use super::purpose::Purpose;
use lexicon::Lexicon;
use text::{Subject, TextRule};

const DEFAULT: &str = concat!(include_str!("default.toml"), include_str!("wording.toml"));

/// A compiled rules file.
pub struct Rules {
    version: String,
    lexicon: Lexicon,
    texts: Vec<TextRule>,
    counters: Vec<CounterRule>,
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rules").field("version", &self.version).finish_non_exhaustive()
    }
}

/// What the rules found in a text.
#[derive(Clone, Debug)]
pub struct Reading {
    /// One for each rule that fired, in the file's order.
    pub signals: Vec<Signal>,
    /// The same for texts that are the same: letters and digits alone, folded ([`super::fold::identity`]). Case, spacing,
    /// punctuation, emoji, tashkeel, invisible and look-alike characters make no difference; every digit does, so
    /// texts that differ by an order's number are different ones.
    pub identity: String,
}

/// A rule that fired. Nothing of the text is in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Signal {
    /// The rule's id.
    pub rule: Arc<str>,
    /// What it adds to the score.
    pub weight: u8,
    /// Why it fired, in numbers.
    #[serde(serialize_with = "as_object")]
    pub facts: Vec<(&'static str, i64)>,
}

fn as_object<S: serde::Serializer>(facts: &[(&'static str, i64)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(facts.iter().copied())
}

/// A set of purposes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Purposes(u8);

impl Purposes {
    /// Whether the purpose is in the set.
    #[must_use]
    pub fn contains(self, purpose: Purpose) -> bool {
        self.0 & Self::bit(purpose) != 0
    }

    fn is_empty(self) -> bool {
        self.0 == 0
    }

    fn insert(&mut self, purpose: Purpose) {
        self.0 |= Self::bit(purpose);
    }

    fn bit(purpose: Purpose) -> u8 {
        match purpose {
            Purpose::Transactional => 1,
            Purpose::Operational => 2,
            Purpose::Support => 4,
            Purpose::InternalTeam => 8,
            Purpose::Authentication => 16,
        }
    }
}

impl Rules {
    /// The rules that come with Gatepost.
    ///
    /// # Panics
    /// Never: a test loads them.
    #[must_use]
    pub fn builtin() -> Self {
        Self::parse(DEFAULT).expect("the built-in rules are good")
    }

    /// The rules of a file's text.
    ///
    /// # Errors
    /// The first fault, with its line and rule.
    pub fn parse(file: &str) -> Result<Self, RulesError> {
        file::parse(file)
    }

    /// The file's name for its own state.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// What the rules for this purpose find in a text.
    #[must_use]
    pub fn read(&self, text: &str, purpose: Purpose) -> Reading {
        let folded = Table::get().fold(text);
        let mut subject = Subject::new(text, self.lexicon.find(&folded.letters));
        let rules = self.texts.iter().filter(|rule| rule.purposes.contains(purpose));
        let signals = rules.filter_map(|rule| rule.signal(&mut subject)).collect();
        Reading { signals, identity: folded.identity() }
    }

    /// The counter rules for this purpose.
    pub fn counters(&self, purpose: Purpose) -> impl Iterator<Item = &CounterRule> {
        self.counters.iter().filter(move |rule| rule.purposes.contains(purpose))
    }

    /// The counter rules of all purposes.
    #[must_use]
    pub fn all_counters(&self) -> &[CounterRule] {
        &self.counters
    }
}

#[cfg(test)]
mod tests;
