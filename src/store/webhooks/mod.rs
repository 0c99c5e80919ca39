//! Webhooks owed to customers: claimed, put off, given back, recorded, and what their outcome says of the endpoint.

mod claim;
mod outcome;

use std::time::Duration;

use tokio_postgres::Row;
use tokio_postgres::types::FromSqlOwned;
use uuid::Uuid;

pub use claim::{Claim, claim};
pub use outcome::{Attempt, DisabledEndpoint, EndpointReport, Next, record, report};

use super::span::{few, span};
use super::{Db, StoreError};
use crate::domain::id::DeliveryKey;

/// A row may be worked on: it is due, and nobody holds it.
macro_rules! open_delivery {
    () => {
        "d.status = 'pending' and (d.not_before is null or d.not_before <= now()) \
           and (d.lease is null or d.due_at <= now())"
    };
}
use open_delivery;

/// What an endpoint's secrets are sealed with: their place, so that one copied to another row cannot be read.
#[must_use]
pub fn secret_context(account_id: i64, endpoint_id: Uuid) -> String {
    format!("endpoint:{account_id}:{endpoint_id}")
}

const DEFER: &str = concat!(
    "-- webhooks.defer
with later as (
    select d.account_id, d.event_id, d.endpoint_id, w.delay
    from unnest($1::bigint[], $2::uuid[], $3::uuid[], $4::float8[]) as w (account_id, event_id, endpoint_id, delay)
    join webhook_deliveries d using (account_id, event_id, endpoint_id)
    where d.event_id between $5 and $6 and ",
    few!("w"),
    " and ",
    open_delivery!(),
    "
    for update of d skip locked
)
update webhook_deliveries d
set lease = null, due_at = now() + make_interval(secs => l.delay)
from later l
where (d.account_id, d.event_id, d.endpoint_id) = (l.account_id, l.event_id, l.endpoint_id)
  and d.event_id between $5 and $6 and ",
    few!("l")
);

/// Puts off deliveries nobody holds: they become due after the pause each of them comes with.
///
/// # Errors
/// [`StoreError`].
pub async fn defer(db: &impl Db, keys: &[DeliveryKey], pauses: &[Duration]) -> Result<(), StoreError> {
    let (accounts, events, endpoints) = columns(keys);
    let seconds: Vec<f64> = pauses.iter().map(Duration::as_secs_f64).collect();
    let (least, greatest) = span(&events);
    db.execute(DEFER, &[&accounts, &events, &endpoints, &seconds, &least, &greatest]).await.map(drop)
}

const RELEASE: &str = concat!(
    "-- webhooks.release
update webhook_deliveries d
set lease = null, due_at = now()
from unnest($1::bigint[], $2::uuid[], $3::uuid[], $4::uuid[]) as w (account_id, event_id, endpoint_id, lease)
where (d.account_id, d.event_id, d.endpoint_id) = (w.account_id, w.event_id, w.endpoint_id)
  and d.event_id between $5 and $6 and d.lease = w.lease and d.status = 'pending' and ",
    few!("w")
);

/// Gives claimed deliveries back, due at once, as if they had not been claimed.
///
/// # Errors
/// [`StoreError`].
pub async fn release(db: &impl Db, keys: &[DeliveryKey], leases: &[Uuid]) -> Result<(), StoreError> {
    let (accounts, events, endpoints) = columns(keys);
    let (least, greatest) = span(&events);
    db.execute(RELEASE, &[&accounts, &events, &endpoints, &leases, &least, &greatest]).await.map(drop)
}

/// The keys as one array for each of their columns.
fn columns(keys: &[DeliveryKey]) -> (Vec<i64>, Vec<Uuid>, Vec<Uuid>) {
    (
        keys.iter().map(|key| key.account_id).collect(),
        keys.iter().map(|key| key.event_id).collect(),
        keys.iter().map(|key| key.endpoint_id).collect(),
    )
}

fn get<T: FromSqlOwned>(row: &Row, column: &'static str) -> Result<T, StoreError> {
    row.try_get(column).map_err(|_| StoreError::Value(column))
}
