//! What people say to a sender: opt-outs, opt-ins, and what was heard already.

use std::time::Duration;

use jiff::Timestamp;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::{Db, StoreError, in_force, outcomes, owe};
use crate::domain::id::DeliveryKey;
use crate::domain::opt_out::Wish;

/// A person's change of mind, as customers are told of it.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    /// The tenant.
    pub account_id: i64,
    /// The instance they wrote to.
    pub instance_id: &'a str,
    /// E.164 digits.
    pub recipient: &'a str,
    /// What they wrote, where they wrote.
    pub text: Option<&'a str>,
    /// Why, in the documents' words.
    pub reason: &'static str,
    /// When they wrote it: an older wish never undoes a newer opt-out, whichever arrives first.
    /// `None`: now.
    pub at: Option<Timestamp>,
}

/// Remembers an inbound message; `false` where it was heard before.
///
/// # Errors
/// [`StoreError`].
pub async fn hear(
    db: &impl Db,
    (account_id, instance_id): (i64, &str),
    provider_message_id: &str,
    sender: Option<&str>,
    at: Timestamp,
) -> Result<bool, StoreError> {
    const SQL: &str = "-- recipients.hear
        insert into inbound_messages (account_id, instance_id, provider_message_id, sender, received_at)
        values ($1, $2, $3, $4, $5) on conflict do nothing";
    let heard = db.execute(SQL, &[&account_id, &instance_id, &provider_message_id, &sender, &at]).await?;
    Ok(heard == 1)
}

const IN_FORCE: &str = in_force!();

/// How long after an opt-out was written its confirmation is worth sending.
const ANSWER_VALIDITY: &str = "interval '1 hour'";

const TELL: &str = concat!(
        "
        told as (
            insert into events (account_id, event_id, kind, instance_id, recipient, reason, message_text)
            select account_id, $3::uuid, $4::text, $5::text, recipient, $6::text, $7::text from changed limit 1
            returning account_id, event_id, kind
        )
",
        owe!()
    );

/// Suppresses a recipient without an end and tells the customer, unless they were suppressed so already. A suppression of
/// somebody else's loses its end; it stays theirs, unless it has ended. `essential_too`: they wrote it, so not even one-time
/// codes are sent any more, and where the instance has an answer to that it is queued, once, for as long as it is one: who
/// wrote long ago and is heard only now is not written to. Gives the webhook deliveries owed.
///
/// # Errors
/// [`StoreError`].
pub async fn opt_out(
    db: &impl Db,
    change: Change<'_>,
    essential_too: bool,
) -> Result<Vec<DeliveryKey>, StoreError> {
    let scopes = if essential_too {
        "'all' as scope, 'inbound' as source"
    } else {
        "'non_essential' as scope, 'provider' as source"
    };
    let sql = format!(
        "-- recipients.opt_out
        with wish as (
            select $1::int8 as account_id, $2::text as recipient, {scopes}
        ), before as materialized (
            -- Read before the row is changed, because the insert below draws on it.
            select {IN_FORCE} as active, s.source = 'provider' and s.ends_at is not null as cooling
            from wish w join suppressions s using (account_id, recipient, scope)
            for update of s
        ), suppressed as (
            insert into suppressions as s (account_id, recipient, scope, source, created_at)
            select w.account_id, w.recipient, w.scope, w.source, coalesce($8::timestamptz, now())
            from wish w left join before on true
            on conflict (account_id, recipient, scope) do update set
                source = case when s.ends_at <= now() then excluded.source else s.source end,
                created_at = case when s.ends_at <= now() then excluded.created_at
                                  else greatest(s.created_at, excluded.created_at) end,
                starts_at = case when s.ends_at <= now() then now() else least(s.starts_at, now()) end,
                ends_at = null
            returning account_id, recipient, xmax = 0 as is_new
        ), changed as (
            select account_id, recipient from suppressed
            where is_new or exists (select from before where not active or cooling)
        ), answered as (
            -- Due at once: nobody publishes it, a worker finds it.
            insert into messages (account_id, message_id, instance_id, purpose, lane, recipient, free_text, due_at, expires_at,
                                  request_id, confirmation)
            select c.account_id, $9::uuid, n.instance_id, 'operational', 'standard', c.recipient, true,
                   now(), $8::timestamptz + {ANSWER_VALIDITY}, 'confirmation-' || $3::uuid, true
            from changed c join instances n on n.account_id = c.account_id and n.instance_id = $5::text
            where $9::uuid is not null and n.opt_out_confirmation is not null and $8::timestamptz + {ANSWER_VALIDITY} > now()
            returning account_id, message_id, instance_id
        ), said as (
            insert into message_texts (account_id, message_id, body)
            select a.account_id, a.message_id, n.opt_out_confirmation
            from answered a join instances n on n.account_id = a.account_id and n.instance_id = a.instance_id
        ), {TELL}"
    );
    let answer = essential_too.then(Uuid::now_v7);
    tell(db, &sql, "recipient.opted_out", change, &[&answer]).await
}

