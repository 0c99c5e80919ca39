//! The group commit: many decisions made durable in one transaction of two round trips.
//!
//! The first locks the quota rows it needs in key order (so that two processes cannot deadlock) and gathers what the
//! decisions need ([`gather`]). An account's decisions are thereby taken one after the other, whatever process takes
//! them, and every count is exact. The second ([`Gathered::write`]) writes quota, idempotency keys, messages, what was
//! seen and the policy log, and commits.

mod counters;
mod gather;
mod write;

pub use gather::{Contact, Gathered, Known, Subject, gather, look};
pub use write::{Judged, Queued, Record};

use std::sync::Arc;

use jiff::civil::Date;
use uuid::Uuid;

use super::{Db, StoreError};
use crate::domain::account::{Limits, Periods};
use crate::domain::purpose::Purpose;
use crate::domain::refusal::Refusal;
use crate::domain::rules::{Rules, Signal};
use crate::domain::template::Template;

/// A request past authentication.
#[derive(Clone, Debug)]
pub struct Draft {
    /// The tenant.
    pub account_id: i64,
    /// The key that asks.
    pub key_id: Uuid,
    /// The request's id, for logs and events.
    pub request_id: String,
    /// The instance named, where the request got that far.
    pub instance_id: Option<String>,
    /// The allowed purpose, where the request got that far.
    pub purpose: Option<Purpose>,
    /// The account's limits; `None`: no active plan.
    pub limits: Option<Limits>,
    /// The account's day and month.
    pub periods: Periods,
    /// What is to be decided.
    pub asks: Asks,
}

/// What a draft asks for.
#[derive(Clone, Debug)]
pub enum Asks {
    /// Nothing more: it is refused, and only logged.
    Nothing(Refusal),
    /// To be accepted, unless what only the database knows speaks against it.
    Message(Box<NewMessage>),
}

/// What becomes a row of `messages`.
#[derive(Clone, Debug)]
pub struct NewMessage {
    /// UUIDv7, chosen by the process.
    pub message_id: Uuid,
    /// E.164 digits.
    pub recipient: String,
    /// Keyed hash of the recipient.
    pub recipient_hash: Vec<u8>,
    /// The text.
    pub body: String,
    /// The template that is sent in its place.
    pub template: Option<Template>,
    /// Why it is sent.
    pub purpose: Purpose,
    /// Seconds until it expires.
    pub validity_seconds: i32,
    /// `Idempotency-Key` and the SHA-256 of the body.
    pub idempotency: Option<(String, Vec<u8>)>,
    /// The rules its text was read by.
    pub rules: Arc<Rules>,
    /// What they found in it.
    pub signals: Vec<Signal>,
    /// What the counters know its text, recipient and instance by.
    pub keys: Keys,
}

/// 64 bits of keyed hashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keys {
    /// Of what makes two texts the same.
    pub text: i64,
    /// Of the recipient.
    pub recipient: i64,
    /// Of the instance.
    pub instance: i64,
}

impl Draft {
    /// The message, unless it is only to be logged.
    #[must_use]
    pub fn message(&self) -> Option<&NewMessage> {
        match &self.asks {
            Asks::Nothing(_) => None,
            Asks::Message(message) => Some(message),
        }
    }

    /// What no two drafts of one commit may share.
    #[must_use]
    pub fn idempotency_key(&self) -> Option<(i64, &str)> {
        let (key, _) = self.message()?.idempotency.as_ref()?;
        Some((self.account_id, key.as_str()))
    }
}

/// Makes the counters of the drafts' days and months where there are none yet.
///
/// # Errors
/// [`StoreError`].
pub async fn open_periods(db: &impl Db, drafts: &[Draft]) -> Result<(), StoreError> {
    const SQL: &str = "-- acceptance.open_periods
        insert into quota_usage (account_id, period, starts_on)
        select distinct * from (
            select account_id, 'day', day from unnest($1::int8[], $2::date[]) as d(account_id, day)
            union all
            select account_id, 'month', month from unnest($1::int8[], $3::date[]) as m(account_id, month)) p
        order by 1, 2, 3
        on conflict do nothing";
    let asking = || drafts.iter().filter(|draft| draft.message().is_some());
    let accounts: Vec<i64> = asking().map(|draft| draft.account_id).collect();
    let days: Vec<Date> = asking().map(|draft| draft.periods.day).collect();
    let months: Vec<Date> = asking().map(|draft| draft.periods.month).collect();
    db.execute(SQL, &[&accounts, &days, &months]).await?;
    Ok(())
}

fn column<'a, T>(drafts: &'a [Draft], read: impl Fn(&'a Draft) -> T) -> Vec<T> {
    drafts.iter().map(read).collect()
}

fn of<'a, T>(drafts: &'a [Draft], read: impl Fn(&'a NewMessage) -> T) -> Vec<Option<T>> {
    drafts.iter().map(|draft| draft.message().map(&read)).collect()
}
