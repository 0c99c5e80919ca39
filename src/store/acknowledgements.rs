//! Whether WhatsApp is heard of through an Evolution instance, and to whom it sent something since it was.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio_postgres::Row;

use super::connections::Server;
use super::{Db, StoreError};
use crate::domain::suspicion::{PEOPLE, Unacknowledged};

/// A message that an instance's provider took.
#[derive(Clone, Debug)]
pub struct Taken {
    /// The tenant.
    pub account_id: i64,
    /// The instance.
    pub instance_id: String,
    /// E.164 digits.
    pub recipient: String,
    /// The id that the provider gave it.
    pub provider_message_id: String,
    /// When the call was begun.
    pub began: Instant,
}

/// Notes which messages the instances' providers took; not where nothing was ever heard of WhatsApp through an instance, or
/// something was since. Of an instance not more people are noted than are needed to judge it.
///
/// # Errors
/// [`StoreError`].
pub async fn taken(db: &impl Db, taken: &[Taken]) -> Result<(), StoreError> {
    const SQL: &str = "-- acknowledgements.taken
        with taken as materialized (
            select distinct on (t.account_id, t.instance_id, t.recipient) t.account_id, t.instance_id, t.recipient, t.id,
                   now() - t.ago * interval '1 millisecond' as sent_at
            from unnest($1::int8[], $2::text[], $3::text[], $4::text[], $5::int8[])
                 t(account_id, instance_id, recipient, id, ago)
            order by 1, 2, 3, t.ago desc
        ), people as (
            select t.*, row_number() over (partition by t.account_id, t.instance_id order by t.sent_at) as place
            from taken t
            join connection_looks l on l.account_id = t.account_id and l.instance_id = t.instance_id
            where l.heard_at < t.sent_at
              and not exists (select from unacknowledged u where u.account_id = t.account_id
                              and u.instance_id = t.instance_id and u.recipient = t.recipient)
        )
        insert into unacknowledged (account_id, instance_id, recipient, provider_message_id, sent_at)
        select p.account_id, p.instance_id, p.recipient, p.id, p.sent_at from people p
        where p.place + (select count(*) from unacknowledged u
                         where u.account_id = p.account_id and u.instance_id = p.instance_id) <= $6
        order by 1, 2, 3
        on conflict do nothing";
    let accounts: Vec<_> = taken.iter().map(|taken| taken.account_id).collect();
    let instances: Vec<_> = taken.iter().map(|taken| &taken.instance_id).collect();
    let recipients: Vec<_> = taken.iter().map(|taken| &taken.recipient).collect();
    let ids: Vec<_> = taken.iter().map(|taken| &taken.provider_message_id).collect();
    let ago = taken.iter().map(|taken| i64::try_from(taken.began.elapsed().as_millis()).unwrap_or(i64::MAX));
    let ago: Vec<_> = ago.collect();
    db.execute(SQL, &[&accounts, &instances, &recipients, &ids, &ago, &people()]).await?;
    Ok(())
}

/// Notes that WhatsApp did not take a message to this person, as was told at `at`.
///
/// # Errors
/// [`StoreError`].
pub async fn rejected(
    db: &impl Db,
    (account_id, instance_id): (i64, &str),
    recipient: &str,
    at: Timestamp,
) -> Result<(), StoreError> {
    const SQL: &str = "-- acknowledgements.rejected
        insert into unacknowledged as u (account_id, instance_id, recipient, sent_at, rejected)
        select $1, $2, $3, $4, true
        where (select count(*) from unacknowledged k
               where k.account_id = $1 and k.instance_id = $2 and k.recipient <> $3) < $5
        on conflict (account_id, instance_id, recipient) do update set rejected = true";
    db.execute(SQL, &[&account_id, &instance_id, &recipient, &at, &people()]).await?;
    Ok(())
}

/// Notes that WhatsApp was heard of through the instance at `at`. Whether it was suspect because nothing was heard any more,
/// since before that.
///
/// # Errors
/// [`StoreError`].
pub async fn heard(
    db: &impl Db,
    (account_id, instance_id): (i64, &str),
    at: Timestamp,
) -> Result<bool, StoreError> {
    const HEARD: &str = "-- acknowledgements.heard
        with gone as (
            delete from unacknowledged where account_id = $1 and instance_id = $2 and sent_at <= $3
        )
        insert into connection_looks as l (account_id, instance_id, due_at, heard_at) values ($1, $2, now(), $3)
        on conflict (account_id, instance_id) do update set heard_at = greatest(l.heard_at, excluded.heard_at)";
    const SILENT: &str = "-- acknowledgements.silent
        select from instances n
        join suspicions s on s.account_id = n.account_id and s.instance_id = n.instance_id
        where n.account_id = $1 and n.instance_id = $2 and n.connection = 'suspect' and n.connection_by = 'provider'
          and s.cause = 'silence' and s.probe_at is not null and s.since <= $3";
    db.execute(HEARD, &[&account_id, &instance_id, &at]).await?;
    Ok(!db.query(SILENT, &[&account_id, &instance_id, &at]).await?.is_empty())
}

/// An open instance that has sent to enough people in vain for it to be judged.
pub struct Waiting {
    /// Which, and whom to ask.
    pub server: Server,
    /// What was sent to whom.
    pub people: Vec<Unacknowledged>,
    /// The ids of what was sent.
    pub provider_message_ids: Vec<String>,
}

/// The open instances that have sent to enough people in vain for it to be judged.
///
/// # Errors
/// [`StoreError`].
pub async fn waiting(db: &impl Db) -> Result<Vec<Waiting>, StoreError> {
    const SQL: &str = "-- acknowledgements.waiting
        select n.account_id, n.instance_id, n.base_url, n.provider_instance, n.token_sealed, w.ages, w.rejected, w.ids
        from (select account_id, instance_id, array_agg((extract(epoch from now() - sent_at) * 1000)::int8) as ages,
                     array_agg(rejected) as rejected,
                     coalesce(array_agg(provider_message_id) filter (where provider_message_id is not null), '{}') as ids
              from unacknowledged group by 1, 2 having count(*) >= $1) w
        join instances n on n.account_id = w.account_id and n.instance_id = w.instance_id
        where n.connection = 'open' and n.paused_at is null and n.provider = 'evolution'";
    let read = |row: &Row| {
        let (ages, rejected): (Vec<i64>, Vec<bool>) = (row.get("ages"), row.get("rejected"));
        let age = |ms| Duration::from_millis(u64::try_from(ms).unwrap_or_default());
        let people = ages.into_iter().zip(rejected);
        Waiting {
            server: Server::from(row),
            people: people.map(|(ms, rejected)| Unacknowledged { age: age(ms), rejected }).collect(),
            provider_message_ids: row.get("ids"),
        }
    };
    Ok(db.query(SQL, &[&people()]).await?.iter().map(read).collect())
}

/// Begins anew: what was sent so far is not waited for any more.
///
/// # Errors
/// [`StoreError`].
pub async fn wait_no_more(db: &impl Db, (account_id, instance_id): (i64, &str)) -> Result<(), StoreError> {
    const SQL: &str = "-- acknowledgements.wait_no_more
        delete from unacknowledged where account_id = $1 and instance_id = $2";
    db.execute(SQL, &[&account_id, &instance_id]).await?;
    Ok(())
}

fn people() -> i64 {
    i64::try_from(PEOPLE).unwrap_or(i64::MAX)
}
