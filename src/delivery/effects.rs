//! What an outcome means for others than its message: its sender, its recipient, and the pair of them.

use std::time::Duration;

use uuid::Uuid;

use crate::domain::instance::Provider;
use crate::domain::outcome::{Class, Outcome, Scope};
use crate::domain::retry::{self, Attempt};
use crate::domain::suspicion;
use crate::store::delivery::Begun;

/// What an outcome means for others than its message.
#[derive(Clone)]
pub(super) enum Effect {
    /// The sender, or all of its account's, must wait.
    Hold { sender: (i64, String), pause: Duration, reason: String, account_wide: bool },
    /// The sender is refused by its provider: it is tried again after that time, or somebody must look.
    Suspect { sender: (i64, String), reason: String, heals_after: Option<Duration> },
    /// The sender was suspect, and this one message was let through.
    Tried { sender: (i64, String), message_id: Uuid, provider: Provider, outcome: Outcome },
    /// The sender's provider took a message to this person; whether WhatsApp does remains to be seen.
    Taken { sender: (i64, String), recipient: String, provider_message_id: String, ago: Duration },
    /// This recipient must be left alone for a while.
    DelayPair { sender: (i64, String), recipient: String, pause: Duration },
    /// This recipient wants only what is essential.
    OptOut { sender: (i64, String), recipient: String },
}

/// What the outcome shows of whether the sender can send at all.
pub(super) fn signs(message: &Begun, outcome: &Outcome, took: Duration) -> Vec<Effect> {
    let sender = (message.key.account_id, message.instance_id.clone());
    let mut effects = Vec::new();
    if let (Provider::Evolution, Outcome::Accepted { provider_message_id }) = (message.provider, outcome) {
        effects.push(Effect::Taken {
            sender: sender.clone(),
            recipient: message.recipient.clone(),
            provider_message_id: provider_message_id.clone(),
            ago: took,
        });
    }
    if message.probe {
        let message_id = message.key.message_id;
        effects.push(Effect::Tried {
            sender,
            message_id,
            provider: message.provider,
            outcome: outcome.clone(),
        });
    }
    effects
}

/// What the outcome means for others than this message.
pub(super) fn of(
    message: &Begun,
    outcome: &Outcome,
    attempt: &Attempt,
    probe_pause: Duration,
) -> Vec<Effect> {
    let Outcome::Failed(failure) = outcome else { return Vec::new() };
    let sender = (message.key.account_id, message.instance_id.clone());
    let mut effects = Vec::new();
    match failure.class {
        Class::ThrottleSender => effects.push(Effect::Hold {
            sender: sender.clone(),
            pause: failure.retry_after.unwrap_or(retry::THROTTLE_PAUSE),
            reason: failure.reason.clone(),
            account_wide: matches!(failure.scope, Scope::Account | Scope::App),
        }),
        Class::ThrottlePair => effects.push(Effect::DelayPair {
            sender: sender.clone(),
            recipient: message.recipient.clone(),
            pause: failure.retry_after.unwrap_or(retry::pair_pause(attempt.call)),
        }),
        Class::Instance => {
            effects.push(Effect::Suspect {
                sender: sender.clone(),
                reason: failure.reason.clone(),
                heals_after: suspicion::heals_after(message.provider, failure, probe_pause),
            });
        }
        Class::Retry if failure.scope == Scope::Sender => effects.push(Effect::Hold {
            sender: sender.clone(),
            pause: failure.retry_after.unwrap_or(retry::THROTTLE_PAUSE),
            reason: failure.reason.clone(),
            account_wide: false,
        }),
        Class::Retry | Class::Permanent | Class::Recipient | Class::Window | Class::Unknown => {}
    }
    if failure.opt_out {
        effects.push(Effect::OptOut { sender, recipient: message.recipient.clone() });
    }
    effects
}
