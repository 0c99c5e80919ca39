//! The decisions, written and committed in one round trip.

use std::time::Duration;

use jiff::civil::Date;
use serde_json::Value;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::{Draft, Gathered, NewMessage, Subject};
use crate::domain::decision::Decision;
use crate::domain::purpose::{Lane, Purpose};
use crate::domain::refusal::Refusal;
use crate::domain::template::Template;
use crate::store::instances::pause_by_guard;
use crate::store::{Step, StoreError};

/// What was decided on a draft.
#[derive(Clone, Debug)]
pub struct Judged {
    /// The decision.
    pub decision: Decision,
    /// The signals that fired, as JSON.
    pub signals: Value,
    /// What the decision rested on besides, where it says anything.
    pub facts: Option<Value>,
    /// Why the instance is paused, where the decision does.
    pub pause_reason: Option<String>,
}

/// What is to be remembered of a batch besides its decisions.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// Who was seen, and for how many seconds it counts; no pair twice.
    pub sightings: Vec<(Subject, i64, i32)>,
    /// The recipients written to, for the first time or after a long while: account and recipient; none twice.
    pub contacts: Vec<(i64, i64)>,
    /// What was added to the schedules at the door; none twice.
    pub queued: Vec<Queued>,
}

/// Messages that take their slots of an instance's schedule.
#[derive(Clone, Debug)]
pub struct Queued {
    /// The tenant.
    pub account_id: i64,
    /// The instance.
    pub instance_id: String,
    /// The lane whose schedule grows.
    pub lane: Lane,
    /// By how much.
    pub by: Duration,
}

