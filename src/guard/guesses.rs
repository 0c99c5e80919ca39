//! Slows those who guess keys: a wrong key costs a place in the budget of the address it came from, and in that of the
//! keys that begin like it.
//!
//! A right key is never refused here for what its neighbours tried: what is used up is a budget of wrong answers. One that is
//! not known to be right yet may be asked to come back in a moment.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use moka::future::Cache;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::error::Elapsed;
use tokio::time::timeout;
use tracing::warn;

/// Budgets remembered at once; beyond it those least used are forgotten, which errs towards answering.
const CAPACITY: u64 = 50_000;
/// A budget that nothing was taken from for so long is whole again.
const REST: Duration = Duration::from_secs(120);
/// How often one address's guessing is written down, and how long it takes for a budget to be whole: in microseconds.
const PERIOD: i64 = 60_000_000;
/// Keys of slowed strangers looked up at once: fewer than there are connections to the database.
const TURNS: usize = 2;
/// Who may be a customer whose key is not known yet is not kept waiting longer.
const LONGEST_TURN: Duration = Duration::from_secs(2);
/// How many characters of a key are shown in lists, behind which the rest would be guessed.
const HINT: usize = 12;

/// Whose budget.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Subject {
    Address(IpAddr),
    Hint(String),
}

/// A budget, as moments in microseconds.
#[derive(Default)]
struct Spent {
    whole_at: AtomicI64,
    logged_at: AtomicI64,
}

/// The budgets of one process.
pub struct Guesses {
    per_minute: i64,
    budgets: Cache<Subject, Arc<Spent>>,
    turns: Semaphore,
}

impl Guesses {
    /// Budgets of `per_minute` wrong keys a minute, a minute's worth of which may come at once.
    #[must_use]
    pub fn new(per_minute: u32) -> Self {
        Self {
            per_minute: i64::from(per_minute.max(1)),
            budgets: Cache::builder().max_capacity(CAPACITY).time_to_idle(REST).build(),
            turns: Semaphore::new(TURNS),
        }
    }

    /// Waits until a key that was not known to be right may be looked up: at once within the budgets, else in turn with
    /// all who are slowed, so that guessing takes no more than a part of the database from others.
    ///
    /// # Errors
    /// [`Elapsed`] when too many are waiting.
    pub async fn turn(
        &self,
        address: IpAddr,
        key: &str,
        now: Timestamp,
    ) -> Result<Option<SemaphorePermit<'_>>, Elapsed> {
        for subject in subjects(address, key) {
            let spent = self.budgets.get(&subject).await;
            if spent.is_some_and(|spent| self.over(&spent, now.as_microsecond()).is_some()) {
                return Ok(timeout(LONGEST_TURN, self.turns.acquire()).await?.ok());
            }
        }
        Ok(None)
    }

    /// Notes a wrong key. Gives the time until the next one is worth answering, where a budget is used up: that of the
    /// address, or that of the keys with this beginning.
    pub async fn wrong(&self, address: IpAddr, key: &str, now: Timestamp) -> Option<Duration> {
        let now = now.as_microsecond();
        for subject in subjects(address, key) {
            let fresh = async { Arc::new(Spent::default()) };
            let spent = self.budgets.get_with(subject.clone(), fresh).await;
            let Some(over) = self.take(&spent, now) else { continue };
            if told_now(&spent, now) {
                // Neither the key nor its beginning.
                let what =
                    if matches!(subject, Subject::Address(_)) { "one address" } else { "one beginning" };
                warn!(%address, of = what, "many wrong keys: their sender is slowed");
            }
            return Some(over);
        }
        None
    }

    /// Takes a place, or says how long there is none; who is slowed takes none, and so is answered again in time.
    fn take(&self, spent: &Spent, now: i64) -> Option<Duration> {
        let over = self.over(spent, now);
        if over.is_none() {
            let step = PERIOD / self.per_minute;
            // The closure always gives a value.
            let _ = spent.whole_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |whole_at| {
                Some(whole_at.max(now) + step)
            });
        }
        over
    }

    fn over(&self, spent: &Spent, now: i64) -> Option<Duration> {
        let step = PERIOD / self.per_minute;
        let over = spent.whole_at.load(Ordering::Relaxed) - now - (PERIOD - step);
        u64::try_from(over).ok().filter(|over| *over > 0).map(Duration::from_micros)
    }
}

