//! When an undelivered webhook is tried again, and when an endpoint is given up.

use std::time::Duration;

/// Pauses between attempts, in seconds; the first attempt is at once.
const PAUSES: [u64; 9] = [5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400];

/// An endpoint that failed for this long without one success is disabled.
pub const DISABLE_AFTER: Duration = Duration::from_secs(5 * 86_400);

/// The longest `Retry-After` that is honoured.
const LONGEST_PAUSE: Duration = Duration::from_secs(86_400);

/// The pause after attempt number `attempt` (from 1), ±10 % by `chance` (uniform in 0..1), and never earlier than
/// the endpoint asked for; `None` when the schedule is used up.
#[must_use]
pub fn pause(attempt: u16, chance: f64, retry_after: Option<Duration>) -> Option<Duration> {
    let seconds = *PAUSES.get(usize::from(attempt.checked_sub(1)?))?;
    let planned = Duration::from_secs(seconds).mul_f64(0.9 + 0.2 * chance.clamp(0.0, 1.0));
    Some(planned.max(retry_after.unwrap_or(Duration::ZERO).min(LONGEST_PAUSE)))
}

#[cfg(test)]
mod tests {
    use super::{Duration, pause};

    #[test]
    fn ten_attempts_over_three_days() {
        let pauses: Vec<u64> =
            (1..).map_while(|attempt| pause(attempt, 0.5, None)).map(|p| p.as_secs()).collect();
        assert_eq!(pauses, [5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400]);
        assert_eq!(pause(0, 0.5, None), None);
    }

    #[test]
    fn an_endpoint_may_ask_for_more_time_within_a_day() {
        assert_eq!(pause(1, 0.5, Some(Duration::from_secs(60))), Some(Duration::from_secs(60)));
        assert_eq!(pause(1, 0.5, Some(Duration::from_secs(999_999))), Some(Duration::from_secs(86_400)));
        assert_eq!(pause(2, 0.5, Some(Duration::from_secs(1))), Some(Duration::from_secs(300)));
    }
}
