//! Whose turn it is: deliveries wait in one lane per endpoint, so that a slow or dead endpoint holds up nobody else.
//!
//! A lane has room for a few deliveries in flight, fewer while its endpoint is slow or not known yet, and the slow
//! lanes together leave half of all places to the others. What waits is bounded in time: a lane keeps about as many
//! deliveries as its endpoint takes in half a second. The rest is put off, each to the moment the endpoint should have
//! come to it, and returns from the database then.

#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::domain::id::DeliveryKey;

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
/// How many lanes are remembered; beyond it, those with nothing to do are forgotten.
const KEPT_LANES: usize = 1_024;

/// A webhook endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct EndpointKey {
    /// The tenant.
    pub(super) account_id: i64,
    /// Unique within the account.
    pub(super) endpoint_id: Uuid,
}

impl From<DeliveryKey> for EndpointKey {
    fn from(key: DeliveryKey) -> Self {
        Self { account_id: key.account_id, endpoint_id: key.endpoint_id }
    }
}

/// How many deliveries may be in flight.
#[derive(Clone, Copy, Debug)]
pub(super) struct Places {
    /// At all.
    total: usize,
    /// To one endpoint.
    endpoint: usize,
    /// To one endpoint that is slow, or has not answered yet.
    probe: usize,
    /// To all slow endpoints together.
    slow: usize,
}

impl Places {
    /// The division of `total` places (at least 1).
    pub(super) fn of(total: usize) -> Self {
        let half = (total / 2).max(1);
        Self { total, endpoint: half.min(32), probe: half.min(8), slow: half }
    }

    /// To one endpoint.
    pub(super) fn endpoint(&self) -> usize {
        self.endpoint
    }
}

/// One endpoint's deliveries.
struct Lane<T> {
    waiting: VecDeque<T>,
    /// Taken to be claimed.
    claiming: usize,
    /// When each of those in flight was begun, oldest first.
    sending: Vec<Instant>,
    /// How long answers take, lately; `None`: there was none yet.
    answers_in: Option<Duration>,
    /// How many of those put off the endpoint has not come to yet, by its pace, as of a moment.
    behind: (f64, Instant),
}

impl<T> Lane<T> {
    fn new(now: Instant) -> Self {
        Self {
            waiting: VecDeque::new(),
            claiming: 0,
            sending: Vec::new(),
            answers_in: None,
            behind: (0.0, now),
        }
    }

    fn taken(&self) -> usize {
        self.claiming + self.sending.len()
    }

    /// How long an answer takes; an answer that is still out counts for as long as it has been.
    fn latency(&self, now: Instant) -> Duration {
        let oldest = self.sending.first().map(|began| now.saturating_duration_since(*began));
        self.answers_in.max(oldest).unwrap_or(FASTEST).max(FASTEST)
    }

    fn is_slow(&self, now: Instant) -> bool {
        self.latency(now) >= SLOW
    }

    fn room(&self, places: &Places, now: Instant) -> usize {
        let proven = self.answers_in.is_some() && !self.is_slow(now);
        if proven { places.endpoint } else { places.probe }
    }

    /// Deliveries a second the endpoint takes with every place of its lane in use.
    fn pace(&self, places: &Places, now: Instant) -> f64 {
        self.room(places, now) as f64 / self.latency(now).as_secs_f64()
    }

    /// How many deliveries may wait: those that can be begun at once, or within a short while.
    fn capacity(&self, places: &Places, now: Instant) -> usize {
        let soon = (self.pace(places, now) * KEPT_SECONDS) as usize;
        let at_once = self.room(places, now).saturating_sub(self.taken());
        soon.max(at_once).min(LONGEST_LANE)
    }

    /// After which pause the endpoint should have come to one more delivery that is put off. When that is too far
    /// away it begins again, so that a long backlog returns in a steady trickle.
    fn put_off(&mut self, places: &Places, now: Instant) -> Duration {
        let pace = self.pace(places, now);
        let (before, then) = self.behind;
        let caught_up = pace * now.saturating_duration_since(then).as_secs_f64();
        let behind = (before - caught_up).max(0.0) + 1.0;
        let turn = behind / pace;
        let fits = turn < LONGEST_PAUSE.as_secs_f64();
        self.behind = (if fits { behind } else { 0.0 }, now);
        SHORTEST_PAUSE + if fits { Duration::from_secs_f64(turn) } else { LONGEST_PAUSE }
    }
}

/// All lanes. `T` is what waits.
pub(super) struct Lanes<T> {
    places: Places,
    lanes: HashMap<EndpointKey, Lane<T>>,
    /// Endpoints with something waiting, next first.
    turns: VecDeque<EndpointKey>,
    waiting: usize,
    taken: usize,
}

