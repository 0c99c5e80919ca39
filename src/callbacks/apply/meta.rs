//! What Meta says.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use tracing::warn;

use super::people::{self, Person};
use super::reports::{self, Reported};
use super::{Applied, accounts, wishes};
use crate::callbacks::meta_payload::{self, Payload, Update};
use crate::domain::id::{DeliveryKey, MessageKey};
use crate::domain::instance::Provider;
use crate::domain::opt_out::Wish;
use crate::domain::suspicion;
use crate::store::callbacks::Callback;
use crate::store::effects::{self, Concerned};
use crate::store::recipients;
use crate::store::reports::{Named, Sender};
use crate::store::{Db, StoreError, conversations, senders};

/// A report says nothing of the sender's state any more that is older than this when it comes: Meta repeats what was not
/// taken for days.
const STALE_SECONDS: i64 = 15 * 60;

/// What a body says.
pub(super) fn read(body: &[u8], received_at: Timestamp) -> Payload {
    meta_payload::parse(body, received_at).unwrap_or_else(|error| {
        warn!(%error, "a signed callback is not of the expected form");
        Payload { ignored: 1, ..Payload::default() }
    })
}

/// Applies the updates; where they were heard before, only the reports of messages.
pub(super) async fn apply(
    db: &impl Db,
    callback: &Callback,
    updates: Vec<Update>,
) -> Result<Applied, StoreError> {
    let (reported, others): (Vec<Update>, Vec<Update>) =
        updates.into_iter().partition(|update| matches!(update, Update::Status { .. }));
    let reported = reported.iter().filter_map(|update| self::reported(update, (0, callback))).collect();
    let reports::Heard { owed, aliases, not_yet, .. } = reports::apply(db, reported).await?;
    let mut applied = Applied { owed, not_yet: !not_yet.is_empty(), opened: false };
    applied.owed.extend(people::learn_all(db, aliases).await?);
    let mut known = HashMap::new();
    for update in others.iter().filter(|_| !callback.heard) {
        applied.owed.extend(apply_other(db, update, &mut known).await?);
    }
    Ok(applied)
}

/// The report in an update, if it is one, of the callback in that place of those that are applied together.
pub(super) fn reported(update: &Update, (place, callback): (usize, &Callback)) -> Option<Reported> {
    let Update::Status { phone_number_id, provider_message_id, status, at, user_id, opaque } = update else {
        return None;
    };
    let marked = opaque.as_deref().and_then(mark);
    let sender = Sender::Number(phone_number_id.clone());
    let provider_message_id = provider_message_id.clone();
    let named = Named { sender, provider_message_id, marked: marked.map(|(key, _)| key) };
    let stale = at.duration_until(callback.received_at).as_secs() > STALE_SECONDS;
    let (status, alias) = (status.clone(), user_id.clone());
    Some(Reported { callback: place, named, call: marked.map(|(_, call)| call), status, alias, stale })
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
    let Some(phone_number_id) = update.phone_number_id() else { return accounts::apply(db, update).await };
    if !known.contains_key(phone_number_id) {
        let sender = senders::by_phone_number(db, phone_number_id).await?;
        known.insert(phone_number_id.to_owned(), sender);
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
        Update::SenderError { failure, .. } => {
            let (account_id, instance_id) = sender;
            let concerned = Concerned { account_id, instance_id, recipient: None, reason: &failure.reason };
            let heals_after = suspicion::heals_after(Provider::Meta, failure, Duration::ZERO);
            let mut owed = Vec::new();
            for effect in failure.effects(1, heals_after) {
                warn!(
                    account_id,
                    instance_id,
                    reason = failure.reason,
                    ?effect,
                    "an error of the sender is reported"
                );
                owed.extend(effects::carry_out(db, concerned, effect).await?);
            }
            Ok(owed)
        }
        Update::Status { .. } | Update::Account { .. } | Update::News { .. } => Ok(Vec::new()),
    }
}

/// A wish about marketing messages, said in WhatsApp's own settings.
async fn prefer(db: &impl Db, sender: (i64, &str), update: &Update) -> Result<Vec<DeliveryKey>, StoreError> {
    let Update::Preference { wa_id, user_id, stop, at, .. } = update else { return Ok(Vec::new()) };
    let person = Person { number: wa_id.as_deref(), alias: user_id.as_deref(), replied_to: None };
    let (recipient, mut owed) = people::number(db, sender.0, person).await?;
    let wish = if *stop { Wish::StopMarketing } else { Wish::ResumeMarketing };
    let who = (recipient.as_deref(), user_id.as_deref());
    owed.extend(wishes::heed(db, sender, who, (None, wish), *at).await?);
    Ok(owed)
}

/// What a person wrote, of whatever kind: it opens the 24-hour window, and a wish to be left alone stands from this commit
/// on. A wish of somebody whose number is not known is kept until it is.
async fn hear(
    db: &impl Db,
    (account_id, instance_id): (i64, &str),
    update: &Update,
) -> Result<Vec<DeliveryKey>, StoreError> {
    let Update::Inbound { provider_message_id, from, user_id, texts, replied_to, at, .. } = update else {
        return Ok(Vec::new());
    };
    let sender = (account_id, instance_id);
    let person =
        Person { number: from.as_deref(), alias: user_id.as_deref(), replied_to: replied_to.as_deref() };
    let (recipient, mut owed) = people::number(db, account_id, person).await?;
    if !recipients::hear(db, sender, provider_message_id, recipient.as_deref(), *at).await? {
        return Ok(owed);
    }
    if let Some(recipient) = &recipient {
        conversations::wrote(db, sender, recipient, *at).await?;
    }
    let Some((text, wish)) = wishes::in_texts(db, account_id, texts).await? else { return Ok(owed) };
    let who = (recipient.as_deref(), user_id.as_deref());
    owed.extend(wishes::heed(db, sender, who, (Some(text), wish), *at).await?);
    Ok(owed)
}
