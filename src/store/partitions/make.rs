//! Making partitions ahead, and closing those whose week is over.

use jiff::{SignedDuration, Timestamp};
use tokio_postgres::Client;

use super::{FAMILIES, Family, Partition, partitions};
use crate::domain::week::Week;
use crate::store::{Db, StoreError, Transaction, migrations};

/// Weeks that are there beyond the present one: so long nobody need come by to make more.
const AHEAD: usize = 4;

/// How long a statement that changes partitions waits for others: so long whoever comes after it waits as well.
pub(super) const PATIENCE: &str = "set local lock_timeout = '200ms'";

/// How long after its end a week is closed: by then nearly everything in it is final.
const SETTLED: SignedDuration = SignedDuration::from_hours(48);

/// The settings of a week that is over. What died in it since autovacuum last came would be stepped over by every look for
/// what is due, for as long as the partition is there, and autovacuum would pass over the few entries in a large index.
const CLOSED: &str = "autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0, \
     autovacuum_vacuum_insert_threshold = 1000, autovacuum_vacuum_insert_scale_factor = 0, \
     vacuum_index_cleanup = on, autovacuum_freeze_min_age = 0";

/// The weeks that the table should have partitions for and has not.
///
/// # Errors
/// [`StoreError`].
pub async fn missing(db: &impl Db, family: &Family, now: Timestamp) -> Result<Vec<Week>, StoreError> {
    let there = partitions(db, family).await?;
    let covered = |week: &Week| {
        there.iter().any(|(partition, _)| match partition.week {
            Some(made) => made == *week,
            None => week.ends() <= partition.ends,
        })
    };
    Ok(Week::of(now).and_next(AHEAD).filter(|week| !covered(week)).collect())
}

/// Makes the partition of a week, and moves there what came for it before. `false`: somebody else is just changing the
/// schema, and nothing was done.
///
/// # Errors
/// [`StoreError`], also where the table could not be had within a moment: then nothing was done either.
pub async fn make(transaction: &Transaction<'_>, family: &Family, week: Week) -> Result<bool, StoreError> {
    if !migrations::nobody_else(transaction).await? {
        return Ok(false);
    }
    transaction.run(PATIENCE).await?;
    let settings = default_settings(transaction, family).await?;
    transaction.run(&statements(family, week, &settings)).await?;
    Ok(true)
}

/// The same for every table and week that is missing, with the lock of migrations held, however long it takes.
pub(crate) async fn make_all(client: &mut Client) -> Result<(), StoreError> {
    let now = client.query_one("select now()", &[]).await?.get(0);
    for family in &FAMILIES {
        for week in missing(client, family, now).await? {
            let settings = default_settings(client, family).await?;
            let transaction = client.transaction().await?;
            transaction.batch_execute(&statements(family, week, &settings)).await?;
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
/// new week may be.
fn statements(family: &Family, week: Week, settings: &str) -> String {
    let Family { table, key, .. } = family;
    let (name, default) = (family.name(week), family.default_name());
    let [from, to] = [week.starts(), week.ends()].map(|moment| family.bound(&format!("'{moment}'")));
    format!(
        "create table {name} (like {default} including all) with ({settings});
         lock table {default} in access exclusive mode;
         with moved as (delete from {default} where {key} >= {from} and {key} < {to} returning *)
         insert into {name} select * from moved;
         alter table {table} attach partition {name} for values from ({from}) to ({to})"
    )
}

/// The partitions whose week is over for long enough, and that are not closed.
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
