//! Messages of unknown outcome whose provider can be asked about them.

use std::time::Duration;

use jiff::Timestamp;
use tokio_postgres::Row;

use super::connections::Server;
use super::span::few;
use super::{Db, StoreError};
use crate::domain::id::MessageKey;

/// A message whose provider is to be asked. It has no `Debug`, because it holds a phone number and a text.
pub struct LookUp {
    /// Which.
    pub key: MessageKey,
    /// Whom to ask.
    pub server: Server,
    /// The id that its last call proposed.
    pub proposed_id: String,
    /// E.164 digits.
    pub recipient: String,
    /// The text.
    pub text: String,
    /// When its last call was begun.
    pub called_at: Timestamp,
}

/// Takes up to `most` messages of Evolution instances whose outcome is unknown and about which the server is to be asked
/// (again): `schedule` says how long after it became so. Each counts as asked, whatever becomes of it. Safe to be done by
/// several processes at once.
///
/// # Errors
/// [`StoreError`].
pub async fn claim(db: &impl Db, most: i64, schedule: &[Duration]) -> Result<Vec<LookUp>, StoreError> {
    const SQL: &str = concat!(
        "-- look_ups.claim
        with due as materialized (
            select m.* from instances n
            cross join lateral (
                select account_id, message_id, instance_id, calls from messages m
                where m.account_id = n.account_id and m.instance_id = n.instance_id and m.status = 'unknown'
                  and not m.unsent and not m.in_flight and m.due_at > now() and m.look_ups < cardinality($2::int8[])
                  and m.updated_at + ($2::int8[])[m.look_ups + 1] * interval '1 millisecond' <= now()
                for update skip locked) m
            where n.provider = 'evolution' limit $1
        )
        update messages m set look_ups = m.look_ups + 1
        from due d
        cross join lateral (
            select * from instances n where n.account_id = d.account_id and n.instance_id = d.instance_id offset 0) n
        cross join lateral (
            select provider_message_id, started_at from attempts a
            where a.account_id = d.account_id and a.message_id = d.message_id and a.attempt = d.calls offset 0) a
        cross join lateral (
            select body from message_texts t
            where t.account_id = d.account_id and t.message_id = d.message_id offset 0) t
        where m.account_id = d.account_id and m.message_id = d.message_id and a.provider_message_id is not null and ",
        few!("d"),
        "
        returning m.account_id, m.message_id, m.recipient, t.body, a.provider_message_id, a.started_at, n.instance_id,
                  n.base_url, n.provider_instance, n.token_sealed"
    );
    let waits: Vec<i64> =
        schedule.iter().map(|wait| i64::try_from(wait.as_millis()).unwrap_or(i64::MAX)).collect();
    Ok(db.query(SQL, &[&most, &waits]).await?.iter().map(look_up).collect())
}

fn look_up(row: &Row) -> LookUp {
    LookUp {
        key: MessageKey { account_id: row.get("account_id"), message_id: row.get("message_id") },
        server: Server::from(row),
        proposed_id: row.get("provider_message_id"),
        recipient: row.get("recipient"),
        text: row.get("body"),
        called_at: row.get("started_at"),
    }
}
