//! The decision on a send that is well-formed and may be asked for: everything known of it, in the documents' order of
//! precedence.

use super::account::Allowance;
use super::instance::Connection;
use super::refusal::{Action, Refusal};
use super::rules::{self, Signal};

/// The score a throttled send shows where a limit, not a rule, throttles it.
pub const THROTTLED: u8 = 65;

/// What a send is judged by.
#[derive(Clone, Debug)]
pub struct Facts {
    /// What the account has used before this send.
    pub allowance: Allowance,
    /// The recipient wants nothing of this kind.
    pub suppressed: bool,
    /// Seconds until the sender's backlog, and the recipient's share of one-time codes, leave room; `None`: they do.
    pub limited_for: Option<u32>,
    /// The instance waits for a review.
    pub paused: bool,
    /// The instance's connection.
    pub connection: Connection,
    /// The rules that fired.
    pub signals: Vec<Signal>,
    /// Seconds until the signals that pass with time have passed; `None`: none of them does.
    pub signals_pass_in: Option<u32>,
}

/// What is done with a send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The action, as the policy log calls it.
    pub action: Action,
    /// 0 to 100.
    pub risk_score: u8,
    /// The answer, unless it is accepted.
    pub refusal: Option<Refusal>,
    /// The signals alone pause the instance.
    pub pauses: bool,
}

/// How long a text that is throttled for what it says is kept from being tried again, in seconds.
const SAME_AGAIN: u32 = 60;

/// Decides.
#[must_use]
pub fn decide(facts: &Facts) -> Decision {
    let score = rules::score(&facts.signals);
    let refusal = refusal(facts, score);
    let (action, risk_score) = match &refusal {
        None => (Action::Allow, score),
        Some(refusal) => (refusal.action(), refusal.risk_score().max(score)),
    };
    let pauses = refusal == Some(Refusal::InstancePaused) && !facts.paused;
    Decision { action, risk_score, refusal, pauses }
}

