//! What is audited by account: counters, decisions, idempotency keys, callbacks.

use std::time::Duration;

use jiff::Timestamp;
use uuid::Uuid;

use super::COUNTING;
use crate::store::{Db, StoreError, Transaction, run_query};

/// The accounts there are, or the one asked for.
///
/// # Errors
/// [`StoreError`].
pub async fn accounts(db: &impl Db, only: Option<i64>) -> Result<Vec<i64>, StoreError> {
    const SQL: &str = "-- audit.accounts
        select account_id from accounts where $1::int8 is null or account_id = $1 order by account_id";
    Ok(db.query(SQL, &[&only]).await?.iter().map(|row| row.get(0)).collect())
}

/// Since when everything is there, as far as it was not removed for its age.
#[derive(Clone, Copy, Debug)]
pub struct Horizon {
    /// Rows from then on are there, a day's difference between two clocks included; `None`: all rows there ever were.
    pub since: Option<Timestamp>,
    /// No id of that moment or later is less.
    pub id: Uuid,
}

/// Since when everything is there.
///
/// # Errors
/// [`StoreError`].
pub async fn horizon(db: &impl Db) -> Result<Horizon, StoreError> {
    const SQL: &str = "-- audit.horizon
        select h.since, first_id_of(coalesce(h.since, to_timestamp(0)))
        from (select nullif(rows_kept_since(), '-infinity') + interval '1 day' as since) h";
    let rows = db.query(SQL, &[]).await?;
    let row = rows.first().ok_or(StoreError::Value("rows_kept_since"))?;
    Ok(Horizon { since: row.get(0), id: row.get(1) })
}

/// A counter of an account's allowance, and what it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counter {
    /// `day` or `month`.
    pub period: String,
    /// Its first day.
    pub starts_on: String,
    /// What it says.
    pub used: i64,
    /// Messages that hold a place in it.
    pub held: i64,
    /// Messages that may: they had ended as failed, perhaps unsent, when the provider reported their delivery.
    pub perhaps: i64,
}

/// The account's counters of periods within the horizon, each beside the count of its messages as of one moment. It reads all
/// messages of the account, and so may take as long as two minutes.
///
/// # Errors
/// [`StoreError`].
pub async fn counters(
    transaction: &Transaction<'_>,
    account_id: i64,
    horizon: &Horizon,
) -> Result<Vec<Counter>, StoreError> {
    const PLAN: &str =
        "set local statement_timeout = '120s'; set local enable_seqscan = on; set local enable_hashjoin = on";
    const SQL: &str = "-- audit.counters
        with held as materialized (
            select quota_day, quota_month, count(*) filter (where not returned and not perhaps) as held,
                   count(*) filter (where perhaps) as perhaps
            from messages m
            cross join lateral (
                select m.status in ('failed', 'expired') and not m.reached_provider as returned,
                       m.status in ('delivered', 'read') and exists (select from events e
                           where e.account_id = m.account_id and e.message_id = m.message_id
                             and e.previous_status in ('failed', 'expired')) as perhaps) r
            where m.account_id = $1 and m.message_id >= $3 and m.quota_day is not null
            group by 1, 2
        ), counted as (
            select 'day' as period, quota_day as starts_on, sum(held)::int8 as held, sum(perhaps)::int8 as perhaps
            from held group by 2
            union all
            select 'month', quota_month, sum(held)::int8, sum(perhaps)::int8 from held group by 2
        )
        select coalesce(c.period, q.period), coalesce(c.starts_on, q.starts_on)::text, coalesce(q.used, 0)::int8,
               coalesce(c.held, 0), coalesce(c.perhaps, 0)
        from counted c
        full join (select period, starts_on, used from quota_usage where account_id = $1) q
            on q.period = c.period and q.starts_on = c.starts_on
        -- Another time zone's day may begin a day earlier.
        where $2::timestamptz is null or coalesce(c.starts_on, q.starts_on) > $2 + interval '1 day'
        order by 1, 2";
    let work = async {
        transaction.transaction.batch_execute(PLAN).await?;
        run_query(&transaction.transaction, SQL, &[&account_id, &horizon.since, &horizon.id]).await
    };
    let rows = match tokio::time::timeout(COUNTING, work).await {
        Ok(rows) => rows?,
        Err(_) => {
            transaction.silent.store(true, std::sync::atomic::Ordering::Relaxed);
            return Err(StoreError::Timeout);
        }
    };
    Ok(rows
        .iter()
        .map(|row| Counter {
            period: row.get(0),
            starts_on: row.get(1),
            used: row.get(2),
            held: row.get(3),
            perhaps: row.get(4),
        })
        .collect())
}

