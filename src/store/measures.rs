//! What waits in the database, measured at a bounded cost: the ends of indexes are read, and nothing is counted beyond a cap.

use tokio_postgres::Row;

use super::{Db, StoreError};
use crate::domain::instance::Connection;

/// Rows that wait to be looked at again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Waiting {
    /// Seconds since the longest due of them was; 0 where none is.
    pub oldest_due_seconds: f64,
    /// Those that are due, up to the cap.
    pub due: i64,
    /// All of them, up to the cap.
    pub backlog: i64,
}

/// The rows of a table that carry `due_at`, by the index on it.
macro_rules! waiting {
    ($table:literal, $among:literal) => {
        concat!(
            "coalesce((select greatest(0, extract(epoch from now() - due_at)) from ",
            $table,
            " where ",
            $among,
            "due_at is not null order by due_at limit 1), 0)::float8,
            (select count(*) from (select from ",
            $table,
            " where ",
            $among,
            "due_at <= now() limit $1) due),
            (select count(*) from (select from ",
            $table,
            " where ",
            $among,
            "due_at is not null limit $1) backlog)"
        )
    };
}

/// The messages that are not final, by lane; none is counted beyond `cap`.
///
/// # Errors
/// [`StoreError`].
pub async fn messages(db: &impl Db, lane: &str, cap: i64) -> Result<Waiting, StoreError> {
    const SQL: &str = concat!("-- measures.messages\nselect ", waiting!("messages", "lane = $2 and "));
    waiting(&db.query(SQL, &[&cap, &lane]).await?)
}

/// The webhooks that are not told yet; none is counted beyond `cap`.
///
/// # Errors
/// [`StoreError`].
pub async fn webhooks(db: &impl Db, cap: i64) -> Result<Waiting, StoreError> {
    const SQL: &str = concat!("-- measures.webhooks\nselect ", waiting!("webhook_deliveries", ""));
    waiting(&db.query(SQL, &[&cap]).await?)
}

/// The callbacks that are not applied yet; none is counted beyond `cap`.
///
/// # Errors
/// [`StoreError`].
pub async fn callbacks(db: &impl Db, cap: i64) -> Result<Waiting, StoreError> {
    const SQL: &str = concat!("-- measures.callbacks\nselect ", waiting!("callbacks", ""));
    waiting(&db.query(SQL, &[&cap]).await?)
}

fn waiting(rows: &[Row]) -> Result<Waiting, StoreError> {
    let row = rows.first().ok_or(StoreError::Value("due_at"))?;
    Ok(Waiting { oldest_due_seconds: row.get(0), due: row.get(1), backlog: row.get(2) })
}

/// How many messages have an unknown outcome, up to `cap`.
///
/// # Errors
/// [`StoreError`].
pub async fn unknown(db: &impl Db, cap: i64) -> Result<i64, StoreError> {
    const SQL: &str = "-- measures.unknown
        select count(*) from (select from messages where status = 'unknown' limit $1) unknown";
    Ok(db.query(SQL, &[&cap]).await?.first().ok_or(StoreError::Value("status"))?.get(0))
}

/// How an instance stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Which.
    pub key: (i64, String),
    /// Paused for review.
    pub paused: bool,
    /// Resting because the provider throttled it.
    pub throttled: bool,
    /// What its connection is.
    pub connection: Connection,
}

/// Up to `most` instances behind `after`, in the order of their keys.
///
/// # Errors
/// [`StoreError`].
pub async fn instances(db: &impl Db, after: &(i64, String), most: i64) -> Result<Vec<Standing>, StoreError> {
    const SQL: &str = "-- measures.instances
        select account_id, instance_id, paused_at is not null, coalesce(hold_until > now(), false), connection
        from instances where (account_id, instance_id) > ($1, $2) order by account_id, instance_id limit $3";
    let rows = db.query(SQL, &[&after.0, &after.1, &most]).await?;
    rows.iter().map(standing).collect()
}

fn standing(row: &Row) -> Result<Standing, StoreError> {
    Ok(Standing {
        key: (row.get(0), row.get(1)),
        paused: row.get(2),
        throttled: row.get(3),
        connection: Connection::parse(row.get(4)).ok_or(StoreError::Value("instances.connection"))?,
    })
}
