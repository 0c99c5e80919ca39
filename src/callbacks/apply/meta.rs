//! What Meta says.

use std::collections::HashMap;

use jiff::Timestamp;
use tracing::warn;

use super::Applied;
use super::reports::{self, Reported};
use super::wishes::{self, Heard};
use crate::callbacks::meta_payload::{self, Update};
use crate::domain::id::{DeliveryKey, MessageKey};
use crate::domain::outcome::{Class, Failure, Scope};
use crate::domain::retry::THROTTLE_PAUSE;
use crate::store::recipients::{self, Change};
use crate::store::reports::{Named, Sender};
use crate::store::{Db, StoreError, aliases, senders};

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
        Update::Preference { .. } => prefer(db, sender, update).await,
        Update::NumberChanged { old, new, .. } => {
            recipients::follow_number(db, sender.0, old, new).await?;
            Ok(Vec::new())
        }
        Update::SenderError { failure, .. } => hold(db, sender, failure).await,
        Update::Status { .. } => Ok(Vec::new()),
    }
}

/// What a person wrote: a wish to be left alone stands from this commit on.
async fn hear(db: &impl Db, sender: (i64, &str), update: &Update) -> Result<Vec<DeliveryKey>, StoreError> {
    let Update::Inbound { provider_message_id, from, user_id, texts, replied_to, at, .. } = update else {
        return Ok(Vec::new());
    };
    let (from, alias, replied_to) = (from.as_deref(), user_id.as_deref(), replied_to.as_deref());
    wishes::hear(db, sender, Heard { provider_message_id, from, alias, texts, replied_to, at: *at }).await
}

/// What a person set in WhatsApp's own settings about marketing. Who is named by Meta's id alone is found where their
/// number was learnt.
async fn prefer(db: &impl Db, sender: (i64, &str), update: &Update) -> Result<Vec<DeliveryKey>, StoreError> {
    let Update::Preference { wa_id, user_id, stop, at, .. } = update else { return Ok(Vec::new()) };
    let (account_id, instance_id) = sender;
    let recipient = match (wa_id, user_id) {
        (Some(wa_id), _) => Some(wa_id.clone()),
        (None, Some(user_id)) => aliases::number(db, account_id, user_id).await?,
        (None, None) => None,
    };
    let Some(recipient) = recipient else {
        warn!(account_id, instance_id, stop, "somebody whose number is not known set a preference");
        return Ok(Vec::new());
    };
    let reason = if *stop { "recipient_stopped_marketing" } else { "recipient_resumed_marketing" };
    let recipient = recipient.as_str();
    let change = Change { account_id, instance_id, recipient, text: None, reason, at: Some(*at) };
    if *stop {
        recipients::opt_out(db, change, false).await
    } else {
        recipients::opt_in(db, change, false).await
    }
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
        Class::Instance => senders::suspect(db, sender, &failure.reason).await,
        Class::Retry
        | Class::ThrottlePair
        | Class::Permanent
        | Class::Recipient
        | Class::Window
        | Class::Unknown => Ok(Vec::new()),
    }
}