/// A page of rows that name messages.
pub struct Checked<Key> {
    /// How many were looked at.
    pub looked_at: i64,
    /// The keys, or messages, of those whose message is not there.
    pub missing: Vec<Key>,
}

/// The account's decisions to accept within the horizon and behind `after`, among at most `limit` decisions, with the last one's number; `None`: there
/// are none.
///
/// # Errors
/// [`StoreError`].
pub async fn decisions(
    db: &impl Db,
    account_id: i64,
    horizon: &Horizon,
    after: i64,
    limit: i64,
) -> Result<(Checked<i64>, Option<i64>), StoreError> {
    const SQL: &str = "-- audit.decisions
        with page as materialized (
            select log_id, message_id from policy_log
            where account_id = $1 and log_id > $2 and created_at >= $4 order by log_id limit $3
        )
        select count(message_id), max(log_id),
               coalesce(array_agg(log_id) filter (where message_id is not null and not exists (
                   select from messages m where m.account_id = $1 and m.message_id = page.message_id)), '{}')
        from page";
    let since = horizon.since.unwrap_or(Timestamp::UNIX_EPOCH);
    let rows = db.query(SQL, &[&account_id, &after, &limit, &since]).await?;
    let row = rows.first().ok_or(StoreError::Value("policy_log"))?;
    Ok((Checked { looked_at: row.get(0), missing: row.get(2) }, row.get(1)))
}

/// The account's idempotency keys behind `after`, at most `limit`, with the last of them; `None`: there are none. What is
/// missing is named by the message, because callers may put anything into a key.
///
/// # Errors
/// [`StoreError`].
pub async fn keys(
    db: &impl Db,
    account_id: i64,
    after: &str,
    limit: i64,
) -> Result<(Checked<Uuid>, Option<String>), StoreError> {
    const SQL: &str = "-- audit.keys
        with page as materialized (
            select key, message_id from idempotency_keys where account_id = $1 and key > $2 order by key limit $3
        )
        select count(*), max(key),
               coalesce(array_agg(message_id) filter (where not exists (
                   select from messages m where m.account_id = $1 and m.message_id = page.message_id)), '{}')
        from page";
    let rows = db.query(SQL, &[&account_id, &after, &limit]).await?;
    let row = rows.first().ok_or(StoreError::Value("idempotency_keys"))?;
    Ok((Checked { looked_at: row.get(0), missing: row.get(2) }, row.get(1)))
}

/// What has become of callbacks.
pub struct Callbacks {
    /// Those that are not settled.
    pub open: i64,
    /// Those that were given up: account and the beginning of the body's hash of a few, and how many there are.
    pub given_up: (i64, Vec<String>),
    /// Those that wait too long, likewise.
    pub parked: (i64, Vec<String>),
}

/// The callbacks, of one account or of all, that wait for longer than `longest`, or were due for longer than `overdue`, or were
/// given up.
///
/// # Errors
/// [`StoreError`].
pub async fn callbacks(
    db: &impl Db,
    only: Option<i64>,
    longest: Duration,
    overdue: Duration,
) -> Result<Callbacks, StoreError> {
    const OPEN: &str = "-- audit.callbacks_open
        select count(*), count(*) filter (where late),
               coalesce((array_agg(account_id || '/' || encode(substr(body_hash, 1, 8), 'hex')) filter (where late))[1:10], '{}')
        from (select account_id, body_hash, received_at < now() - make_interval(secs => $2)
                  or due_at < now() - make_interval(secs => $3) as late
              from callbacks where due_at is not null and ($1::int8 is null or account_id = $1)) c";
    const GIVEN_UP: &str = "-- audit.callbacks_given_up
        select count(*),
               coalesce((array_agg(account_id || '/' || encode(substr(body_hash, 1, 8), 'hex')))[1:10], '{}')
        from callbacks where due_at is null and not heard and ($1::int8 is null or account_id = $1)";
    let open = db.query(OPEN, &[&only, &longest.as_secs_f64(), &overdue.as_secs_f64()]).await?;
    let given_up = db.query(GIVEN_UP, &[&only]).await?;
    let (Some(open), Some(given_up)) = (open.first(), given_up.first()) else {
        return Err(StoreError::Value("callbacks"));
    };
    let given_up: (i64, Vec<String>) = (given_up.get(0), given_up.get(1));
    Ok(Callbacks { open: open.get::<_, i64>(0) + given_up.0, given_up, parked: (open.get(1), open.get(2)) })
}
