//! Claiming messages, and pacing them.

use std::time::Duration;

use tokio_postgres::Row;
use uuid::Uuid;

use super::{columns, key, millis};
use crate::domain::id::MessageKey;
use crate::domain::rate::{PAIR_BURST, PAIR_INTERVAL_US};
use crate::store::conversations::outside_window;
use crate::store::span::{few, span};
use crate::store::suppressions::{outdated, unwanted};
use crate::store::{Db, StoreError, in_force};

/// A claimed message: it belongs to the claimer until its lease ends.
pub struct Claimed {
    /// Which message.
    pub key: MessageKey,
    /// What is to be done with it.
    pub step: Step,
    /// The request that caused it.
    pub request_id: String,
    /// The instance that sends it.
    pub instance_id: String,
    /// Since its acceptance.
    pub age: Duration,
}

/// What the claim decided.
pub enum Step {
    /// Attempt it after this wait for its pacing slot.
    Attempt(Duration),
    /// Put off: its slot comes after about this time.
    Later(Duration),
    /// Put off: its sender may not send at the moment.
    Hold,
    /// Its validity has ended.
    Expire,
    /// Its recipient is suppressed meanwhile.
    Suppress,
    /// It is free text, and its recipient is known to be outside the provider's window.
    NeedTemplate,
}

/// How far ahead a slot may be for a worker to wait for it. A one-time code waits behind the slots that were given so far
/// ahead, and must be called within a second.
const HORIZON_MS: i64 = 700;
/// How long before its expected slot a deferred message is looked at again: a worker's next look (200 ms) and the claim
/// must fit into it, and it must be shorter than the horizon.
const LEAD_MS: i64 = 450;
/// How long messages of an instance that cannot send wait before they are looked at again.
const HELD_MS: i64 = 15_000;

