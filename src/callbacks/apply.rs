//! Stored callbacks take effect: statuses rise, opt-outs stand, senders are held, all in one commit per callback.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::meta_payload::{self, ReportedStatus, Update};
use crate::broker::{Publisher, Queue};
use crate::domain::id::{DeliveryKey, MessageKey};
use crate::domain::job::Kind;
use crate::domain::opt_out::{self, Wish};
use crate::domain::outcome::{Class, Failure, Scope};
use crate::domain::retry::THROTTLE_PAUSE;
use crate::domain::status::{Report, Status};
use crate::runtime::retry::until_ok;
use crate::store::callbacks::{self, Callback};
use crate::store::recipients::{self, Change};
use crate::store::reports::{self, Known, Named, Rise};
use crate::store::{Db, Pool, StoreError, senders};

/// Callbacks taken up at once.
const BATCH: i64 = 16;
/// A callback that was taken up and not settled is due again after this time.
const LEASE_MS: i64 = 30_000;
/// How often to look for callbacks nobody announced.
const INTERVAL: Duration = Duration::from_secs(1);
/// Reports of messages that are not known yet are tried again, each time after twice as long …
const AGAIN_MS: i64 = 1_000;
/// … for this long after they arrived: by then the send has been recorded, or the message is not ours.
const GIVE_UP_SECONDS: i64 = 600;

/// Applies callbacks.
pub(super) struct Applier {
    pool: Pool,
    publisher: Publisher,
    arrived: Arc<Notify>,
}

/// What one callback's commit leaves to do.
#[derive(Default)]
struct Applied {
    owed: Vec<DeliveryKey>,
    not_yet: bool,
}

impl Applier {
    pub(super) fn new(pool: Pool, publisher: Publisher, arrived: Arc<Notify>) -> Self {
        Self { pool, publisher, arrived }
    }

    /// Applies what is due, until `stop`.
    pub(super) async fn run(self, stop: CancellationToken) {
        loop {
            let taken = until_ok("callbacks", &stop, || async {
                callbacks::take(&self.pool.get().await?, BATCH, LEASE_MS).await
            })
            .await;
            let Some(taken) = taken else { return };
            let more = !taken.is_empty();
            for callback in taken {
                match self.apply(&callback).await {
                    Ok(owed) => self.publisher.publish_all(Queue::Notify, Kind::Notify, &owed).await,
                    // It is due again when its lease ends.
                    Err(error) => warn!(%error, "a callback could not be applied yet"),
                }
            }
            if more {
                continue;
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.arrived.notified() => {}
                () = tokio::time::sleep(INTERVAL) => {}
            }
        }
    }

    async fn apply(&self, callback: &Callback) -> Result<Vec<DeliveryKey>, StoreError> {
        let updates = match meta_payload::parse(&callback.body, callback.received_at) {
            Ok(payload) => payload.updates,
            Err(error) => {
                warn!(%error, "a signed callback is not of the expected form");
                Vec::new()
            }
        };
        let mut session = self.pool.get().await?;
        let transaction = session.begin().await?;
        let (reported, others): (Vec<Update>, Vec<Update>) =
            updates.into_iter().partition(|update| matches!(update, Update::Status { .. }));
        let mut applied = apply_reports(&transaction, reported).await?;
        let mut known = HashMap::new();
        // Taken up again for a report that has to wait, the rest has had its effect, and may have been overtaken.
        for update in others.iter().filter(|_| !callback.heard) {
            applied.owed.extend(apply_other(&transaction, update, &mut known).await?);
        }
        let again = applied.not_yet && callback.age_seconds < GIVE_UP_SECONDS;
        let again_ms = again.then(|| AGAIN_MS << callback.tries.clamp(0, 6));
        callbacks::settle(&transaction, callback.account_id, &callback.body_hash, again_ms).await?;
        transaction.commit().await?;
        Ok(applied.owed)
    }
}

/// One status report: what it names, and what it says.
struct Reported {
    named: Named,
    call: Option<i16>,
    status: ReportedStatus,
}