impl<T> Lanes<T> {
    /// No deliveries yet.
    pub(super) fn new(places: Places) -> Self {
        Self { places, lanes: HashMap::new(), turns: VecDeque::new(), waiting: 0, taken: 0 }
    }

    /// How many deliveries wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    /// How many deliveries are in flight or being claimed.
    pub(super) fn taken(&self) -> usize {
        self.taken
    }

    /// Puts a delivery into its endpoint's lane; where that is full, gives it back with the pause to put it off by.
    pub(super) fn admit(&mut self, endpoint: EndpointKey, item: T, now: Instant) -> Option<(T, Duration)> {
        if self.lanes.len() >= KEPT_LANES && !self.lanes.contains_key(&endpoint) {
            self.lanes.retain(|_, lane| lane.taken() > 0 || !lane.waiting.is_empty());
        }
        let lane = self.lanes.entry(endpoint).or_insert_with(|| Lane::new(now));
        if lane.waiting.len() >= lane.capacity(&self.places, now) {
            return Some((item, lane.put_off(&self.places, now)));
        }
        if lane.waiting.is_empty() {
            self.turns.push_back(endpoint);
        }
        lane.waiting.push_back(item);
        self.waiting += 1;
        None
    }

    /// Takes up to `most` deliveries to be claimed, one endpoint after the other.
    pub(super) fn take(&mut self, most: usize, now: Instant) -> Vec<T> {
        let most = most.min(self.places.total.saturating_sub(self.taken)).min(self.waiting);
        let mut items = Vec::with_capacity(most);
        if most == 0 {
            return items;
        }
        let slow = self.lanes.values().filter(|lane| lane.is_slow(now)).map(Lane::taken).sum();
        let mut slow_left = self.places.slow.saturating_sub(slow);
        let mut blocked = VecDeque::new();
        while items.len() < most
            && let Some(endpoint) = self.turns.pop_front()
        {
            let Some(lane) = self.lanes.get_mut(&endpoint) else { continue };
            let is_slow = lane.is_slow(now);
            let has_place = lane.taken() < lane.room(&self.places, now) && !(is_slow && slow_left == 0);
            if !has_place {
                blocked.push_back(endpoint);
            } else if let Some(item) = lane.waiting.pop_front() {
                lane.claiming += 1;
                slow_left -= usize::from(is_slow);
                items.push(item);
                if !lane.waiting.is_empty() {
                    self.turns.push_back(endpoint);
                }
            }
        }
        // Those without a place come first again when one is free.
        blocked.append(&mut self.turns);
        self.turns = blocked;
        self.waiting -= items.len();
        self.taken += items.len();
        items
    }

    /// A delivery that was taken is claimed, and sent from now on.
    pub(super) fn begin(&mut self, endpoint: EndpointKey, now: Instant) {
        if let Some(lane) = self.lanes.get_mut(&endpoint) {
            lane.claiming = lane.claiming.saturating_sub(1);
            lane.sending.push(now);
        }
    }

    /// A delivery that was taken was not to be claimed.
    pub(super) fn drop_taken(&mut self, endpoint: EndpointKey) {
        self.taken = self.taken.saturating_sub(1);
        if let Some(lane) = self.lanes.get_mut(&endpoint) {
            lane.claiming = lane.claiming.saturating_sub(1);
        }
    }

    /// A delivery begun at `began` has had its attempt.
    pub(super) fn finish(&mut self, endpoint: EndpointKey, began: Instant, now: Instant) {
        self.taken = self.taken.saturating_sub(1);
        let Some(lane) = self.lanes.get_mut(&endpoint) else { return };
        if let Some(place) = lane.sending.iter().position(|start| *start == began) {
            lane.sending.remove(place);
        }
        let took = now.saturating_duration_since(began);
        lane.answers_in = Some(lane.answers_in.map_or(took, |before| (before * 3 + took) / 4));
    }

    /// Takes out what waits beyond what the lanes can hold now, last come first, with the pauses to put it off by.
    pub(super) fn trim(&mut self, now: Instant) -> Vec<(T, Duration)> {
        let mut excess = Vec::new();
        for endpoint in &self.turns {
            let Some(lane) = self.lanes.get_mut(endpoint) else { continue };
            let keep = lane.capacity(&self.places, now).min(lane.waiting.len());
            for item in lane.waiting.split_off(keep) {
                excess.push((item, lane.put_off(&self.places, now)));
            }
        }
        self.waiting -= excess.len();
        let lanes = &self.lanes;
        self.turns.retain(|endpoint| lanes.get(endpoint).is_some_and(|lane| !lane.waiting.is_empty()));
        excess
    }
}
