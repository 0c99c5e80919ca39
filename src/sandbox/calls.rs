//! What the sandbox remembers of the sends it met, in bounded memory.

use std::collections::VecDeque;
use std::fmt;
use std::future::ready;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use moka::future::Cache;
use moka::policy::EvictionPolicy;
use serde::{Deserialize, Serialize, Serializer};

use super::request::digits;

/// How many recipients' attempts are counted at most; the one not seen longest makes room.
const RECIPIENTS_COUNTED: u64 = 10_000;

/// What became of a send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// 200 with a message id.
    Accepted,
    /// An error with this code.
    Refused(u32),
    /// Accepted, never answered.
    Held,
    /// Read, then the connection was closed.
    Closed,
    /// 200 without a message id.
    WithoutId,
    /// 200 with a body that is not JSON.
    Garbled,
    /// 200 with half a body.
    CutOff,
}

impl fmt::Display for Outcome {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accepted => out.write_str("accepted"),
            Self::Refused(code) => write!(out, "refused:{code}"),
            Self::Held => out.write_str("held"),
            Self::Closed => out.write_str("closed"),
            Self::WithoutId => out.write_str("without_id"),
            Self::Garbled => out.write_str("garbled"),
            Self::CutOff => out.write_str("cut_off"),
        }
    }
}

impl Serialize for Outcome {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// One send.
#[derive(Clone, Debug, Serialize)]
pub struct Call {
    /// The recipient as the client wrote it; absent when the body could not be read.
    pub to: Option<String>,
    /// The client's `biz_opaque_callback_data`.
    pub opaque: Option<String>,
    /// When it arrived.
    pub attempted_at: Timestamp,
    /// What became of it.
    pub outcome: Outcome,
}

/// Which calls to list; an empty filter takes all.
#[derive(Debug, Default, Deserialize)]
pub struct Filter {
    /// Calls to this number, however it is written.
    pub to: Option<String>,
    /// Calls with exactly this note.
    pub opaque: Option<String>,
}

impl Filter {
    fn takes(&self, call: &Call) -> bool {
        let same_number = |to: &String| match (digits(to), call.to.as_deref().and_then(digits)) {
            (Some(wanted), Some(number)) => wanted == number,
            _ => call.to.as_ref() == Some(to),
        };
        self.to.as_ref().is_none_or(same_number)
            && self.opaque.as_ref().is_none_or(|opaque| call.opaque.as_ref() == Some(opaque))
    }

    fn is_empty(&self) -> bool {
        self.to.is_none() && self.opaque.is_none()
    }
}

/// An answer to `GET /sandbox/calls`.
#[derive(Debug, Serialize)]
pub struct Listing {
    /// Unfiltered: all calls since the start or the last reset, also those no longer kept. Filtered: the calls
    /// listed.
    pub total: u64,
    /// The kept calls that match, oldest first.
    pub calls: Vec<Call>,
}

/// The last calls, and how many there were.
pub struct Calls {
    kept: usize,
    ring: Mutex<Ring>,
}

#[derive(Default)]
struct Ring {
    total: u64,
    calls: VecDeque<Call>,
}

impl Calls {
    /// A record that keeps that many calls.
    pub fn new(kept: usize) -> Self {
        Self { kept, ring: Mutex::default() }
    }

    /// Adds a call; the oldest one makes room.
    pub fn record(&self, call: Call) {
        let mut ring = self.ring();
        ring.total += 1;
        ring.calls.push_back(call);
        if ring.calls.len() > self.kept {
            ring.calls.pop_front();
        }
    }

    /// The calls that match.
    pub fn list(&self, filter: &Filter) -> Listing {
        let ring = self.ring();
        let calls: Vec<Call> = ring.calls.iter().filter(|call| filter.takes(call)).cloned().collect();
        let total = if filter.is_empty() { ring.total } else { calls.len() as u64 };
        Listing { total, calls }
    }

    /// Forgets all calls.
    pub fn reset(&self) {
        *self.ring() = Ring::default();
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        // Each change leaves the ring whole, so it is good after a panic, too.
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How often each recipient that is refused at first has been tried.
pub struct Attempts {
    counts: Cache<String, u32>,
}

impl Attempts {
    /// Counters that live that long after the last attempt.
    pub fn new(window: Duration) -> Self {
        let counts = Cache::builder()
            .max_capacity(RECIPIENTS_COUNTED)
            .eviction_policy(EvictionPolicy::lru())
            .time_to_live(window)
            .build();
        Self { counts }
    }

    /// Counts an attempt; the first is 1.
    pub async fn count(&self, number: &str) -> u32 {
        let entry = self.counts.entry_by_ref(number);
        let next = |old: Option<moka::Entry<String, u32>>| {
            ready(old.map_or(1, |entry| entry.into_value().saturating_add(1)))
        };
        entry.and_upsert_with(next).await.into_value()
    }

    /// Forgets all counts.
    pub fn reset(&self) {
        self.counts.invalidate_all();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::Timestamp;

    use super::{Attempts, Call, Calls, Filter, Outcome};

    fn call(to: &str, opaque: &str) -> Call {
        Call {
            to: Some(to.to_owned()),
            opaque: Some(opaque.to_owned()),
            attempted_at: Timestamp::UNIX_EPOCH,
            outcome: Outcome::Refused(131_009),
        }
    }

    #[test]
    fn the_total_counts_what_the_ring_let_go() {
        let calls = Calls::new(2);
        for opaque in ["a", "b", "c"] {
            calls.record(call("+966501230001", opaque));
        }
        let listing = calls.list(&Filter::default());
        assert_eq!(listing.total, 3);
        assert_eq!(
            listing.calls.iter().map(|call| call.opaque.as_deref()).collect::<Vec<_>>(),
            [Some("b"), Some("c")]
        );
        calls.reset();
        assert_eq!(calls.list(&Filter::default()).total, 0);
    }

    #[test]
    fn a_filter_takes_a_number_however_it_is_written() {
        let calls = Calls::new(10);
        calls.record(call("+966501230001", "a"));
        calls.record(call("+966501230002", "b"));
        // A `+` in a query arrives as a space.
        let listing = calls.list(&Filter { to: Some(" 966501230001".to_owned()), opaque: None });
        assert_eq!((listing.total, listing.calls[0].opaque.as_deref()), (1, Some("a")));
        let none = calls.list(&Filter { to: Some("966501230001".to_owned()), opaque: Some("b".to_owned()) });
        assert_eq!(none.total, 0);
    }

    #[test]
    fn an_outcome_is_one_word() {
        let json = serde_json::to_string(&call("+966501230010", "a")).expect("plain fields");
        assert_eq!(
            json,
            r#"{"to":"+966501230010","opaque":"a","attempted_at":"1970-01-01T00:00:00Z","outcome":"refused:131009"}"#
        );
    }

    #[tokio::test]
    async fn attempts_are_counted_for_each_recipient_until_a_reset() {
        let attempts = Attempts::new(Duration::from_mins(1));
        assert_eq!(attempts.count("1").await, 1);
        assert_eq!(attempts.count("1").await, 2);
        assert_eq!(attempts.count("2").await, 1);
        attempts.reset();
        assert_eq!(attempts.count("1").await, 1);
    }

    #[tokio::test]
    async fn attempts_are_forgotten_after_the_window() {
        let attempts = Attempts::new(Duration::from_nanos(1));
        assert_eq!(attempts.count("1").await, 1);
        assert_eq!(attempts.count("1").await, 1);
    }
}
