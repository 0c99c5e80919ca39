//! What became of one send attempt, in words that every provider's answers are translated into.
//!
//! The delivery stage acts on [`Outcome`] and [`Class`] alone and never looks at a provider's own codes.

use std::fmt;
use std::time::Duration;

/// What kind of failure an attempt met, and so what the delivery stage does with the message.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Class {
    /// Transient and certainly not sent: the same message again later, with backoff, a bounded number of times.
    Retry,
    /// The sender, its account or its app is over a limit: everything in [`Failure::scope`] waits until a
    /// deadline. The attempt does not count.
    ThrottleSender,
    /// Too many messages from this sender to this recipient: only this pair waits (4ⁿ s for the n-th time).
    ThrottlePair,
    /// The token, account, registration or connection is broken: the sender pauses, somebody is told, and the
    /// message goes back to the queue untouched.
    Instance,
    /// This message can never succeed: failed.
    Permanent,
    /// This recipient cannot or will not get it: failed. Other messages to them are held back only where
    /// [`Failure::opt_out`] asks for it.
    Recipient,
    /// Free text outside the provider's 24-hour customer service window: failed, a template would be needed.
    Window,
    /// It may have been sent: no second send without evidence that the first did not happen.
    Unknown,
}

impl Class {
    /// The name used in the database, in logs and as a metric label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::ThrottleSender => "throttle_sender",
            Self::ThrottlePair => "throttle_pair",
            Self::Instance => "instance",
            Self::Permanent => "permanent",
            Self::Recipient => "recipient",
            Self::Window => "window",
            Self::Unknown => "unknown",
        }
    }

    /// The scope a failure of this class has unless its provider's table says otherwise.
    pub const fn scope(self) -> Scope {
        match self {
            Self::ThrottleSender | Self::Instance => Scope::Sender,
            Self::ThrottlePair => Scope::Pair,
            Self::Retry | Self::Permanent | Self::Recipient | Self::Window | Self::Unknown => Scope::Message,
        }
    }
}

/// How far a failure reaches: who else would meet it, and therefore has to wait too.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Scope {
    /// This message alone.
    Message,
    /// Every message from this sender to this recipient.
    Pair,
    /// Every message of this sender (one business phone number).
    Sender,
    /// Every sender of the same business account (Meta: WABA).
    Account,
    /// Every sender that uses the same provider app.
    App,
}

impl Scope {
    /// The name used in the database, in logs and as a metric label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::Pair => "pair",
            Self::Sender => "sender",
            Self::Account => "account",
            Self::App => "app",
        }
    }
}

/// A known failure: the provider (or the network before it) certainly did not take the message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Failure {
    /// What to do about it.
    pub class: Class,
    /// The provider's error code, where it gave one.
    pub code: Option<i32>,
    /// A short text of our own making. Safe for logs: never a phone number, a message text or a token.
    pub reason: String,
    /// The provider's own words, for the attempt's record only.
    pub detail: Option<Detail>,
    /// The shortest time to wait before anything in `scope` is tried again. For [`Class::Recipient`] this is
    /// the provider's cool-down for messages of this kind, for [`Class::Instance`] the time after which a resume makes sense.
    pub retry_after: Option<Duration>,
    /// With [`Class::Retry`]: attempts in all after which the message is given up, when fewer than usual.
    pub retry_limit: Option<u8>,
    /// The answer says that the recipient no longer wants marketing messages from this sender.
    pub opt_out: bool,
    /// Who else has to wait.
    pub scope: Scope,
}

impl Failure {
    /// A failure without a code, with the class's usual scope. `reason` must be safe for logs.
    pub fn new(class: Class, reason: impl Into<String>) -> Self {
        Self {
            class,
            code: None,
            reason: reason.into(),
            detail: None,
            retry_after: None,
            retry_limit: None,
            opt_out: false,
            scope: class.scope(),
        }
    }
}

/// What one send attempt came to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// The provider took the message. That is acceptance, not delivery.
    Accepted {
        /// The provider's id for the message, which its later reports carry.
        provider_message_id: String,
    },
    /// The provider certainly did not take the message.
    Failed(Failure),
    /// The provider may or may not have taken the message.
    Unknown {
        /// What was seen, in our own words and safe for logs.
        reason: String,
    },
}

/// The provider's own explanation of a failure.
///
/// It may quote what was sent (a number, a part of the text), so it may be stored with the attempt but is never
/// logged: `Debug` shows its length only, and there is no `Display`.
#[derive(Clone, Eq, PartialEq)]
pub struct Detail(String);

impl Detail {
    /// The longest explanation kept, in characters; what providers send is far shorter.
    const MAX_CHARS: usize = 500;

    /// Keeps the beginning of `text`; `None` when it is blank.
    ///
    /// NUL characters go, because Postgres cannot store them in a text.
    pub fn new(text: &str) -> Option<Self> {
        let kept: String = text.trim().chars().filter(|&c| c != '\0').take(Self::MAX_CHARS).collect();
        (!kept.is_empty()).then_some(Self(kept))
    }

    /// The text, for the attempt's record.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Detail {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Detail({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::{Class, Detail, Failure, Scope};

    #[test]
    fn a_detail_is_bounded_and_never_shown_by_debug() {
        let detail = Detail::new(&format!("  +966500000001 \0{}", "ب".repeat(900))).expect("not blank");
        assert_eq!(detail.as_str().chars().count(), 500);
        assert!(!detail.as_str().contains('\0'));
        assert!(!format!("{detail:?}").contains("966"));
        assert_eq!(Detail::new(" \0 \n"), None);
    }

    #[test]
    fn a_new_failure_reaches_as_far_as_its_class() {
        for (class, scope) in [
            (Class::Retry, Scope::Message),
            (Class::ThrottleSender, Scope::Sender),
            (Class::ThrottlePair, Scope::Pair),
            (Class::Instance, Scope::Sender),
            (Class::Permanent, Scope::Message),
            (Class::Recipient, Scope::Message),
            (Class::Window, Scope::Message),
            (Class::Unknown, Scope::Message),
        ] {
            assert_eq!(Failure::new(class, "why").scope, scope, "{}", class.as_str());
        }
    }
}
