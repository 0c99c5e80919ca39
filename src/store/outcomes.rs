//! Recording what became of messages: attempts, statuses, events, owed webhooks and returned quota in one commit.

use uuid::Uuid;

use super::span::{few, span};
use super::{Db, StoreError, owe};
use crate::domain::id::{DeliveryKey, MessageKey};
use crate::domain::retry::Next;

/// What is known of a message now.
#[derive(Clone, Debug)]
pub struct Record {
    /// Which message.
    pub key: MessageKey,
    /// The lease under which it was claimed.
    pub token: Uuid,
    /// The call this is the outcome of, if there was one.
    pub call: Option<Call>,
    /// What happens next.
    pub next: Next,
    /// Whether the provider has judged the message, or may have: its quota is used up then.
    pub reached_provider: bool,
    /// The error code shown to the customer, for messages that end badly.
    pub error: Option<&'static str>,
}

/// The outcome of one call, as the attempt's row keeps it.
#[derive(Clone, Debug)]
pub struct Call {
    /// The call's number.
    pub number: i16,
    /// `accepted`, `unknown`, or the class of the failure.
    pub outcome: &'static str,
    /// The provider's error code.
    pub code: Option<i32>,
    /// Why, in our words, and in the provider's where it gave any.
    pub reason: Option<String>,
    /// The provider's id of the message.
    pub provider_message_id: Option<String>,
}

/// How the statement calls what happens next.
fn name(next: Next) -> &'static str {
    match next {
        Next::Sent => "sent",
        Next::Unknown(_) => "unknown",
        Next::Failed => "failed",
        Next::Expired => "expired",
        Next::Again { .. } => "again",
    }
}

fn pause_ms(next: Next) -> i64 {
    match next {
        Next::Unknown(pause) | Next::Again { pause, .. } => {
            i64::try_from(pause.as_millis()).unwrap_or(i64::MAX)
        }
        Next::Sent | Next::Failed | Next::Expired => 0,
    }
}

