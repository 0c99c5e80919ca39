//! What Meta says.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use tracing::warn;

use super::reports::{self, Reported};
use super::{Applied, wishes};
use crate::callbacks::meta_payload::{self, Update};
use crate::domain::id::{DeliveryKey, MessageKey};
use crate::domain::instance::Provider;
use crate::domain::outcome::{Class, Failure, Scope};
use crate::domain::retry::THROTTLE_PAUSE;
use crate::domain::suspicion::{self, Cause};
use crate::store::recipients::{self, Change};
use crate::store::reports::{Named, Sender};
use crate::store::suspicions::{self, Doubt};
use crate::store::{Db, StoreError, senders};

/// What a body says, and how many of its parts were left out.
pub(super) fn read(body: &[u8], received_at: Timestamp) -> (Vec<Update>, usize) {
    match meta_payload::parse(body, received_at) {
        Ok(payload) => (payload.updates, payload.ignored),
        Err(error) => {
            warn!(%error, "a signed callback is not of the expected form");
            (Vec::new(), 1)
        }
    }
}

/// Applies the updates; where they were `heard` before, only the reports of messages.
pub(super) async fn apply(db: &impl Db, updates: Vec<Update>, heard: bool) -> Result<Applied, StoreError> {
    let (reported, others): (Vec<Update>, Vec<Update>) =
        updates.into_iter().partition(|update| matches!(update, Update::Status { .. }));
    let reported = reported.into_iter().filter_map(self::reported).collect();
    let mut applied = reports::apply(db, reported).await?.applied;
    let mut known = HashMap::new();
    for update in others.iter().filter(|_| !heard) {
        applied.owed.extend(apply_other(db, update, &mut known).await?);
    }
    Ok(applied)
}

fn reported(update: Update) -> Option<Reported> {
    let Update::Status { phone_number_id, provider_message_id, status, opaque, .. } = update else {
        return None;
    };
    let marked = opaque.as_deref().and_then(mark);
    let sender = Sender::Number(phone_number_id);
    let named = Named { sender, provider_message_id, marked: marked.map(|(key, _)| key) };
    Some(Reported { named, call: marked.map(|(_, call)| call), status, alias: None })
}

/// Our own mark on an attempt: `account/message:call`.
fn mark(opaque: &str) -> Option<(MessageKey, i16)> {
    let (key, call) = opaque.rsplit_once(':')?;
    Some((key.parse().ok()?, call.parse().ok()?))
}

/// The senders met in this callback.
type Senders = HashMap<String, Option<(i64, String)>>;

async fn apply_other(
    db: &impl Db,
    update: &Update,
    known: &mut Senders,
) -> Result<Vec<DeliveryKey>, StoreError> {
    let (Update::Status { phone_number_id, .. }
    | Update::Inbound { phone_number_id, .. }
    | Update::Preference { phone_number_id, .. }
    | Update::NumberChanged { phone_number_id, .. }
    | Update::SenderError { phone_number_id, .. }) = update;
    if !known.contains_key(phone_number_id) {
        let sender = senders::by_phone_number(db, phone_number_id).await?;
        known.insert(phone_number_id.clone(), sender);
    }
    let Some(Some((account_id, instance_id))) = known.get(phone_number_id) else { return Ok(Vec::new()) };
    let sender = (*account_id, instance_id.as_str());
    match update {
        Update::Inbound { .. } => hear(db, sender, update).await,
        Update::Preference { wa_id: Some(recipient), stop, at, .. } => {
            let reason = if *stop { "recipient_stopped_marketing" } else { "recipient_resumed_marketing" };
            let change = Change {
                account_id: sender.0,
                instance_id: sender.1,
                recipient,
                text: None,
                reason,
                at: Some(*at),
            };
            if *stop {
                recipients::opt_out(db, change, false).await
            } else {
                recipients::opt_in(db, change, false).await
            }
        }
        Update::NumberChanged { old, new, .. } => {
            recipients::follow_number(db, sender.0, old, new).await?;
            Ok(Vec::new())
        }
        Update::SenderError { failure, .. } => hold(db, sender, failure).await,
        Update::Status { .. } | Update::Preference { wa_id: None, .. } => Ok(Vec::new()),
    }
}

/// What a person wrote: a wish to be left alone stands from this commit on.
async fn hear(
    db: &impl Db,
    (account_id, instance_id): (i64, &str),
    update: &Update,
) -> Result<Vec<DeliveryKey>, StoreError> {
    let Update::Inbound { provider_message_id, from, texts, replied_to, at, .. } = update else {
        return Ok(Vec::new());
    };
    let sender = (account_id, instance_id);
    if !recipients::hear(db, sender, provider_message_id, from.as_deref(), *at).await? {
        return Ok(Vec::new());
    }
    let Some((text, wish)) = wishes::in_texts(texts) else { return Ok(Vec::new()) };
    let recipient = match (from, replied_to) {
        (Some(from), _) => Some(from.clone()),
        (None, Some(ours)) => recipients::of_message(db, account_id, ours).await?,
        (None, None) => None,
    };
    let Some(recipient) = recipient else {
        warn!(account_id, instance_id, ?wish, "somebody without a number asked for it");
        return Ok(Vec::new());
    };
    wishes::carry_out(db, sender, &recipient, (Some(text), wish), *at).await
}

/// An error of the sender as a whole.
async fn hold(db: &impl Db, sender: (i64, &str), failure: &Failure) -> Result<Vec<DeliveryKey>, StoreError> {
    match failure.class {
        Class::ThrottleSender => {
            let account_wide = matches!(failure.scope, Scope::Account | Scope::App);
            let pause = failure.retry_after.unwrap_or(THROTTLE_PAUSE);
            senders::hold(db, sender, pause, &failure.reason, account_wide).await?;
            Ok(Vec::new())
        }
        Class::Instance => {
            let heals_after = suspicion::heals_after(Provider::Meta, failure, Duration::ZERO);
            let doubt = Doubt { cause: Cause::Refusal, reason: &failure.reason, heals_after };
            suspicions::suspect(db, sender, doubt).await
        }
        Class::Retry
        | Class::ThrottlePair
        | Class::Permanent
        | Class::Recipient
        | Class::Window
        | Class::Unknown => Ok(Vec::new()),
    }
}
