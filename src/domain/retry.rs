//! When a failed delivery is tried again.

use std::time::Duration;

/// Most attempts that count; a provider's throttle answer does not.
pub const MAX_ATTEMPTS: u8 = 8;

const FIRST_DELAY: Duration = Duration::from_secs(2);
const LONGEST_DELAY: Duration = Duration::from_secs(15 * 60);

/// The pause after attempt number `attempt` (from 1): 2 s, 8 s, 32 s … at most 15 minutes, ±20 % by `chance`
/// (uniform in 0..1), and never earlier than the provider asked for.
#[must_use]
pub fn delay(attempt: u8, chance: f64, retry_after: Option<Duration>) -> Duration {
    let exponent = u32::from(attempt.saturating_sub(1)).min(10);
    let planned = FIRST_DELAY.saturating_mul(4_u32.pow(exponent)).min(LONGEST_DELAY);
    let jittered = planned.mul_f64(0.8 + 0.4 * chance.clamp(0.0, 1.0)).min(LONGEST_DELAY);
    jittered.max(retry_after.unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    use super::{Duration, delay};
    use proptest::prelude::{prop_assert, proptest};

    #[test]
    fn the_schedule_is_two_seconds_times_powers_of_four() {
        let seconds: Vec<u64> = (1..=8).map(|attempt| delay(attempt, 0.5, None).as_secs()).collect();
        assert_eq!(seconds, [2, 8, 32, 128, 512, 900, 900, 900]);
    }

    #[test]
    fn a_provider_that_asks_for_more_time_gets_it() {
        assert_eq!(delay(1, 0.5, Some(Duration::from_secs(60))), Duration::from_secs(60));
        assert_eq!(delay(3, 0.5, Some(Duration::from_secs(1))), Duration::from_secs(32));
    }

    proptest! {
        #[test]
        fn jitter_stays_within_a_fifth(attempt in 1_u8..=255, chance in 0.0_f64..1.0) {
            let exact = delay(attempt, 0.5, None).as_secs_f64();
            let drawn = delay(attempt, chance, None).as_secs_f64();
            prop_assert!(drawn >= exact * 0.799 && drawn <= (exact * 1.201).min(900.0));
        }
    }
}
