//! The group commit: many decisions made durable in one round trip.
//!
//! One statement locks the quota rows it needs in key order (so that two processes cannot deadlock), gives every
//! draft its verdict, and writes quota, idempotency keys, messages and policy log. The statement commits by itself.

use jiff::civil::Date;
use tokio_postgres::Row;
use uuid::Uuid;

use super::{Db, StoreError};
use crate::domain::purpose::Lane;

/// A request past authentication: either refused already (then it is only logged), or a message to accept unless the
/// facts only the database knows speak against it.
#[derive(Clone, Debug)]
pub struct Draft {
    /// The tenant.
    pub account_id: i64,
    /// The key that asks.
    pub key_id: Uuid,
    /// The instance named, where the request got that far.
    pub instance_id: Option<String>,
    /// The allowed purpose, where the request got that far.
    pub purpose: Option<&'static str>,
    /// The request's id, for logs and events.
    pub request_id: String,
    /// Keyed hash of the recipient, where the request got that far.
    pub recipient_hash: Option<Vec<u8>>,
    /// The error code of a refusal that comes before quota and suppression in precedence.
    pub refused: Option<&'static str>,
    /// Action and score for the policy log, if `refused` or `held_back` decides.
    pub judged: (&'static str, i16),
    /// The message, unless `refused`.
    pub message: Option<NewMessage>,
}

/// What becomes a row of `messages`.
#[derive(Clone, Debug)]
pub struct NewMessage {
    /// UUIDv7, chosen by the process.
    pub message_id: Uuid,
    /// The lane of its purpose.
    pub lane: Lane,
    /// E.164 digits.
    pub recipient: String,
    /// The text.
    pub body: String,
    /// Seconds until it expires.
    pub validity_seconds: i32,
    /// The account's day.
    pub day: Date,
    /// The first day of the account's month.
    pub month: Date,
    /// The account's limit per day.
    pub day_limit: i32,
    /// The account's limit per month.
    pub month_limit: i32,
    /// Whether only a suppression of scope `all` stops it.
    pub essential: bool,
    /// `Idempotency-Key` and the SHA-256 of the body.
    pub idempotency: Option<(String, Vec<u8>)>,
    /// The error code of a refusal that comes after suppression and throttling in precedence.
    pub held_back: Option<&'static str>,
}

/// What became of a draft.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is a message now.
    Accepted {
        /// Its row in the policy log.
        log_id: i64,
    },
    /// It was refused, and that is logged.
    Refused {
        /// The error code.
        code: String,
        /// What the account had used of the limit, for limit errors.
        used: i32,
        /// Seconds until the backlog is within its limit, for throttling.
        wait_seconds: u32,
    },
    /// Its idempotency key was taken meanwhile; nothing was written.
    Duplicate,
    /// The account has no counters for this period yet; nothing was written. Call [`open_periods`] and try again.
    NoCounters,
}

