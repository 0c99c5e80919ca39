//! Outcomes of attempts, recorded together with what they say of the endpoint.

use std::time::Duration;

use uuid::Uuid;

use super::super::span::{few, span};
use super::super::{Db, StoreError};
use super::{columns, get};
use crate::domain::id::DeliveryKey;
use crate::domain::webhook::DISABLE_AFTER;

/// What becomes of a delivery after an attempt.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Next {
    /// It arrived.
    Delivered,
    /// Another attempt after this pause.
    Retry(Duration),
    /// None: the schedule is used up, or the endpoint wants no more.
    Failed,
}

/// An attempt that was made.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// Which delivery.
    pub key: DeliveryKey,
    /// The token it was claimed with.
    pub lease: Uuid,
    /// How long it took, in milliseconds.
    pub duration_ms: i32,
    /// The status of the answer.
    pub http_status: Option<i16>,
    /// The kind of failure.
    pub error: Option<&'static str>,
    /// The beginning of the answer, without NUL.
    pub answer: Option<String>,
    /// What follows.
    pub next: Next,
}

/// What an attempt says of its endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndpointReport {
    /// The tenant.
    pub account_id: i64,
    /// Which endpoint.
    pub endpoint_id: Uuid,
    /// It took a webhook.
    pub succeeded: bool,
    /// It asked for no more webhooks.
    pub gone: bool,
}

/// An endpoint that gets no more webhooks from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DisabledEndpoint {
    /// The tenant.
    pub account_id: i64,
    /// Which endpoint.
    pub endpoint_id: Uuid,
    /// `gone` or `failing`.
    pub reason: String,
}

// An attempt's number in the log is its own count: a delivery that is sent again starts its schedule anew, and what
// was logged before stays.
const RECORD: &str = concat!(
    "-- webhooks.record
with made as (
    select *
    from unnest($1::bigint[], $2::uuid[], $3::uuid[], $4::uuid[], $5::integer[], $6::smallint[], $7::text[],
                $8::text[], $9::text[], $10::float8[])
      as o (account_id, event_id, endpoint_id, lease, duration_ms, http_status, error, answer, status, pause)
), recorded as (
    update webhook_deliveries d
    set status = o.status, attempts = d.attempts + 1, lease = null,
        due_at = now() + make_interval(secs => o.pause), not_before = now() + make_interval(secs => o.pause),
        finished_at = case when o.status <> 'pending' then now() end
    from made o
    where (d.account_id, d.event_id, d.endpoint_id) = (o.account_id, o.event_id, o.endpoint_id)
      and d.event_id between $11 and $12 and d.lease = o.lease and d.status = 'pending' and ",
    few!("o"),
    "
    returning o.*
), logged as (
    insert into webhook_attempts
        (account_id, event_id, endpoint_id, attempt, at, duration_ms, http_status, error, answer)
    select r.account_id, r.event_id, r.endpoint_id,
           (select coalesce(max(a.attempt), 0) + 1
            from webhook_attempts a
            where (a.account_id, a.event_id, a.endpoint_id) = (r.account_id, r.event_id, r.endpoint_id)
              and a.event_id between $11 and $12),
           now() - make_interval(secs => r.duration_ms / 1000.0), r.duration_ms, r.http_status, r.error, r.answer
    from recorded r
)
select account_id, event_id, endpoint_id from recorded"
);

