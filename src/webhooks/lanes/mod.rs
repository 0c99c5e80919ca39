//! Whose turn it is: deliveries wait in one lane per endpoint, so that a slow or dead endpoint holds up nobody else.
//!
//! A lane begins with one delivery in flight and gets room for more as its endpoint makes good use of what it has, so
//! that many endpoints that die at once do not hold every place. A slow one has less room, one that also fails still
//! less, and the slow lanes together leave half of all places to the others.
//!
//! What waits is bounded in time: a lane keeps about as many deliveries as its endpoint takes in half a second. The rest
//! is put off, each to the moment the endpoint should have come to it, and returns from the database then.

mod lane;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::domain::id::DeliveryKey;
use lane::Lane;
pub(super) use lane::Places;

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
            self.lanes.retain(|_, lane| !lane.is_idle());
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
        let mut slow_left = self.places.all_slow.saturating_sub(slow);
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
            lane.begin(now);
        }
    }

    /// A delivery that was taken was not to be claimed.
    pub(super) fn drop_taken(&mut self, endpoint: EndpointKey) {
        self.taken = self.taken.saturating_sub(1);
        if let Some(lane) = self.lanes.get_mut(&endpoint) {
            lane.claiming = lane.claiming.saturating_sub(1);
        }
    }

    /// A delivery has had the attempt begun at `began`.
    pub(super) fn finish(&mut self, endpoint: EndpointKey, began: Instant, failed: bool, now: Instant) {
        self.taken = self.taken.saturating_sub(1);
        if let Some(lane) = self.lanes.get_mut(&endpoint) {
            lane.finish(began, failed, now);
        }
    }

    /// Takes the measure of every lane, and takes out what waits beyond what they can hold now, last come first, with
    /// the pauses to put it off by. To be called every so often.
    pub(super) fn trim(&mut self, now: Instant) -> Vec<(T, Duration)> {
        let mut excess = Vec::new();
        for lane in self.lanes.values_mut() {
            lane.measure(now);
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
