//! Who is asking: keys, accounts and instances as the gateway caches them.

use jiff::tz::TimeZone;
use tokio_postgres::Row;
use uuid::Uuid;

use super::{Db, StoreError};
use crate::domain::account::{Account, Limits, Plan};
use crate::domain::instance::Provider;

/// An API key and the account it speaks for.
#[derive(Clone, Debug)]
pub struct Key {
    /// The key's id.
    pub key_id: Uuid,
    /// Whether it was revoked.
    pub revoked: bool,
    /// The account.
    pub account: Account,
}

/// The key with that hash, if there is one.
///
/// # Errors
/// [`StoreError`].
pub async fn key(db: &impl Db, hash: &[u8]) -> Result<Option<Key>, StoreError> {
    const SQL: &str = "-- directory.key
        select k.key_id, k.revoked_at is not null, a.account_id, a.plan, a.status, a.api_access,
               a.daily_limit, a.monthly_limit, a.timezone
        from api_keys k join accounts a using (account_id)
        where k.key_hash = $1";
    db.query(SQL, &[&hash]).await?.first().map(read_key).transpose()
}

fn read_key(row: &Row) -> Result<Key, StoreError> {
    let plan: Option<&str> = row.get(3);
    let plan = plan.map(|name| Plan::parse(name).ok_or(StoreError::Value("accounts.plan"))).transpose()?;
    let active = row.get::<_, &str>(4) == "active";
    let limits = plan.filter(|_| active).map(|plan| {
        let Limits { day, month } = plan.limits();
        Limits {
            day: row.get::<_, Option<i32>>(6).unwrap_or(day),
            month: row.get::<_, Option<i32>>(7).unwrap_or(month),
        }
    });
    let timezone = TimeZone::get(row.get(8)).map_err(|_| StoreError::Value("accounts.timezone"))?;
    let account = Account { account_id: row.get(2), plan, limits, api_access: row.get(5), timezone };
    Ok(Key { key_id: row.get(0), revoked: row.get(1), account })
}

/// The provider of the account's instance of that name, if there is one.
///
/// # Errors
/// [`StoreError`].
pub async fn provider(
    db: &impl Db,
    account_id: i64,
    instance_id: &str,
) -> Result<Option<Provider>, StoreError> {
    const SQL: &str = "-- directory.provider
        select provider from instances where account_id = $1 and instance_id = $2";
    let rows = db.query(SQL, &[&account_id, &instance_id]).await?;
    rows.first()
        .map(|row| Provider::parse(row.get(0)).ok_or(StoreError::Value("instances.provider")))
        .transpose()
}
