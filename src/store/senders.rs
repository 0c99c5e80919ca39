//! What provider answers do to a sender as a whole, or to a sender and one recipient.

use std::time::Duration;

use jiff::Timestamp;
use uuid::Uuid;

use super::{Db, StoreError, outcomes, owe};
use crate::domain::id::DeliveryKey;
use crate::domain::outcome::Scope;
use crate::domain::rate::{PAIR_BURST, PAIR_INTERVAL_US};

/// What a sender's token is sealed with: its place, so that one copied to another row cannot be read.
#[must_use]
pub fn token_context(account_id: i64, instance_id: &str) -> String {
    format!("instance:{account_id}:{instance_id}")
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
                               hold_reason = $4
        from reached r where n.account_id = r.account_id and n.instance_id = r.instance_id";
    db.execute(SQL, &[&account_id, &instance_id, &millis(pause), &reason, &reach.as_str()]).await?;
    Ok(())
}

/// Marks an open instance as suspect: its messages wait untouched until an operator has looked. Gives the webhook
/// deliveries owed for it; none where it was not open.
///
/// # Errors
/// [`StoreError`].
pub async fn suspect(
    db: &impl Db,
    (account_id, instance_id): (i64, &str),
    reason: &str,
) -> Result<Vec<DeliveryKey>, StoreError> {
    const SQL: &str = concat!(
        "-- senders.suspect
        with changed as (
            update instances set connection = 'suspect', connection_by = 'provider', hold_reason = $3
            where account_id = $1 and instance_id = $2 and connection = 'open'
            returning account_id, instance_id
        ), told as (
            insert into events (account_id, event_id, kind, instance_id, state, previous_state, reason)
            select account_id, $4, 'instance.connection_updated', instance_id, 'suspect', 'open', $3 from changed
            returning account_id, event_id, kind
        )
",
        owe!()
    );
    let rows = db.query(SQL, &[&account_id, &instance_id, &reason, &Uuid::now_v7()]).await?;
    Ok(rows.iter().map(outcomes::owed).collect())
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

/// Opens an instance again that is suspect for this reason and no other. Gives the webhook deliveries owed for it.
///
/// # Errors
/// [`StoreError`].
pub async fn clear(
    db: &impl Db,
    (account_id, instance_id): (i64, &str),
    reason: &str,
) -> Result<Vec<DeliveryKey>, StoreError> {
    const SQL: &str = concat!(
        "-- senders.clear
        with changed as (
            update instances set connection = 'open', hold_reason = null
            where account_id = $1 and instance_id = $2 and connection = 'suspect' and connection_by = 'provider'
              and hold_reason = $3
            returning account_id, instance_id
        ), told as (
            insert into events (account_id, event_id, kind, instance_id, state, previous_state, reason)
            select account_id, $4, 'instance.connection_updated', instance_id, 'open', 'suspect', 'provider' from changed
            returning account_id, event_id, kind
        )
",
        owe!()
    );
    let rows = db.query(SQL, &[&account_id, &instance_id, &reason, &Uuid::now_v7()]).await?;
    Ok(rows.iter().map(outcomes::owed).collect())
}

/// The account and the Evolution instance whose callbacks come with the token of this hash.
///
/// # Errors
/// [`StoreError`].
pub async fn by_callback_token(db: &impl Db, hash: &[u8]) -> Result<Option<(i64, String)>, StoreError> {
    const SQL: &str = "-- senders.by_callback_token
        select account_id, instance_id from instances where callback_token_hash = $1 and provider = 'evolution'";
    let rows = db.query(SQL, &[&hash]).await?;
    Ok(rows.first().map(|row| (row.get(0), row.get(1))))
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