const WRITE: &str = "-- acceptance.write
with input as materialized (
    select i.*, nextval('policy_log_ids') as log_id
    from unnest($1::int8[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::bytea[], $7::text[], $8::text[],
                $9::int2[], $10::jsonb[], $11::jsonb[], $12::text[], $13::uuid[], $14::text[], $15::text[], $16::text[],
                $17::int4[], $18::date[], $19::date[], $20::text[], $21::bytea[], $22::jsonb[])
         with ordinality
         as i(account_id, key_id, request_id, instance_id, purpose, recipient_hash, error, action, score, signals,
              facts, rules_version, message_id, lane, recipient, body, validity, day, month, idempotency_key,
              body_hash, template, ord)
), keys as (
    insert into idempotency_keys as k (account_id, key, body_hash, message_id, log_id)
    select account_id, idempotency_key, body_hash, message_id, log_id from input
    where error is null and idempotency_key is not null
    order by account_id, idempotency_key
    on conflict (account_id, key) do update
        set body_hash = excluded.body_hash, message_id = excluded.message_id, log_id = excluded.log_id,
            created_at = now(), answer_code = null, answer = null
        where k.created_at < now() - interval '24 hours'
    returning message_id
), outcome as materialized (
    select i.*, error is null and idempotency_key is not null
                and not exists (select from keys k where k.message_id = i.message_id) as duplicate
    from input i
), additions as materialized (
    -- Materialised: where a row was changed by another process meanwhile, Postgres judges it again, and would evaluate a
    -- set operation anew in the middle of this statement.
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
    insert into messages (account_id, message_id, log_id, instance_id, purpose, lane, recipient, free_text, due_at,
                          expires_at, quota_day, quota_month, request_id)
    select account_id, message_id, log_id, instance_id, purpose, lane, recipient, template is null,
           now() + $23::int4 * interval '1 millisecond', now() + validity * interval '1 second', day, month, request_id
    from outcome where error is null and not duplicate
), texts as (
    insert into message_texts (account_id, message_id, body, template)
    select account_id, message_id, body, template from outcome where error is null and not duplicate
), logged as (
    insert into policy_log (account_id, log_id, api_key_id, instance_id, purpose, action, risk_score, error_code,
                            signals, facts, rules_version, recipient_hash, message_id, request_id)
    select account_id, log_id, key_id, instance_id, purpose, action, score, error, signals, facts, rules_version,
           recipient_hash, case when error is null then message_id end, request_id
    from outcome where not duplicate
)
select log_id, duplicate from outcome order by ord";

const SIGHT: &str = "-- acceptance.sight
insert into sightings (account_id, counter, subject, member, expires_at)
select account_id, counter, subject, member, now() + seconds * interval '1 second'
from unnest($1::int8[], $2::text[], $3::int8[], $4::int8[], $5::int4[]) as s(account_id, counter, subject, member, seconds)
order by account_id, counter, subject, member
on conflict (account_id, counter, subject, member) do update set seen_at = now(), expires_at = excluded.expires_at";

const CONTACT: &str = "-- acceptance.contact
insert into contacts (account_id, recipient)
select account_id, recipient from unnest($1::int8[], $2::int8[]) as c(account_id, recipient)
order by account_id, recipient
on conflict (account_id, recipient) do update set last_at = now()";

const QUEUE: &str = "-- acceptance.queue
insert into door as d (account_id, instance_id, lane, next_at)
select account_id, instance_id, lane, now() + us * interval '1 microsecond'
from unnest($1::int8[], $2::text[], $3::text[], $4::int8[]) as q(account_id, instance_id, lane, us)
order by account_id, instance_id, lane
on conflict (account_id, instance_id, lane)
    do update set next_at = greatest(d.next_at, now()) + (excluded.next_at - now())";

impl Gathered<'_> {
    /// Writes and commits what was decided on the drafts; gives each its row in the policy log, or `None` where its
    /// idempotency key was taken meanwhile and nothing was written. `due_ms` is how long after acceptance somebody looks
    /// at a message that nobody has claimed. No two drafts may carry the same idempotency key of one account.
    ///
    /// # Errors
    /// [`StoreError`]; then none of them is accepted, or, after [`StoreError::Timeout`], nobody knows.
    pub async fn write(
        self,
        decided: &[(&Draft, &Judged)],
        record: &Record,
        due_ms: i32,
    ) -> Result<Vec<Option<i64>>, StoreError> {
        let decisions = Decisions::of(decided);
        let decisions = decisions.params(&due_ms);
        let sightings = Sightings::of(record);
        let sightings = sightings.params();
        let (accounts, recipients): (Vec<i64>, Vec<i64>) = record.contacts.iter().copied().unzip();
        let contacts: [&(dyn ToSql + Sync); 2] = [&accounts, &recipients];
        let mut steps = vec![Step::new(WRITE, &decisions)];
        if !record.sightings.is_empty() {
            steps.push(Step::new(SIGHT, &sightings));
        }
        if !record.contacts.is_empty() {
            steps.push(Step::new(CONTACT, &contacts));
        }
        let queued = QueuedColumns::of(record);
        let queued = queued.params();
        if !record.queued.is_empty() {
            steps.push(Step::new(QUEUE, &queued));
        }
        if decided.iter().any(|(_, judged)| judged.decision.pauses) {
            let written = log_ids(&self.pipeline.run(&steps).await?);
            self.pause(decided, &written).await?;
            self.pipeline.commit_with(&[]).await?;
            return Ok(written);
        }
        Ok(log_ids(&self.pipeline.commit_with(&steps).await?))
    }

    /// Pauses the instances whose messages were decided so.
    async fn pause(&self, decided: &[(&Draft, &Judged)], written: &[Option<i64>]) -> Result<(), StoreError> {
        for ((draft, judged), log_id) in decided.iter().zip(written) {
            if let (true, Some(instance_id), Some(log_id)) =
                (judged.decision.pauses, &draft.instance_id, log_id)
            {
                let reason = judged.pause_reason.as_deref().unwrap_or("policy");
                pause_by_guard(&self.pipeline, draft.account_id, instance_id, reason, *log_id).await?;
            }
        }
        Ok(())
    }

    /// Gives up what was locked.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn release(self) -> Result<(), StoreError> {
        self.pipeline.roll_back().await
    }
}

fn log_ids(rows: &[Vec<Row>]) -> Vec<Option<i64>> {
    let written = rows.first().map(Vec::as_slice).unwrap_or_default();
    written.iter().map(|row| (!row.get::<_, bool>(1)).then(|| row.get(0))).collect()
}

/// The decisions as columns.
struct Decisions<'a> {
    accounts: Vec<i64>,
    keys: Vec<Uuid>,
    requests: Vec<&'a str>,
    instances: Vec<Option<&'a str>>,
    purposes: Vec<Option<&'static str>>,
    recipient_hashes: Vec<Option<&'a [u8]>>,
    errors: Vec<Option<&'static str>>,
    actions: Vec<&'static str>,
    scores: Vec<i16>,
    signals: Vec<&'a Value>,
    facts: Vec<Option<&'a Value>>,
    rules_versions: Vec<Option<&'a str>>,
    message_ids: Vec<Option<Uuid>>,
    lanes: Vec<Option<&'static str>>,
    recipients: Vec<Option<&'a str>>,
    bodies: Vec<Option<&'a str>>,
    validities: Vec<Option<i32>>,
    days: Vec<Date>,
    months: Vec<Date>,
    idempotency_keys: Vec<Option<&'a str>>,
    body_hashes: Vec<Option<&'a [u8]>>,
    templates: Vec<Option<Value>>,
}