/// Whether nothing was written down of it for a period; it is then.
fn told_now(spent: &Spent, now: i64) -> bool {
    let noted = spent.logged_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |logged_at| {
        (logged_at == 0 || now - logged_at >= PERIOD).then_some(now)
    });
    noted.is_ok()
}

/// The address, and the beginning of what could be a key.
fn subjects(address: IpAddr, key: &str) -> impl Iterator<Item = Subject> {
    let hint = key.get(..HINT).map(|hint| Subject::Hint(hint.to_owned()));
    [Some(Subject::Address(network(address))), hint].into_iter().flatten()
}

/// One client: an IPv4 address, or the 64 bits of an IPv6 one that a network is given, of which it may use any.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
    }
}

#[cfg(test)]
mod tests {
    use super::{Guesses, IpAddr, Timestamp};

    const KEY: &str = "gp_live_AAAA1111";

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millisecond(1_800_000_000_000 + millis).unwrap()
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    async fn wrong(guesses: &Guesses, from: &str, key: &str, millis: i64) -> Option<u128> {
        guesses.wrong(address(from), key, at(millis)).await.map(|wait| wait.as_millis())
    }

    #[tokio::test]
    async fn a_minutes_worth_is_answered_and_then_one_at_a_time() {
        let guesses = Guesses::new(6);
        for n in 0..6 {
            assert_eq!(wrong(&guesses, "192.0.2.1", "x", 0).await, None, "{n}");
        }
        assert_eq!(wrong(&guesses, "192.0.2.1", "x", 0).await, Some(10_000));
        assert_eq!(wrong(&guesses, "192.0.2.1", "x", 9_000).await, Some(1_000), "waiting is not extended");
        assert!(guesses.turn(address("192.0.2.1"), "y", at(9_000)).await.unwrap().is_some());
        assert!(guesses.turn(address("192.0.2.2"), "y", at(9_000)).await.unwrap().is_none());
        assert_eq!(wrong(&guesses, "192.0.2.1", "x", 10_000).await, None);
        assert_eq!(wrong(&guesses, "192.0.2.1", "x", 10_000).await, Some(10_000));
        assert_eq!(wrong(&guesses, "192.0.2.2", "x", 10_000).await, None, "others are others");
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_ever_behind_guessers() {
        let guesses = Guesses::new(1);
        wrong(&guesses, "192.0.2.1", "x", 0).await;
        let turn = || guesses.turn(address("192.0.2.1"), "y", at(0));
        let (first, second) = (turn().await, turn().await);
        assert!(first.unwrap().is_some() && second.as_ref().unwrap().is_some());
        // The first has ended with its statement, the second is held.
        let third = turn().await;
        assert!(third.is_ok());
        assert!(turn().await.is_err());
    }

    #[tokio::test]
    async fn many_addresses_that_guess_one_key_are_slowed_together() {
        let guesses = Guesses::new(5);
        for n in 0..5 {
            assert_eq!(wrong(&guesses, &format!("192.0.2.{n}"), &format!("gp_live_AAAA{n}"), 0).await, None);
        }
        assert_eq!(wrong(&guesses, "192.0.2.9", KEY, 0).await, Some(12_000));
        assert_eq!(wrong(&guesses, "192.0.2.9", "gp_live_BBBB1111", 0).await, None);
    }

    #[tokio::test]
    async fn a_network_of_ipv6_is_one_client_and_a_mapped_address_is_itself() {
        let guesses = Guesses::new(1);
        assert_eq!(wrong(&guesses, "2001:db8:1:2::1", "x", 0).await, None);
        assert!(wrong(&guesses, "2001:db8:1:2:ffff::9", "x", 0).await.is_some());
        assert_eq!(wrong(&guesses, "2001:db8:1:3::1", "x", 0).await, None);
        assert_eq!(wrong(&guesses, "192.0.2.1", "x", 0).await, None);
        assert!(wrong(&guesses, "::ffff:192.0.2.1", "x", 0).await.is_some());
    }

    #[tokio::test]
    async fn memory_is_bounded_however_many_guess() {
        let guesses = Guesses::new(1);
        for n in 0..120_000_u32 {
            guesses.wrong(IpAddr::from(n.to_be_bytes()), "x", at(0)).await;
        }
        guesses.budgets.run_pending_tasks().await;
        assert!(guesses.budgets.entry_count() <= super::CAPACITY, "{}", guesses.budgets.entry_count());
    }
}
