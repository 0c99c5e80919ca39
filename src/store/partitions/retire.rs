//! Dropping what is old: whole partitions, and rows where there is no partition for them.

use jiff::Timestamp;

use super::make::PATIENCE;
use super::{Family, partitions};
use crate::store::{Db, StoreError, Transaction, migrations};

/// What became of the wish to drop a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Retired {
    /// It is gone, as soon as the transaction is committed.
    Dropped(String),
    /// Something from its time, or from before, is not final.
    Open(String),
    /// None is old enough.
    Nothing,
    /// Somebody else is just changing the schema, and nothing was done.
    Busy,
}

/// Drops the table's oldest partition where all of it is from before `until`, and nothing from before its end waits for
/// anybody.
///
/// # Errors
/// [`StoreError`], also where the table could not be had within a moment: then nothing was done.
pub async fn drop_oldest(
    transaction: &Transaction<'_>,
    family: &Family,
    until: Timestamp,
) -> Result<Retired, StoreError> {
    if !migrations::nobody_else(transaction).await? {
        return Ok(Retired::Busy);
    }
    let oldest = partitions(transaction, family).await?.into_iter().next();
    let Some((oldest, _)) = oldest.filter(|(oldest, _)| oldest.ends <= until) else {
        return Ok(Retired::Nothing);
    };
    // Before the lock as well, so that nobody waits for an answer that is known.
    if waits(transaction, oldest.ends).await? {
        return Ok(Retired::Open(oldest.name));
    }
    transaction
        .run(&format!("{PATIENCE}; lock table only {} in access exclusive mode", family.table))
        .await?;
    if waits(transaction, oldest.ends).await? {
        return Ok(Retired::Open(oldest.name));
    }
    if !family.texts {
        forget_before(transaction, oldest.ends).await?;
    }
    transaction.run(&format!("drop table {}", oldest.name)).await?;
    Ok(Retired::Dropped(oldest.name))
}

/// Whether a message or a webhook from before that moment is not final.
async fn waits(db: &impl Db, before: Timestamp) -> Result<bool, StoreError> {
    const SQL: &str = "-- partitions.waits
        select exists (select from messages where due_at is not null and message_id < first_id_of($1))
            or exists (select from webhook_deliveries where due_at is not null and event_id < first_id_of($1))";
    Ok(db.query(SQL, &[&before]).await?.first().is_some_and(|row| row.get(0)))
}

/// Has the schema say that rows from before that moment may be gone.
async fn forget_before(transaction: &Transaction<'_>, moment: Timestamp) -> Result<(), StoreError> {
    if kept_since(transaction).await?.is_some_and(|since| since >= moment) {
        return Ok(());
    }
    let function = "create or replace function rows_kept_since() returns timestamptz language sql immutable";
    transaction.run(&format!("{function} return '{moment}'::timestamptz")).await
}

/// The moment from before which rows may have been dropped; `None`: all rows there ever were are there.
///
/// # Errors
/// [`StoreError`].
pub async fn kept_since(db: &impl Db) -> Result<Option<Timestamp>, StoreError> {
    const SQL: &str = "-- partitions.kept_since
        select nullif(rows_kept_since(), '-infinity')";
    Ok(db.query(SQL, &[]).await?.first().and_then(|row| row.get(0)))
}

/// Deletes rows from before `until` for which there never was a partition, at most `limit`, unless something from before then
/// waits for anybody; gives how many.
///
/// # Errors
/// [`StoreError`].
pub async fn forget_outside(
    transaction: &Transaction<'_>,
    family: &Family,
    until: Timestamp,
    limit: i64,
) -> Result<u64, StoreError> {
    let (default, key, bound) = (family.default_name(), family.key, family.bound("$1"));
    let there = format!("select from {default} where {key} < {bound} limit 1");
    if transaction.query(&there, &[&until]).await?.is_empty() || waits(transaction, until).await? {
        return Ok(0);
    }
    if !family.texts {
        forget_before(transaction, until).await?;
    }
    let sql = format!(
        "delete from {default} where ctid = any(array(select ctid from {default} where {key} < {bound} limit $2))"
    );
    transaction.execute(&sql, &[&until, &limit]).await
}

/// Removes the words of people who opted out or in from events before `until`, at most `limit`; gives of how many.
///
/// # Errors
/// [`StoreError`].
pub async fn forget_words(db: &impl Db, until: Timestamp, limit: i64) -> Result<u64, StoreError> {
    const SQL: &str = "-- partitions.forget_words
        with old as materialized (
            select account_id, event_id from events
            where message_text is not null and event_id < first_id_of($1) order by event_id limit $2
            for update skip locked
        )
        update events e set message_text = null from old o
        where e.account_id = o.account_id and e.event_id = o.event_id and e.event_id < first_id_of($1)";
    db.execute(SQL, &[&until, &limit]).await
}
