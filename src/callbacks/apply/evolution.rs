//! What Evolution says, of the instance whose address it called.

use jiff::Timestamp;
use tracing::{error, info, warn};

use super::people::{self, Person};
use super::reports::{self, Reported};
use super::{Applied, wishes};
use crate::callbacks::ReportedStatus;
use crate::callbacks::evolution_payload::{self, Payload, Update};
use crate::domain::id::DeliveryKey;
use crate::domain::instance::Connection;
use crate::store::callbacks::Callback;
use crate::store::reports::{Named, Sender, WentOut, recognise};
use crate::store::{Db, StoreError, acknowledgements, aliases, instances, recipients};

/// A message that went out is recognised by its text only after this time: until then the call that sent it may be under
/// way, and its answer tells better.
const CALLS_ARE_OVER_SECONDS: i64 = 30;

/// What a body says.
pub(super) fn read(body: &[u8], received_at: Timestamp) -> Payload {
    evolution_payload::parse(body, received_at).unwrap_or_else(|error| {
        warn!(%error, "a callback of Evolution's is not of the expected form");
        Payload { ignored: 1, ..Payload::default() }
    })
}

/// Applies the updates; where they were heard before, only the reports of messages.
pub(super) async fn apply(
    db: &impl Db,
    (callback, instance_id): (&Callback, &str),
    Payload { updates, in_touch, .. }: Payload,
) -> Result<Applied, StoreError> {
    let sender = (callback.account_id, instance_id);
    let mut reported = Vec::new();
    let mut others = Vec::new();
    for update in updates {
        match update {
            Update::Status { provider_message_id, status, lid } => {
                reported.push(report(sender, provider_message_id, status, lid));
            }
            Update::WentOut { provider_message_id, to, lid, text } => {
                let to = match (to, &lid) {
                    (None, Some(lid)) => aliases::number(db, callback.account_id, lid).await?,
                    (to, _) => to,
                };
                if let (Some(recipient), Some(text)) = (&to, &text)
                    && callback.age_seconds >= CALLS_ARE_OVER_SECONDS
                {
                    let (account_id, told_at) = (callback.account_id, callback.received_at);
                    let provider_message_id = provider_message_id.as_str();
                    let sent =
                        WentOut { account_id, instance_id, provider_message_id, recipient, text, told_at };
                    recognise(db, &sent).await?;
                }
                let status = ReportedStatus::Sent;
                reported.push(report(sender, provider_message_id, status, lid));
            }
            other => others.push(other),
        }
    }
    let reports::Heard { owed, aliases, rejected, not_yet } = reports::apply(db, reported).await?;
    let mut applied = Applied { owed, not_yet: !not_yet.is_empty(), opened: false };
    applied.owed.extend(people::learn_all(db, aliases).await?);
    for update in others.iter().filter(|_| !callback.heard) {
        match update {
            Update::Inbound { .. } => applied.owed.extend(hear(db, sender, update).await?),
            Update::Connection { .. } => {
                applied.opened |= connected(db, sender, update, callback.received_at).await?;
            }
            Update::Status { .. } | Update::WentOut { .. } => {}
        }
    }
    for recipient in rejected {
        acknowledgements::rejected(db, sender, &recipient, callback.received_at).await?;
    }
    // Last, because every callback of the instance's changes the same row.
    if in_touch && !callback.heard {
        applied.opened |= heard_of(db, sender, callback.received_at).await?;
    }
    Ok(applied)
}

fn report(
    (account_id, instance_id): (i64, &str),
    provider_message_id: String,
    status: ReportedStatus,
    alias: Option<String>,
) -> Reported {
    let sender = Sender::Instance(account_id, instance_id.to_owned());
    let named = Named { sender, provider_message_id, marked: None };
    Reported { callback: 0, named, call: None, status, alias, stale: false }
}

/// What a person wrote. A wish of somebody whose number is not known is kept until it is.
async fn hear(db: &impl Db, sender: (i64, &str), update: &Update) -> Result<Vec<DeliveryKey>, StoreError> {
    let Update::Inbound { provider_message_id, from, lid, texts, replied_to, at } = update else {
        return Ok(Vec::new());
    };
    let (account_id, _) = sender;
    let person = Person { number: from.as_deref(), alias: lid.as_deref(), replied_to: replied_to.as_deref() };
    let (recipient, mut owed) = people::number(db, account_id, person).await?;
    if !recipients::hear(db, sender, provider_message_id, recipient.as_deref(), *at).await? {
        return Ok(owed);
    }
    let Some((text, wish)) = wishes::in_texts(db, account_id, texts).await? else { return Ok(owed) };
    let who = (recipient.as_deref(), lid.as_deref());
    owed.extend(wishes::heed(db, sender, who, (Some(text), wish), *at).await?);
    Ok(owed)
}

/// WhatsApp was heard of through the instance. Whether it is open by that: it was suspect because nothing was.
async fn heard_of(db: &impl Db, sender: (i64, &str), at: Timestamp) -> Result<bool, StoreError> {
    if !acknowledgements::heard(db, sender, at).await? || !instances::recovered(db, sender).await? {
        return Ok(false);
    }
    let (account_id, instance_id) = sender;
    info!(account_id, instance_id, "WhatsApp is heard of again; what was held leaves");
    Ok(true)
}

/// What became of the instance's connection to WhatsApp. Whether it is open by that.
async fn connected(
    db: &impl Db,
    sender: (i64, &str),
    update: &Update,
    at: Timestamp,
) -> Result<bool, StoreError> {
    let Update::Connection { state, code, number } = update else { return Ok(false) };
    let (account_id, instance_id) = sender;
    let code_shown = code.map(|code| format!(" (code {code})")).unwrap_or_default();
    let mut why = format!("evolution reports {}{code_shown}", state.as_str());
    let mut state = *state;
    // Whoever paired it with another phone may not have meant to: the customer's people would hear from a stranger.
    if let Some(number) = number
        && !instances::is_own_number(db, sender, number).await?
    {
        error!(
            account_id,
            instance_id, "the instance is connected with another number than before; it is held"
        );
        (state, why) =
            (Connection::Suspect, "evolution reports open with another number than before".to_owned());
    }
    let changed = instances::report_connection(db, sender, state, &why, at).await?;
    info!(account_id, instance_id, state = state.as_str(), code, changed, "a connection was reported");
    Ok(changed && state == Connection::Open)
}
