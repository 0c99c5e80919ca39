//! What an outcome means for others than its message: its sender, its recipient, and the pair of them.

use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::domain::effect::Effect;
use crate::domain::instance::Provider;
use crate::domain::outcome::Outcome;
use crate::domain::suspicion;
use crate::store::acknowledgements::Taken;
use crate::store::delivery::Begun;

/// Whom an outcome concerns beside its message, and how.
pub(super) struct Affected {
    pub(super) account_id: i64,
    pub(super) instance_id: String,
    pub(super) recipient: String,
    pub(super) how: How,
}

/// How an outcome concerns others.
pub(super) enum How {
    /// A failure has this effect on them.
    Failed { effect: Effect, reason: String },
    /// The sender was suspect, and this one message was let through.
    Tried { message_id: Uuid, provider: Provider, outcome: Outcome },
}

/// What the outcome of a call means for others; `probe_pause`: after what time an Evolution instance that is refused may be
/// tried.
pub(super) fn of(message: &Begun, outcome: &Outcome, probe_pause: Duration) -> Vec<Affected> {
    let affected = |how| Affected {
        account_id: message.key.account_id,
        instance_id: message.instance_id.clone(),
        recipient: message.recipient.clone(),
        how,
    };
    effects(message, outcome, probe_pause).into_iter().chain(tried(message, outcome)).map(affected).collect()
}

/// The message, where an Evolution server took it: whether WhatsApp does remains to be seen.
pub(super) fn taken(message: &Begun, outcome: &Outcome, began: Instant) -> Option<Taken> {
    let (Provider::Evolution, Outcome::Accepted { provider_message_id }) = (message.provider, outcome) else {
        return None;
    };
    Some(Taken {
        account_id: message.key.account_id,
        instance_id: message.instance_id.clone(),
        recipient: message.recipient.clone(),
        provider_message_id: provider_message_id.clone(),
        began,
    })
}

fn effects(message: &Begun, outcome: &Outcome, probe_pause: Duration) -> Vec<How> {
    let Outcome::Failed(failure) = outcome else { return Vec::new() };
    let call = u8::try_from(message.call).unwrap_or(u8::MAX);
    let heals_after = suspicion::heals_after(message.provider, failure, probe_pause);
    let failed = |effect| How::Failed { effect, reason: failure.reason.clone() };
    failure.effects(call, heals_after).into_iter().map(failed).collect()
}

/// What the outcome shows of whether a suspect sender can send.
fn tried(message: &Begun, outcome: &Outcome) -> Option<How> {
    let (message_id, provider) = (message.key.message_id, message.provider);
    message.probe.then(|| How::Tried { message_id, provider, outcome: outcome.clone() })
}
