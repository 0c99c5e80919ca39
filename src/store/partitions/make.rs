//! Making partitions ahead, and closing those whose time is over.

use jiff::{SignedDuration, Timestamp};
use tokio_postgres::Client;

use super::{FAMILIES, Family, Partition, partitions};
use crate::domain::period::Period;
use crate::store::{Db, StoreError, Transaction, migrations};

/// How long before it begins a period's partition is made.
const AHEAD: SignedDuration = SignedDuration::from_hours(28 * 24);

/// How long a statement that changes partitions waits for others: so long whoever comes after it waits as well.
pub(super) const PATIENCE: &str = "set local lock_timeout = '200ms'";

/// How long after its end a partition is closed: by then nearly everything in it is final.
const SETTLED: SignedDuration = SignedDuration::from_hours(48);

/// The settings of a partition whose time is over. What died in it since autovacuum last came would be stepped over by every look for
/// what is due, for as long as the partition is there, and autovacuum would pass over the few entries in a large index.
const CLOSED: &str = "autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0, \
     autovacuum_vacuum_insert_threshold = 1000, autovacuum_vacuum_insert_scale_factor = 0, \
     vacuum_index_cleanup = on, autovacuum_freeze_min_age = 0";

/// The periods that the table should have partitions for and has not.
///
/// # Errors
/// [`StoreError`].
pub async fn missing(db: &impl Db, family: &Family, now: Timestamp) -> Result<Vec<Period>, StoreError> {
    let there = partitions(db, family).await?;
    let covered = |period: &Period| {
        there.iter().any(|(partition, _)| match partition.period {
            Some(made) => made == *period,
            None => period.ends() <= partition.ends,
        })
    };
    let end = now.saturating_add(AHEAD).unwrap_or(Timestamp::MAX);
    Ok(Period::of(family.length(), now).and_next(end).filter(|period| !covered(period)).collect())
}

/// Makes the partition of a period, and moves there what came for it before. `false`: somebody else is just changing the
/// schema, and nothing was done.
///
/// # Errors
/// [`StoreError`], also where the table could not be had within a moment: then nothing was done either.
pub async fn make(
    transaction: &Transaction<'_>,
    family: &Family,
    period: Period,
) -> Result<bool, StoreError> {
    if !migrations::nobody_else(transaction).await? {
        return Ok(false);
    }
    transaction.run(PATIENCE).await?;
    let settings = default_settings(transaction, family).await?;
    transaction.run(&statements(family, period, &settings)).await?;
    Ok(true)
}

/// The same for every table and period that is missing, with the lock of migrations held, however long it takes.
pub(crate) async fn make_all(client: &mut Client) -> Result<(), StoreError> {
    let now = client.query_one("select now()", &[]).await?.get(0);
    for family in &FAMILIES {
        for period in missing(client, family, now).await? {
            let settings = default_settings(client, family).await?;
            let transaction = client.transaction().await?;
            transaction.batch_execute(&statements(family, period, &settings)).await?;
            transaction.commit().await?;
        }
    }
    Ok(())
}

/// What new partitions are given, as the default one has it.
async fn default_settings(db: &impl Db, family: &Family) -> Result<String, StoreError> {
    const SQL: &str = "-- partitions.settings
        select coalesce(array_to_string(reloptions, ', '), 'fillfactor = 100') from pg_class
        where oid = $1::text::regclass";
    let rows = db.query(SQL, &[&family.default_name()]).await?;
    Ok(rows.first().ok_or(StoreError::Value("pg_class.reloptions"))?.get(0))
}

/// Made beside the table and attached, which keeps nobody from the table but from the default partition, where nothing of the
/// new period may be.
fn statements(family: &Family, period: Period, settings: &str) -> String {
    let Family { table, key, .. } = family;
    let (name, default) = (family.name(period), family.default_name());
    let [from, to] = [period.starts(), period.ends()].map(|moment| family.bound(&format!("'{moment}'")));
    format!(
        "create table {name} (like {default} including all) with ({settings});
         lock table {default} in access exclusive mode;
         with moved as (delete from {default} where {key} >= {from} and {key} < {to} returning *)
         insert into {name} select * from moved;
         alter table {table} attach partition {name} for values from ({from}) to ({to})"
    )
}

/// The partitions whose time is over for long enough, and that are not closed.
///
/// # Errors
/// [`StoreError`].
pub async fn unclosed(db: &impl Db, family: &Family, now: Timestamp) -> Result<Vec<Partition>, StoreError> {
    let there = partitions(db, family).await?.into_iter();
    let open = there.filter(|(partition, settings)| {
        partition.ends.duration_until(now) >= SETTLED && !settings.contains("vacuum_index_cleanup")
    });
    Ok(open.map(|(partition, _)| partition).collect())
}

/// Lets autovacuum clean the partition to the last thousand rows. `false`: as of [`make`].
///
/// # Errors
/// [`StoreError`].
pub async fn close(transaction: &Transaction<'_>, partition: &Partition) -> Result<bool, StoreError> {
    if !migrations::nobody_else(transaction).await? {
        return Ok(false);
    }
    transaction.run(PATIENCE).await?;
    transaction.run(&format!("alter table {} set ({CLOSED})", partition.name)).await?;
    Ok(true)
}
