//! Messages with their attempts and rises.

use std::collections::HashSet;

use jiff::Timestamp;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::domain::audit::{Attempt, Message, Recorded, Rise};
use crate::domain::status::Status;
use crate::store::{Db, StoreError};

/// Messages in the order of their ids.
pub struct MessagePage {
    /// Each with its id.
    pub messages: Vec<(Uuid, Message)>,
    /// What attempts or events in this range name, and is not there.
    pub orphans: HashSet<Uuid>,
    /// Where the next page begins; `None`: this is the last.
    pub next: Option<Uuid>,
}

/// The account's messages behind `after`, at most `limit`. What is older than `until` is known to witnesses. Everything in a
/// page is of one moment where `db` is a snapshot.
///
/// # Errors
/// [`StoreError`].
pub async fn messages(
    db: &impl Db,
    account_id: i64,
    after: Uuid,
    limit: i64,
    until: Timestamp,
) -> Result<MessagePage, StoreError> {
    const MESSAGES: &str = "-- audit.messages
        select m.message_id, m.status::text, m.sequence, m.calls, m.in_flight, m.unsent, m.resent,
               m.lease is not null as leased, (extract(epoch from m.due_at - now()) * 1000)::int8 as due_in_ms,
               coalesce(m.not_before > now(), false) as put_off,
               coalesce(n.paused_at is not null or (n.connection <> 'open' and n.probe is distinct from m.message_id)
                   or n.hold_until > now()
                   or case when m.free_text then n.texts_hold_until else n.templates_hold_until end > now(),
                   false) as sender_held,
               m.provider_message_id, m.confirmation, m.created_at <= $4 as witnessable,
               m.confirmation or exists (select from policy_log p where p.account_id = m.account_id
                   and p.log_id = m.log_id and p.created_at = m.created_at and p.message_id = m.message_id and p.error_code is null) as decided
        from messages m
        left join instances n on n.account_id = m.account_id and n.instance_id = m.instance_id
        where m.account_id = $1 and m.message_id > $2 order by m.message_id limit $3";
    const ATTEMPTS: &str = "-- audit.attempts
        select message_id, attempt, outcome, provider_message_id,
               coalesce(finished_at <= $4, false) as witnessable
        from attempts where account_id = $1 and message_id > $2 and message_id <= $3 order by message_id, attempt";
    const RISES: &str = "-- audit.rises
        select message_id, kind = 'message.status_updated' as rise, coalesce(sequence, 0::int2) as sequence,
               previous_status::text, status::text
        from events where account_id = $1 and message_id > $2 and message_id <= $3 and kind like 'message.%'
        order by message_id, sequence";
    let rows = db.query(MESSAGES, &[&account_id, &after, &limit, &until]).await?;
    let mut messages = rows.iter().map(message).collect::<Result<Vec<_>, _>>()?;
    let full = i64::try_from(messages.len()).is_ok_and(|read| read == limit);
    let next = messages.last().map(|(id, _)| *id).filter(|_| full);
    let through = next.unwrap_or(Uuid::max());
    let attempts = db.query(ATTEMPTS, &[&account_id, &after, &through, &until]).await?;
    let rises = db.query(RISES, &[&account_id, &after, &through]).await?;
    let mut orphans = HashSet::new();
    for row in &attempts {
        match find(&mut messages, row.get(0)) {
            Ok(message) => message.attempts.push(attempt(row)),
            Err(orphan) => drop(orphans.insert(orphan)),
        }
    }
    for row in &rises {
        match find(&mut messages, row.get(0)) {
            Ok(message) if row.get("rise") => message.rises.push(rise(row)?),
            Ok(message) => message.told_apart.push(row.get("sequence")),
            Err(orphan) => drop(orphans.insert(orphan)),
        }
    }
    Ok(MessagePage { messages, orphans, next })
}

/// The message of that id, or else the id.
fn find(messages: &mut [(Uuid, Message)], id: Uuid) -> Result<&mut Message, Uuid> {
    match messages.binary_search_by_key(&id, |(id, _)| *id) {
        Ok(place) => Ok(&mut messages[place].1),
        Err(_) => Err(id),
    }
}

fn message(row: &Row) -> Result<(Uuid, Message), StoreError> {
    let message = Message {
        status: status(row, "status")?.ok_or(StoreError::Value("messages.status"))?,
        sequence: row.get("sequence"),
        calls: row.get("calls"),
        in_flight: row.get("in_flight"),
        unsent: row.get("unsent"),
        resent: row.get("resent"),
        leased: row.get("leased"),
        due_in_ms: row.get("due_in_ms"),
        put_off: row.get("put_off"),
        sender_held: row.get("sender_held"),
        provider_message_id: row.get("provider_message_id"),
        decided: row.get("decided"),
        confirmation: row.get("confirmation"),
        witnessable: row.get("witnessable"),
        attempts: Vec::new(),
        rises: Vec::new(),
        told_apart: Vec::new(),
    };
    Ok((row.get("message_id"), message))
}

fn attempt(row: &Row) -> Attempt {
    Attempt {
        number: row.get("attempt"),
        recorded: Recorded::read(row.get("outcome")),
        provider_message_id: row.get("provider_message_id"),
        witnessable: row.get("witnessable"),
    }
}

fn rise(row: &Row) -> Result<Rise, StoreError> {
    Ok(Rise {
        sequence: row.get("sequence"),
        from: status(row, "previous_status")?,
        to: status(row, "status")?,
    })
}

fn status(row: &Row, column: &'static str) -> Result<Option<Status>, StoreError> {
    let name: Option<&str> = row.get(column);
    name.map(|name| Status::parse(name).ok_or(StoreError::Value(column))).transpose()
}
