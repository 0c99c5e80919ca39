//! What providers report of messages afterwards.

use jiff::Timestamp;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::span::{few, span};
use super::{Db, StoreError, outcomes, owe};
use crate::domain::id::{DeliveryKey, MessageKey};
use crate::domain::status::Status;

/// How a report names its sender.
#[derive(Clone, Debug)]
pub enum Sender {
    /// By the provider's id of its number.
    Number(String),
    /// By its account and our own id, where the address that was called tells it.
    Instance(i64, String),
}

impl Sender {
    fn number(&self) -> Option<&str> {
        match self {
            Self::Number(number) => Some(number),
            Self::Instance(..) => None,
        }
    }

    fn instance(&self) -> Option<(i64, &str)> {
        match self {
            Self::Number(_) => None,
            Self::Instance(account_id, instance_id) => Some((*account_id, instance_id)),
        }
    }
}

/// How a report names its message.
#[derive(Clone, Debug)]
pub struct Named {
    /// Whose message it is; what is not this sender's is not found.
    pub sender: Sender,
    /// The message, by the provider's id.
    pub provider_message_id: String,
    /// The message, by our own mark, where the report carries it.
    pub marked: Option<MessageKey>,
}

/// What a name stands for.
#[derive(Clone, Debug)]
pub enum Known {
    /// A message, locked until the transaction ends.
    Message {
        /// Which.
        key: MessageKey,
        /// Its status now.
        status: Status,
        /// Its recipient's digits.
        recipient: String,
        /// Its instance.
        instance_id: String,
        /// The number of its last call.
        calls: i16,
        /// The call that was given the provider's id, where it was found by that.
        call: Option<i16>,
    },
    /// A sender of ours, but no message that is known yet.
    NotYet,
    /// No sender of ours.
    Foreign,
}

const LOCK: &str = "-- reports.lock
with input as materialized (
    select * from unnest($1::int4[], $2::text[], $3::int8[], $4::text[], $5::text[], $6::int8[], $7::uuid[])
        as i(place, phone_number_id, sender_account, sender_instance, provider_message_id, account_id, message_id)
), named as materialized (
    -- Marks and ids alike count only for the sender they were made for. `offset 0` has messages looked up by their whole key:
    -- of a table without statistics Postgres expects so few rows that it would read all of an account.
    select i.place, n.account_id, coalesce(ours.message_id, theirs.message_id) as message_id,
           case when ours.message_id is null then theirs.attempt end as call
    from input i
    cross join lateral (
        select account_id, instance_id from instances where phone_number_id = i.phone_number_id
        union all
        select account_id, instance_id from instances
        where account_id = i.sender_account and instance_id = i.sender_instance) n
    left join lateral (
        select m.message_id from messages m
        where i.account_id = n.account_id and m.account_id = n.account_id
          and m.message_id = i.message_id and m.instance_id = n.instance_id offset 0) ours on true
    left join lateral (
        select a.message_id, a.attempt from attempts a
        cross join lateral (
            select from messages m
            where m.account_id = a.account_id and m.message_id = a.message_id and m.instance_id = n.instance_id offset 0) m
        where a.account_id = n.account_id and a.provider_message_id = i.provider_message_id
        order by a.attempt desc limit 1) theirs on true
), locked as materialized (
    select o.place, m.*, o.call
    from (select * from named where message_id is not null order by account_id, message_id) o
    cross join lateral (select m.account_id, m.message_id, m.status::text, m.recipient, m.instance_id, m.calls
        from messages m
        where m.account_id = o.account_id and m.message_id = o.message_id for update) m
)
select * from locked
union all
select place, account_id, null, null, null, null, null, null from named where message_id is null";