const RECORD: &str = concat!(
        "-- outcomes.record
with input as materialized (
    select * from unnest($1::int8[], $2::uuid[], $3::uuid[], $4::int2[], $5::text[], $6::int8[], $7::bool[], $8::bool[],
                         $9::text[], $10::int4[], $11::text[], $12::text[], $13::text[], $14::uuid[])
        as i(account_id, message_id, token, call, next, pause_ms, counts, reached, outcome, code, reason,
             provider_message_id, error, event_id)
    order by account_id, message_id
), locked as materialized (
    select i.*, m.status as before, m.unsent, m.expires_at, m.sequence, m.instance_id, m.recipient, m.quota_day, m.quota_month, m.request_id,
           m.reached_provider or i.reached as reached_now
    from input i
    cross join lateral (select * from messages m
        where m.account_id = i.account_id and m.message_id = i.message_id and m.message_id between $15 and $16
          and (m.lease = i.token or (m.status = 'unknown' and m.calls = i.call))
        for update) m
), decided as materialized (
    select l.*, case
        when next = 'again' then before
        -- A callback may have been faster; it knows more than this.
        when before in ('queued', 'sending') or (before = 'unknown' and (unsent or next <> 'expired')) then next::message_status
        else before end as after
    from locked l
), noted as (
    update attempts a set finished_at = now(), outcome = d.outcome, code = d.code, reason = d.reason,
                          provider_message_id = coalesce(d.provider_message_id, a.provider_message_id)
    from decided d where a.account_id = d.account_id and a.message_id = d.message_id and a.attempt = d.call
      and a.message_id between $15 and $16 and ",
        few!("d"),
        "
), moved as (
    update messages m set
        status = d.after, sequence = m.sequence + (d.after <> d.before)::int, in_flight = false, lease = null,
        attempts = m.attempts + d.counts::int, reached_provider = d.reached_now,
        provider_message_id = coalesce(d.provider_message_id, m.provider_message_id),
        error = case when d.after <> d.before then d.error else m.error end,
        -- Unknown and to be tried again: evidence came late that the call did not send it.
        unsent = d.next = 'again' and d.before = 'unknown',
        due_at = case when d.next = 'again' and d.before in ('queued', 'sending', 'unknown')
                      then least(now() + d.pause_ms * interval '1 millisecond', greatest(d.expires_at, now()))
                      when d.after = 'unknown' then now() + d.pause_ms * interval '1 millisecond' end,
        not_before = case when d.next = 'again' then now() + d.pause_ms * interval '1 millisecond' end,
        slot_at = null, pair_reserved = false, updated_at = now()
    from decided d
    where m.account_id = d.account_id and m.message_id = d.message_id and m.message_id between $15 and $16 and ",
        few!("d"),
        "
), told as (
    insert into events (account_id, event_id, kind, instance_id, message_id, recipient, status, previous_status,
                        sequence, error, request_id)
    select account_id, event_id, 'message.status_updated', instance_id, message_id, recipient, after, before,
           sequence + 1, error, request_id
    from decided where after <> before
    returning account_id, event_id, kind
), owed as (
",
        owe!(),
        "
), unused as materialized (
    select account_id, 'day' as period, quota_day as starts_on, count(*)::int as messages
    from decided where after <> before and after in ('failed', 'expired') and not reached_now group by 1, 2, 3
    union all
    select account_id, 'month', quota_month, count(*)::int
    from decided where after <> before and after in ('failed', 'expired') and not reached_now group by 1, 2, 3
), counters as materialized (
    -- Locked in the order in which acceptance locks them.
    select u.* from (select * from unused order by 1, 2, 3) u
    cross join lateral (select used from quota_usage q
        where q.account_id = u.account_id and q.period = u.period and q.starts_on = u.starts_on for update) q
), returned as (
    update quota_usage q set used = greatest(0, q.used - c.messages)
    from counters c where q.account_id = c.account_id and q.period = c.period and q.starts_on = c.starts_on
)
select account_id, event_id, endpoint_id from owed"
    );

/// Records the outcomes that still hold: a record whose lease has passed to somebody else changes nothing, except that it
/// may settle what was given up as unknown. Gives the webhook deliveries that are owed now.
///
/// # Errors
/// [`StoreError`]; recording again is safe.
pub async fn record(db: &impl Db, records: &[Record]) -> Result<Vec<DeliveryKey>, StoreError> {
    fn column<'a, T>(records: &'a [Record], read: impl Fn(&'a Record) -> T) -> Vec<T> {
        records.iter().map(read).collect()
    }
    fn call<'a, T>(records: &'a [Record], read: impl Fn(&'a Call) -> Option<T>) -> Vec<Option<T>> {
        records.iter().map(|record| record.call.as_ref().and_then(&read)).collect()
    }
    let messages = column(records, |r| r.key.message_id);
    let (least, greatest) = span(&messages);
    let rows = db
        .query(
            RECORD,
            &[
                &column(records, |r| r.key.account_id),
                &messages,
                &column(records, |r| r.token),
                &call(records, |c| Some(c.number)),
                &column(records, |r| name(r.next)),
                &column(records, |r| pause_ms(r.next)),
                &column(records, |r| matches!(r.next, Next::Again { counts: true, .. })),
                &column(records, |r| r.reached_provider),
                &call(records, |c| Some(c.outcome)),
                &call(records, |c| c.code),
                &call(records, |c| c.reason.as_deref()),
                &call(records, |c| c.provider_message_id.as_deref()),
                &column(records, |r| r.error),
                &column(records, |_| Uuid::now_v7()),
                &least,
                &greatest,
            ],
        )
        .await?;
    Ok(rows.iter().map(owed).collect())
}

/// A row of `(account_id, event_id, endpoint_id)`.
pub(super) fn owed(row: &tokio_postgres::Row) -> DeliveryKey {
    DeliveryKey { account_id: row.get(0), event_id: row.get(1), endpoint_id: row.get(2) }
}
