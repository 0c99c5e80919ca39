//! Looking at the connections of Evolution instances: which are due, and what was found.

use std::time::Duration;

use jiff::Timestamp;
use tokio_postgres::Row;

use super::{Db, StoreError};
use crate::domain::instance::Connection;

/// An Evolution instance and how its server is reached. It has no `Debug`, because it holds a token, though a sealed one.
pub struct Server {
    /// The tenant.
    pub account_id: i64,
    /// The instance.
    pub instance_id: String,
    /// Where its server is.
    pub base_url: String,
    /// Its name there.
    pub provider_instance: String,
    /// The server's key, encrypted.
    pub token_sealed: Vec<u8>,
}

/// An instance whose connection is to be looked at.
pub struct Look {
    /// Which, and whom to ask.
    pub server: Server,
    /// Its connection, as far as is known.
    pub connection: Connection,
    /// When it was claimed: what is found is true of then.
    pub claimed_at: Timestamp,
}

impl Server {
    /// The account and the instance.
    #[must_use]
    pub fn key(&self) -> (i64, &str) {
        (self.account_id, &self.instance_id)
    }
}

impl From<&Row> for Server {
    fn from(row: &Row) -> Self {
        Self {
            account_id: row.get("account_id"),
            instance_id: row.get("instance_id"),
            base_url: row.get("base_url"),
            provider_instance: row.get("provider_instance"),
            token_sealed: row.get::<_, Option<Vec<u8>>>("token_sealed").unwrap_or_default(),
        }
    }
}

/// Takes up to `most` instances whose connections are due, the longest overdue first, for `lease`: until then nobody else
/// looks at them. Safe to be done by several processes at once.
///
/// # Errors
/// [`StoreError`].
pub async fn claim(db: &impl Db, most: i64, lease: Duration) -> Result<Vec<Look>, StoreError> {
    const SQL: &str = "-- connections.claim
        with due as materialized (
            select n.account_id, n.instance_id, n.base_url, n.provider_instance, n.token_sealed, n.connection
            from instances n
            left join connection_looks l on l.account_id = n.account_id and l.instance_id = n.instance_id
            where n.provider = 'evolution' and (l.due_at is null or l.due_at <= now())
            order by l.due_at nulls first limit $1
        ), claimed as (
            insert into connection_looks as l (account_id, instance_id, due_at)
            select account_id, instance_id, now() + $2::int8 * interval '1 millisecond' from due order by 1, 2
            on conflict (account_id, instance_id) do update set due_at = excluded.due_at where l.due_at <= now()
            returning account_id, instance_id
        )
        select d.*, now() as claimed_at from due d
        join claimed c on c.account_id = d.account_id and c.instance_id = d.instance_id";
    db.query(SQL, &[&most, &millis(lease)]).await?.iter().map(look).collect()
}

fn look(row: &Row) -> Result<Look, StoreError> {
    let connection = Connection::parse(row.get("connection"));
    Ok(Look {
        server: Server::from(row),
        connection: connection.ok_or(StoreError::Value("instances.connection"))?,
        claimed_at: row.get("claimed_at"),
    })
}

/// The look is over; the next comes after `pause`.
///
/// # Errors
/// [`StoreError`]; then the next comes when the lease ends.
pub async fn looked(
    db: &impl Db,
    (account_id, instance_id): (i64, &str),
    pause: Duration,
) -> Result<(), StoreError> {
    const SQL: &str = "-- connections.looked
        update connection_looks set due_at = now() + $3::int8 * interval '1 millisecond'
        where account_id = $1 and instance_id = $2";
    db.execute(SQL, &[&account_id, &instance_id, &millis(pause)]).await?;
    Ok(())
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
