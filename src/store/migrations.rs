//! The schema: brought up to date by `gateway migrate`, checked by every process at start.

use std::time::Duration;

use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row};

use super::{Db, Pool, StoreError, Transaction, connection_config, partitions, tls};
use crate::config::Hidden;

mod embedded {
    refinery::embed_migrations!("migrations");
}

/// Any number will do, as long as every process that migrates takes the same.
const MIGRATION_LOCK: i64 = 0x6761_7465_706f_7374;
/// A migration of a large table may take a while, and so may waiting for another process's.
const MIGRATION_TIMEOUT: Duration = Duration::from_secs(3_600);
/// Whoever works on a table queues behind a migration that waits for it, so it does not wait long.
const PATIENCE: &str = "set lock_timeout = '5s'";

/// The version this build was made for.
#[must_use]
pub fn needed() -> i32 {
    embedded::migrations::runner()
        .get_migrations()
        .iter()
        .map(refinery::Migration::version)
        .max()
        .unwrap_or_default()
}

/// Applies what is missing, and makes the partitions of the next weeks; several processes may do so at once, one works and the others find it done.
/// Gives the versions applied.
///
/// # Errors
/// [`StoreError`] when the database cannot be reached or a migration fails; a failed migration leaves nothing behind.
pub async fn migrate(url: &Hidden) -> Result<Vec<i32>, StoreError> {
    let mut config = connection_config(url)?;
    config.options("-c timezone=UTC");
    let (mut client, connection) = config.connect(tls::connector(&config)?).await?;
    let connection = tokio::spawn(connection);
    let work = async {
        client.query("select pg_advisory_lock($1)", &[&MIGRATION_LOCK]).await?;
        client.batch_execute(PATIENCE).await?;
        let report = embedded::migrations::runner()
            .run_async(&mut client)
            .await
            .map_err(|error| StoreError::Migration(cause(&error)))?;
        partitions::make_all(&mut client).await?;
        Ok(report.applied_migrations().iter().map(refinery::Migration::version).collect())
    };
    let outcome = tokio::time::timeout(MIGRATION_TIMEOUT, work).await.unwrap_or(Err(StoreError::Timeout));
    // Closing the connection gives the lock back.
    drop(client);
    connection.abort();
    outcome
}

/// Whether nobody else changes the schema until this transaction ends.
///
/// # Errors
/// [`StoreError`].
pub(super) async fn nobody_else(transaction: &Transaction<'_>) -> Result<bool, StoreError> {
    const SQL: &str = "-- migrations.nobody_else
        select pg_try_advisory_xact_lock($1)";
    Ok(transaction.query(SQL, &[&MIGRATION_LOCK]).await?.first().is_some_and(|row| row.get(0)))
}

/// The connection of a migration, whose statements take as long as they take.
impl Db for Client {
    async fn query(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, StoreError> {
        Ok(Self::query(self, sql, params).await?)
    }

    async fn execute(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<u64, StoreError> {
        Ok(Self::execute(self, sql, params).await?)
    }
}

fn cause(error: &refinery::Error) -> String {
    use std::error::Error;
    error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}

/// Refuses a schema that is older than this build, or so new that it does not serve this build any more.
///
/// # Errors
/// [`StoreError::Schema`] or [`StoreError::SchemaTooNew`], naming the versions.
pub async fn check(pool: &Pool) -> Result<(), StoreError> {
    let needed = needed();
    let found = match pool
        .get()
        .await?
        .query("select coalesce(max(version), 0) from refinery_schema_history", &[])
        .await
    {
        Ok(rows) => rows.first().map_or(0, |row| row.get(0)),
        Err(StoreError::Database(error)) if error.code() == Some(&SqlState::UNDEFINED_TABLE) => 0,
        Err(error) => return Err(error),
    };
    if found < needed {
        return Err(StoreError::Schema { found, needed });
    }
    let rows = pool.get().await?.query("select oldest_build_served()", &[]).await?;
    let oldest = rows.first().map_or(found, |row| row.get(0));
    if oldest <= needed { Ok(()) } else { Err(StoreError::SchemaTooNew { found, oldest, needed }) }
}
