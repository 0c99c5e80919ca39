//! The numbers of an account's own team.

use jiff::Timestamp;
use serde::Serialize;
use tokio_postgres::Row;

use super::{Db, StoreError, with_plus};
use crate::domain::phone::PhoneNumber;

/// A number of the account's own team, as operators see it.
#[derive(Clone, Debug, Serialize)]
pub struct InternalNumberRow {
    /// E.164 digits without the plus; written with it.
    #[serde(rename = "phone", serialize_with = "with_plus")]
    pub recipient: String,
    /// Whose it is, for people.
    pub name: Option<String>,
    /// Since when.
    pub created_at: Timestamp,
}

impl From<&Row> for InternalNumberRow {
    fn from(row: &Row) -> Self {
        Self { recipient: row.get("recipient"), name: row.get("name"), created_at: row.get("created_at") }
    }
}

/// Counts a number among the account's own; false: it was one already, and takes the name where one is given.
///
/// # Errors
/// [`StoreError`], with the foreign key's constraint where there is no such account.
pub async fn insert(
    db: &impl Db,
    account_id: i64,
    recipient: &PhoneNumber,
    name: Option<&str>,
) -> Result<bool, StoreError> {
    const SQL: &str = "-- internal_numbers.insert
        insert into internal_numbers as n (account_id, recipient, name) values ($1, $2, $3)
        on conflict (account_id, recipient) do update set name = coalesce(excluded.name, n.name)
        returning xmax = 0";
    let rows = db.query(SQL, &[&account_id, &recipient.digits(), &name]).await?;
    Ok(rows.first().is_some_and(|row| row.get(0)))
}

/// Strikes a number off; false: it was none of the account's.
///
/// # Errors
/// [`StoreError`].
pub async fn delete(db: &impl Db, account_id: i64, recipient: &PhoneNumber) -> Result<bool, StoreError> {
    const SQL: &str = "-- internal_numbers.delete
        delete from internal_numbers where account_id = $1 and recipient = $2";
    Ok(db.execute(SQL, &[&account_id, &recipient.digits()]).await? == 1)
}

/// The account's own numbers, in order.
///
/// # Errors
/// [`StoreError`].
pub async fn list(db: &impl Db, account_id: i64) -> Result<Vec<InternalNumberRow>, StoreError> {
    const SQL: &str = "-- internal_numbers.list
        select recipient, name, created_at from internal_numbers where account_id = $1 order by recipient";
    Ok(db.query(SQL, &[&account_id]).await?.iter().map(InternalNumberRow::from).collect())
}
