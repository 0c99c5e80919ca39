//! What happens to a message after an attempt, and when a failed one is tried again.

use std::time::Duration;

use super::outcome::{Class, Failure, Outcome};

/// What happens to a message next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The provider has it.
    Sent,
    /// Nobody knows; it waits this long for evidence.
    Unknown(Duration),
    /// It will not be delivered.
    Failed,
    /// Its validity ended.
    Expired,
    /// Tried again after this pause.
    Again {
        /// The pause.
        pause: Duration,
        /// Whether this attempt counts towards the budget.
        counts: bool,
    },
}

/// What is known of the attempt that just ended.
#[derive(Clone, Copy, Debug)]
pub struct Attempt {
    /// Attempts before it that count.
    pub counted: u8,
    /// The number of the call, from 1.
    pub call: u8,
    /// How much of the message's validity is left.
    pub expires_in: Duration,
    /// Uniform in 0..1, for the jitter.
    pub chance: f64,
    /// How long an unknown outcome waits for evidence.
    pub unknown_deadline: Duration,
}

/// Most attempts that count; a provider's throttle answer does not.
pub const MAX_ATTEMPTS: u8 = 8;

/// How long a throttled sender rests where the provider names no time.
pub const THROTTLE_PAUSE: Duration = Duration::from_secs(30);

/// A message of a sender that is held comes back after this time to find the hold, or its end.
const HELD_PAUSE: Duration = Duration::from_secs(5);

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

/// The pause for a pair of sender and recipient after its limit was hit for the `call`-th time: 4ⁿ s, at most 15 min.
#[must_use]
pub fn pair_pause(call: u8) -> Duration {
    Duration::from_secs(4_u64.pow(u32::from(call.saturating_sub(1)).min(10))).min(LONGEST_DELAY)
}

/// What follows from an attempt's outcome. A retry that would come after the end of the message's validity is a failure.
#[must_use]
pub fn next(outcome: &Outcome, attempt: &Attempt) -> Next {
    match outcome {
        Outcome::Accepted { .. } => Next::Sent,
        Outcome::Unknown { .. } => Next::Unknown(attempt.unknown_deadline),
        Outcome::Failed(failure) => after_failure(failure, attempt),
    }
}

fn after_failure(failure: &Failure, attempt: &Attempt) -> Next {
    let uncounted = |pause| Next::Again { pause, counts: false };
    match failure.class {
        Class::Retry => {
            let done = attempt.counted.saturating_add(1);
            let pause = delay(done, attempt.chance, failure.retry_after);
            if done >= failure.retry_limit.unwrap_or(MAX_ATTEMPTS).min(MAX_ATTEMPTS)
                || pause >= attempt.expires_in
            {
                Next::Failed
            } else {
                Next::Again { pause, counts: true }
            }
        }
        Class::ThrottleSender => uncounted(failure.retry_after.unwrap_or(THROTTLE_PAUSE)),
        Class::ThrottlePair => uncounted(failure.retry_after.unwrap_or(pair_pause(attempt.call))),
        Class::Instance => uncounted(HELD_PAUSE),
        Class::Permanent | Class::Recipient | Class::Window => Next::Failed,
        Class::Unknown => Next::Unknown(attempt.unknown_deadline),
    }
}

/// Whether the provider has judged the message itself, or may have it: then its quota is used up, however it ends.
#[must_use]
pub fn reached_provider(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Accepted { .. } | Outcome::Unknown { .. } => true,
        Outcome::Failed(failure) => match failure.class {
            Class::Permanent | Class::Recipient | Class::Window | Class::Unknown => true,
            Class::Retry | Class::ThrottleSender | Class::ThrottlePair | Class::Instance => false,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::{
        Attempt, Class, Duration, Failure, Next, Outcome, delay, next, pair_pause, reached_provider,
    };

    fn attempt(counted: u8) -> Attempt {
        Attempt {
            counted,
            call: counted + 1,
            expires_in: Duration::from_secs(86_400),
            chance: 0.5,
            unknown_deadline: Duration::from_secs(600),
        }
    }

    fn after(class: Class, counted: u8) -> Next {
        next(&Outcome::Failed(Failure::new(class, "x")), &attempt(counted))
    }

    #[test]
    fn every_class_has_its_consequence() {
        let seconds = Duration::from_secs;
        assert_eq!(after(Class::Retry, 0), Next::Again { pause: seconds(2), counts: true });
        assert_eq!(after(Class::Retry, 6), Next::Again { pause: seconds(900), counts: true });
        assert_eq!(after(Class::Retry, 7), Next::Failed);
        assert_eq!(after(Class::ThrottleSender, 7), Next::Again { pause: seconds(30), counts: false });
        assert_eq!(after(Class::ThrottlePair, 2), Next::Again { pause: seconds(16), counts: false });
        assert_eq!(after(Class::Instance, 7), Next::Again { pause: seconds(5), counts: false });
        for class in [Class::Permanent, Class::Recipient, Class::Window] {
            assert_eq!(after(class, 0), Next::Failed);
        }
        assert_eq!(after(Class::Unknown, 0), Next::Unknown(seconds(600)));
        let accepted = Outcome::Accepted { provider_message_id: "w".to_owned() };
        assert_eq!(next(&accepted, &attempt(0)), Next::Sent);
        assert!(reached_provider(&accepted));
    }

    #[test]
    fn a_provider_can_shorten_the_budget_and_lengthen_the_pause() {
        let bounded = Failure { retry_limit: Some(3), ..Failure::new(Class::Retry, "x") };
        assert_eq!(next(&Outcome::Failed(bounded), &attempt(2)), Next::Failed);
        let later = Failure { retry_after: Some(Duration::from_secs(90)), ..Failure::new(Class::Retry, "x") };
        let expected = Next::Again { pause: Duration::from_secs(90), counts: true };
        assert_eq!(next(&Outcome::Failed(later), &attempt(0)), expected);
    }

    #[test]
    fn nothing_is_retried_past_its_validity() {
        let short = Attempt { expires_in: Duration::from_secs(1), ..attempt(0) };
        assert_eq!(next(&Outcome::Failed(Failure::new(Class::Retry, "x")), &short), Next::Failed);
    }

    #[test]
    fn pairs_rest_for_powers_of_four() {
        let pauses: Vec<u64> = (1..=7).map(|call| pair_pause(call).as_secs()).collect();
        assert_eq!(pauses, [1, 4, 16, 64, 256, 900, 900]);
    }
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
