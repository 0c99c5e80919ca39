//! Requests in a closed loop (each connection sends its next one when it has its answer) or an open one (requests are due
//! at a steady rate, whoever is slow).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::connection::Connection;

/// The longest latency that is told apart, in microseconds.
const LONGEST: u64 = 60_000_000;
/// Sent before the clock runs: connections, plans and caches are warm then.
const WARM_UP: Duration = Duration::from_secs(1);

/// Where requests come from.
pub trait Requests: Send + Sync + 'static {
    /// Writes the next whole request, head and body, after what is there.
    fn write(&self, into: &mut Vec<u8>);
}

/// When requests are sent.
#[derive(Clone, Copy, Debug)]
pub enum Pace {
    /// As soon as the connection is free.
    Closed,
    /// So many a second; the timer's grain, a millisecond, is part of what is measured.
    Open(f64),
}

/// Requests over some connections for some time.
#[derive(Clone)]
pub struct Load {
    pub address: SocketAddr,
    pub requests: Arc<dyn Requests>,
    /// What every request should be answered.
    pub expected: u16,
    pub connections: usize,
    pub pace: Pace,
    pub time: Duration,
    /// So many requests, where the time suffices for them.
    pub most: u64,
    /// Each request takes a place of it for good: who measures more than the answers gives places back.
    pub room: Option<Arc<Semaphore>>,
}

/// What a load was answered.
pub struct Measured {
    /// In microseconds; in an open loop from the moment the request was due, so that what waits behind a slow one counts.
    latencies: Histogram<u64>,
    expected: u16,
    /// By status; 0: none.
    answers: BTreeMap<u16, u64>,
    /// The first answer that was not expected.
    odd: Option<String>,
    took: Duration,
}

impl Load {
    /// Sends for a second, and forgets it, then for its time.
    pub async fn run_warm(&self) -> Measured {
        Self { time: WARM_UP, ..self.clone() }.run().await;
        self.run().await
    }

    /// Sends for its time.
    pub async fn run(&self) -> Measured {
        let began = Instant::now();
        let due = Arc::new(Due {
            began,
            end: began + self.time,
            pace: self.pace,
            most: self.most,
            next: AtomicU64::new(0),
        });
        let mut connections = JoinSet::new();
        for _ in 0..self.connections {
            connections.spawn(run_connection(self.clone(), Arc::clone(&due)));
        }
        let mut all = Measured::new(self.expected);
        while let Some(one) = connections.join_next().await {
            all.add(one.expect("a connection does not panic"));
        }
        all.took = began.elapsed();
        all
    }
}

/// When each request is due.
struct Due {
    began: Instant,
    end: Instant,
    pace: Pace,
    most: u64,
    next: AtomicU64,
}

impl Due {
    /// Waits until the next one is; `None` when the time is over.
    async fn next(&self) -> Option<Instant> {
        let n = self.next.fetch_add(1, Ordering::Relaxed);
        let due = match self.pace {
            Pace::Closed => Instant::now(),
            Pace::Open(rate) => self.began + Duration::from_secs_f64(n as f64 / rate),
        };
        if due >= self.end || n >= self.most {
            return None;
        }
        if matches!(self.pace, Pace::Open(_)) {
            sleep_until(due).await;
        }
        Some(due)
    }
}

async fn run_connection(load: Load, due: Arc<Due>) -> Measured {
    let mut measured = Measured::new(load.expected);
    let mut connection = None;
    let mut request = Vec::with_capacity(1_024);
    while let Some(since) = due.next().await {
        if let Some(room) = &load.room {
            match timeout_at(due.end, room.acquire()).await {
                Ok(place) => place.expect("it is never closed").forget(),
                Err(_) => break,
            }
        }
        request.clear();
        load.requests.write(&mut request);
        let since = if load.room.is_some() { Instant::now() } else { since };
        if connection.is_none() {
            connection = Connection::open(load.address).await.ok();
        }
        let Some(open) = &mut connection else {
            measured.note(0, since.elapsed(), || "nobody listens".to_owned());
            continue;
        };
        match open.exchange(&request).await {
            Ok(status) => measured.note(status, since.elapsed(), || open.answer()),
            Err(error) => {
                measured.note(0, since.elapsed(), || error.to_string());
                connection = None;
            }
        }
    }
    measured
}

impl Measured {
    fn new(expected: u16) -> Self {
        let latencies = Histogram::new_with_bounds(1, LONGEST, 3).expect("the bounds are in order");
        Self { latencies, expected, answers: BTreeMap::new(), odd: None, took: Duration::ZERO }
    }

    fn note(&mut self, status: u16, took: Duration, text: impl FnOnce() -> String) {
        *self.answers.entry(status).or_default() += 1;
        if status == self.expected {
            self.latencies.saturating_record(u64::try_from(took.as_micros()).unwrap_or(LONGEST));
        } else {
            self.odd.get_or_insert_with(text);
        }
    }

    fn add(&mut self, other: Self) {
        self.latencies.add(&other.latencies).expect("they have the same bounds");
        for (status, count) in other.answers {
            *self.answers.entry(status).or_default() += count;
        }
        self.odd = self.odd.take().or(other.odd);
    }

    /// How many were answered as expected.
    pub fn count(&self) -> u64 {
        self.latencies.len()
    }

    /// Expected answers a second.
    pub fn rate(&self) -> f64 {
        self.count() as f64 / self.took.as_secs_f64()
    }

    /// The latency that so many percent do not exceed, in milliseconds.
    pub fn millis(&self, percent: f64) -> f64 {
        self.latencies.value_at_percentile(percent) as f64 / 1_000.0
    }

    /// What was answered besides; `None`: nothing.
    pub fn unexpected(&self) -> Option<String> {
        let odd: Vec<_> = self.answers.iter().filter(|(status, _)| **status != self.expected).collect();
        if self.count() == 0 {
            return Some("nothing was answered as expected".to_owned());
        }
        (!odd.is_empty()).then(|| format!("answers {odd:?} (0: none); the first: {:?}", self.odd))
    }
}
