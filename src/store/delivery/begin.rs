//! Beginning the calls of claimed messages: the attempt is on record before the provider is called.

use std::time::Duration;

use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::{columns, key, millis};
use crate::domain::id::{DeliveryKey, MessageKey};
use crate::domain::instance::Provider;
use crate::domain::template::Template;
use crate::store::span::{few, span};
use crate::store::suppressions::{outdated, unwanted};
use crate::store::{Db, StoreError, in_force, owe};

/// A message whose call has been begun: the attempt row stands, the call must follow.
pub struct Begun {
    /// Which message.
    pub key: MessageKey,
    /// The request that caused it.
    pub request_id: String,
    /// The number of the call, from 1.
    pub call: i16,
    /// Attempts so far that count towards the budget, without this one.
    pub attempts: u8,
    /// How much of its validity is left.
    pub expires_in: Duration,
    /// E.164 digits.
    pub recipient: String,
    /// The text.
    pub body: String,
    /// The template that is sent in its place.
    pub template: Option<Template>,
    /// The instance.
    pub instance_id: String,
    /// Whose wire it speaks.
    pub provider: Provider,
    /// Where its provider is.
    pub base_url: String,
    /// The sender's id at the provider: Meta's of the number, or the instance's name on its Evolution server.
    pub sender: String,
    /// The id that the message shall have at the provider, where its wire can be asked; on record with the attempt.
    pub proposed_id: Option<String>,
    /// The provider's token, sealed.
    pub token_sealed: Vec<u8>,
    /// It is the one message that a suspect instance may send, to see whether it can.
    pub probe: bool,
}

const BEGIN: &str = concat!(
        "-- delivery.begin
with begun as (
    update messages m set status = case when m.status = 'queued' then 'sending' else m.status end, in_flight = true,
        unsent = false, look_ups = 0, calls = m.calls + 1,
        sequence = m.sequence + case when m.status = 'queued' then 1 else 0 end,
        due_at = now() + $4::int8 * interval '1 millisecond',
        not_before = null, slot_at = null, pair_reserved = false, updated_at = now()
    -- The instance is looked up by its whole key, whichever is looked up first: an account may have thousands.
    from unnest($1::int8[], $2::uuid[], $3::uuid[], $5::uuid[], $6::text[])
         as k(account_id, message_id, token, event_id, instance_id), instances n, message_texts t
    where m.account_id = k.account_id and m.message_id = k.message_id and m.message_id between $7 and $8
      and ",
        few!("k"),
        " and m.lease = k.token and not m.in_flight
      and (m.status in ('queued', 'sending') or (m.status = 'unknown' and m.unsent))
      -- No look-up by what is due: of a large table few rows are, and Postgres would rather read all that an account has waiting,
      -- for each message, than find it by its key.
      and coalesce(m.due_at > now(), false) and m.expires_at > now()
      -- A slot that has long passed was waited out behind a slow provider: calling now would be a burst.
      and m.slot_at > now() - interval '3 seconds'
      and t.account_id = k.account_id and t.message_id = k.message_id and t.message_id between $7 and $8
      and m.instance_id = k.instance_id and n.account_id = k.account_id and n.instance_id = k.instance_id
      and n.paused_at is null and (n.connection = 'open' or n.probe = m.message_id) and (n.hold_until is null or n.hold_until <= now())
      and coalesce(case when m.free_text then n.texts_hold_until else n.templates_hold_until end <= now(), true)
      and not ",
        unwanted!("m"),
        " and not ",
        outdated!("m"),
        "
    returning m.account_id, m.message_id, m.calls, m.attempts, m.recipient, t.body, m.instance_id, m.sequence,
              m.request_id, m.expires_at, t.template, k.event_id, n.probe is not distinct from m.message_id as probe,
              n.provider, n.base_url, n.token_sealed,
              coalesce(n.phone_number_id, n.provider_instance, '') as sender,
              -- Looks like WhatsApp's own ids: 3EB0 and 18 hexadecimal digits.
              case n.provider when 'evolution' then
                  '3EB0' || upper(left(replace(gen_random_uuid()::text, '-', ''), 18)) end as proposed_id
), noted as (
    insert into attempts (account_id, message_id, attempt, provider_message_id)
    select account_id, message_id, calls, proposed_id from begun
), told as (
    insert into events (account_id, event_id, kind, instance_id, message_id, recipient, status, previous_status,
                        sequence, request_id)
    select account_id, event_id, 'message.status_updated', instance_id, message_id, recipient, 'sending', 'queued',
           sequence, request_id
    from begun where calls = 1
    returning account_id, event_id, kind
), owed as (
",
        owe!(),
        "
)
select account_id, message_id, calls, attempts, recipient, body, instance_id, base_url, sender, token_sealed,
       null::uuid, null::uuid, (extract(epoch from expires_at - now()) * 1000)::int8, request_id, provider, proposed_id, template,
       probe
from begun
union all
select account_id, null, null, null, null, null, null, null, null, null, event_id, endpoint_id, null, null, null, null, null, null
from owed"
    );

