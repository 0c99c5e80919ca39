//! What provider answers do to a sender as a whole, or to a sender and one recipient.

use std::time::Duration;

use super::{Db, StoreError};
use crate::domain::rate::{PAIR_BURST, PAIR_INTERVAL_US};

/// What a sender's token is sealed with: its place, so that one copied to another row cannot be read.
#[must_use]
pub fn token_context(account_id: i64, instance_id: &str) -> String {
    format!("instance:{account_id}:{instance_id}")
}

/// What the key of a callback address is sealed with: its place.
#[must_use]
pub fn callback_context(account_id: i64, instance_id: &str) -> String {
    format!("callback:{account_id}:{instance_id}")
}

/// Holds the instance until the provider's deadline; `account_wide`: all of the account's instances of the same provider,
/// because the limit is the business account's or the app's. A later deadline stays.
///
/// # Errors
/// [`StoreError`].
pub async fn hold(
    db: &impl Db,
    (account_id, instance_id): (i64, &str),
    pause: Duration,
    reason: &str,
    account_wide: bool,
) -> Result<(), StoreError> {
    const SQL: &str = "-- senders.hold
        update instances n set hold_until = greatest(n.hold_until, now() + $3::int8 * interval '1 millisecond'),
                               hold_reason = $4
        where n.account_id = $1 and (n.instance_id = $2 or $5::bool and n.provider = (
            select provider from instances where account_id = $1 and instance_id = $2))";
    db.execute(SQL, &[&account_id, &instance_id, &millis(pause), &reason, &account_wide]).await?;
    Ok(())
}

/// Lets nothing leave from the instance to this recipient for a while.
///
/// # Errors
/// [`StoreError`].
pub async fn delay_pair(
    db: &impl Db,
    (account_id, instance_id): (i64, &str),
    recipient: &str,
    pause: Duration,
) -> Result<(), StoreError> {
    const SQL: &str = "-- senders.delay_pair
        insert into recipient_pacing as r (account_id, instance_id, recipient, next_at)
        values ($1, $2, $3, now() + $4::int8 * interval '1 millisecond' + $5::int8 * interval '1 microsecond')
        on conflict (account_id, instance_id, recipient) do update set next_at = greatest(r.next_at, excluded.next_at)";
    // The burst lets a message go earlier than its place by that much.
    let allowance = (PAIR_BURST - 1) * PAIR_INTERVAL_US;
    db.execute(SQL, &[&account_id, &instance_id, &recipient, &millis(pause), &allowance]).await?;
    Ok(())
}

/// The account and instance whose number it is.
///
/// # Errors
/// [`StoreError`].
pub async fn by_phone_number(
    db: &impl Db,
    phone_number_id: &str,
) -> Result<Option<(i64, String)>, StoreError> {
    const SQL: &str = "-- senders.by_phone_number
        select account_id, instance_id from instances where phone_number_id = $1";
    let rows = db.query(SQL, &[&phone_number_id]).await?;
    Ok(rows.first().map(|row| (row.get(0), row.get(1))))
}

/// The Evolution instance whose address was called. It has no `Debug`, because it holds a key, though a sealed one.
pub struct Called {
    /// The tenant.
    pub account_id: i64,
    /// The instance.
    pub instance_id: String,
    /// The key of the tokens its events must come with, encrypted; `None`: the address is enough.
    pub jwt_key_sealed: Option<Vec<u8>>,
}

/// The Evolution instance whose callbacks come with the token of this hash.
///
/// # Errors
/// [`StoreError`].
pub async fn by_callback_token(db: &impl Db, hash: &[u8]) -> Result<Option<Called>, StoreError> {
    const SQL: &str = "-- senders.by_callback_token
        select account_id, instance_id, callback_jwt_key_sealed from instances
        where callback_token_hash = $1 and provider = 'evolution'";
    let rows = db.query(SQL, &[&hash]).await?;
    Ok(rows.first().map(|row| Called {
        account_id: row.get(0),
        instance_id: row.get(1),
        jwt_key_sealed: row.get(2),
    }))
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
