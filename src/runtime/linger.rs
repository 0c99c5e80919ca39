//! Batches that wait for company.
//!
//! What a batch costs besides its rows (round trips, the start of a statement, the flush of a commit) is paid once for all
//! that share it. Whoever takes whatever has queued up, at once and each time, takes small batches for as long as the machine
//! can bear it, and has less left for the rows.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// A batch of so many shows that more are on their way.
const COMPANY: usize = 8;

/// Has the next batch wait a moment after one that many shared, whoever it is for. What comes alone otherwise waits for
/// nobody, and after a full batch there is company already.
#[derive(Debug)]
pub struct Linger {
    moment: Duration,
    full: usize,
    until: Instant,
}

impl Linger {
    /// Lets at least that much time pass between the end of a large batch, which is not `full`, and the next one. The
    /// runtime's clock has a grain of a millisecond.
    #[must_use]
    pub fn new(moment: Duration, full: usize) -> Self {
        Self { moment, full, until: Instant::now() }
    }

    /// A batch of this size is done with.
    pub fn took(&mut self, size: usize) {
        let waits = (COMPANY..self.full).contains(&size);
        self.until = Instant::now() + if waits { self.moment } else { Duration::ZERO };
    }

    /// Waits until the next batch may be taken; not where so many are `queued` that it would be full.
    pub async fn wait(&self, queued: usize) {
        if queued < self.full && self.until > Instant::now() {
            sleep_until(self.until).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::{COMPANY, Linger};

    #[tokio::test(start_paused = true)]
    async fn only_what_follows_a_large_batch_waits() {
        let moment = Duration::from_millis(3);
        let mut linger = Linger::new(moment, 64);
        let none = Duration::ZERO;
        for (size, waits) in [(1, none), (COMPANY - 1, none), (COMPANY, moment), (63, moment), (64, none)] {
            linger.took(size);
            let began = Instant::now();
            linger.wait(0).await;
            assert_eq!(began.elapsed(), waits, "after {size}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_waits_once_a_batch_is_full_or_the_moment_has_passed() {
        let mut linger = Linger::new(Duration::from_millis(3), 64);
        linger.took(COMPANY);
        let began = Instant::now();
        linger.wait(64).await;
        assert_eq!(began.elapsed(), Duration::ZERO);
        tokio::time::advance(Duration::from_millis(5)).await;
        let began = Instant::now();
        linger.wait(63).await;
        assert_eq!(began.elapsed(), Duration::ZERO);
    }
}
