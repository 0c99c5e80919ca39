//! Accounts and their API keys.

use jiff::Timestamp;
use serde::Serialize;
use tokio_postgres::Row;
use uuid::Uuid;

use super::{Db, StoreError};
use crate::domain::account::Plan;

/// An account, as operators see it.
#[derive(Clone, Debug, Serialize)]
pub struct AccountRow {
    /// The tenant.
    #[serde(rename = "id")]
    pub account_id: i64,
    /// For people.
    pub name: String,
    /// Its name; `None`: no active plan.
    pub plan: Option<String>,
    /// `active` or `suspended`.
    pub status: String,
    /// Whether the API access module is enabled.
    pub api_access: bool,
    /// Reviewed override of the plan's daily limit.
    pub daily_limit: Option<i32>,
    /// Reviewed override of the plan's monthly limit.
    pub monthly_limit: Option<i32>,
    /// IANA name.
    pub timezone: String,
    /// When it was made.
    pub created_at: Timestamp,
}

/// An API key, as operators see it: the key itself is not stored.
#[derive(Clone, Debug, Serialize)]
pub struct ApiKeyRow {
    /// Unique within the account.
    #[serde(rename = "id")]
    pub key_id: Uuid,
    /// For people.
    pub name: String,
    /// The first characters of the key.
    pub hint: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was revoked; `None`: valid.
    pub revoked_at: Option<Timestamp>,
}

/// A key to be stored.
#[derive(Clone, Copy, Debug)]
pub struct NewApiKey<'a> {
    /// The tenant.
    pub account_id: i64,
    /// Unique within the account.
    pub key_id: Uuid,
    /// For people.
    pub name: &'a str,
    /// The first characters of the key.
    pub hint: &'a str,
    /// SHA-256 of the whole key.
    pub key_hash: &'a [u8],
}

/// How an account's own limits change; `None` leaves one as it is.
#[derive(Clone, Copy, Debug)]
pub enum LimitChange {
    /// Back to the plan's limits.
    Clear,
    /// To these.
    Set {
        /// Messages a day.
        daily: Option<i32>,
        /// Messages a calendar month.
        monthly: Option<i32>,
    },
}

impl From<&Row> for AccountRow {
    fn from(row: &Row) -> Self {
        Self {
            account_id: row.get("account_id"),
            name: row.get("name"),
            plan: row.get("plan"),
            status: row.get("status"),
            api_access: row.get("api_access"),
            daily_limit: row.get("daily_limit"),
            monthly_limit: row.get("monthly_limit"),
            timezone: row.get("timezone"),
            created_at: row.get("created_at"),
        }
    }
}

impl From<&Row> for ApiKeyRow {
    fn from(row: &Row) -> Self {
        Self {
            key_id: row.get("key_id"),
            name: row.get("name"),
            hint: row.get("hint"),
            created_at: row.get("created_at"),
            revoked_at: row.get("revoked_at"),
        }
    }
}

/// Makes an account with API access and gives its id.
///
/// # Errors
/// [`StoreError`].
pub async fn insert(db: &impl Db, name: &str, plan: Plan, timezone: &str) -> Result<i64, StoreError> {
    let rows = db
        .query(
            "-- accounts.insert
            insert into accounts (name, plan, timezone) values ($1, $2, $3) returning account_id",
            &[&name, &plan.as_str(), &timezone],
        )
        .await?;
    rows.first().map(|row| row.get(0)).ok_or(StoreError::Value("account_id"))
}

/// Whether there is such an account.
///
/// # Errors
/// [`StoreError`].
pub async fn exists(db: &impl Db, account_id: i64) -> Result<bool, StoreError> {
    let rows = db
        .query(
            "-- accounts.exists
            select from accounts where account_id = $1",
            &[&account_id],
        )
        .await?;
    Ok(!rows.is_empty())
}

