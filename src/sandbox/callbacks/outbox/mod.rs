//! The bounded queue of what is to be reported, ordered by when it is due.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ops::Add;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::sandbox::Settings;
use crate::sandbox::callbacks::pending::Pending;

/// How many updates one POST carries at most. Meta batches up to 1,000.
pub const BATCH: usize = 100;

/// Due times are rounded up to multiples of this. At 5,000 sends a second 150 updates fall due together and make
/// two POSTs, instead of one POST each.
const GRAIN: Duration = Duration::from_millis(10);

/// How the callbacks fare, counted since the start.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Tally {
    /// Messages and inbound texts with something still to report, also what is being posted.
    pub open: u64,
    /// POSTs made, repeated ones included.
    pub posts: u64,
    /// Updates that were answered 200.
    pub answered: u64,
    /// Updates that no attempt brought through.
    pub given_up: u64,
    /// Messages and inbound texts that found the queue full.
    pub dropped: u64,
}

impl Add for Tally {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            open: self.open + other.open,
            posts: self.posts + other.posts,
            answered: self.answered + other.answered,
            given_up: self.given_up + other.given_up,
            dropped: self.dropped + other.dropped,
        }
    }
}

#[derive(Default)]
struct Counters {
    open: AtomicU64,
    posts: AtomicU64,
    answered: AtomicU64,
    given_up: AtomicU64,
    dropped: AtomicU64,
}

/// When something is due; the number keeps the order of arrival.
type Due = (Instant, u64);

#[derive(Default)]
struct Queue {
    waiting: BTreeMap<Due, Pending>,
    arrivals: u64,
}

/// The queue. One that has nowhere to report to takes nothing.
pub struct Outbox {
    queue: Mutex<Queue>,
    counters: Counters,
    /// Wakes a worker when something is due earlier than any worker expects, or when one batch is not all.
    wake: Notify,
    draining: CancellationToken,
    enabled: bool,
    capacity: u64,
    first_delay: Duration,
    delay: Duration,
    start: Instant,
}

impl Outbox {
    /// An empty queue of what is reported in Meta's shape.
    pub fn new(settings: &Settings) -> Self {
        Self::enabled(settings, settings.callback_url.is_some())
    }

    /// An empty queue of what Evolution's instances report, each to an address of its own.
    pub fn of_instances(settings: &Settings) -> Self {
        Self::enabled(settings, true)
    }

    fn enabled(settings: &Settings, enabled: bool) -> Self {
        Self {
            queue: Mutex::default(),
            counters: Counters::default(),
            wake: Notify::new(),
            draining: CancellationToken::new(),
            enabled,
            capacity: settings.callback_capacity as u64,
            // The answer goes out after the latency, the first callback after the answer.
            first_delay: settings.latency.saturating_add(settings.callback_delay),
            delay: settings.callback_delay,
            start: Instant::now(),
        }
    }

    /// Takes something to report. False when there is nowhere to report to, or no room.
    pub fn push(&self, pending: Pending, now: Instant) -> bool {
        if !self.enabled {
            return false;
        }
        if self.counters.open.fetch_add(1, Ordering::Relaxed) >= self.capacity {
            self.counters.open.fetch_sub(1, Ordering::Relaxed);
            if self.counters.dropped.fetch_add(1, Ordering::Relaxed) == 0 {
                tracing::warn!(
                    capacity = self.capacity,
                    "sandbox: more callbacks wait than there is room for"
                );
            }
            return false;
        }
        self.schedule(pending, now + self.first_delay);
        true
    }

    /// Waits until something is due and takes up to [`BATCH`] of it; each has one update to report. `None` when
    /// the queue drains and nothing is left.
    pub async fn batch(&self) -> Option<Vec<Pending>> {
        loop {
            let next = match self.take(Instant::now()) {
                Take::Batch(batch) => return Some(batch),
                Take::Later(next) => next,
                Take::Nothing if self.draining.is_cancelled() => return None,
                Take::Nothing => Instant::now() + Duration::from_hours(1),
            };
            tokio::select! {
                () = sleep_until(next) => {}
                () = self.wake.notified() => {}
                () = self.draining.cancelled() => {}
            }
        }
    }

    /// Takes note of what became of a batch and puts back what has more to report.
    pub fn settle(&self, batch: Vec<Pending>, answered: bool, now: Instant) {
        let counter = if answered { &self.counters.answered } else { &self.counters.given_up };
        counter.fetch_add(batch.len() as u64, Ordering::Relaxed);
        for pending in batch {
            match pending.rest() {
                Some(rest) => self.schedule(rest, now + self.delay),
                None => {
                    self.counters.open.fetch_sub(1, Ordering::Relaxed);
                }
            }
        }
    }

    /// Counts a POST.
    pub fn count_post(&self) {
        self.counters.posts.fetch_add(1, Ordering::Relaxed);
    }

    /// Makes everything due now; [`batch`](Self::batch) ends once the queue is empty.
    pub fn drain(&self) {
        self.draining.cancel();
    }

    /// The counts so far.
    pub fn tally(&self) -> Tally {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Tally {
            open: read(&self.counters.open),
            posts: read(&self.counters.posts),
            answered: read(&self.counters.answered),
            given_up: read(&self.counters.given_up),
            dropped: read(&self.counters.dropped),
        }
    }

    fn schedule(&self, pending: Pending, due: Instant) {
        let due = self.on_grid(due);
        let mut queue = self.queue();
        queue.arrivals += 1;
        let key = (due, queue.arrivals);
        queue.waiting.insert(key, pending);
        if queue.waiting.first_key_value().is_some_and(|(first, _)| *first == key) {
            self.wake.notify_one();
        }
    }

    fn take(&self, now: Instant) -> Take {
        let all = self.draining.is_cancelled();
        let mut queue = self.queue();
        let mut batch = Vec::new();
        while let Some(first) = queue.waiting.first_entry() {
            let due = first.key().0;
            if due > now && !all {
                return if batch.is_empty() { Take::Later(due) } else { Take::Batch(batch) };
            }
            if batch.len() == BATCH {
                self.wake.notify_one();
                break;
            }
            batch.push(first.remove());
        }
        if batch.is_empty() { Take::Nothing } else { Take::Batch(batch) }
    }

    fn on_grid(&self, due: Instant) -> Instant {
        let since = due.duration_since(self.start).as_nanos();
        let late = u64::try_from(since % GRAIN.as_nanos()).unwrap_or(0);
        if late == 0 { due } else { due + (GRAIN - Duration::from_nanos(late)) }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        // Each change leaves the queue whole, so it is good after a panic, too.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Take {
    /// These are due.
    Batch(Vec<Pending>),
    /// The first is due then.
    Later(Instant),
    /// Nothing waits.
    Nothing,
}
