//! What provider answers do to a sender as a whole, or to a sender and one recipient.

use std::time::Duration;

use jiff::Timestamp;

use super::{Db, StoreError};
use crate::domain::outcome::Scope;
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

/// Holds whoever is within reach until the provider's deadline: the instance; all of the account's instances of the same
/// provider, where the limit is the business account's; or every account's, where it is the app's, which all of them use.
/// A later deadline stays.
///
/// # Errors
/// [`StoreError`].
pub async fn hold(
    db: &impl Db,
    (account_id, instance_id): (i64, &str),
    pause: Duration,
    reason: &str,
    reach: Scope,
) -> Result<(), StoreError> {
    const SQL: &str = "-- senders.hold
        with reached as materialized (
            select n.account_id, n.instance_id from instances s
            join instances n on n.provider = s.provider
             and (n.account_id = s.account_id or $5 = 'app') and (n.instance_id = s.instance_id or $5 in ('account', 'app'))
            where s.account_id = $1 and s.instance_id = $2
            order by n.account_id, n.instance_id for update of n
        )
        update instances n set hold_until = greatest(n.hold_until, now() + $3::int8 * interval '1 millisecond'),
                               -- What made it suspect stays known.
                               hold_reason = case when n.connection = 'suspect' then coalesce(n.hold_reason, $4) else $4 end
        from reached r where n.account_id = r.account_id and n.instance_id = r.instance_id";
    db.execute(SQL, &[&account_id, &instance_id, &millis(pause), &reason, &reach.as_str()]).await?;
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

/// Holds texts, templates or both of every instance of a business account of Meta's until these times. Later deadlines
/// stay.
///
/// # Errors
/// [`StoreError`].
pub async fn hold_business(
    db: &impl Db,
    business_account_id: &str,
    texts: Option<Timestamp>,
    templates: Option<Timestamp>,
) -> Result<(), StoreError> {
    const SQL: &str = "-- senders.hold_business
        with reached as materialized (
            select account_id, instance_id from instances where business_account_id = $1
            order by account_id, instance_id for update
        )
        update instances n set texts_hold_until = greatest(n.texts_hold_until, $2::timestamptz),
                               templates_hold_until = greatest(n.templates_hold_until, $3::timestamptz)
        from reached r where n.account_id = r.account_id and n.instance_id = r.instance_id";
    db.execute(SQL, &[&business_account_id, &texts, &templates]).await?;
    Ok(())
}

/// The instances of a business account of Meta's, in key order.
///
/// # Errors
/// [`StoreError`].
pub async fn of_business(db: &impl Db, business_account_id: &str) -> Result<Vec<(i64, String)>, StoreError> {
    const SQL: &str = "-- senders.of_business
        select account_id, instance_id from instances where business_account_id = $1
        order by account_id, instance_id";
    let rows = db.query(SQL, &[&business_account_id]).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
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

/// The Evolution instance whose callbacks come with the token of this hash, or came with it until a moment ago.
///
/// # Errors
/// [`StoreError`].
pub async fn by_callback_token(db: &impl Db, hash: &[u8]) -> Result<Option<Called>, StoreError> {
    const SQL: &str = "-- senders.by_callback_token
        select account_id, instance_id, callback_jwt_key_sealed from instances
        where callback_token_hash = $1 and provider = 'evolution'
        union all
        select account_id, instance_id, previous_callback_jwt_key_sealed from instances
        where previous_callback_token_hash = $1 and previous_callback_until > now() and provider = 'evolution'
        limit 1";
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
