//! Slows callers that ask in vain all the time: what is refused costs a row in the policy log, and so a place in a budget
//! of the key that asks.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use uuid::Uuid;

use crate::domain::account::Allowance;

/// How many seconds' worth of refusals may come at once after a rest.
const BURST_SECONDS: i64 = 10;
/// Keys remembered before those that are at rest again are forgotten.
const CROWD: usize = 10_000;

/// The budgets of one process; cloning shares them.
#[derive(Clone)]
pub struct Refusals {
    per_second: i64,
    keys: Arc<Mutex<HashMap<Uuid, Spent>>>,
}

struct Spent {
    /// When the budget is whole again, in microseconds.
    whole_at: i64,
    allowance: Option<Allowance>,
}

/// A caller that must wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slowed {
    /// Until there is a place again.
    pub wait: Duration,
    /// What its account had left when it was last refused.
    pub allowance: Option<Allowance>,
}

impl Refusals {
    /// Budgets of `per_second` refusals a second for each key.
    #[must_use]
    pub fn new(per_second: u32) -> Self {
        Self { per_second: i64::from(per_second.max(1)), keys: Arc::default() }
    }

    /// Whether the key has used its budget up.
    #[must_use]
    pub fn slowed(&self, key: Uuid, now: Timestamp) -> Option<Slowed> {
        let keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let spent = keys.get(&key)?;
        let over = spent.whole_at - now.as_microsecond() - BURST_SECONDS * 1_000_000;
        let wait = Duration::from_micros(u64::try_from(over).ok().filter(|over| *over > 0)?);
        Some(Slowed { wait, allowance: spent.allowance })
    }

    /// Takes a place of the key's budget.
    pub fn spend(&self, key: Uuid, now: Timestamp, allowance: Option<Allowance>) {
        let now = now.as_microsecond();
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if keys.len() >= CROWD {
            keys.retain(|_, spent| spent.whole_at > now);
        }
        let spent = keys.entry(key).or_insert(Spent { whole_at: now, allowance });
        spent.whole_at = spent.whole_at.max(now) + 1_000_000 / self.per_second;
        spent.allowance = allowance.or(spent.allowance);
    }
}

#[cfg(test)]
mod tests {
    use super::{Refusals, Timestamp, Uuid};

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millisecond(1_800_000_000_000 + millis).unwrap()
    }

    #[test]
    fn a_key_is_slowed_after_ten_seconds_worth_of_refusals_and_alone() {
        let refusals = Refusals::new(2);
        let [one, other] = [Uuid::now_v7(), Uuid::now_v7()];
        for _ in 0..20 {
            assert_eq!(refusals.slowed(one, at(0)), None);
            refusals.spend(one, at(0), None);
        }
        assert_eq!(refusals.slowed(one, at(0)), None, "the budget is just used up");
        refusals.spend(one, at(0), None);
        assert_eq!(refusals.slowed(one, at(0)).unwrap().wait.as_millis(), 500);
        assert_eq!(refusals.slowed(one, at(500)), None);
        assert_eq!(refusals.slowed(other, at(0)), None);
    }

    #[test]
    fn a_rest_makes_the_budget_whole() {
        let refusals = Refusals::new(1);
        let key = Uuid::now_v7();
        for _ in 0..11 {
            refusals.spend(key, at(0), None);
        }
        assert!(refusals.slowed(key, at(0)).is_some());
        assert_eq!(refusals.slowed(key, at(20_000)), None);
        refusals.spend(key, at(20_000), None);
        assert_eq!(refusals.slowed(key, at(20_000)), None);
    }
}
