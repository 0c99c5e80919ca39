//! When a provider is asked whether it has a message of unknown outcome.

use std::time::Duration;

/// How long after a message's outcome became unknown its provider is asked: soon, for most servers know at once; again when
/// a slow one may; and once more when half of the time is over that is given to evidence.
#[must_use]
pub fn schedule(deadline: Duration) -> [Duration; 3] {
    [deadline / 60, deadline / 10, deadline / 2]
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::schedule;

    #[test]
    fn it_is_asked_three_times_before_the_deadline() {
        assert_eq!(schedule(Duration::from_secs(600)).map(|after| after.as_secs()), [10, 60, 300]);
        for deadline in [Duration::from_millis(1), Duration::from_secs(5), Duration::from_secs(86_400)] {
            let times = schedule(deadline);
            assert!(times.is_sorted() && times[2] < deadline);
        }
    }
}
