//! Webhook endpoints: where customers want to be told what happened.

use jiff::Timestamp;
use serde::Serialize;
use tokio_postgres::Row;
use uuid::Uuid;

use super::{Db, StoreError};

/// An endpoint, as operators see it; its secret is not shown.
#[derive(Clone, Debug, Serialize)]
pub struct EndpointRow {
    /// Unique within the account.
    #[serde(rename = "id")]
    pub endpoint_id: Uuid,
    /// Where it is.
    pub url: String,
    /// Kinds of event wanted; `None`: all.
    pub events: Option<Vec<String>>,
    /// First failure since the last success.
    pub failing_since: Option<Timestamp>,
    /// Since when it is told nothing.
    pub disabled_at: Option<Timestamp>,
    /// Why it is not.
    pub disabled_reason: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// An endpoint to be stored.
#[derive(Clone, Copy, Debug)]
pub struct NewEndpoint<'a> {
    /// The tenant.
    pub account_id: i64,
    /// Unique within the account.
    pub endpoint_id: Uuid,
    /// Where it is.
    pub url: &'a str,
    /// Kinds of event wanted; `None`: all.
    pub events: Option<&'a [&'a str]>,
    /// The signing secret, encrypted.
    pub secret_sealed: &'a [u8],
}

impl From<&Row> for EndpointRow {
    fn from(row: &Row) -> Self {
        Self {
            endpoint_id: row.get("endpoint_id"),
            url: row.get("url"),
            events: row.get("events"),
            failing_since: row.get("failing_since"),
            disabled_at: row.get("disabled_at"),
            disabled_reason: row.get("disabled_reason"),
            created_at: row.get("created_at"),
        }
    }
}

/// Stores an endpoint.
///
/// # Errors
/// [`StoreError`], with the foreign key's constraint where there is no such account.
pub async fn insert(db: &impl Db, new: &NewEndpoint<'_>) -> Result<(), StoreError> {
    db.execute(
        "-- webhook_endpoints.insert
        insert into webhook_endpoints (account_id, endpoint_id, url, events, secret_sealed)
        values ($1, $2, $3, $4, $5)",
        &[&new.account_id, &new.endpoint_id, &new.url, &new.events, &new.secret_sealed],
    )
    .await?;
    Ok(())
}

/// Removes an endpoint; false: the account has none of that id.
///
/// # Errors
/// [`StoreError`].
pub async fn delete(db: &impl Db, account_id: i64, endpoint_id: Uuid) -> Result<bool, StoreError> {
    let deleted = db
        .execute(
            "-- webhook_endpoints.delete
            delete from webhook_endpoints where account_id = $1 and endpoint_id = $2",
            &[&account_id, &endpoint_id],
        )
        .await?;
    Ok(deleted == 1)
}

/// The account's endpoints, oldest first.
///
/// # Errors
/// [`StoreError`].
pub async fn list(db: &impl Db, account_id: i64) -> Result<Vec<EndpointRow>, StoreError> {
    let rows = db
        .query(
            "-- webhook_endpoints.list
            select endpoint_id, url, events, failing_since, disabled_at, disabled_reason, created_at
            from webhook_endpoints where account_id = $1 order by endpoint_id",
            &[&account_id],
        )
        .await?;
    Ok(rows.iter().map(EndpointRow::from).collect())
}
