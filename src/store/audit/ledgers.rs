//! What witnesses name, looked up. `limit 1` has each looked up by its key: without it a plan may go through a whole table
//! and compare every row with every name.

use std::collections::HashSet;

use uuid::Uuid;

use crate::domain::audit::Accepted;
use crate::store::{Db, StoreError};

/// What became of an answer that somebody remembers.
#[derive(Clone, Copy, Debug)]
pub struct AnsweredFor {
    /// The message it named.
    pub message_id: Uuid,
    /// It is there.
    pub found: bool,
    /// Its idempotency key stands for it, had it one. Keys are kept for a day.
    pub key_agrees: bool,
}

/// What became of the messages that senders were told of.
///
/// # Errors
/// [`StoreError`].
pub async fn answers(db: &impl Db, told: &[(&Uuid, &Accepted)]) -> Result<Vec<AnsweredFor>, StoreError> {
    const SQL: &str = "-- audit.answers
        select w.message_id, m.message_id is not null,
               w.key is null or coalesce(k.message_id = w.message_id, false)
                   or coalesce(m.created_at < now() - interval '23 hours', false)
        from unnest($1::uuid[], $2::int8[], $3::text[]) as w(message_id, account_id, key)
        left join messages m on m.account_id = w.account_id and m.message_id = w.message_id
        left join idempotency_keys k on k.account_id = w.account_id and k.key = w.key";
    let messages: Vec<Uuid> = told.iter().map(|(id, _)| **id).collect();
    let accounts: Vec<i64> = told.iter().map(|(_, told)| told.account_id).collect();
    let keys: Vec<Option<&str>> = told.iter().map(|(_, told)| told.key.as_deref()).collect();
    let rows = db.query(SQL, &[&messages, &accounts, &keys]).await?;
    let read = |row: &tokio_postgres::Row| AnsweredFor {
        message_id: row.get(0),
        found: row.get(1),
        key_agrees: row.get(2),
    };
    Ok(rows.iter().map(read).collect())
}

/// The messages that these keys of these accounts stand for.
///
/// # Errors
/// [`StoreError`].
pub async fn messages_of_keys(db: &impl Db, keys: &[&(i64, String)]) -> Result<Vec<Uuid>, StoreError> {
    const SQL: &str = "-- audit.messages_of_keys
        select found.message_id from unnest($1::int8[], $2::text[]) as w(account_id, key)
        cross join lateral (select k.message_id from idempotency_keys k
            where k.account_id = w.account_id and k.key = w.key limit 1) found";
    let accounts: Vec<i64> = keys.iter().map(|(account_id, _)| *account_id).collect();
    let keys: Vec<&str> = keys.iter().map(|(_, key)| key.as_str()).collect();
    Ok(db.query(SQL, &[&accounts, &keys]).await?.iter().map(|row| row.get(0)).collect())
}

/// Those of the messages that one of the accounts has.
///
/// # Errors
/// [`StoreError`].
pub async fn known_messages(
    db: &impl Db,
    accounts: &[i64],
    ids: &[Uuid],
) -> Result<HashSet<Uuid>, StoreError> {
    const SQL: &str = "-- audit.known_messages
        select w.id from unnest($1::int8[]) as a(account_id) cross join unnest($2::uuid[]) as w(id)
        cross join lateral (select from messages m
            where m.account_id = a.account_id and m.message_id = w.id limit 1) found";
    Ok(db.query(SQL, &[&accounts, &ids]).await?.iter().map(|row| row.get(0)).collect())
}

/// Those of the events that one of the accounts has.
///
/// # Errors
/// [`StoreError`].
pub async fn known_events(db: &impl Db, accounts: &[i64], ids: &[Uuid]) -> Result<HashSet<Uuid>, StoreError> {
    const SQL: &str = "-- audit.known_events
        select w.id from unnest($1::int8[]) as a(account_id) cross join unnest($2::uuid[]) as w(id)
        cross join lateral (select from events e
            where e.account_id = a.account_id and e.event_id = w.id limit 1) found";
    Ok(db.query(SQL, &[&accounts, &ids]).await?.iter().map(|row| row.get(0)).collect())
}
