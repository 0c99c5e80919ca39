//! From what was found to a number, and from the number to what is done.

use super::Signal;
use crate::domain::refusal::Action;

/// From here a message is slowed down.
pub const THROTTLE: u8 = 65;
/// From here it is not sent; a sum of weights ends here.
pub const BLOCK: u8 = 90;
/// Here the instance waits for a review.
pub const PAUSE: u8 = 100;

/// The score of the rules that fired, 0 to 100.
///
/// Weights add up to 90 at most; only a single rule that weighs more goes beyond. So several small findings block a
/// message, and an instance is paused by a rule made for that, never by a sum.
#[must_use]
pub fn score(signals: &[Signal]) -> u8 {
    let sum = signals.iter().fold(0_u8, |sum, signal| sum.saturating_add(signal.weight));
    let heaviest = signals.iter().map(|signal| signal.weight).max().unwrap_or_default();
    sum.min(BLOCK).max(heaviest).min(PAUSE)
}

/// What is done at a score.
#[must_use]
pub fn action(score: u8) -> Action {
    match score {
        0..THROTTLE => Action::Allow,
        THROTTLE..BLOCK => Action::Throttle,
        BLOCK..PAUSE => Action::Block,
        PAUSE.. => Action::PauseInstance,
    }
}

#[cfg(test)]
mod tests {
    use super::{action, score};
    use crate::domain::refusal::Action;
    use crate::domain::rules::Signal;
    use proptest::collection::vec;
    use proptest::prelude::{prop_assert, proptest};

    fn signals(weights: &[u8]) -> Vec<Signal> {
        let signal = |weight: &u8| Signal { rule: "rule".into(), weight: *weight, facts: Vec::new() };
        weights.iter().map(signal).collect()
    }

    #[test]
    fn weights_add_up_to_ninety_and_one_rule_may_weigh_more() {
        for (weights, expected) in [
            (vec![], 0),
            (vec![40], 40),
            (vec![40, 25], 65),
            (vec![60, 60], 90),
            (vec![95], 95),
            (vec![95, 65], 95),
            (vec![90, 90, 90, 90], 90),
            (vec![10, 100], 100),
        ] {
            assert_eq!(score(&signals(&weights)), expected, "{weights:?}");
        }
    }

    #[test]
    fn actions_begin_at_their_bounds() {
        for (score, expected) in [
            (0, Action::Allow),
            (64, Action::Allow),
            (65, Action::Throttle),
            (89, Action::Throttle),
            (90, Action::Block),
            (99, Action::Block),
            (100, Action::PauseInstance),
        ] {
            assert_eq!(action(score), expected, "{score}");
        }
    }

    proptest! {
        #[test]
        fn a_further_signal_never_lowers_the_score(weights in vec(1_u8..=100, 0..12), more in 1_u8..=100) {
            let before = score(&signals(&weights));
            let after = score(&signals(&[&weights[..], &[more]].concat()));
            prop_assert!(before <= after && after <= 100);
            prop_assert!((after == 100) == (more == 100 || weights.contains(&100)));
        }
    }
}
