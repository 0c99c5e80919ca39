//! Rows that somebody must look at again: the net under every lost publish and every dead process.

use jiff::Timestamp;
use tokio_postgres::Row;
use uuid::Uuid;

use super::{Db, StoreError};
use crate::domain::id::{DeliveryKey, MessageKey};
use crate::domain::purpose::Lane;

/// Milliseconds until one that was taken up is looked at again, if that is not recorded.
const TAKEN_UP_MS: i64 = 4_000;

/// Why a due message needs more than a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Its validity ended before it was sent.
    Expired,
    /// Its worker died while the provider was being called.
    CallLost,
    /// No evidence of an unknown outcome came in time.
    NoEvidence,
}

/// A message that has come to an end.
#[derive(Clone, Debug)]
pub struct Due {
    /// Which.
    pub key: MessageKey,
    /// Why.
    pub ending: Ending,
    /// The number of its last call.
    pub call: i16,
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

/// Up to `most` accounts that have messages of this lane which are not final, in the order of their ids, from the one behind
/// `after` on. Fewer than `most`: there are no more.
///
/// # Errors
/// [`StoreError`].
pub async fn tenants(db: &impl Db, lane: Lane, after: i64, most: i32) -> Result<Vec<i64>, StoreError> {
    // Leaps from account to account in the index, whatever their messages' number.
    const SQL: &str = "-- due.tenants
        with recursive tenants as (
            (select account_id, 1 as n from messages
             where lane = $1 and due_at is not null and account_id > $2 order by account_id limit 1)
            union all
            select next.account_id, t.n + 1 from tenants t
            cross join lateral (
                select account_id from messages
                where lane = $1 and due_at is not null and account_id > t.account_id order by account_id limit 1) next
            where t.n < $3
        )
        select account_id from tenants order by account_id";
    Ok(db.query(SQL, &[&lane.as_str(), &after, &most]).await?.iter().map(|row| row.get(0)).collect())
}

/// A message that is due and may be claimed; one that was resent and has expired is ended by sweep.
macro_rules! claimable {
    () => {
        "due_at <= now() and not in_flight
         and (status in ('queued', 'sending') or (status = 'unknown' and unsent and expires_at > now()))"
    };
}

/// Up to `most` messages that are due and may be claimed, the longest due first.
///
/// # Errors
/// [`StoreError`].
pub async fn claimable(db: &impl Db, lane: Lane, most: i64) -> Result<Vec<MessageKey>, StoreError> {
    const SQL: &str = concat!(
        "-- due.claimable
        select account_id, message_id from messages
        where lane = $1 and ",
        claimable!(),
        " order by due_at limit $2"
    );
    Ok(db.query(SQL, &[&lane.as_str(), &most]).await?.iter().map(key).collect())
}

/// The same of each of these accounts, up to `each`.
///
/// # Errors
/// [`StoreError`].
pub async fn claimable_of(
    db: &impl Db,
    lane: Lane,
    tenants: &[i64],
    each: i64,
) -> Result<Vec<MessageKey>, StoreError> {
    const SQL: &str = concat!(
        "-- due.claimable_of
        select t.account_id, m.message_id
        from unnest($2::int8[]) as t(account_id)
        cross join lateral (
            select message_id from messages
            where lane = $1 and account_id = t.account_id and ",
        claimable!(),
        " order by due_at limit $3) m"
    );
    Ok(db.query(SQL, &[&lane.as_str(), &tenants, &each]).await?.iter().map(key).collect())
}

fn key(row: &Row) -> MessageKey {
    MessageKey { account_id: row.get(0), message_id: row.get(1) }
}

/// How far a look at due messages has come: in the order of their time.
pub type Position = (Timestamp, Uuid);

/// What a look at due messages found.
#[derive(Default)]
pub struct Ends {
    /// Those that have come to an end, under the lease asked for.
    pub ended: Vec<Due>,
    /// Where it ended, if there are more due messages than it looked at.
    pub position: Option<Position>,
}

const ENDS: &str = "-- due.ends
with looked as materialized (
    select * from messages
    where lane = $1 and due_at <= now() and due_at >= $2 and (due_at, message_id) > ($2, $3)
    order by due_at, message_id limit $4
), ends as materialized (
    select l.account_id, l.message_id, l.due_at, case
        when l.status > 'unknown' then 'final'
        when l.in_flight then 'call_lost'
        when l.status = 'unknown' and not l.unsent then
            case when n.on_unknown = 'resend' and l.expires_at > now() and not l.resent then 'resend'
                 else 'no_evidence' end
        -- Resent, but never called again: the first call may have been the one that sent it.
        when l.expires_at <= now() then case when l.status = 'unknown' and l.resent then 'no_evidence' else 'expired' end
        end as what
    from looked l
    join instances n on n.account_id = l.account_id and n.instance_id = l.instance_id
), due as materialized (
    select e.account_id, e.message_id, e.what, m.calls
    from ends e
    cross join lateral (
        select calls from messages m
        where m.account_id = e.account_id and m.message_id = e.message_id and m.due_at = e.due_at
        for update skip locked) m
    where e.what is not null
), taken as (
    update messages m set
        lease = case when d.what in ('call_lost', 'no_evidence', 'expired') then $6::uuid
                     when d.what = 'final' then m.lease end,
        -- The instance's setting stands in for the evidence that it was not sent.
        unsent = m.unsent or d.what = 'resend', resent = m.resent or d.what = 'resend',
        due_at = case d.what when 'final' then null when 'resend' then now()
                             else now() + $5::int8 * interval '1 millisecond' end
    from due d
    where m.account_id = d.account_id and m.message_id = d.message_id
    returning m.account_id, m.message_id, d.what, d.calls
)
select account_id, message_id, what, calls, null::timestamptz from taken
union all
(select account_id, message_id, 'looked', null, due_at from looked order by due_at, message_id offset $4 - 1)";

/// Looks at up to `most` due messages from a position on, and takes up those that have come to an end: they are given the
/// lease `token`, under which that is to be recorded in the same transaction. One whose instance wants it sent again is left
/// to the workers.
///
/// # Errors
/// [`StoreError`].
pub async fn ends(
    db: &impl Db,
    lane: Lane,
    (after, id): Position,
    most: i64,
    token: Uuid,
) -> Result<Ends, StoreError> {
    let rows = db.query(ENDS, &[&lane.as_str(), &after, &id, &most, &TAKEN_UP_MS, &token]).await?;
    let mut ends = Ends::default();
    for row in &rows {
        let ending = match row.get::<_, &str>(2) {
            "expired" => Ending::Expired,
            "call_lost" => Ending::CallLost,
            "no_evidence" => Ending::NoEvidence,
            "looked" => {
                ends.position = Some((row.get(4), row.get(1)));
                continue;
            }
            _ => continue,
        };
        ends.ended.push(Due { key: key(row), ending, call: row.get(3) });
    }
    Ok(ends)
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
