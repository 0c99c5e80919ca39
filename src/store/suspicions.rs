//! Instances that may be unable to send: why, when they are tried again, and the one message that tries.

use std::time::Duration;

use tokio_postgres::Row;
use uuid::Uuid;

use super::conversations::outside_window;
use super::suppressions::{outdated, unwanted};
use super::{Db, StoreError, in_force, outcomes, owe};
use crate::domain::id::DeliveryKey;
use crate::domain::suspicion::{Cause, Earlier, first_pause, longer};

/// Why an instance becomes suspect.
#[derive(Clone, Copy, Debug)]
pub struct Doubt<'a> {
    /// What gives rise to it.
    pub cause: Cause,
    /// Why, for operators and customers.
    pub reason: &'a str,
    /// The pause until it is tried the first time; `None`: it waits for an operator.
    pub heals_after: Option<Duration>,
}

/// Marks an open instance as suspect: its messages wait untouched. Gives the webhook deliveries owed for it; none where it
/// was not open.
///
/// # Errors
/// [`StoreError`].
pub async fn suspect(
    db: &impl Db,
    (account_id, instance_id): (i64, &str),
    doubt: Doubt<'_>,
) -> Result<Vec<DeliveryKey>, StoreError> {
    const EARLIER: &str = "-- suspicions.earlier
        select pause_ms, (extract(epoch from now() - recovered_at) * 1000)::int8 from suspicions
        where account_id = $1 and instance_id = $2 and recovered_at is not null";
    const SQL: &str = concat!(
        "-- suspicions.suspect
        with changed as (
            update instances set connection = 'suspect', connection_by = 'provider', hold_reason = $3, probe = null
            where account_id = $1 and instance_id = $2 and connection = 'open'
            returning account_id, instance_id
        ), noted as (
            insert into suspicions as s (account_id, instance_id, cause, probe_at, pause_ms)
            select account_id, instance_id, $5, case when $6 then now() + $7::int8 * interval '1 millisecond' end, $7
            from changed
            on conflict (account_id, instance_id) do update
                set cause = excluded.cause, since = now(), probe_at = excluded.probe_at, pause_ms = excluded.pause_ms,
                    tries = 0, recovered_at = null
        ), told as (
            insert into events (account_id, event_id, kind, instance_id, state, previous_state, reason)
            select account_id, $4, 'instance.connection_updated', instance_id, 'suspect', 'open', $3 from changed
            returning account_id, event_id, kind
        )
",
        owe!()
    );
    let rows = db.query(EARLIER, &[&account_id, &instance_id]).await?;
    let earlier = rows.first().map(|row| Earlier { pause: pause(row.get(0)), recovered: pause(row.get(1)) });
    let wait = doubt.heals_after.map(|usual| first_pause(usual, earlier));
    let (heals, wait_ms) = (wait.is_some(), millis(wait.unwrap_or_default()));
    let (cause, event_id) = (doubt.cause.as_str(), Uuid::now_v7());
    let rows = db
        .query(SQL, &[&account_id, &instance_id, &doubt.reason, &event_id, &cause, &heals, &wait_ms])
        .await?;
    Ok(rows.iter().map(outcomes::owed).collect())
}

/// Opens an instance again that is suspect for this reason and no other. Gives the webhook deliveries owed for it.
///
/// # Errors
/// [`StoreError`].
pub async fn clear(
    db: &impl Db,
    (account_id, instance_id): (i64, &str),
    reason: &str,
) -> Result<Vec<DeliveryKey>, StoreError> {
    const SQL: &str = concat!(
        "-- suspicions.clear
        with changed as (
            update instances set connection = 'open', hold_reason = null, probe = null
            where account_id = $1 and instance_id = $2 and connection = 'suspect' and connection_by = 'provider'
              and hold_reason = $3
            returning account_id, instance_id
        ), settled as (
            update suspicions s set probe_at = null, recovered_at = now() from changed c
            where s.account_id = c.account_id and s.instance_id = c.instance_id
        ), told as (
            insert into events (account_id, event_id, kind, instance_id, state, previous_state, reason)
            select account_id, $4, 'instance.connection_updated', instance_id, 'open', 'suspect', 'provider' from changed
            returning account_id, event_id, kind
        )
",
        owe!()
    );
    let rows = db.query(SQL, &[&account_id, &instance_id, &reason, &Uuid::now_v7()]).await?;
    Ok(rows.iter().map(outcomes::owed).collect())
}

