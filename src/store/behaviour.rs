//! What the guard remembers of the recent past: what it counts over sliding windows, and to whom an account has written.

use super::{Db, StoreError};

/// Forgets sightings that no window reaches back to any more, at most `limit`; gives how many.
///
/// # Errors
/// [`StoreError`].
pub async fn forget_sightings(db: &impl Db, limit: i64) -> Result<u64, StoreError> {
    const SQL: &str = "-- behaviour.forget_sightings
        delete from sightings where (account_id, counter, subject, member) in (
            select account_id, counter, subject, member from sightings
            where expires_at < now() order by expires_at limit $1 for update skip locked)";
    db.execute(SQL, &[&limit]).await
}

/// Forgets to whom nothing was written for `days`, at most `limit`; gives how many.
///
/// # Errors
/// [`StoreError`].
pub async fn forget_contacts(db: &impl Db, days: i32, limit: i64) -> Result<u64, StoreError> {
    const SQL: &str = "-- behaviour.forget_contacts
        delete from contacts where (account_id, recipient) in (
            select account_id, recipient from contacts
            where last_at < now() - make_interval(days => $1)
            order by last_at limit $2 for update skip locked)";
    db.execute(SQL, &[&days, &limit]).await
}

/// Forgets the blocked attempts of an instance, known by 64 bits of a keyed hash.
///
/// # Errors
/// [`StoreError`].
pub async fn forget_blocked(db: &impl Db, account_id: i64, instance: i64) -> Result<u64, StoreError> {
    const SQL: &str = "-- behaviour.forget_blocked
        delete from sightings where account_id = $1 and counter = 'blocked' and subject = $2";
    db.execute(SQL, &[&account_id, &instance]).await
}