impl<'a> Decisions<'a> {
    fn of(decided: &[(&'a Draft, &'a Judged)]) -> Self {
        fn all<'a, T>(
            decided: &[(&'a Draft, &'a Judged)],
            read: impl Fn(&'a Draft, &'a Judged) -> T,
        ) -> Vec<T> {
            decided.iter().map(|(draft, judged)| read(draft, judged)).collect()
        }
        fn of<'a, T>(
            decided: &[(&'a Draft, &'a Judged)],
            read: impl Fn(&'a NewMessage) -> T,
        ) -> Vec<Option<T>> {
            decided.iter().map(|(draft, _)| draft.message().map(&read)).collect()
        }
        let idempotency = |d: &'a Draft| d.message().and_then(|m| m.idempotency.as_ref());
        Self {
            accounts: all(decided, |d, _| d.account_id),
            keys: all(decided, |d, _| d.key_id),
            requests: all(decided, |d, _| d.request_id.as_str()),
            instances: all(decided, |d, _| d.instance_id.as_deref()),
            purposes: all(decided, |d, _| d.purpose.map(Purpose::as_str)),
            recipient_hashes: of(decided, |m| m.recipient_hash.as_slice()),
            errors: all(decided, |_, j| j.decision.refusal.as_ref().map(Refusal::code)),
            actions: all(decided, |_, j| j.decision.action.as_str()),
            scores: all(decided, |_, j| i16::from(j.decision.risk_score)),
            signals: all(decided, |_, j| &j.signals),
            facts: all(decided, |_, j| j.facts.as_ref()),
            rules_versions: of(decided, |m| m.rules.version()),
            message_ids: of(decided, |m| m.message_id),
            lanes: of(decided, |m| m.purpose.lane().as_str()),
            recipients: of(decided, |m| m.recipient.as_str()),
            bodies: of(decided, |m| m.body.as_str()),
            validities: of(decided, |m| m.validity_seconds),
            days: all(decided, |d, _| d.periods.day),
            months: all(decided, |d, _| d.periods.month),
            idempotency_keys: all(decided, |d, _| idempotency(d).map(|(key, _)| key.as_str())),
            body_hashes: all(decided, |d, _| idempotency(d).map(|(_, hash)| hash.as_slice())),
            templates: all(decided, |d, _| d.message().and_then(|m| m.template.as_ref()).map(stored)),
        }
    }

    fn params<'b>(&'b self, due_ms: &'b i32) -> [&'b (dyn ToSql + Sync); 23] {
        [
            &self.accounts,
            &self.keys,
            &self.requests,
            &self.instances,
            &self.purposes,
            &self.recipient_hashes,
            &self.errors,
            &self.actions,
            &self.scores,
            &self.signals,
            &self.facts,
            &self.rules_versions,
            &self.message_ids,
            &self.lanes,
            &self.recipients,
            &self.bodies,
            &self.validities,
            &self.days,
            &self.months,
            &self.idempotency_keys,
            &self.body_hashes,
            &self.templates,
            due_ms,
        ]
    }
}

fn stored(template: &Template) -> Value {
    serde_json::to_value(template).expect("texts always serialise")
}

/// What was seen, as columns.
struct Sightings {
    accounts: Vec<i64>,
    counters: Vec<&'static str>,
    subjects: Vec<i64>,
    members: Vec<i64>,
    seconds: Vec<i32>,
}

impl Sightings {
    fn of(record: &Record) -> Self {
        let all = &record.sightings;
        Self {
            accounts: all.iter().map(|(subject, _, _)| subject.account_id).collect(),
            counters: all.iter().map(|(subject, _, _)| subject.counter).collect(),
            subjects: all.iter().map(|(subject, _, _)| subject.key).collect(),
            members: all.iter().map(|(_, member, _)| *member).collect(),
            seconds: all.iter().map(|(_, _, seconds)| *seconds).collect(),
        }
    }

    fn params(&self) -> [&(dyn ToSql + Sync); 5] {
        [&self.accounts, &self.counters, &self.subjects, &self.members, &self.seconds]
    }
}

/// What was queued, as columns.
struct QueuedColumns<'a> {
    accounts: Vec<i64>,
    instances: Vec<&'a str>,
    lanes: Vec<&'static str>,
    micros: Vec<i64>,
}

impl<'a> QueuedColumns<'a> {
    fn of(record: &'a Record) -> Self {
        let all = &record.queued;
        Self {
            accounts: all.iter().map(|queued| queued.account_id).collect(),
            instances: all.iter().map(|queued| queued.instance_id.as_str()).collect(),
            lanes: all.iter().map(|queued| queued.lane.as_str()).collect(),
            micros: all
                .iter()
                .map(|queued| i64::try_from(queued.by.as_micros()).unwrap_or(i64::MAX))
                .collect(),
        }
    }

    fn params(&self) -> [&(dyn ToSql + Sync); 4] {
        [&self.accounts, &self.instances, &self.lanes, &self.micros]
    }
}
