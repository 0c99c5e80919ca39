//! What the customers remember: every request they made, by its idempotency key, and what became of it.

use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;
use std::time::Duration;

use jiff::Timestamp;
use uuid::Uuid;

/// What a customer knows of one send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known {
    /// Accepted with this id; `wait` is from the first try to the answer, `keyed` says that it had a key.
    Accepted { message_id: Uuid, at: Timestamp, wait: Duration, keyed: bool },
    /// Refused, and not to be tried again: the error's code.
    Refused(String),
    /// Every try failed or was put off: it may have been accepted.
    Open,
}

/// One send.
#[derive(Clone, Debug)]
pub struct Entry {
    pub account_id: i64,
    pub known: Known,
}

/// How many of the last accepted ones are at hand.
const RECENT: usize = 50;

/// All sends.
#[derive(Default)]
pub struct Ledger {
    entries: Mutex<HashMap<String, Entry>>,
    /// The last accepted ones, as jobs name them.
    recent: Mutex<VecDeque<String>>,
    /// Answers that put a customer off, by status; 0: no answer at all.
    put_off: Mutex<HashMap<u16, u64>>,
}

impl Ledger {
    /// A send begins.
    pub fn open(&self, key: &str, account_id: i64) {
        let before = self.lock().insert(key.to_owned(), Entry { account_id, known: Known::Open });
        assert!(before.is_none(), "the key {key} is used once");
    }

    /// What became of it.
    pub fn close(&self, key: &str, known: Known) {
        let mut entries = self.lock();
        let entry = entries.get_mut(key).expect("it was opened");
        if let Known::Accepted { message_id, .. } = known {
            let mut recent = self.recent.lock().expect("no one panics inside");
            recent.truncate(RECENT - 1);
            recent.push_front(format!("{}/{message_id}", entry.account_id));
        }
        entry.known = known;
    }

    /// The last accepted ones, as jobs name them.
    pub fn recent(&self) -> Vec<String> {
        self.recent.lock().expect("no one panics inside").iter().cloned().collect()
    }

    /// A try that led to nothing yet.
    pub fn put_off(&self, status: u16) {
        *self.put_off.lock().expect("no one panics inside").entry(status).or_default() += 1;
    }

    /// Tries that led to nothing, by status.
    pub fn tries_put_off(&self) -> HashMap<u16, u64> {
        self.put_off.lock().expect("no one panics inside").clone()
    }

    /// Everything remembered.
    pub fn entries(&self) -> HashMap<String, Entry> {
        self.lock().clone()
    }

    /// How many were accepted so far.
    pub fn accepted(&self) -> usize {
        self.lock().values().filter(|entry| matches!(entry.known, Known::Accepted { .. })).count()
    }

    /// How long accepted ones waited for their answer, repeats included: at 99 of 100, and the longest.
    pub fn waits(&self) -> (Duration, Duration) {
        let entries = self.lock();
        let waits = entries.values().filter_map(|entry| match entry.known {
            Known::Accepted { wait, .. } => Some(wait),
            Known::Refused(_) | Known::Open => None,
        });
        let mut waits: Vec<Duration> = waits.collect();
        waits.sort_unstable();
        let at =
            |part: usize| waits.get(waits.len() * part / 100).or(waits.last()).copied().unwrap_or_default();
        (at(99), at(100))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Entry>> {
        self.entries.lock().expect("no one panics inside")
    }
}