/// Begins the calls of claimed messages: the attempt is on record before the provider is called. Those that may not be
/// attempted any more (lease ended, opted out, canceled, instance paused) are not among the answers. `lease` must outlast
/// the call; `instances` are those the claim named. Also gives the webhook deliveries that are owed now.
///
/// # Errors
/// [`StoreError`]; after a timeout the calls may be on record as begun, and end as unknown.
pub async fn begin(
    db: &impl Db,
    keys: &[MessageKey],
    (tokens, instances): (&[Uuid], &[&str]),
    lease: Duration,
) -> Result<(Vec<Begun>, Vec<DeliveryKey>), StoreError> {
    let (accounts, messages) = columns(keys);
    let events: Vec<Uuid> = keys.iter().map(|_| Uuid::now_v7()).collect();
    let (least, greatest) = span(&messages);
    let params: [&(dyn ToSql + Sync); 8] =
        [&accounts, &messages, &tokens, &millis(lease), &events, &instances, &least, &greatest];
    let rows = db.query(BEGIN, &params).await?;
    let mut begun = Vec::with_capacity(rows.len());
    let mut owed = Vec::new();
    for row in &rows {
        match row.get::<_, Option<Uuid>>(10) {
            Some(event_id) => {
                owed.push(DeliveryKey { account_id: row.get(0), event_id, endpoint_id: row.get(11) });
            }
            None => begun.push(read_begun(row)?),
        }
    }
    Ok((begun, owed))
}

fn read_begun(row: &Row) -> Result<Begun, StoreError> {
    Ok(Begun {
        key: key(row),
        request_id: row.get(13),
        call: row.get(2),
        attempts: u8::try_from(row.get::<_, i16>(3)).unwrap_or(u8::MAX),
        expires_in: Duration::from_millis(u64::try_from(row.get::<_, i64>(12)).unwrap_or_default()),
        recipient: row.get(4),
        body: row.get(5),
        template: template(row)?,
        instance_id: row.get(6),
        provider: Provider::parse(row.get(14)).ok_or(StoreError::Value("instances.provider"))?,
        base_url: row.get(7),
        sender: row.get(8),
        proposed_id: row.get(15),
        token_sealed: row.get::<_, Option<Vec<u8>>>(9).unwrap_or_default(),
        probe: row.get(17),
    })
}

fn template(row: &Row) -> Result<Option<Template>, StoreError> {
    let stored: Option<serde_json::Value> = row.get(16);
    stored
        .map(|stored| Template::parse(&stored).ok_or(StoreError::Value("message_texts.template")))
        .transpose()
}

/// Takes back a begin whose answer was lost: no call was made, so the messages are due at once.
///
/// # Errors
/// [`StoreError`].
pub async fn unbegin(db: &impl Db, keys: &[MessageKey], tokens: &[Uuid]) -> Result<(), StoreError> {
    const SQL: &str = concat!(
        "-- delivery.unbegin
        with taken_back as (
            update messages m set in_flight = false, lease = null, due_at = now(), slot_at = null
            from unnest($1::int8[], $2::uuid[], $3::uuid[]) as k(account_id, message_id, token)
            where m.account_id = k.account_id and m.message_id = k.message_id and m.message_id between $4 and $5
              and m.lease = k.token and ",
        few!("k"),
        "
            returning m.account_id, m.message_id, m.calls
        )
        update attempts a set finished_at = now(), outcome = 'not_made'
        from taken_back t where a.account_id = t.account_id and a.message_id = t.message_id and a.attempt = t.calls
          and a.message_id between $4 and $5 and a.outcome is null and ",
        few!("t")
    );
    let (accounts, messages) = columns(keys);
    let (least, greatest) = span(&messages);
    db.execute(SQL, &[&accounts, &messages, &tokens, &least, &greatest]).await?;
    Ok(())
}