const COMMIT: &str = "-- acceptance.commit
with input as materialized (
    select i.*, nextval('policy_log_ids') as log_id
    from unnest($1::int8[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::bytea[], $7::text[], $8::text[],
                $9::int2[], $10::uuid[], $11::text[], $12::text[], $13::text[], $14::int4[], $15::date[], $16::date[],
                $17::int4[], $18::int4[], $19::bool[], $20::text[], $21::bytea[], $22::text[], $23::int4[])
         with ordinality
         as i(account_id, key_id, instance_id, purpose, request_id, recipient_hash, refused, action, score,
              message_id, lane, recipient, body, validity, day, month, day_limit, month_limit, essential,
              idempotency_key, body_hash, held_back, backlog_limit, ord)
), counters as materialized (
    select w.account_id, w.day, d.used as day_used, m.used as month_used
    from (select distinct account_id, day, month from input where refused is null order by 1, 2, 3) w
    cross join lateral (select q.used from quota_usage q
        where q.account_id = w.account_id and q.period = 'day' and q.starts_on = w.day for update) d
    cross join lateral (select q.used from quota_usage q
        where q.account_id = w.account_id and q.period = 'month' and q.starts_on = w.month for update) m
), facts as (
    select i.*, c.day_used, c.month_used,
           least(i.day_limit - c.day_used, i.month_limit - c.month_used) as left_over,
           i.refused is null and (select 1 from suppressions s
               where s.account_id = i.account_id and s.recipient = i.recipient and (s.scope = 'all' or not i.essential)
               limit 1) is not null as suppressed,
           case when i.refused is null then (select ceil(extract(epoch from max(p.next_at) - now()
                   - (max(n.burst) - 1) * max(n.interval_us) * interval '1 microsecond'))::int4
               from pacing p join instances n on n.account_id = p.account_id and n.instance_id = p.instance_id
               where p.account_id = i.account_id and p.instance_id = i.instance_id
                 and (p.lane = 'priority' or p.lane = i.lane)) - i.backlog_limit end as excess
    from input i left join counters c on c.account_id = i.account_id and c.day = i.day
), ranked as (
    select f.*, count(*) filter (where refused is null and not suppressed and coalesce(excess, 0) <= 0 and held_back is null)
               over (partition by account_id, day order by ord rows between unbounded preceding and 1 preceding) as before
    from facts f
), decided as (
    select r.*, case
        when refused is not null then refused
        when left_over is null then 'no_counters'
        when before >= left_over then
            case when day_used + greatest(left_over, 0) >= day_limit then 'daily_message_limit_exceeded'
                 else 'monthly_message_limit_exceeded' end
        when suppressed then 'recipient_suppressed'
        when excess > 0 then 'sending_throttled'
        else held_back end as error
    from ranked r
), keys as (
    insert into idempotency_keys as k (account_id, key, body_hash, message_id, log_id)
    select account_id, idempotency_key, body_hash, message_id, log_id from decided
    where error is null and idempotency_key is not null
    order by account_id, idempotency_key
    on conflict (account_id, key) do update
        set body_hash = excluded.body_hash, message_id = excluded.message_id, log_id = excluded.log_id,
            created_at = now(), answer_code = null, answer = null
        where k.created_at < now() - interval '24 hours'
    returning message_id
), outcome as materialized (
    select d.*, error is null and idempotency_key is not null
                and not exists (select from keys k where k.message_id = d.message_id) as duplicate
    from decided d
), additions as materialized (
    -- Materialised: where a counter was changed by another process meanwhile, Postgres judges its row again, and would
    -- evaluate a set operation anew in the middle of this statement.
    select account_id, 'day' as period, day as starts_on, count(*)::int4 as accepted
    from outcome where error is null and not duplicate group by 1, 2, 3
    union all
    select account_id, 'month', month, count(*)::int4
    from outcome where error is null and not duplicate group by 1, 2, 3
), used as (
    update quota_usage q set used = q.used + a.accepted
    from additions a
    where q.account_id = a.account_id and q.period = a.period and q.starts_on = a.starts_on
), accepted as (
    insert into messages (account_id, message_id, log_id, instance_id, purpose, lane, recipient, body, due_at,
                          expires_at, quota_day, quota_month, request_id)
    select account_id, message_id, log_id, instance_id, purpose, lane, recipient, body,
           now() + $24::int4 * interval '1 millisecond', now() + validity * interval '1 second', day, month, request_id
    from outcome where error is null and not duplicate
), logged as (
    insert into policy_log (account_id, log_id, api_key_id, instance_id, purpose, action, risk_score, error_code,
                            recipient_hash, message_id, request_id)
    select account_id, log_id, key_id, instance_id, purpose,
           case when error is null then 'allow' when error in (refused, held_back) then action
                when error = 'sending_throttled' then 'throttle' else 'block' end,
           case when error is null then 0 when error in (refused, held_back) then score
                when error = 'sending_throttled' then 65 when error = 'recipient_suppressed' then 100 else 90 end,
           error, recipient_hash, case when error is null then message_id end, request_id
    from outcome where not duplicate and error is distinct from 'no_counters'
)
select error, duplicate, log_id,
       case error when 'daily_message_limit_exceeded' then day_used + greatest(least(before, left_over), 0)
                  when 'monthly_message_limit_exceeded' then month_used + greatest(least(before, left_over), 0)
                  else 0 end::int4 as used,
       greatest(coalesce(excess, 0), 0) as wait_seconds
from outcome order by ord";

/// Commits the drafts, each with its own verdict, in their order. `due_ms` is how long after acceptance somebody looks
/// at a message that nobody has claimed. No two drafts may carry the same idempotency key of one account.
///
/// # Errors
/// [`StoreError`]; then none of them is accepted, or, after [`StoreError::Timeout`], nobody knows.
pub async fn commit(db: &impl Db, drafts: &[Draft], due_ms: i32) -> Result<Vec<Verdict>, StoreError> {
    fn column<'a, T>(drafts: &'a [Draft], read: impl Fn(&'a Draft) -> T) -> Vec<T> {
        drafts.iter().map(read).collect()
    }
    fn of<'a, T>(drafts: &'a [Draft], read: impl Fn(&'a NewMessage) -> T) -> Vec<Option<T>> {
        drafts.iter().map(|draft| draft.message.as_ref().map(&read)).collect()
    }
    let rows = db
        .query(
            COMMIT,
            &[
                &column(drafts, |d| d.account_id),
                &column(drafts, |d| d.key_id),
                &column(drafts, |d| d.instance_id.as_deref()),
                &column(drafts, |d| d.purpose),
                &column(drafts, |d| d.request_id.as_str()),
                &column(drafts, |d| d.recipient_hash.as_deref()),
                &column(drafts, |d| d.refused),
                &column(drafts, |d| d.judged.0),
                &column(drafts, |d| d.judged.1),
                &of(drafts, |m| m.message_id),
                &of(drafts, |m| m.lane.as_str()),
                &of(drafts, |m| m.recipient.as_str()),
                &of(drafts, |m| m.body.as_str()),
                &of(drafts, |m| m.validity_seconds),
                &of(drafts, |m| m.day),
                &of(drafts, |m| m.month),
                &of(drafts, |m| m.day_limit),
                &of(drafts, |m| m.month_limit),
                &of(drafts, |m| m.essential),
                &column(drafts, |d| d.idempotency().map(|(key, _)| key.as_str())),
                &column(drafts, |d| d.idempotency().map(|(_, hash)| hash.as_slice())),
                &column(drafts, |d| d.message.as_ref().and_then(|m| m.held_back)),
                &of(drafts, |m| m.lane.backlog_limit_seconds().cast_signed()),
                &due_ms,
            ],
        )
        .await?;
    Ok(rows.iter().map(verdict).collect())
}

impl Draft {
    fn idempotency(&self) -> Option<&(String, Vec<u8>)> {
        self.message.as_ref().and_then(|message| message.idempotency.as_ref())
    }

    /// What no two drafts of one commit may share.
    #[must_use]
    pub fn idempotency_key(&self) -> Option<(i64, &str)> {
        self.idempotency().map(|(key, _)| (self.account_id, key.as_str()))
    }
}

fn verdict(row: &Row) -> Verdict {
    let error: Option<String> = row.get(0);
    match error {
        None if row.get(1) => Verdict::Duplicate,
        None => Verdict::Accepted { log_id: row.get(2) },
        Some(code) if code == "no_counters" => Verdict::NoCounters,
        Some(code) => Verdict::Refused {
            code,
            used: row.get(3),
            wait_seconds: row.get::<_, i32>(4).try_into().unwrap_or_default(),
        },
    }
}

/// Makes the counters of the drafts' days and months where there are none yet.
///
/// # Errors
/// [`StoreError`].
pub async fn open_periods(db: &impl Db, drafts: &[Draft]) -> Result<(), StoreError> {
    const SQL: &str = "-- acceptance.open_periods
        insert into quota_usage (account_id, period, starts_on)
        select distinct * from (
            select account_id, 'day', day from unnest($1::int8[], $2::date[]) as d(account_id, day)
            union all
            select account_id, 'month', month from unnest($1::int8[], $3::date[]) as m(account_id, month)) p
        order by 1, 2, 3
        on conflict do nothing";
    let with_message = |draft: &Draft| draft.message.clone().map(|m| (draft.account_id, m.day, m.month));
    let periods: Vec<(i64, Date, Date)> = drafts.iter().filter_map(with_message).collect();
    let accounts: Vec<i64> = periods.iter().map(|p| p.0).collect();
    let days: Vec<Date> = periods.iter().map(|p| p.1).collect();
    let months: Vec<Date> = periods.iter().map(|p| p.2).collect();
    db.execute(SQL, &[&accounts, &days, &months]).await?;
    Ok(())
}
