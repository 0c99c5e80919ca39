//! What the audit found.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use crate::domain::audit::{Check, Subject, Witnesses};

/// Examples named of each check.
const EXAMPLES: usize = 10;

/// What the audit found. It names things by their ids alone.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Accounts looked at.
    pub accounts: usize,
    /// Messages looked at.
    pub messages: i64,
    /// Every check there was something to hold against, in a fixed order.
    pub checks: Vec<Finding>,
}

/// What one check found.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// Its id.
    pub id: &'static str,
    /// What is wrong where it is found.
    pub meaning: &'static str,
    /// How many messages, events, keys … it looked at.
    pub looked_at: i64,
    /// In how many it found it.
    pub wrong: i64,
    /// Some of them, ten at most: `account/message`, `account/event`, `account/day/date` …
    pub examples: Vec<String>,
}

impl Report {
    /// Whether nothing at all is wrong.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.wrong().next().is_none()
    }

    /// The checks that found something.
    pub fn wrong(&self) -> impl Iterator<Item = &Finding> {
        self.checks.iter().filter(|check| check.wrong > 0)
    }
}

/// What was found so far.
pub(super) struct Tally {
    subjects: HashMap<Subject, i64>,
    wrong: BTreeMap<Check, (i64, Vec<String>)>,
}

impl Tally {
    /// Nothing yet. What there is no ledger for, or what only a system at rest can be asked, is not looked for.
    pub(super) fn new(settled: bool, witnesses: &Witnesses) -> Self {
        use Subject as S;
        let always = [S::Message, S::Event, S::Counter, S::Decision, S::Key, S::Callback];
        let more = [
            (settled, &[S::Settled][..]),
            (witnesses.accepted.is_some(), &[S::Answer, S::Told]),
            (witnesses.calls.is_some(), &[S::Call, S::Called]),
            (witnesses.received.is_some(), &[S::Received, S::Receivable]),
        ];
        let wanted = more.into_iter().filter(|(wanted, _)| *wanted).flat_map(|(_, subjects)| subjects);
        let subjects = always.iter().chain(wanted).map(|subject| (*subject, 0)).collect();
        Self { subjects, wrong: BTreeMap::new() }
    }

    /// Counts what was looked at; what is judged together counts for each.
    pub(super) fn looked_at(&mut self, subject: Subject, count: i64) {
        let together: &[Subject] = match subject {
            Subject::Message => &[Subject::Message, Subject::Settled, Subject::Told, Subject::Called],
            Subject::Event => &[Subject::Event, Subject::Receivable],
            Subject::Settled
            | Subject::Counter
            | Subject::Decision
            | Subject::Key
            | Subject::Callback
            | Subject::Answer
            | Subject::Told
            | Subject::Call
            | Subject::Called
            | Subject::Received
            | Subject::Receivable => &[subject],
        };
        for subject in together {
            if let Some(counted) = self.subjects.get_mut(subject) {
                *counted += count;
            }
        }
    }

    pub(super) fn found(&mut self, check: Check, named: String) {
        self.found_many(check, (1, vec![named]));
    }

    pub(super) fn found_many(&mut self, check: Check, (count, named): (i64, Vec<String>)) {
        let (wrong, examples) = self.wrong.entry(check).or_default();
        *wrong += count;
        examples.extend(named);
        examples.truncate(EXAMPLES);
    }

    pub(super) fn report(mut self, accounts: usize) -> Report {
        let mut checks = Vec::new();
        for check in Check::all() {
            let Some(looked_at) = self.subjects.get(&check.subject()) else { continue };
            let (wrong, examples) = self.wrong.remove(&check).unwrap_or_default();
            let (id, meaning) = (check.id(), check.meaning());
            checks.push(Finding { id, meaning, looked_at: *looked_at, wrong, examples });
        }
        let messages = self.subjects.get(&Subject::Message).copied().unwrap_or_default();
        Report { accounts, messages, checks }
    }
}