/// Changes the plan, `None` for none; false: no such account.
///
/// # Errors
/// [`StoreError`].
pub async fn set_plan(db: &impl Db, account_id: i64, plan: Option<Plan>) -> Result<bool, StoreError> {
    let changed = db
        .execute(
            "-- accounts.set_plan
            update accounts set plan = $2 where account_id = $1",
            &[&account_id, &plan.map(Plan::as_str)],
        )
        .await?;
    Ok(changed == 1)
}

/// Changes the reviewed limits; false: no such account.
///
/// # Errors
/// [`StoreError`].
pub async fn set_limits(db: &impl Db, account_id: i64, change: LimitChange) -> Result<bool, StoreError> {
    let (clear, daily, monthly) = match change {
        LimitChange::Clear => (true, None, None),
        LimitChange::Set { daily, monthly } => (false, daily, monthly),
    };
    let changed = db
        .execute(
            "-- accounts.set_limits
            update accounts
            set daily_limit = case when $2 then null else coalesce($3, daily_limit) end,
                monthly_limit = case when $2 then null else coalesce($4, monthly_limit) end
            where account_id = $1",
            &[&account_id, &clear, &daily, &monthly],
        )
        .await?;
    Ok(changed == 1)
}

/// Enables or disables API access; false: no such account.
///
/// # Errors
/// [`StoreError`].
pub async fn set_api_access(db: &impl Db, account_id: i64, enabled: bool) -> Result<bool, StoreError> {
    let changed = db
        .execute(
            "-- accounts.set_api_access
            update accounts set api_access = $2 where account_id = $1",
            &[&account_id, &enabled],
        )
        .await?;
    Ok(changed == 1)
}

/// Suspends or activates; false: no such account.
///
/// # Errors
/// [`StoreError`].
pub async fn set_suspended(db: &impl Db, account_id: i64, suspended: bool) -> Result<bool, StoreError> {
    let changed = db
        .execute(
            "-- accounts.set_suspended
            update accounts set status = case when $2 then 'suspended' else 'active' end where account_id = $1",
            &[&account_id, &suspended],
        )
        .await?;
    Ok(changed == 1)
}

/// Every account, oldest first.
///
/// # Errors
/// [`StoreError`].
pub async fn list(db: &impl Db) -> Result<Vec<AccountRow>, StoreError> {
    let rows = db
        .query(
            "-- accounts.list
            select account_id, name, plan, status, api_access, daily_limit, monthly_limit, timezone, created_at
            from accounts order by account_id",
            &[],
        )
        .await?;
    Ok(rows.iter().map(AccountRow::from).collect())
}

/// Stores a key.
///
/// # Errors
/// [`StoreError`], with the foreign key's constraint where there is no such account.
pub async fn insert_key(db: &impl Db, key: &NewApiKey<'_>) -> Result<(), StoreError> {
    db.execute(
        "-- api_keys.insert
        insert into api_keys (account_id, key_id, name, hint, key_hash) values ($1, $2, $3, $4, $5)",
        &[&key.account_id, &key.key_id, &key.name, &key.hint, &key.key_hash],
    )
    .await?;
    Ok(())
}

/// Revokes a key, once and for all; false: the account has no such key.
///
/// # Errors
/// [`StoreError`].
pub async fn revoke_key(db: &impl Db, account_id: i64, key_id: Uuid) -> Result<bool, StoreError> {
    let changed = db
        .execute(
            "-- api_keys.revoke
            update api_keys set revoked_at = coalesce(revoked_at, now()) where account_id = $1 and key_id = $2",
            &[&account_id, &key_id],
        )
        .await?;
    Ok(changed == 1)
}

/// The account's keys, oldest first, with those revoked.
///
/// # Errors
/// [`StoreError`].
pub async fn list_keys(db: &impl Db, account_id: i64) -> Result<Vec<ApiKeyRow>, StoreError> {
    let rows = db
        .query(
            "-- api_keys.list
            select key_id, name, hint, created_at, revoked_at from api_keys where account_id = $1 order by key_id",
            &[&account_id],
        )
        .await?;
    Ok(rows.iter().map(ApiKeyRow::from).collect())
}