/// A suspect instance whose time has come.
#[derive(Clone, Debug)]
pub struct Overdue {
    /// The tenant.
    pub account_id: i64,
    /// The instance.
    pub instance_id: String,
    /// The message that was let through and has shown nothing in time; `None`: one may be let through.
    pub probe: Option<Uuid>,
}

/// Suspect instances whose time has come: their try has failed, or, where nobody needs to be asked before, they may be tried.
///
/// # Errors
/// [`StoreError`].
pub async fn overdue(db: &impl Db, most: i64) -> Result<Vec<Overdue>, StoreError> {
    const SQL: &str = "-- suspicions.overdue
        select s.account_id, s.instance_id, n.probe from suspicions s
        join instances n on n.account_id = s.account_id and n.instance_id = s.instance_id
        where s.probe_at <= now() and n.connection = 'suspect' and n.paused_at is null
          and (n.probe is not null or n.provider <> 'evolution')
        order by s.probe_at limit $1";
    let rows = db.query(SQL, &[&most]).await?;
    let read = |row: &Row| Overdue { account_id: row.get(0), instance_id: row.get(1), probe: row.get(2) };
    Ok(rows.iter().map(read).collect())
}

/// Looks at a suspect instance again after `pause`: there was nothing to try it by.
///
/// # Errors
/// [`StoreError`].
pub async fn put_off(
    db: &impl Db,
    (account_id, instance_id): (i64, &str),
    pause: Duration,
) -> Result<(), StoreError> {
    const SQL: &str = "-- suspicions.put_off
        update suspicions set probe_at = now() + $3::int8 * interval '1 millisecond'
        where account_id = $1 and instance_id = $2 and probe_at <= now()";
    db.execute(SQL, &[&account_id, &instance_id, &millis(pause)]).await?;
    Ok(())
}

/// What became of a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tried {
    /// One message may leave.
    LetThrough,
    /// There is none, and none was before: its provider's word is all there is.
    Untried(Cause),
    /// Its time has not come, one is under way, there is none, or it is not suspect any more.
    NotNow,
}

