//! Rows that somebody must look at again: the net under every lost publish and every dead process.

use uuid::Uuid;

use super::{Db, StoreError};
use crate::domain::id::{DeliveryKey, MessageKey};
use crate::domain::purpose::Lane;

/// Why a due message needs more than a new publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Its validity ended before it was sent.
    Expired,
    /// Its worker died while the provider was being called.
    CallLost,
    /// No evidence of an unknown outcome came in time.
    NoEvidence,
}

/// A due message.
#[derive(Clone, Debug)]
pub struct Due {
    /// Which.
    pub key: MessageKey,
    /// `None`: to be published again.
    pub ending: Option<Ending>,
    /// The number of its last call.
    pub call: i16,
}

/// How a lane's due messages are put off when they are taken up.
#[derive(Clone, Copy, Debug)]
pub struct Pauses {
    /// Milliseconds until a published one is looked at again.
    pub published_ms: i64,
    /// Milliseconds until one is looked at again that is not published, because the queue is full or away; `None`: they
    /// are published.
    pub busy_ms: Option<i64>,
}

/// Whether this process leads this round: it holds a lock until its transaction ends.
///
/// # Errors
/// [`StoreError`].
pub async fn lead(db: &impl Db) -> Result<bool, StoreError> {
    const SQL: &str = "-- due.lead
        select pg_try_advisory_xact_lock(7092455219)";
    Ok(db.query(SQL, &[]).await?.first().is_some_and(|row| row.get(0)))
}

const MESSAGES: &str = "-- due.messages
with due as materialized (
    select m.account_id, m.message_id, m.lane, m.calls, case
        when m.status > 'unknown' then 'final'
        when m.in_flight then 'call_lost'
        when m.status = 'unknown' and not m.unsent then
            case when n.on_unknown = 'resend' and m.expires_at > now() and not m.resent then 'resend'
                 else 'no_evidence' end
        -- Resent, but never called again: the first call may have been the one that sent it.
        when m.expires_at <= now() then case when m.status = 'unknown' and m.resent then 'no_evidence' else 'expired' end
        when n.paused_at is not null or (n.connection <> 'open' and n.probe is distinct from m.message_id) then 'held'
        when n.hold_until > now() then 'throttled'
        when $4::int8 is not null then 'busy'
        else 'publish' end as what,
        n.hold_until, m.expires_at
    from (select * from messages where lane = $1 and due_at <= now() order by due_at limit $2 for update skip locked) m
    join instances n on n.account_id = m.account_id and n.instance_id = m.instance_id
)
update messages m set
    lease = case when d.what in ('call_lost', 'no_evidence', 'expired') then $5::uuid
                 when d.what = 'final' then m.lease end,
    -- The instance's setting stands in for the evidence that it was not sent.
    unsent = m.unsent or d.what = 'resend', resent = m.resent or d.what = 'resend',
    due_at = case d.what
        when 'final' then null
        when 'held' then least(now() + interval '15 seconds', greatest(d.expires_at, now() + interval '1 second'))
        when 'throttled' then least(d.hold_until, d.expires_at)
        when 'busy' then now() + $4::int8 * interval '1 millisecond'
        else now() + $3::int8 * interval '1 millisecond' end
from due d
where m.account_id = d.account_id and m.message_id = d.message_id
returning m.account_id, m.message_id, d.what, d.calls";

/// Takes up a lane's due messages, at most `limit`, and moves their `due_at` on. Those that have come to an end are given
/// the lease `token`, under which it is to be recorded in the same transaction. Also tells whether there may be more.
///
/// # Errors
/// [`StoreError`].
pub async fn messages(
    db: &impl Db,
    lane: Lane,
    limit: i64,
    pauses: Pauses,
    token: Uuid,
) -> Result<(Vec<Due>, bool), StoreError> {
    let rows =
        db.query(MESSAGES, &[&lane.as_str(), &limit, &pauses.published_ms, &pauses.busy_ms, &token]).await?;
    let due = rows.iter().filter_map(|row| {
        let ending = match row.get::<_, &str>(2) {
            "publish" | "resend" => None,
            "expired" => Some(Ending::Expired),
            "call_lost" => Some(Ending::CallLost),
            "no_evidence" => Some(Ending::NoEvidence),
            _ => return None,
        };
        let key = MessageKey { account_id: row.get(0), message_id: row.get(1) };
        Some(Due { key, ending, call: row.get(3) })
    });
    Ok((due.collect(), i64::try_from(rows.len()).is_ok_and(|taken| taken == limit)))
}

/// Takes up due webhook deliveries, at most `limit`, and moves their `due_at` on.
///
/// # Errors
/// [`StoreError`].
pub async fn deliveries(db: &impl Db, limit: i64, published_ms: i64) -> Result<Vec<DeliveryKey>, StoreError> {
    const SQL: &str = "-- due.deliveries
        with due as materialized (
            select account_id, event_id, endpoint_id from webhook_deliveries
            where due_at <= now() order by due_at limit $1 for update skip locked
        )
        update webhook_deliveries d set lease = null, due_at = now() + $2::int8 * interval '1 millisecond'
        from due where d.account_id = due.account_id and d.event_id = due.event_id and d.endpoint_id = due.endpoint_id
        returning d.account_id, d.event_id, d.endpoint_id";
    let rows = db.query(SQL, &[&limit, &published_ms]).await?;
    Ok(rows.iter().map(super::outcomes::owed).collect())
}

/// Forgets the pacing of pairs that have rested, at most `limit`; gives how many.
///
/// # Errors
/// [`StoreError`].
pub async fn forget_rested_pairs(db: &impl Db, limit: i64) -> Result<u64, StoreError> {
    const SQL: &str = "-- due.forget_rested_pairs
        delete from recipient_pacing where (account_id, instance_id, recipient) in (
            select account_id, instance_id, recipient from recipient_pacing
            where next_at < now() - interval '1 minute' order by next_at limit $1 for update skip locked)";
    db.execute(SQL, &[&limit]).await
}
