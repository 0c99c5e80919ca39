//! Claiming: whoever holds a delivery's lease sends it.

use std::time::Duration;

use tokio_postgres::Row;
use uuid::Uuid;

use super::super::span::{few, span};
use super::super::{Db, StoreError};
use super::{columns, get, open_delivery};
use crate::domain::event::Event;
use crate::domain::id::DeliveryKey;

/// A delivery that belongs to this worker until its lease ends.
#[derive(Clone, Debug)]
pub struct Claim {
    /// Which delivery.
    pub key: DeliveryKey,
    /// The number of the attempt to be made, from 1.
    pub attempt: u16,
    /// Where to.
    pub url: String,
    /// The signing secret, sealed in [`secret_context`].
    pub secret: Vec<u8>,
    /// The secret before it, sealed alike, while it signs too.
    pub previous_secret: Option<Vec<u8>>,
    /// Whether the endpoint's last outcome was a failure.
    pub failing: bool,
    /// Since the event.
    pub event_age: Duration,
    /// What to tell.
    pub event: Event,
}

const CLAIM: &str = concat!(
    "-- webhooks.claim
with wanted as (
    select distinct * from unnest($1::bigint[], $2::uuid[], $3::uuid[]) as w (account_id, event_id, endpoint_id)
    where ",
    few!("w"),
    "
), open as (
    select d.account_id, d.event_id, d.endpoint_id,
           v.event_id is not null and e.endpoint_id is not null and e.disabled_at is null as wanted
    from wanted w
    join webhook_deliveries d using (account_id, event_id, endpoint_id)
    left join webhook_endpoints e using (account_id, endpoint_id)
    left join events v on v.account_id = d.account_id and v.event_id = d.event_id and v.event_id between $6 and $7
    where d.event_id between $6 and $7 and ",
    open_delivery!(),
    "
    for update of d skip locked
), ended as (
    update webhook_deliveries d
    set status = 'failed', due_at = null, lease = null, finished_at = now()
    from open o
    where (d.account_id, d.event_id, d.endpoint_id) = (o.account_id, o.event_id, o.endpoint_id) and not o.wanted
      and d.event_id between $6 and $7 and ",
    few!("o"),
    "
), claimed as (
    update webhook_deliveries d
    set lease = $4, due_at = now() + make_interval(secs => $5)
    from open o
    where (d.account_id, d.event_id, d.endpoint_id) = (o.account_id, o.event_id, o.endpoint_id) and o.wanted
      and d.event_id between $6 and $7 and ",
    few!("o"),
    "
    returning d.account_id, d.event_id, d.endpoint_id, d.attempts
)
select c.account_id, c.event_id, c.endpoint_id, c.attempts, e.url, e.secret_sealed,
       case when e.previous_secret_until > now() then e.previous_secret end as previous_secret,
       e.failing_since is not null as failing,
       v.kind, v.instance_id, i.name as instance_name, v.message_id, m.log_id, v.recipient, coalesce(v.state, v.status::text) as status,
       coalesce(v.previous_state, v.previous_status::text) as previous_status, v.sequence, v.error, v.reason, v.message_text, v.request_id, v.occurred_at,
       greatest(0, extract(epoch from now() - v.occurred_at))::float8 as event_age
from claimed c
-- Each event by its own key: an endpoint's account alone would find all events of the account.
cross join lateral (
    select * from events v
    where v.account_id = c.account_id and v.event_id = c.event_id and v.event_id between $6 and $7 offset 0) v
join webhook_endpoints e on e.account_id = c.account_id and e.endpoint_id = c.endpoint_id
left join instances i on i.account_id = v.account_id and i.instance_id = v.instance_id
left join messages m on m.account_id = v.account_id and m.message_id = v.message_id"
);

/// Claims those of `keys` that are due and held by nobody, until `lease_time` from now. A delivery whose endpoint is
/// disabled or deleted ends as failed instead.
///
/// # Errors
/// [`StoreError`].
pub async fn claim(
    db: &impl Db,
    keys: &[DeliveryKey],
    lease: Uuid,
    lease_time: Duration,
) -> Result<Vec<Claim>, StoreError> {
    let (accounts, events, endpoints) = columns(keys);
    let (least, greatest) = span(&events);
    let seconds = lease_time.as_secs_f64();
    let rows =
        db.query(CLAIM, &[&accounts, &events, &endpoints, &lease, &seconds, &least, &greatest]).await?;
    rows.iter().map(read_claim).collect()
}

fn read_claim(row: &Row) -> Result<Claim, StoreError> {
    let instance_id: String = get(row, "instance_id")?;
    let instance_name: Option<String> = get(row, "instance_name")?;
    let attempts: i16 = get(row, "attempts")?;
    let key = DeliveryKey {
        account_id: get(row, "account_id")?,
        event_id: get(row, "event_id")?,
        endpoint_id: get(row, "endpoint_id")?,
    };
    Ok(Claim {
        key,
        attempt: u16::try_from(attempts).unwrap_or(0).saturating_add(1),
        url: get(row, "url")?,
        secret: get(row, "secret_sealed")?,
        previous_secret: get(row, "previous_secret")?,
        failing: get(row, "failing")?,
        event_age: Duration::from_secs_f64(get(row, "event_age")?),
        event: Event {
            event_id: key.event_id,
            kind: get(row, "kind")?,
            // An instance that is deleted meanwhile is still told by its id.
            instance_name: instance_name.unwrap_or_else(|| instance_id.clone()),
            instance_id,
            message_id: get(row, "message_id")?,
            log_id: get(row, "log_id")?,
            recipient: get(row, "recipient")?,
            status: get(row, "status")?,
            previous_status: get(row, "previous_status")?,
            sequence: get(row, "sequence")?,
            error: get(row, "error")?,
            reason: get(row, "reason")?,
            message_text: get(row, "message_text")?,
            request_id: get(row, "request_id")?,
            occurred_at: get(row, "occurred_at")?,
        },
    })
}