/// Lets exactly one of a suspect instance's messages through, whoever asks: it has `limit` to show that the instance can
/// send. The message is due at once.
///
/// # Errors
/// [`StoreError`].
pub async fn try_one(
    db: &impl Db,
    (account_id, instance_id): (i64, &str),
    limit: Duration,
) -> Result<Tried, StoreError> {
    const SQL: &str = concat!(
        "-- suspicions.try_one
        with held as materialized (
            select n.account_id, n.instance_id, n.texts_hold_until, n.templates_hold_until, n.outside_window, n.listening_since,
                   s.cause, s.tries
            from instances n
            join suspicions s on s.account_id = n.account_id and s.instance_id = n.instance_id
            where n.account_id = $1 and n.instance_id = $2 and n.connection = 'suspect' and n.paused_at is null
              and n.probe is null and s.probe_at <= now() and (n.hold_until is null or n.hold_until <= now())
            for update of n
        ), waiting as materialized (
            -- One that may not leave yet, as what was refused a moment ago, is waited for. Found among what is due first, of
            -- which what is held is always part, so that nobody's old messages are read through. What is held for another
            -- reason, or fails without a call, would show nothing.
            select c.account_id, c.message_id, n.instance_id, c.ready from held n
            cross join lateral (
                select c.account_id, c.message_id, c.not_before is null or c.not_before <= now() as ready
                from (values ('priority'), ('standard')) l(lane)
                cross join lateral (
                    select account_id, message_id, instance_id, recipient, lane, due_at, status, unsent, in_flight, lease,
                           not_before, expires_at, purpose, confirmation, free_text
                    from messages where lane = l.lane and due_at is not null order by due_at limit 10000) c
                where c.account_id = n.account_id and c.instance_id = n.instance_id
                  and (c.status in ('queued', 'sending') or (c.status = 'unknown' and c.unsent)) and not c.in_flight
                  and c.lease is null and (c.not_before is null or c.not_before <= now() + interval '1 minute')
                  and c.expires_at > now() + interval '5 seconds'
                  and coalesce(case when c.free_text then n.texts_hold_until else n.templates_hold_until end <= now(), true)
                  and not (c.free_text and ",
        outside_window!(),
        ") and not ",
        unwanted!("c"),
        " and not ",
        outdated!("c"),
        "
                order by ready desc, c.lane, c.due_at limit 1) c
        ), let_through as (
            update instances n set probe = w.message_id from waiting w
            where w.ready and n.account_id = w.account_id and n.instance_id = w.instance_id
        ), timed as (
            update suspicions s set probe_at = now() + $3::int8 * interval '1 millisecond' from waiting w
            where w.ready and s.account_id = w.account_id and s.instance_id = w.instance_id
        ), made_due as (
            update messages m set due_at = now() from waiting w
            where w.ready and m.account_id = w.account_id and m.message_id = w.message_id and m.lease is null
              and not m.in_flight
        )
        select h.cause, h.tries = 0, w.ready from held h left join waiting w on true"
    );
    let rows = db.query(SQL, &[&account_id, &instance_id, &millis(limit)]).await?;
    let Some(row) = rows.first() else { return Ok(Tried::NotNow) };
    Ok(match (row.get::<_, Option<bool>>(2), row.get(1)) {
        (Some(true), _) => Tried::LetThrough,
        (None, true) => Tried::Untried(cause(row)?),
        (Some(false), _) | (None, false) => Tried::NotNow,
    })
}

/// Why the instance is suspect for which this message was let through; `None`: it is not, any more.
///
/// # Errors
/// [`StoreError`].
pub async fn tried_by(
    db: &impl Db,
    (account_id, instance_id): (i64, &str),
    message_id: Uuid,
) -> Result<Option<Cause>, StoreError> {
    const SQL: &str = "-- suspicions.tried_by
        select s.cause from instances n
        join suspicions s on s.account_id = n.account_id and s.instance_id = n.instance_id
        where n.account_id = $1 and n.instance_id = $2 and n.connection = 'suspect' and n.probe = $3";
    db.query(SQL, &[&account_id, &instance_id, &message_id]).await?.first().map(cause).transpose()
}

/// The message that was let through has shown nothing good: another one is, after a longer pause, which is at least
/// `at_least`; `None`: an operator has to look first.
///
/// # Errors
/// [`StoreError`].
pub async fn failed(
    db: &impl Db,
    (account_id, instance_id): (i64, &str),
    message_id: Uuid,
    at_least: Option<Duration>,
) -> Result<(), StoreError> {
    const LAST: &str = "-- suspicions.last
        select pause_ms from suspicions where account_id = $1 and instance_id = $2";
    const SQL: &str = "-- suspicions.failed
        with ended as (
            update instances set probe = null
            where account_id = $1 and instance_id = $2 and connection = 'suspect' and probe = $3
            returning account_id, instance_id
        )
        update suspicions s set pause_ms = coalesce($4, pause_ms), tries = least(s.tries + 1, 1000), probe_at = now() + $4::int8 * interval '1 millisecond'
        from ended e
        where s.account_id = e.account_id and s.instance_id = e.instance_id";
    let rows = db.query(LAST, &[&account_id, &instance_id]).await?;
    let Some(row) = rows.first() else { return Ok(()) };
    let wait = at_least.map(|at_least| millis(longer(pause(row.get(0))).max(at_least)));
    db.execute(SQL, &[&account_id, &instance_id, &message_id, &wait]).await?;
    Ok(())
}

fn cause(row: &Row) -> Result<Cause, StoreError> {
    Cause::parse(row.get(0)).ok_or(StoreError::Value("suspicions.cause"))
}

fn pause(ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or_default())
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