const CLAIM: &str = concat!(
    "-- delivery.claim
with candidates as materialized (
    select m.*
    from (select distinct account_id, message_id from unnest($1::int8[], $2::uuid[]) as k(account_id, message_id)
          where ",
    few!("k"),
    ") k
    cross join lateral (
        select account_id, message_id, instance_id, lane, recipient, purpose, slot_at, pair_reserved, expires_at,
               status = 'unknown' and resent as resent, confirmation, free_text
        from messages m
        where m.account_id = k.account_id and m.message_id = k.message_id and m.message_id between $10 and $11
          and (m.status in ('queued', 'sending') or (m.status = 'unknown' and m.unsent)) and not m.in_flight
          and (m.not_before is null or m.not_before <= now() or m.expires_at <= now()) and (m.lease is null or m.lease = $3::uuid or m.due_at <= now())
        for update skip locked) m
), facts as materialized (
    select c.*, n.interval_us, n.burst, n.hold_until, case
        -- What was resent without evidence has not expired unsent: sweep ends it.
        when c.expires_at <= now() then case when c.resent then 'hold' else 'expire' end
        when ",
    outdated!("c"),
    " then 'expire'
        when ",
    unwanted!("c"),
    " then 'suppress'
        -- Of a suspect sender's messages one is let through.
        when n.paused_at is not null or n.hold_until > now()
             or (n.connection <> 'open' and n.probe is distinct from c.message_id)
             or case when c.free_text then n.texts_hold_until else n.templates_hold_until end > now() then 'hold'
        when c.free_text and ",
    outside_window!(),
    " then 'need_template'
        when c.slot_at > now() - interval '2 seconds' then 'attempt'
        else 'pace' end as step
    from candidates c
    join instances n on n.account_id = c.account_id and n.instance_id = c.instance_id
), pairs as (
    insert into recipient_pacing as r (account_id, instance_id, recipient, next_at)
    select account_id, instance_id, recipient, now() + count(*) * $5::int8 * interval '1 microsecond'
    from facts where step = 'pace' and not pair_reserved group by 1, 2, 3 order by 1, 2, 3
    on conflict (account_id, instance_id, recipient)
        do update set next_at = greatest(r.next_at, now()) + (excluded.next_at - now())
    returning account_id, instance_id, recipient, next_at
), paired as materialized (
    -- Each pair's schedule reaches its messages by a window: what was just written has no index to join it by, and there
    -- are as many pairs as messages.
    select account_id, instance_id, message_id, lane, interval_us, burst, again,
           pair_next - (pair_messages - place + $6::int8) * $5::int8 * interval '1 microsecond' as pair_at
    from (
        select u.*, max(next_at) over pair as pair_next, count(message_id) over pair as pair_messages,
               row_number() over (pair order by message_id) as place
        from (
            select account_id, instance_id, recipient, pair_reserved as again, message_id, lane, interval_us, burst,
                   null::timestamptz as next_at
            from facts where step = 'pace'
            union all
            select account_id, instance_id, recipient, false, null, null, null, null, next_at from pairs) u
        window pair as (partition by account_id, instance_id, recipient, again)) w
    where message_id is not null
), schedules as materialized (
    select i.account_id, i.instance_id, greatest(real.next_at, now()) as real_at, greatest(later.next_at, now()) as later_at
    from (select distinct account_id, instance_id from paired where coalesce(pair_at, now()) <= now() order by 1, 2) i
    cross join lateral (select next_at from pacing g where g.account_id = i.account_id
        and g.instance_id = i.instance_id and g.lane = 'priority' for update) real
    cross join lateral (select next_at from pacing g where g.account_id = i.account_id
        and g.instance_id = i.instance_id and g.lane = 'standard' for update) later
), ranked as (
    select w.*, interval_us * interval '1 microsecond' as step_time
    from (
        select account_id, instance_id, message_id, lane, interval_us, burst, again,
               max(real_at) over sender as real_at, max(later_at) over sender as later_at,
               row_number() over (sender order by lane, not again, message_id) - 1 as place
        from (
            select account_id, instance_id, message_id, lane, interval_us, burst, again,
                   null::timestamptz as real_at, null::timestamptz as later_at
            from paired where coalesce(pair_at, now()) <= now()
            union all
            select account_id, instance_id, null, null, null, null, null, real_at, later_at from schedules) u
        window sender as (partition by account_id, instance_id)) w
    where message_id is not null and real_at is not null
), placed as (
    select r.*, greatest(now(), real_at + (place - (burst - 1)) * step_time) as slot
    from ranked r
), slotted as materialized (
    -- Who comes for the first time while others are in line behind the horizon goes to the end of the line.
    select p.*, lane = 'priority' or (slot <= now() + $7::int8 * interval '1 millisecond'
                                      and (again or later_at <= real_at)) as taken
    from placed p
), deferred as materialized (
    -- The first time a message is put behind all that were put off before it; later it keeps its place.
    select d.account_id, d.instance_id, d.message_id, d.again, d.burst * d.step_time as ahead,
           case when d.again then d.slot
                else greatest(d.later_at, d.real_at + d.taken_here * d.step_time)
                     + (row_number() over (partition by d.account_id, d.instance_id, d.again order by d.message_id)
                        - d.burst) * d.step_time end as expected_at
    from (select s.*, count(*) filter (where taken) over (partition by account_id, instance_id) as taken_here
          from slotted s) d
    where not d.taken
), advances as materialized (
    -- Materialised, like `steps`: where a row was changed by another process meanwhile, Postgres judges it again, and would
    -- evaluate a set operation anew in the middle of this statement.
    select account_id, instance_id, 'priority' as lane, max(real_at) + count(*) * max(step_time) as next_at
    from slotted where taken group by 1, 2
    union all
    select account_id, instance_id, 'standard', max(expected_at) + max(ahead)
    from deferred where not again group by 1, 2
), advanced as (
    update pacing g set next_at = a.next_at
    from advances a
    where g.account_id = a.account_id and g.instance_id = a.instance_id and g.lane = a.lane
      and ",
    few!("a"),
    "
), steps as materialized (
    select f.account_id, f.message_id, f.step, f.slot_at, null::timestamptz as not_before, f.pair_reserved, f.hold_until
    from facts f where f.step <> 'pace'
    union all
    select p.account_id, p.message_id, 'later', null, p.pair_at, true, null
    from paired p where p.pair_at > now()
    union all
    select s.account_id, s.message_id,
           case when s.slot <= now() + $7::int8 * interval '1 millisecond' then 'attempt' else 'later' end,
           s.slot, case when s.slot > now() + $7::int8 * interval '1 millisecond'
                        then s.slot - $8::int8 * interval '1 millisecond' end, true, null
    from slotted s where s.taken
    union all
    select d.account_id, d.message_id, 'later', null,
           greatest(d.expected_at, now() + $7::int8 * interval '1 millisecond') - $8::int8 * interval '1 millisecond', true, null
    from deferred d
)
update messages m set
    lease = case when s.step in ('attempt', 'expire', 'suppress', 'need_template') then $3::uuid end,
    due_at = case s.step when 'later' then least(s.not_before, m.expires_at)
                         when 'hold' then least(m.expires_at, case when s.hold_until > now() then s.hold_until
                                               else now() + $9::int8 * interval '1 millisecond' end)
                         else now() + $4::int8 * interval '1 millisecond' end,
    not_before = s.not_before,
    slot_at = s.slot_at,
    pair_reserved = s.pair_reserved
from steps s
where m.account_id = s.account_id and m.message_id = s.message_id and m.message_id between $10 and $11
  and ",
    few!("s"),
    "
returning m.account_id, m.message_id, s.step, m.request_id,
          greatest(0, extract(epoch from coalesce(s.slot_at, s.not_before) - now()) * 1000)::int8 as wait_ms, m.instance_id,
          greatest(0, extract(epoch from now() - m.created_at) * 1000)::int8 as age_ms"
);

/// Claims those of the messages that may be attempted now, for `lease`, and reserves their pacing slots. Messages that
/// must wait longer are put off in the same statement and belong to nobody; ids that are not claimable (done, canceled,
/// leased) are passed over. Claiming again under the same token is safe: the answer to the first claim may have been lost.
///
/// # Errors
/// [`StoreError`]; then nothing is claimed.
pub async fn claim(
    db: &impl Db,
    keys: &[MessageKey],
    token: Uuid,
    lease: Duration,
) -> Result<Vec<Claimed>, StoreError> {
    let (accounts, messages) = columns(keys);
    let (least, greatest) = span(&messages);
    let rows = db
        .query(
            CLAIM,
            &[
                &accounts,
                &messages,
                &token,
                &millis(lease),
                &PAIR_INTERVAL_US,
                &(PAIR_BURST),
                &HORIZON_MS,
                &LEAD_MS,
                &HELD_MS,
                &least,
                &greatest,
            ],
        )
        .await?;
    Ok(rows.iter().filter_map(claimed).collect())
}

fn claimed(row: &Row) -> Option<Claimed> {
    let ms = |column| {
        let ms: Option<i64> = row.get(column);
        Duration::from_millis(u64::try_from(ms.unwrap_or_default()).unwrap_or_default())
    };
    let step = match row.get::<_, &str>(2) {
        "attempt" => Step::Attempt(ms(4)),
        "later" => Step::Later(ms(4)),
        "hold" => Step::Hold,
        "expire" => Step::Expire,
        "suppress" => Step::Suppress,
        "need_template" => Step::NeedTemplate,
        _ => return None,
    };
    Some(Claimed { key: key(row), step, request_id: row.get(3), instance_id: row.get(5), age: ms(6) })
}

/// Gives claimed messages back whose calls were not begun, each with the token it was claimed under: they are due at
/// once.
///
/// # Errors
/// [`StoreError`]; then they are due when their lease ends.
pub async fn release(db: &impl Db, keys: &[MessageKey], tokens: &[Uuid]) -> Result<(), StoreError> {
    const SQL: &str = concat!(
        "-- delivery.release
        update messages m set lease = null, due_at = now(), slot_at = null
        from unnest($1::int8[], $2::uuid[], $3::uuid[]) as k(account_id, message_id, token)
        where m.account_id = k.account_id and m.message_id = k.message_id and m.message_id between $4 and $5 and m.lease = k.token and not m.in_flight
          and ",
        few!("k")
    );
    let (accounts, messages) = columns(keys);
    let (least, greatest) = span(&messages);
    db.execute(SQL, &[&accounts, &messages, &tokens, &least, &greatest]).await?;
    Ok(())
}
