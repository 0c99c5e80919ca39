//! Sliding windows: who was seen how long ago, counted once each.

use std::time::Duration;

/// The members seen under one subject (the recipients of a text, say), with their ages. It holds no more of them than
/// the largest threshold asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen(Vec<(i64, Duration)>);

impl Seen {
    /// Members with their ages, each member once.
    #[must_use]
    pub fn new(members: Vec<(i64, Duration)>) -> Self {
        Self(members)
    }

    /// How many different members were seen within the window, `member` among them whether it was seen or not.
    #[must_use]
    pub fn count_with(&self, member: i64, window: Duration) -> u32 {
        let others = self.others(member, window).count();
        u32::try_from(others + 1).unwrap_or(u32::MAX)
    }

    /// How long until fewer than `at_least` are counted with `member`, if nobody else comes meanwhile; the whole window
    /// where that cannot be.
    #[must_use]
    pub fn wait(&self, member: i64, window: Duration, at_least: u32) -> Duration {
        let mut left: Vec<Duration> = self.others(member, window).map(|(_, age)| window - *age).collect();
        left.sort_unstable();
        // With the member itself, `at_least - 2` others may stay.
        let may_stay = usize::try_from(at_least).unwrap_or(usize::MAX).checked_sub(2);
        match may_stay.map(|may_stay| left.len().saturating_sub(may_stay)) {
            None => window,
            Some(0) => Duration::ZERO,
            Some(must_go) => left.get(must_go - 1).copied().unwrap_or(window),
        }
    }

    /// Notes that `member` was seen just now, unless it is new and there are `most` already: more would change no
    /// decision. Says whether it was noted.
    pub fn note(&mut self, member: i64, most: usize) -> bool {
        if let Some(known) = self.0.iter_mut().find(|(known, _)| *known == member) {
            known.1 = Duration::ZERO;
        } else if self.0.len() < most {
            self.0.push((member, Duration::ZERO));
        } else {
            return false;
        }
        true
    }

    fn others(&self, member: i64, window: Duration) -> impl Iterator<Item = &(i64, Duration)> {
        self.0.iter().filter(move |(known, age)| *known != member && *age < window)
    }
}

#[cfg(test)]
mod tests {
    use super::{Duration, Seen};
    use proptest::prelude::{prop_assert, proptest};

    const MINUTE: Duration = Duration::from_secs(60);

    fn seen(ages: &[u64]) -> Seen {
        Seen::new((0..).zip(ages.iter().map(|age| Duration::from_secs(*age))).collect())
    }

    #[test]
    fn a_window_counts_each_member_once_and_forgets_the_old() {
        let seen = seen(&[0, 30, 59, 60, 90]);
        assert_eq!(seen.count_with(99, MINUTE), 4);
        assert_eq!(seen.count_with(0, MINUTE), 3);
        assert_eq!(seen.count_with(4, MINUTE), 4);
        assert_eq!(Seen::default().count_with(1, MINUTE), 1);
    }

    #[test]
    fn the_wait_ends_when_enough_have_left_the_window() {
        let seen = seen(&[10, 20, 50]);
        assert_eq!(seen.wait(99, MINUTE, 4).as_secs(), 10);
        assert_eq!(seen.wait(99, MINUTE, 3).as_secs(), 40);
        assert_eq!(seen.wait(99, MINUTE, 2).as_secs(), 50);
        assert_eq!(seen.wait(99, MINUTE, 1), MINUTE);
        assert_eq!(seen.wait(99, MINUTE, 5), Duration::ZERO);
    }

    #[test]
    fn no_more_are_held_than_the_threshold_asks_for() {
        let mut seen = seen(&[50, 50]);
        assert!(seen.note(7, 3));
        assert!(!seen.note(8, 3));
        assert!(seen.note(0, 3), "who is there already is seen anew");
        assert_eq!(seen.count_with(99, Duration::from_secs(20)), 3);
    }

    proptest! {
        #[test]
        fn after_the_wait_the_threshold_is_not_reached(
            ages in proptest::collection::vec(0_u64..70, 0..30), at_least in 2_u32..20
        ) {
            let wait = seen(&ages).wait(-1, MINUTE, at_least).as_secs();
            let later = seen(&ages.iter().map(|age| age + wait).collect::<Vec<_>>());
            prop_assert!(later.count_with(-1, MINUTE) < at_least);
            if wait > 0 {
                let just_before = seen(&ages.iter().map(|age| age + wait - 1).collect::<Vec<_>>());
                prop_assert!(just_before.count_with(-1, MINUTE) >= at_least);
            }
        }
    }
}
