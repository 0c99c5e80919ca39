//! After a restore to an earlier moment: what had not ended by then may have been sent since.

use jiff::Timestamp;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::{Db, StoreError, owe};

/// Whose messages are doubted.
#[derive(Clone, Copy, Debug)]
pub struct Doubted<'a> {
    /// Of this account; `None`: of all.
    pub account_id: Option<i64>,
    /// Of this instance; `None`: of all.
    pub instance_id: Option<&'a str>,
    /// Until when they wait for evidence.
    pub until: Timestamp,
}

/// Messages doubted in one statement.
const BATCH: usize = 1_000;

const DOUBT: &str = concat!(
    "-- restored.doubt
with waiting as materialized (
    select account_id, message_id, instance_id, recipient, request_id, status, sequence, calls, in_flight,
           -- The call that may have been made since is not on record.
           not in_flight as guessed, ($4::uuid[])[row_number() over ()] as event_id
    from (select * from messages
          where due_at is not null and ($1::int8 is null or account_id = $1) and ($2::text is null or instance_id = $2)
            and (status in ('queued', 'sending') or (status = 'unknown' and (unsent or in_flight)))
          limit cardinality($4::uuid[]) for update) m
), doubted as (
    update messages m set
        status = 'unknown', sequence = m.sequence + (w.status <> 'unknown')::int, calls = m.calls + w.guessed::int,
        in_flight = false, unsent = false, lease = null, reached_provider = true, due_at = $3,
        -- A provider cannot be asked about a call whose time and id are not known.
        look_ups = case when w.guessed then 32767 else 0 end,
        not_before = null, slot_at = null, pair_reserved = false, updated_at = now()
    from waiting w where m.account_id = w.account_id and m.message_id = w.message_id
), guessed as (
    insert into attempts (account_id, message_id, attempt, finished_at, outcome, reason)
    select account_id, message_id, calls + 1, now(), 'unknown', 'restored to an earlier moment: it may have been sent since'
    from waiting where guessed
), closed as (
    update attempts a set finished_at = now(), outcome = 'unknown', reason = 'restored to a moment during the call'
    from waiting w where not w.guessed and a.account_id = w.account_id and a.message_id = w.message_id and a.attempt = w.calls
), told as (
    insert into events (account_id, event_id, kind, instance_id, message_id, recipient, status, previous_status,
                        sequence, request_id)
    select account_id, event_id, 'message.status_updated', instance_id, message_id, recipient, 'unknown', status,
           sequence + 1, request_id
    from waiting where status <> 'unknown'
    returning account_id, event_id, kind
), owed as (
",
    owe!(),
    "
)
select count(*) from waiting"
);

/// Takes some of the messages that wait to be sent for sent perhaps: their outcome is unknown, and they wait for evidence. Gives
/// how many; called again it takes the next ones.
///
/// # Errors
/// [`StoreError`].
pub async fn doubt(db: &impl Db, which: Doubted<'_>) -> Result<i64, StoreError> {
    let events: Vec<Uuid> = (0..BATCH).map(|_| Uuid::now_v7()).collect();
    let params: [&(dyn ToSql + Sync); 4] = [&which.account_id, &which.instance_id, &which.until, &events];
    Ok(db.query(DOUBT, &params).await?.first().map_or(0, |row| row.get(0)))
}

/// Messages whose outcome was unknown already wait as long: what was reported of them since is lost as well. Gives how many of
/// them did not.
///
/// # Errors
/// [`StoreError`].
pub async fn wait_longer(db: &impl Db, which: Doubted<'_>) -> Result<u64, StoreError> {
    const SQL: &str = "-- restored.wait_longer
        with few as materialized (
            select account_id, message_id from messages
            where due_at < $3 and status = 'unknown' and not unsent and not in_flight
              and ($1::int8 is null or account_id = $1) and ($2::text is null or instance_id = $2)
            limit 1000
        )
        update messages m set due_at = $3 from few
        where m.account_id = few.account_id and m.message_id = few.message_id and m.due_at < $3";
    db.execute(SQL, &[&which.account_id, &which.instance_id, &which.until]).await
}
