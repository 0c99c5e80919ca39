//! How messages fare: reports find their messages and raise them.

use std::collections::{BTreeSet, HashMap};

use crate::callbacks::ReportedStatus;
use crate::domain::effect::Effect;
use crate::domain::id::{DeliveryKey, MessageKey};
use crate::domain::status::{Report, Status};
use crate::store::effects::{self, Concerned};
use crate::store::reports::{self, Known, Named, Rise};
use crate::store::{Db, StoreError};

/// One status report: what it names, and what it says.
pub(super) struct Reported {
    /// Which callback says it, of those that are applied together.
    pub(super) callback: usize,
    pub(super) named: Named,
    /// The call our own mark names.
    pub(super) call: Option<i16>,
    pub(super) status: ReportedStatus,
    /// The provider's own id of the recipient: the message tells whose it is.
    pub(super) alias: Option<String>,
    /// It tells of a time long past: what it says of the sender may not be so any more.
    pub(super) stale: bool,
}

/// What reports came to.
#[derive(Default)]
pub(super) struct Heard {
    /// The webhook deliveries owed.
    pub(super) owed: Vec<DeliveryKey>,
    /// The accounts, provider's ids and numbers of recipients, as the messages told.
    pub(super) aliases: Vec<(i64, String, String)>,
    /// To whom a message has failed by this.
    pub(super) rejected: Vec<String>,
    /// The callbacks that report on a message that is not known yet.
    pub(super) not_yet: BTreeSet<usize>,
}

pub(super) async fn apply(db: &impl Db, reported: Vec<Reported>) -> Result<Heard, StoreError> {
    if reported.is_empty() {
        return Ok(Heard::default());
    }
    let names: Vec<Named> = reported.iter().map(|report| report.named.clone()).collect();
    let known = reports::lock(db, &names).await?;
    let mut heard = Heard::default();
    let mut now: HashMap<MessageKey, Status> = HashMap::new();
    let mut rises = Vec::new();
    for (mut report, known) in reported.into_iter().zip(known) {
        let (key, stored, recipient, instance_id, calls, call) = match known {
            Known::Message { key, status, recipient, instance_id, calls, call } => {
                (key, status, recipient, instance_id, calls, call)
            }
            Known::NotYet => {
                heard.not_yet.insert(report.callback);
                continue;
            }
            Known::Foreign => continue,
        };
        if let Some(alias) = report.alias.take() {
            heard.aliases.push((key.account_id, alias, recipient.clone()));
        }
        report.call = report.call.or(call);
        let failure = match &report.status {
            ReportedStatus::Failed(failure) => Some(failure.clone()),
            ReportedStatus::Sent | ReportedStatus::Delivered | ReportedStatus::Read => None,
        };
        // A failure of an earlier call says nothing of the one that followed it.
        if failure.is_some() && report.call.is_some_and(|call| call < calls) {
            continue;
        }
        let status = now.entry(key).or_insert(stored);
        let (stale, call) = (report.stale, report.call.unwrap_or(calls));
        let Some(rise) = rise(report, key, *status) else { continue };
        *status = rise.to;
        rises.push(rise);
        let Some(failure) = failure else { continue };
        heard.rejected.push(recipient.clone());
        let concerned = Concerned {
            account_id: key.account_id,
            instance_id: &instance_id,
            recipient: Some(&recipient),
            reason: &failure.reason,
        };
        // Only Meta reports that it refuses a sender, and says itself for how long.
        for effect in failure.effects(u8::try_from(call).unwrap_or(u8::MAX), failure.retry_after) {
            if !stale || effect == Effect::OptOut {
                heard.owed.extend(effects::carry_out(db, concerned, effect).await?);
            }
        }
    }
    heard.owed.extend(reports::raise(db, &rises).await?);
    Ok(heard)
}

fn rise(report: Reported, key: MessageKey, from: Status) -> Option<Rise> {
    let (said, error, reason) = match report.status {
        ReportedStatus::Sent => (Report::Sent, None, None),
        ReportedStatus::Delivered => (Report::Delivered, None, None),
        ReportedStatus::Read => (Report::Read, None, None),
        ReportedStatus::Failed(failure) => {
            let code = failure.code.map(|code| format!(" (code {code})")).unwrap_or_default();
            (Report::Failed, Some(failure.shown_error()), Some(format!("{}{code}", failure.reason)))
        }
    };
    let to = from.after(said)?;
    let provider_message_id = report.named.provider_message_id;
    Some(Rise { key, from, to, error, reason, provider_message_id, call: report.call })
}