/// Suppresses what is not essential to a recipient for a while, because the provider asks for it. It is nobody's wish, so
/// nobody is told, and a suppression that stands, whoever's it is, stays as it is, unless it is an earlier pause.
///
/// # Errors
/// [`StoreError`].
pub async fn cool_down(
    db: &impl Db,
    account_id: i64,
    recipient: &str,
    pause: Duration,
) -> Result<(), StoreError> {
    const SQL: &str = "-- recipients.cool_down
        insert into suppressions as s (account_id, recipient, scope, source, ends_at)
        values ($1, $2, 'non_essential', 'provider', now() + $3::int8 * interval '1 millisecond')
        on conflict (account_id, recipient, scope) do update set
            source = excluded.source, created_at = now(), starts_at = least(s.starts_at, now()),
            ends_at = greatest(s.ends_at, excluded.ends_at)
        where s.ends_at <= now() or s.source = 'provider' and s.ends_at is not null";
    let pause_ms = i64::try_from(pause.as_millis()).unwrap_or(i64::MAX);
    db.execute(SQL, &[&account_id, &recipient, &pause_ms]).await?;
    Ok(())
}

/// Lifts what the recipient's own wish suppressed, and tells the customer, where there was something to lift. What an
/// operator or the customer suppressed stays.
///
/// # Errors
/// [`StoreError`].
pub async fn opt_in(
    db: &impl Db,
    change: Change<'_>,
    essential_too: bool,
) -> Result<Vec<DeliveryKey>, StoreError> {
    let which = if essential_too { "source in ('inbound', 'provider')" } else { "source = 'provider'" };
    let sql = format!(
        "-- recipients.opt_in
        with changed as (
            delete from suppressions
            where account_id = $1::int8 and recipient = $2::text and {which} and created_at <= coalesce($8::timestamptz, now())
            returning account_id, recipient
        ), {TELL}"
    );
    tell(db, &sql, "recipient.opted_in", change, &[]).await
}

/// Does what a recipient asked for at `at`; `text` is what they wrote, if they did. Gives the webhook deliveries owed.
///
/// # Errors
/// [`StoreError`].
pub async fn heed(
    db: &impl Db,
    (account_id, instance_id): (i64, &str),
    recipient: &str,
    (text, wish): (Option<&str>, Wish),
    at: Timestamp,
) -> Result<Vec<DeliveryKey>, StoreError> {
    let change = |reason| Change { account_id, instance_id, recipient, text, reason, at: Some(at) };
    match wish {
        Wish::OptOut => opt_out(db, change("recipient_requested_stop"), true).await,
        Wish::OptIn => opt_in(db, change("recipient_requested_start"), true).await,
        Wish::StopMarketing => opt_out(db, change("recipient_stopped_marketing"), false).await,
        Wish::ResumeMarketing => opt_in(db, change("recipient_resumed_marketing"), false).await,
    }
}

async fn tell(
    db: &impl Db,
    sql: &str,
    kind: &str,
    change: Change<'_>,
    more: &[&(dyn ToSql + Sync)],
) -> Result<Vec<DeliveryKey>, StoreError> {
    let event_id = Uuid::now_v7();
    let params: [&(dyn ToSql + Sync); 8] = [
        &change.account_id,
        &change.recipient,
        &event_id,
        &kind,
        &change.instance_id,
        &change.reason,
        &change.text,
        &change.at,
    ];
    let rows = db.query(sql, &[&params[..], more].concat()).await?;
    Ok(rows.iter().map(outcomes::owed).collect())
}

/// Carries a person's suppressions over to their new number, where each counts as long as at both numbers together.
///
/// # Errors
/// [`StoreError`].
pub async fn follow_number(db: &impl Db, account_id: i64, from: &str, to: &str) -> Result<(), StoreError> {
    const SQL: &str = "-- recipients.follow_number
        insert into suppressions as s (account_id, recipient, scope, source, starts_at, ends_at)
        select account_id, $3, scope, source, starts_at, ends_at from suppressions
        where account_id = $1 and recipient = $2 and (ends_at is null or ends_at > now())
        on conflict (account_id, recipient, scope) do update set
            source = case when s.ends_at <= now() then excluded.source else s.source end,
            created_at = case when s.ends_at <= now() then excluded.created_at else s.created_at end,
            starts_at = case when s.ends_at <= now() then excluded.starts_at
                             else least(s.starts_at, excluded.starts_at) end,
            ends_at = case when s.ends_at is null or excluded.ends_at is null then null
                           else greatest(s.ends_at, excluded.ends_at) end";
    db.execute(SQL, &[&account_id, &from, &to]).await?;
    Ok(())
}

/// The recipient of a message of ours, by the provider's id of it.
///
/// # Errors
/// [`StoreError`].
pub async fn of_message(
    db: &impl Db,
    account_id: i64,
    provider_message_id: &str,
) -> Result<Option<String>, StoreError> {
    const SQL: &str = "-- recipients.of_message
        select m.recipient from attempts a
        cross join lateral (
            select recipient from messages m
            where m.account_id = a.account_id and m.message_id = a.message_id offset 0) m
        where a.account_id = $1 and a.provider_message_id = $2 limit 1";
    let rows = db.query(SQL, &[&account_id, &provider_message_id]).await?;
    Ok(rows.first().map(|row| row.get(0)))
}

/// Forgets inbound messages older than `days`, at most `limit`; gives how many.
///
/// # Errors
/// [`StoreError`].
pub async fn forget_old(db: &impl Db, days: i32, limit: i64) -> Result<u64, StoreError> {
    const SQL: &str = "-- recipients.forget_old
        delete from inbound_messages where (account_id, instance_id, provider_message_id) in (
            select account_id, instance_id, provider_message_id from inbound_messages
            where received_at < now() - make_interval(days => $1)
            order by received_at limit $2 for update skip locked)";
    db.execute(SQL, &[&days, &limit]).await
}
