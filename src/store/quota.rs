//! What accounts have used of their limits.

use super::{Db, StoreError};
use crate::domain::account::Periods;

/// Account, day, month: what is used of both.
pub(super) const USED: &str = "-- quota.used
    select coalesce((select used from quota_usage where account_id = $1 and period = 'day' and starts_on = $2), 0),
           coalesce((select used from quota_usage where account_id = $1 and period = 'month' and starts_on = $3), 0)";

/// What the account has used of the day and of the month.
///
/// # Errors
/// [`StoreError`].
pub async fn used(db: &impl Db, account_id: i64, periods: &Periods) -> Result<(i32, i32), StoreError> {
    let rows = db.query(USED, &[&account_id, &periods.day, &periods.month]).await?;
    Ok(rows.first().map(|row| (row.get(0), row.get(1))).unwrap_or_default())
}
