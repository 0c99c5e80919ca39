//! How much a gateway works on at once. Beyond that it refuses at once what it could only keep waiting.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::domain::fair::Shares;

/// A send that takes longer than this is slow: what is accepted should be accepted within a second.
const SLOW: Duration = Duration::from_millis(400);
/// The number of places is thought over so often.
const LOOK: Duration = Duration::from_millis(100);
/// However slow the machine is, there are so many.
const FEWEST: usize = 32;

/// The places of a process. Cloning shares them.
///
/// There are fewer while most sends are slow, and more again, up to the most, while they are not and some are refused: so the
/// wait stays short however fast the machine and the database are. Accounts hold fair [`Shares`] of them.
#[derive(Clone)]
pub(super) struct Door(Arc<Mutex<Places>>);

/// A place, given back when dropped.
pub(super) struct Place {
    door: Door,
    account_id: i64,
    since: Instant,
}

impl Door {
    /// A door with at most so many places.
    pub(super) fn new(most: usize) -> Self {
        Self(Arc::new(Mutex::new(Places::new(most, Instant::now()))))
    }

    /// A place, unless the account has its share of them.
    pub(super) fn enter(&self, account_id: i64) -> Option<Place> {
        let entered = self.change(|places| places.enter(account_id));
        entered.then(|| Place { door: self.clone(), account_id, since: Instant::now() })
    }

    fn change<T>(&self, change: impl FnOnce(&mut Places) -> T) -> T {
        // Each change leaves the counts whole, so they are good after a panic, too.
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let held = self.since.elapsed();
        metrics::histogram!("gatepost_accept_seconds").record(held);
        self.door.change(|places| places.leave(self.account_id, held, Instant::now()));
    }
}

struct Places {
    most: usize,
    /// How many there are now.
    count: usize,
    shares: Shares,
    /// Since the number was thought over: when that was, how many left and were slow or not, and whether one was refused.
    thought: Instant,
    slow: usize,
    quick: usize,
    refused: bool,
}

impl Places {
    fn new(most: usize, now: Instant) -> Self {
        let shares = Shares::default();
        Self { most, count: most, shares, thought: now, slow: 0, quick: 0, refused: false }
    }

    fn enter(&mut self, account_id: i64) -> bool {
        let entered = self.shares.enter(account_id, self.count, self.most);
        self.refused |= !entered;
        entered
    }

    fn leave(&mut self, account_id: i64, held: Duration, now: Instant) {
        self.shares.leave(account_id);
        if held > SLOW {
            self.slow += 1;
        } else {
            self.quick += 1;
        }
        if now.duration_since(self.thought) >= LOOK {
            self.think(now);
        }
    }

    fn think(&mut self, now: Instant) {
        if self.slow > self.quick {
            self.count = (self.count * 7 / 8).max(FEWEST.min(self.most));
        } else if self.refused {
            self.count = (self.count + self.count / 8 + 1).min(self.most);
        }
        (self.thought, self.slow, self.quick, self.refused) = (now, 0, 0, false);
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use proptest::prelude::*;

    use super::{Door, FEWEST, LOOK, Place, Places, SLOW};

    fn fill(door: &Door, account_id: i64) -> Vec<Place> {
        std::iter::from_fn(|| door.enter(account_id)).collect()
    }

    #[test]
    fn one_account_takes_half_and_leaves_half() {
        let door = Door::new(1_000);
        let first = fill(&door, 1);
        assert_eq!(first.len(), 500);
        assert_eq!(fill(&door, 2).len(), 250);
        assert!(door.enter(3).is_some());
        drop(first);
        assert!(door.enter(1).is_some());
    }

    #[test]
    fn slow_sends_make_places_few_and_quick_ones_bring_them_back() {
        let mut now = Instant::now();
        let mut places = Places::new(1_000, now);
        let mut send = |places: &mut Places, held: Duration| {
            while places.enter(1) {}
            while places.shares.taken() > 0 {
                places.leave(1, held, now);
            }
            now += LOOK;
        };
        for _ in 0..100 {
            send(&mut places, SLOW * 2);
        }
        assert_eq!(places.count, FEWEST);
        for _ in 0..FEWEST {
            assert!(places.enter(2) || places.shares.taken() >= FEWEST / 2);
        }
        assert!(places.enter(3), "who holds none");
        for account_id in [vec![2; places.shares.taken() - 1], vec![3]].concat() {
            let at = places.thought;
            places.leave(account_id, SLOW * 2, at);
        }
        for _ in 0..100 {
            send(&mut places, SLOW / 2);
        }
        assert_eq!(places.count, 1_000);
    }

    proptest! {
        /// Whoever comes and goes: never more than there are, and whoever holds none is let in while one is free.
        #[test]
        fn places_are_neither_made_nor_lost(steps in prop::collection::vec((0_i64..4, any::<bool>()), 0..200)) {
            const PLACES: usize = 16;
            let door = Door::new(PLACES);
            let mut held: Vec<(i64, Place)> = Vec::new();
            for (account, enters) in steps {
                if enters {
                    let (own, all) = (held.iter().filter(|(other, _)| *other == account).count(), held.len());
                    let place = door.enter(account);
                    prop_assert_eq!(place.is_some(), own < (PLACES - all).max(usize::from(all < PLACES)));
                    held.extend(place.map(|place| (account, place)));
                } else if let Some(at) = held.iter().position(|(other, _)| *other == account) {
                    held.remove(at);
                }
            }
            drop(held);
            prop_assert_eq!(fill(&door, 9).len(), PLACES / 2);
        }
    }
}