/// Finds and locks the messages that reports name, in key order; the answers are in the order of the names.
///
/// # Errors
/// [`StoreError`].
pub async fn lock(db: &impl Db, names: &[Named]) -> Result<Vec<Known>, StoreError> {
    let places: Vec<i32> = (0..names.len()).map(|n| i32::try_from(n).unwrap_or(i32::MAX)).collect();
    let numbers: Vec<Option<&str>> = names.iter().map(|name| name.sender.number()).collect();
    let (owners, instances): (Vec<Option<i64>>, Vec<Option<&str>>) =
        names.iter().map(|name| name.sender.instance().unzip()).unzip();
    let theirs: Vec<&str> = names.iter().map(|name| name.provider_message_id.as_str()).collect();
    let accounts: Vec<Option<i64>> = names.iter().map(|name| name.marked.map(|key| key.account_id)).collect();
    let ours: Vec<Option<Uuid>> = names.iter().map(|name| name.marked.map(|key| key.message_id)).collect();
    let rows = db.query(LOCK, &[&places, &numbers, &owners, &instances, &theirs, &accounts, &ours]).await?;
    let mut known = vec![Known::Foreign; names.len()];
    for row in &rows {
        let place = usize::try_from(row.get::<_, i32>(0)).unwrap_or(usize::MAX);
        let Some(slot) = known.get_mut(place) else { continue };
        *slot = match row.get::<_, Option<Uuid>>(2) {
            None => Known::NotYet,
            Some(message_id) => Known::Message {
                key: MessageKey { account_id: row.get(1), message_id },
                status: Status::parse(row.get(3)).ok_or(StoreError::Value("messages.status"))?,
                recipient: row.get(4),
                instance_id: row.get(5),
                calls: row.get(6),
                call: row.get(7),
            },
        };
    }
    Ok(known)
}

/// A message that a provider tells of having sent, as far as it can be recognised without its id.
#[derive(Clone, Copy, Debug)]
pub struct WentOut<'a> {
    /// The tenant.
    pub account_id: i64,
    /// The instance it went out from.
    pub instance_id: &'a str,
    /// The provider's id of it.
    pub provider_message_id: &'a str,
    /// E.164 digits.
    pub recipient: &'a str,
    /// The whole text.
    pub text: &'a str,
    /// When the provider told of it.
    pub told_at: Timestamp,
}

/// Gives the provider's id to the one message it can belong to: of unknown outcome, to the same recipient, with the same
/// text, and called within the fifteen minutes before. Nothing is done where there are several, or where the id is known.
///
/// # Errors
/// [`StoreError`].
pub async fn recognise(db: &impl Db, sent: &WentOut<'_>) -> Result<(), StoreError> {
    const SQL: &str = concat!(
        "-- reports.recognise
        with alike as materialized (
            select m.account_id, m.message_id, m.calls, a.started_at from messages m
            cross join lateral (
                select started_at from attempts a
                where a.account_id = m.account_id and a.message_id = m.message_id and a.attempt = m.calls offset 0) a
            cross join lateral (
                select from message_texts t
                where t.account_id = m.account_id and t.message_id = m.message_id and t.body = $5 offset 0) t
            where m.account_id = $1 and m.instance_id = $2 and m.recipient = $4 and m.status = 'unknown'
              and not exists (select from attempts k where k.account_id = $1 and k.provider_message_id = $3)
        )
        update attempts a set provider_message_id = $3 from alike l
        where (select count(*) from alike) = 1
          and l.started_at between $6::timestamptz - interval '15 minutes' and $6::timestamptz
          and a.account_id = l.account_id and a.message_id = l.message_id and a.attempt = l.calls and ",
        few!("l")
    );
    let params: [&(dyn ToSql + Sync); 6] = [
        &sent.account_id,
        &sent.instance_id,
        &sent.provider_message_id,
        &sent.recipient,
        &sent.text,
        &sent.told_at,
    ];
    db.execute(SQL, &params).await?;
    Ok(())
}

/// One rise of a message's status.
#[derive(Clone, Debug)]
pub struct Rise {
    /// Which message.
    pub key: MessageKey,
    /// From where.
    pub from: Status,
    /// To where.
    pub to: Status,
    /// The error code shown to the customer, for a failure.
    pub error: Option<&'static str>,
    /// Why, for the attempt's row.
    pub reason: Option<String>,
    /// The provider's id of the message.
    pub provider_message_id: String,
    /// The call our own mark names.
    pub call: Option<i16>,
}

