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