async fn apply_reports(db: &impl Db, updates: Vec<Update>) -> Result<Applied, StoreError> {
    let reported: Vec<Reported> = updates.into_iter().filter_map(reported).collect();
    if reported.is_empty() {
        return Ok(Applied::default());
    }
    let names: Vec<Named> = reported.iter().map(|report| report.named.clone()).collect();
    let known = reports::lock(db, &names).await?;
    let mut applied = Applied::default();
    let mut now: HashMap<MessageKey, Status> = HashMap::new();
    let mut rises = Vec::new();
    for (report, known) in reported.into_iter().zip(known) {
        let (key, stored, recipient, instance_id, calls) = match known {
            Known::Message { key, status, recipient, instance_id, calls } => {
                (key, status, recipient, instance_id, calls)
            }
            Known::NotYet => {
                applied.not_yet = true;
                continue;
            }
            Known::Foreign => continue,
        };
        let failure = match &report.status {
            ReportedStatus::Failed(failure) => Some(failure.clone()),
            ReportedStatus::Sent | ReportedStatus::Delivered | ReportedStatus::Read => None,
        };
        // A failure of an earlier call says nothing of the one that followed it.
        if failure.is_some() && report.call.is_some_and(|call| call < calls) {
            continue;
        }
        let status = now.entry(key).or_insert(stored);
        let Some(rise) = rise(report, key, *status) else { continue };
        *status = rise.to;
        rises.push(rise);
        if failure.is_some_and(|failure| failure.opt_out) {
            let change = Change {
                account_id: key.account_id,
                instance_id: &instance_id,
                recipient: &recipient,
                text: None,
                reason: "recipient_stopped_marketing",
                at: None,
            };
            applied.owed.extend(recipients::opt_out(db, change, false).await?);
        }
    }
    applied.owed.extend(reports::raise(db, &rises).await?);
    Ok(applied)
}

fn reported(update: Update) -> Option<Reported> {
    let Update::Status { phone_number_id, provider_message_id, status, opaque, .. } = update else {
        return None;
    };
    let marked = opaque.as_deref().and_then(mark);
    let named = Named { phone_number_id, provider_message_id, marked: marked.map(|(key, _)| key) };
    Some(Reported { named, call: marked.map(|(_, call)| call), status })
}

/// Our own mark on an attempt: `account/message:call`.
fn mark(opaque: &str) -> Option<(MessageKey, i16)> {
    let (key, call) = opaque.rsplit_once(':')?;
    Some((key.parse().ok()?, call.parse().ok()?))
}

fn rise(report: Reported, key: MessageKey, from: Status) -> Option<Rise> {
    let (said, error, reason) = match report.status {
        ReportedStatus::Sent => (Report::Sent, None, None),
        ReportedStatus::Delivered => (Report::Delivered, None, None),
        ReportedStatus::Read => (Report::Read, None, None),
        ReportedStatus::Failed(failure) => {
            let code = failure.code.map(|code| format!(" (code {code})")).unwrap_or_default();
            (Report::Failed, Some("gateway_send_failed"), Some(format!("{}{code}", failure.reason)))
        }
    };
    let to = from.after(said)?;
    let provider_message_id = report.named.provider_message_id;
    Some(Rise { key, from, to, error, reason, provider_message_id, call: report.call })
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
    let Some((text, wish)) = texts.iter().find_map(|text| Some((text, opt_out::wish(text)?))) else {
        return Ok(Vec::new());
    };
    let recipient = match (from, replied_to) {
        (Some(from), _) => Some(from.clone()),
        (None, Some(ours)) => recipients::of_message(db, account_id, ours).await?,
        (None, None) => None,
    };
    let Some(recipient) = recipient else {
        warn!(account_id, instance_id, ?wish, "somebody without a number asked for it");
        return Ok(Vec::new());
    };
    info!(account_id, instance_id, ?wish, "a recipient changed their mind");
    let (recipient, text) = (recipient.as_str(), Some(text.as_str()));
    let change = |reason| Change { account_id, instance_id, recipient, text, reason, at: Some(*at) };
    match wish {
        Wish::OptOut => recipients::opt_out(db, change("recipient_requested_stop"), true).await,
        Wish::OptIn => recipients::opt_in(db, change("recipient_requested_start"), true).await,
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
