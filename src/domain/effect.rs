//! What a failure means for others than its message: the sender, its recipient, everybody of the same account or app.

use std::time::Duration;

use super::outcome::{Class, Failure, Scope};
use super::retry::{THROTTLE_PAUSE, pair_pause};

/// Something that has to be done about others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The sender rests, and whoever else is within reach: its account, or its app.
    Hold {
        /// For how long.
        pause: Duration,
        /// [`Scope::Sender`], [`Scope::Account`] or [`Scope::App`].
        reach: Scope,
    },
    /// The provider refuses the sender itself: somebody must look.
    Suspect,
    /// The sender leaves this recipient alone for a while.
    DelayPair {
        /// For how long.
        pause: Duration,
    },
    /// The recipient wants only what is essential.
    OptOut,
    /// The provider asks that the recipient be spared what is not essential.
    CoolDown {
        /// For how long.
        pause: Duration,
    },
}

impl Failure {
    /// What has to be done about others; `call` is the number of the message's call, from 1.
    #[must_use]
    pub fn effects(&self, call: u8) -> Vec<Effect> {
        let hold = |reach| Effect::Hold { pause: self.retry_after.unwrap_or(THROTTLE_PAUSE), reach };
        let first = match self.class {
            Class::ThrottleSender => Some(hold(self.scope)),
            Class::Retry if self.scope == Scope::Sender => Some(hold(Scope::Sender)),
            Class::ThrottlePair => {
                Some(Effect::DelayPair { pause: self.retry_after.unwrap_or(pair_pause(call)) })
            }
            Class::Instance => Some(Effect::Suspect),
            Class::Recipient => self.retry_after.map(|pause| Effect::CoolDown { pause }),
            Class::Retry | Class::Permanent | Class::Window | Class::Unknown => None,
        };
        first.into_iter().chain(self.opt_out.then_some(Effect::OptOut)).collect()
    }

    /// The error that the customer is shown for a message that fails by it.
    #[must_use]
    pub fn shown_error(&self) -> &'static str {
        match self.class {
            Class::Window => NEEDS_TEMPLATE,
            Class::Retry
            | Class::ThrottleSender
            | Class::ThrottlePair
            | Class::Instance
            | Class::Permanent
            | Class::Recipient
            | Class::Unknown => "gateway_send_failed",
        }
    }
}

/// The error of free text outside the provider's window: a template could be sent.
pub const NEEDS_TEMPLATE: &str = "needs_template";

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Effect, NEEDS_TEMPLATE};
    use crate::domain::outcome::{Class, Failure, Scope};

    const MINUTE: Duration = Duration::from_secs(60);

    fn failure(class: Class, retry_after: Option<Duration>, scope: Scope) -> Failure {
        Failure { retry_after, scope, ..Failure::new(class, "why") }
    }

    #[test]
    fn each_class_concerns_others_in_its_own_way() {
        let seconds = Duration::from_secs;
        let rows = [
            (failure(Class::Retry, Some(MINUTE), Scope::Message), vec![]),
            (
                failure(Class::Retry, Some(MINUTE), Scope::Sender),
                vec![Effect::Hold { pause: MINUTE, reach: Scope::Sender }],
            ),
            (
                failure(Class::ThrottleSender, None, Scope::Sender),
                vec![Effect::Hold { pause: seconds(30), reach: Scope::Sender }],
            ),
            (
                failure(Class::ThrottleSender, Some(MINUTE), Scope::Account),
                vec![Effect::Hold { pause: MINUTE, reach: Scope::Account }],
            ),
            (
                failure(Class::ThrottleSender, Some(MINUTE), Scope::App),
                vec![Effect::Hold { pause: MINUTE, reach: Scope::App }],
            ),
            (failure(Class::ThrottlePair, None, Scope::Pair), vec![Effect::DelayPair { pause: seconds(16) }]),
            (
                failure(Class::ThrottlePair, Some(MINUTE), Scope::Pair),
                vec![Effect::DelayPair { pause: MINUTE }],
            ),
            (failure(Class::Instance, Some(MINUTE), Scope::Sender), vec![Effect::Suspect]),
            (failure(Class::Recipient, None, Scope::Message), vec![]),
            (failure(Class::Recipient, Some(MINUTE), Scope::Pair), vec![Effect::CoolDown { pause: MINUTE }]),
            (failure(Class::Permanent, None, Scope::Message), vec![]),
            (failure(Class::Window, None, Scope::Message), vec![]),
        ];
        for (failure, expected) in rows {
            assert_eq!(failure.effects(3), expected, "{failure:?}");
        }
        let stopped = Failure { opt_out: true, ..Failure::new(Class::Recipient, "why") };
        assert_eq!(stopped.effects(1), [Effect::OptOut]);
    }

    #[test]
    fn only_the_closed_window_has_an_error_of_its_own() {
        assert_eq!(Failure::new(Class::Window, "why").shown_error(), NEEDS_TEMPLATE);
        assert_eq!(Failure::new(Class::Permanent, "why").shown_error(), "gateway_send_failed");
    }
}