/// Records attempts and what follows from them, and gives the deliveries this was done for: the others were claimed
/// by somebody else since, whose result counts.
///
/// # Errors
/// [`StoreError`].
pub async fn record(db: &impl Db, attempts: &[Attempt]) -> Result<Vec<DeliveryKey>, StoreError> {
    let keys: Vec<DeliveryKey> = attempts.iter().map(|attempt| attempt.key).collect();
    let (accounts, events, endpoints) = columns(&keys);
    let leases: Vec<Uuid> = attempts.iter().map(|attempt| attempt.lease).collect();
    let durations: Vec<i32> = attempts.iter().map(|attempt| attempt.duration_ms).collect();
    let statuses: Vec<Option<i16>> = attempts.iter().map(|attempt| attempt.http_status).collect();
    let errors: Vec<Option<&str>> = attempts.iter().map(|attempt| attempt.error).collect();
    let answers: Vec<Option<&str>> = attempts.iter().map(|attempt| attempt.answer.as_deref()).collect();
    let (ends, pauses): (Vec<&str>, Vec<Option<f64>>) =
        attempts.iter().map(|attempt| written(attempt.next)).unzip();
    let (least, greatest) = span(&events);
    let rows = db
        .query(
            RECORD,
            &[
                &accounts, &events, &endpoints, &leases, &durations, &statuses, &errors, &answers, &ends,
                &pauses, &least, &greatest,
            ],
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok(DeliveryKey {
                account_id: get(row, "account_id")?,
                event_id: get(row, "event_id")?,
                endpoint_id: get(row, "endpoint_id")?,
            })
        })
        .collect()
}

fn written(next: Next) -> (&'static str, Option<f64>) {
    match next {
        Next::Delivered => ("delivered", None),
        Next::Retry(pause) => ("pending", Some(pause.as_secs_f64())),
        Next::Failed => ("failed", None),
    }
}

// Endpoints whose state stays as it is are not touched, so that a healthy one costs nothing; the others are locked in
// key order, so that two processes cannot deadlock. One success in a batch outweighs its failures.
const REPORT: &str = "-- webhooks.report
with seen as (
    select account_id, endpoint_id, bool_or(succeeded) as succeeded, bool_or(gone) as gone
    from unnest($1::bigint[], $2::uuid[], $3::boolean[], $4::boolean[])
      as r (account_id, endpoint_id, succeeded, gone)
    group by account_id, endpoint_id
), changed as (
    select e.account_id, e.endpoint_id, s.succeeded,
           case when s.gone then 'gone'
                when not s.succeeded and e.failing_since <= now() - make_interval(secs => $5) then 'failing'
           end as disable
    from seen s
    join webhook_endpoints e using (account_id, endpoint_id)
    where e.disabled_at is null
      and (s.gone
           or (s.succeeded and e.failing_since is not null)
           or (not s.succeeded
               and (e.failing_since is null or e.failing_since <= now() - make_interval(secs => $5))))
    order by e.account_id, e.endpoint_id
    for update of e
)
update webhook_endpoints e
set failing_since = case when not c.succeeded then coalesce(e.failing_since, now()) end,
    disabled_at = case when c.disable is not null then now() end,
    disabled_reason = c.disable
from changed c
where (e.account_id, e.endpoint_id) = (c.account_id, c.endpoint_id)
returning e.account_id, e.endpoint_id, e.disabled_reason";

/// Applies what attempts say of their endpoints: failing since when, or no longer; one that is gone, or failing for
/// longer than [`DISABLE_AFTER`], is disabled. Gives those that were disabled.
///
/// # Errors
/// [`StoreError`].
pub async fn report(db: &impl Db, reports: &[EndpointReport]) -> Result<Vec<DisabledEndpoint>, StoreError> {
    let accounts: Vec<i64> = reports.iter().map(|report| report.account_id).collect();
    let endpoints: Vec<Uuid> = reports.iter().map(|report| report.endpoint_id).collect();
    let succeeded: Vec<bool> = reports.iter().map(|report| report.succeeded).collect();
    let gone: Vec<bool> = reports.iter().map(|report| report.gone).collect();
    let rows =
        db.query(REPORT, &[&accounts, &endpoints, &succeeded, &gone, &DISABLE_AFTER.as_secs_f64()]).await?;
    let mut disabled = Vec::new();
    for row in &rows {
        if let Some(reason) = get(row, "disabled_reason")? {
            disabled.push(DisabledEndpoint {
                account_id: get(row, "account_id")?,
                endpoint_id: get(row, "endpoint_id")?,
                reason,
            });
        }
    }
    Ok(disabled)
}