const RAISE: &str = concat!(
        "-- reports.raise
with input as materialized (
    select i.*, row_number() over (partition by account_id, message_id order by place) as step,
           count(*) over (partition by account_id, message_id) as steps
    from unnest($1::int8[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::int2[],
                $9::uuid[], $10::uuid[]) with ordinality
        as i(account_id, message_id, before, after, error, reason, provider_message_id, call, event_id, second_id, place)
), moved as (
    update messages m set
        status = i.after::message_status, sequence = m.sequence + i.steps, error = i.error, reached_provider = true,
        provider_message_id = coalesce(m.provider_message_id, i.provider_message_id),
        in_flight = false, unsent = false, due_at = null, not_before = null, updated_at = now()
    from input i
    where i.step = i.steps and m.account_id = i.account_id and m.message_id = i.message_id
      and m.message_id between $11 and $12 and ",
        few!("i"),
        "
    returning m.account_id, m.message_id, m.instance_id, m.recipient, m.request_id, m.calls, m.sequence - i.steps as sequence
), noted as (
    update attempts a set provider_message_id = coalesce(a.provider_message_id, i.provider_message_id),
        finished_at = coalesce(a.finished_at, now()), reason = coalesce(i.reason, a.reason),
        outcome = case when a.outcome is null or a.outcome = 'unknown' then 'accepted' else a.outcome end
    from input i join moved m on m.account_id = i.account_id and m.message_id = i.message_id
    where i.step = i.steps and i.call is not null and a.account_id = i.account_id and a.message_id = i.message_id
      and a.message_id between $11 and $12 and ",
        few!("i"),
        "
      -- After a restore the provider knows of calls that are not on record: one stands for them.
      and a.attempt = least(i.call, m.calls)
), told as (
    insert into events (account_id, event_id, kind, instance_id, message_id, recipient, status, previous_status,
                        sequence, error, request_id)
    select i.account_id, k.event_id, k.kind, m.instance_id, i.message_id, m.recipient, i.after::message_status,
           i.before::message_status, m.sequence + i.step, i.error, m.request_id
    from input i
    join moved m on m.account_id = i.account_id and m.message_id = i.message_id
    cross join lateral (values
        (i.event_id, 'message.status_updated'),
        (i.second_id, case i.after when 'delivered' then 'message.delivered' when 'read' then 'message.read' end))
        k(event_id, kind)
    where k.kind is not null
    returning account_id, event_id, kind
)
",
        owe!()
    );

/// Raises locked messages, each rise with its event; several of one message in their order. Gives the webhook deliveries
/// owed.
///
/// # Errors
/// [`StoreError`].
pub async fn raise(db: &impl Db, rises: &[Rise]) -> Result<Vec<DeliveryKey>, StoreError> {
    if rises.is_empty() {
        return Ok(Vec::new());
    }
    fn column<'a, T>(rises: &'a [Rise], read: impl Fn(&'a Rise) -> T) -> Vec<T> {
        rises.iter().map(read).collect()
    }
    let messages = column(rises, |r| r.key.message_id);
    let (least, greatest) = span(&messages);
    let rows = db
        .query(
            RAISE,
            &[
                &column(rises, |r| r.key.account_id),
                &messages,
                &column(rises, |r| r.from.as_str()),
                &column(rises, |r| r.to.as_str()),
                &column(rises, |r| r.error),
                &column(rises, |r| r.reason.as_deref()),
                &column(rises, |r| r.provider_message_id.as_str()),
                &column(rises, |r| r.call),
                &column(rises, |_| Uuid::now_v7()),
                &column(rises, |_| Uuid::now_v7()),
                &least,
                &greatest,
            ],
        )
        .await?;
    Ok(rows.iter().map(outcomes::owed).collect())
}
