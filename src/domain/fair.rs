//! Fair shares between tenants: nobody's plenty is anybody else's wait.

use std::collections::{HashMap, VecDeque};

/// Who holds how many of some places. A tenant may hold as many as are left free: one alone comes to half of them, three to
/// a quarter each, and somebody who asks for little always finds one (a dynamic threshold: Choudhury and Hahne, 1998).
#[derive(Debug, Default)]
pub struct Shares {
    taken: usize,
    /// Bounded: only those that hold a place are in it.
    by_tenant: HashMap<i64, usize>,
}

impl Shares {
    /// How many are taken.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.taken
    }

    /// Takes one of `count` places for the tenant, unless it has its share. Who holds none is let in also while others still
    /// hold more than there are by now, up to `most`.
    pub fn enter(&mut self, tenant: i64, count: usize, most: usize) -> bool {
        let own = self.by_tenant.get(&tenant).copied().unwrap_or_default();
        let share = count.saturating_sub(self.taken).max(usize::from(self.taken < most));
        if own >= share {
            return false;
        }
        self.taken += 1;
        self.by_tenant.insert(tenant, own + 1);
        true
    }

    /// Gives one back.
    pub fn leave(&mut self, tenant: i64) {
        let Some(own) = self.by_tenant.get_mut(&tenant) else { return };
        self.taken -= 1;
        *own -= 1;
        if *own == 0 {
            self.by_tenant.remove(&tenant);
        }
    }
}

/// Work that waits, bounded, and leaves tenant by tenant: each in its turn, one piece a turn, each tenant's in its order.
#[derive(Debug)]
pub struct FairQueue<T> {
    most: usize,
    shares: Shares,
    waiting: HashMap<i64, VecDeque<T>>,
    /// Those with something waiting, the next one first.
    turns: VecDeque<i64>,
}

impl<T> FairQueue<T> {
    /// A queue for so many pieces.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { most, shares: Shares::default(), waiting: HashMap::new(), turns: VecDeque::new() }
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shares.taken()
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Puts a piece behind the tenant's others; `false`, and it is not taken, where the tenant has its share of the room.
    pub fn push(&mut self, tenant: i64, piece: T) -> bool {
        if !self.shares.enter(tenant, self.most, self.most) {
            return false;
        }
        let own = self.waiting.entry(tenant).or_default();
        if own.is_empty() {
            self.turns.push_back(tenant);
        }
        own.push_back(piece);
        true
    }

    /// Takes up to `most` pieces with their places. A tenant for whom there is no place keeps its turn.
    pub fn take<P>(&mut self, most: usize, mut place: impl FnMut(i64) -> Option<P>) -> Vec<(T, P)> {
        let (mut taken, mut passed) = (Vec::new(), Vec::new());
        while taken.len() < most
            && let Some(tenant) = self.turns.pop_front()
        {
            let Some(place) = place(tenant) else {
                passed.push(tenant);
                continue;
            };
            let own = self.waiting.get_mut(&tenant);
            if let Some(piece) = own.and_then(VecDeque::pop_front) {
                self.shares.leave(tenant);
                taken.push((piece, place));
            }
            if self.waiting.get(&tenant).is_some_and(|own| !own.is_empty()) {
                self.turns.push_back(tenant);
            } else {
                self.waiting.remove(&tenant);
            }
        }
        for tenant in passed.into_iter().rev() {
            self.turns.push_front(tenant);
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::{FairQueue, Shares};

    #[test]
    fn one_tenant_takes_half_and_leaves_half() {
        let mut queue = FairQueue::new(1_000);
        assert_eq!((0..1_000).filter(|n| queue.push(1, *n)).count(), 500);
        assert_eq!((0..1_000).filter(|n| queue.push(2, *n)).count(), 250);
        assert!(queue.push(3, 0));
        assert_eq!(queue.len(), 751);
    }

    #[test]
    fn a_latecomers_one_piece_leaves_with_the_first() {
        let mut queue = FairQueue::new(1_000);
        for n in 0..300 {
            queue.push(1, n);
        }
        queue.push(2, 7);
        let taken = queue.take(4, Some);
        assert_eq!(taken, [(0, 1), (7, 2), (1, 1), (2, 1)]);
    }

    #[test]
    fn who_has_no_place_keeps_the_turn() {
        let mut queue = FairQueue::new(100);
        for (tenant, n) in [(1, 10), (1, 11), (2, 20), (3, 30)] {
            queue.push(tenant, n);
        }
        let taken = queue.take(10, |tenant| (tenant != 1).then_some(()));
        assert_eq!(taken, [(20, ()), (30, ())]);
        queue.push(2, 21);
        assert_eq!(queue.take(2, |_| Some(())), [(10, ()), (21, ())]);
        assert_eq!(queue.take(9, |_| Some(())), [(11, ())]);
        assert!(queue.is_empty());
    }

    proptest! {
        /// Whatever comes and goes: what was taken in leaves once, in each tenant's order, and no tenant twice before another
        /// that waits.
        #[test]
        fn everything_leaves_once_and_in_turn(
            steps in prop::collection::vec(prop_oneof![(0_i64..5).prop_map(Some), Just(None)], 0..200)
        ) {
            let mut queue = FairQueue::new(40);
            let (mut inside, mut last): (usize, HashMap<i64, usize>) = (0, HashMap::new());
            for (n, step) in steps.into_iter().enumerate() {
                if let Some(tenant) = step {
                    inside += usize::from(queue.push(tenant, n));
                } else {
                    let taken = queue.take(3, Some);
                    prop_assert_eq!(taken.len(), inside.min(3));
                    inside -= taken.len();
                    for (n, tenant) in taken {
                        prop_assert!(last.insert(tenant, n).is_none_or(|before| before < n));
                    }
                }
                prop_assert_eq!(queue.len(), inside);
            }
            let (mut turn, rest) = (HashMap::<i64, usize>::new(), queue.take(100, Some));
            prop_assert_eq!(rest.len(), inside);
            let counts = rest.iter().fold(HashMap::<i64, usize>::new(), |mut counts, (_, tenant)| {
                *counts.entry(*tenant).or_default() += 1;
                counts
            });
            for (_, tenant) in &rest {
                let own = *turn.entry(*tenant).and_modify(|turn| *turn += 1).or_insert(1);
                let behind = counts.iter().all(|(other, all)| {
                    turn.get(other).copied().unwrap_or_default() + 1 >= own.min(*all)
                });
                prop_assert!(behind);
            }
        }

        /// Never more than there are, and whoever holds none is let in while one is free.
        #[test]
        fn places_are_neither_made_nor_lost(steps in prop::collection::vec((0_i64..4, any::<bool>()), 0..200)) {
            const PLACES: usize = 16;
            let mut shares = Shares::default();
            let mut held: Vec<i64> = Vec::new();
            for (tenant, enters) in steps {
                if enters {
                    let own = held.iter().filter(|other| **other == tenant).count();
                    let entered = shares.enter(tenant, PLACES, PLACES);
                    prop_assert_eq!(entered, own < PLACES - held.len());
                    held.extend(entered.then_some(tenant));
                } else if let Some(at) = held.iter().position(|other| *other == tenant) {
                    held.remove(at);
                    shares.leave(tenant);
                }
                prop_assert_eq!(shares.taken(), held.len());
            }
        }
    }
}