fn refusal(facts: &Facts, score: u8) -> Option<Refusal> {
    let allowance = &facts.allowance;
    if allowance.day.remaining() == 0 {
        return Some(Refusal::DailyLimit(allowance.day));
    }
    if allowance.month.remaining() == 0 {
        return Some(Refusal::MonthlyLimit(allowance.month));
    }
    if facts.suppressed {
        return Some(Refusal::RecipientSuppressed);
    }
    let judged = rules::action(score);
    let throttled_for = match judged {
        Action::Throttle => facts.limited_for.max(facts.signals_pass_in.or(Some(SAME_AGAIN))),
        Action::Allow | Action::Block | Action::PauseInstance => facts.limited_for,
    };
    if throttled_for.is_some() {
        let retry_after = throttled_for.map(|seconds| seconds.max(1));
        return Some(Refusal::SendingThrottled { retry_after, risk_score: score.max(THROTTLED) });
    }
    match judged {
        _ if facts.paused => Some(Refusal::InstancePaused),
        Action::PauseInstance => Some(Refusal::InstancePaused),
        Action::Block => Some(Refusal::PolicyViolation { risk_score: score }),
        Action::Allow | Action::Throttle => {
            (facts.connection == Connection::Close).then_some(Refusal::GatewaySendFailed)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Action, Connection, Decision, Facts, Refusal, Signal, decide};
    use crate::domain::account::{Allowance, Usage};
    use proptest::prelude::{Strategy, any, prop_assert, prop_assert_eq, proptest};

    fn usage(limit: i32, used: i32) -> Usage {
        Usage { limit, used, ends_in: 60, length: 86_400 }
    }

    fn fine() -> Facts {
        Facts {
            allowance: Allowance { day: usage(100, 99), month: usage(2_000, 5) },
            suppressed: false,
            limited_for: None,
            paused: false,
            connection: Connection::Open,
            signals: Vec::new(),
            signals_pass_in: None,
        }
    }

    fn signal(weight: u8) -> Signal {
        Signal { rule: "rule".into(), weight, facts: Vec::new() }
    }

    fn code(facts: &Facts) -> &'static str {
        decide(facts).refusal.map_or("", |refusal| refusal.code())
    }

    /// Everything is wrong at first; each step corrects what was answered, and the next is answered.
    #[test]
    fn the_order_is_the_documents() {
        let full = Allowance { day: usage(1, 1), month: usage(1, 1) };
        let wrong = Facts {
            allowance: full,
            suppressed: true,
            limited_for: Some(9),
            paused: true,
            connection: Connection::Close,
            signals: vec![signal(90)],
            ..fine()
        };
        type Correction = (&'static str, fn(&mut Facts));
        let corrections: [Correction; 7] = [
            ("daily_message_limit_exceeded", |facts| facts.allowance.day = usage(1, 0)),
            ("monthly_message_limit_exceeded", |facts| facts.allowance.month = usage(1, 0)),
            ("recipient_suppressed", |facts| facts.suppressed = false),
            ("sending_throttled", |facts| facts.limited_for = None),
            ("instance_paused_for_review", |facts| facts.paused = false),
            ("policy_violation", |facts| facts.signals.clear()),
            ("gateway_send_failed", |facts| facts.connection = Connection::Open),
        ];
        let mut facts = wrong;
        for (expected, correct) in corrections {
            assert_eq!(code(&facts), expected);
            correct(&mut facts);
        }
        assert_eq!(
            decide(&facts),
            Decision { action: Action::Allow, risk_score: 0, refusal: None, pauses: false }
        );
    }

    #[test]
    fn scores_have_their_actions() {
        let scored = |weights: &[u8]| {
            let signals = weights.iter().copied().map(signal).collect();
            let decision = decide(&Facts { signals, ..fine() });
            (decision.action, decision.risk_score, decision.pauses)
        };
        assert_eq!(scored(&[64]), (Action::Allow, 64, false));
        assert_eq!(scored(&[65]), (Action::Throttle, 65, false));
        assert_eq!(scored(&[40, 49]), (Action::Throttle, 89, false));
        assert_eq!(scored(&[45, 45]), (Action::Block, 90, false));
        assert_eq!(scored(&[90, 90]), (Action::Block, 90, false));
        assert_eq!(scored(&[30, 100]), (Action::PauseInstance, 100, true));
    }

    #[test]
    fn a_throttled_send_is_told_the_longest_wait() {
        let throttled = |limited_for, signals_pass_in, weight| {
            let facts = Facts { limited_for, signals_pass_in, signals: vec![signal(weight)], ..fine() };
            decide(&facts).refusal
        };
        let told =
            |seconds, risk_score| Some(Refusal::SendingThrottled { retry_after: Some(seconds), risk_score });
        assert_eq!(throttled(Some(30), None, 10), told(30, 65));
        assert_eq!(throttled(Some(30), Some(90), 70), told(90, 70));
        assert_eq!(throttled(Some(120), Some(90), 70), told(120, 70));
        assert_eq!(throttled(None, None, 70), told(60, 70));
        assert_eq!(throttled(Some(0), None, 10), told(1, 65));
    }

    fn facts() -> impl Strategy<Value = Facts> {
        let counters = (any::<i32>(), any::<i32>(), any::<i32>(), any::<i32>());
        let states = (any::<bool>(), any::<Option<u32>>(), any::<bool>(), 0..4_usize, any::<Option<u32>>());
        let weights = proptest::collection::vec(0_u8..=100, 0..6);
        (counters, states, weights).prop_map(
            |((a, b, c, d), (suppressed, limited_for, paused, n, pass), weights)| {
                let connections =
                    [Connection::Open, Connection::Connecting, Connection::Close, Connection::Suspect];
                Facts {
                    allowance: Allowance { day: usage(a, b), month: usage(c, d) },
                    suppressed,
                    limited_for,
                    paused,
                    connection: connections[n],
                    signals: weights.into_iter().map(signal).collect(),
                    signals_pass_in: pass,
                }
            },
        )
    }

    proptest! {
        #[test]
        fn whatever_is_known_there_is_one_decision(facts in facts()) {
            let decision = decide(&facts);
            prop_assert_eq!(decision.refusal.is_none(), decision.action == Action::Allow);
            prop_assert!(decision.risk_score <= 100);
            prop_assert!(!decision.pauses || decision.risk_score == 100);
        }

        #[test]
        fn one_signal_more_never_lets_a_send_pass(facts in facts(), weight in 0_u8..=100) {
            let mut more = facts.clone();
            more.signals.push(signal(weight));
            let (before, after) = (decide(&facts), decide(&more));
            prop_assert!(before.refusal.is_none() || after.refusal.is_some());
        }
    }
}
