//! One endpoint's lane: how much room it has, and how much it may hold, from how its endpoint answers.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// An endpoint that takes longer than this to answer is slow.
const SLOW: Duration = Duration::from_secs(1);
/// No endpoint is reckoned to be faster than this, nor one that has not answered yet to be slower.
const FASTEST: Duration = Duration::from_millis(10);
/// How much waiting a lane may hold, in seconds of its endpoint's pace.
const KEPT_SECONDS: f64 = 0.5;
/// The most deliveries that wait in one lane.
const LONGEST_LANE: usize = 512;
/// What is put off returns after this at the earliest …
const SHORTEST_PAUSE: Duration = Duration::from_millis(500);
/// … and so much later at the latest, however long the endpoint's backlog is: it may have recovered by then.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// The same for an endpoint that is not slow: a pace that was measured in a bad moment (of ours, too) must not keep its
/// events for a minute. Those that come too early are put off again.
const LONGEST_PAUSE_IF_QUICK: Duration = Duration::from_secs(5);
/// A pace that was measured may be surpassed by this factor, so that the next measure can show more.
const HEADROOM: f64 = 1.25;

/// How many deliveries may be in flight.
#[derive(Clone, Copy, Debug)]
pub(in crate::webhooks) struct Places {
    /// At all.
    pub(super) total: usize,
    /// To one endpoint.
    pub(super) endpoint: usize,
    /// To one that is slow.
    pub(super) slow: usize,
    /// To one that is slow and failed the last time.
    pub(super) failing: usize,
    /// To all slow endpoints together.
    pub(super) all_slow: usize,
}

impl Places {
    /// The division of `total` places (at least 1).
    pub(in crate::webhooks) fn of(total: usize) -> Self {
        let half = (total / 2).max(1);
        Self { total, endpoint: half.min(64), slow: half.min(16), failing: half.min(2), all_slow: half }
    }

    /// To one endpoint.
    pub(in crate::webhooks) fn endpoint(&self) -> usize {
        self.endpoint
    }
}

/// One endpoint's deliveries.
pub(super) struct Lane<T> {
    pub(super) waiting: VecDeque<T>,
    /// Taken to be claimed.
    pub(super) claiming: usize,
    /// When each of those in flight was begun, oldest first.
    sending: Vec<Instant>,
    /// How many places it has earned so far.
    pub(super) earned: usize,
    /// How long answers take, lately; `None`: there was none yet.
    answers_in: Option<Duration>,
    /// Whether the last attempt failed.
    failed: bool,
    /// Attempts finished since the moment, which is the last [`Self::measure`] with deliveries waiting.
    finished: (usize, Option<Instant>),
    /// Attempts a second, measured while deliveries waited.
    measured: Option<f64>,
    /// How many of those put off the endpoint has not come to yet, by its pace, as of a moment.
    behind: (f64, Instant),
}

impl<T> Lane<T> {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            waiting: VecDeque::new(),
            claiming: 0,
            sending: Vec::new(),
            earned: 1,
            answers_in: None,
            failed: false,
            finished: (0, None),
            measured: None,
            behind: (0.0, now),
        }
    }

    pub(super) fn taken(&self) -> usize {
        self.claiming + self.sending.len()
    }

    pub(super) fn is_idle(&self) -> bool {
        self.taken() == 0 && self.waiting.is_empty()
    }

    /// A delivery taken is sent from now on.
    pub(super) fn begin(&mut self, now: Instant) {
        self.claiming = self.claiming.saturating_sub(1);
        self.sending.push(now);
    }

    /// The attempt begun at `began` has ended.
    pub(super) fn finish(&mut self, began: Instant, failed: bool, now: Instant) {
        if !failed && self.taken() >= self.earned {
            self.earned *= 2;
        }
        if let Some(place) = self.sending.iter().position(|start| *start == began) {
            self.sending.remove(place);
        }
        let took = now.saturating_duration_since(began);
        self.answers_in = Some(self.answers_in.map_or(took, |before| (before * 3 + took) / 4));
        self.failed = failed;
        self.finished.0 += 1;
    }

    /// How long an answer takes; an answer that is still out counts for as long as it has been.
    fn latency(&self, now: Instant) -> Duration {
        let oldest = self.sending.first().map(|began| now.saturating_duration_since(*began));
        self.answers_in.max(oldest).unwrap_or(FASTEST).max(FASTEST)
    }

    pub(super) fn is_slow(&self, now: Instant) -> bool {
        self.latency(now) >= SLOW
    }

    /// The most room it can have as things are.
    fn limit(&self, places: &Places, now: Instant) -> usize {
        match (self.is_slow(now), self.failed) {
            (false, _) => places.endpoint,
            (true, false) => places.slow,
            (true, true) => places.failing,
        }
    }

    pub(super) fn room(&self, places: &Places, now: Instant) -> usize {
        self.limit(places, now).min(self.earned)
    }

    /// Takes the measure of the lane's pace; called every so often. It says something only if deliveries were waiting
    /// all the time, and at least some were sent (else the database may have been away).
    pub(super) fn measure(&mut self, now: Instant) {
        let (finished, since) = std::mem::take(&mut self.finished);
        if self.waiting.is_empty() {
            self.measured = None;
            return;
        }
        self.finished.1 = Some(now);
        let seconds = since.map_or(0.0, |since| now.saturating_duration_since(since).as_secs_f64());
        if finished > 0 && seconds > 0.0 {
            let pace = finished as f64 / seconds;
            self.measured = Some(self.measured.map_or(pace, |before| f64::midpoint(before, pace)));
        }
    }

    /// Deliveries a second the endpoint can take: by its latency, and not much above what was measured. The best is
    /// assumed until it shows otherwise.
    fn pace(&self, places: &Places, now: Instant) -> f64 {
        let possible = self.limit(places, now) as f64 / self.latency(now).as_secs_f64();
        self.measured.map_or(possible, |measured| possible.min(measured * HEADROOM))
    }

    /// How many deliveries may wait: those that can be begun at once, or within a short while.
    pub(super) fn capacity(&self, places: &Places, now: Instant) -> usize {
        let soon = (self.pace(places, now) * KEPT_SECONDS) as usize;
        let at_once = self.room(places, now).saturating_sub(self.taken());
        soon.max(at_once).min(LONGEST_LANE)
    }

    /// After which pause the endpoint should have come to one more delivery that is put off. When that is too far
    /// away it begins again, so that a long backlog returns in a steady trickle.
    pub(super) fn put_off(&mut self, places: &Places, now: Instant) -> Duration {
        let pace = self.pace(places, now);
        let (before, then) = self.behind;
        let caught_up = pace * now.saturating_duration_since(then).as_secs_f64();
        let behind = (before - caught_up).max(0.0) + 1.0;
        let turn = behind / pace;
        let longest = if self.is_slow(now) { LONGEST_PAUSE } else { LONGEST_PAUSE_IF_QUICK };
        let fits = turn < longest.as_secs_f64();
        self.behind = (if fits { behind } else { 0.0 }, now);
        SHORTEST_PAUSE + if fits { Duration::from_secs_f64(turn) } else { longest }
    }
}
