//! Events with the webhooks owed for them.

use jiff::Timestamp;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::domain::audit::{Delivery, Event};
use crate::store::{Db, StoreError};

/// Events in the order of their ids.
pub struct EventPage {
    /// Each with its id.
    pub events: Vec<(Uuid, Event)>,
    /// Where the next page begins; `None`: this is the last.
    pub next: Option<Uuid>,
}

/// The account's events behind `after`, at most `limit`. What ended before `until` is known to witnesses.
///
/// An endpoint wanted what happened while it was there and not disabled. Within five seconds of either it may or may not
/// have been told, because neither commit waits for the other and none takes as long.
///
/// # Errors
/// [`StoreError`].
pub async fn events(
    db: &impl Db,
    account_id: i64,
    after: Uuid,
    limit: i64,
    until: Timestamp,
) -> Result<EventPage, StoreError> {
    const SQL: &str = "-- audit.events
        with page as materialized (
            select event_id, kind, message_id, sequence, status::text as status, occurred_at
            from events where account_id = $1 and event_id > $2 order by event_id limit $3
        )
        select p.event_id, p.kind, p.message_id, p.sequence, p.status, o.missed, o.pending, o.delivered, o.due_in_ms
        from page p
        left join lateral (
            select false as missed, d.status = 'pending' as pending,
                   d.status = 'delivered' and coalesce(d.finished_at <= $4, false) as delivered,
                   (extract(epoch from d.due_at - now()) * 1000)::int8 as due_in_ms
            from webhook_deliveries d where d.account_id = $1 and d.event_id = p.event_id
            union all
            select true, null, null, null
            from webhook_endpoints e
            where e.account_id = $1 and e.created_at < p.occurred_at - interval '5 seconds'
              and (e.disabled_at is null or e.disabled_at > p.occurred_at + interval '5 seconds')
              and (e.events is null or p.kind = any(e.events))
              and not exists (select from webhook_deliveries d
                  where d.account_id = $1 and d.event_id = p.event_id and d.endpoint_id = e.endpoint_id)
        ) o on true
        order by p.event_id";
    let rows = db.query(SQL, &[&account_id, &after, &limit, &until]).await?;
    let mut events: Vec<(Uuid, Event)> = Vec::with_capacity(rows.len());
    for row in &rows {
        let event_id = row.get("event_id");
        if events.last().is_none_or(|(last, _)| *last != event_id) {
            events.push((event_id, event(row)));
        }
        let Some((_, event)) = events.last_mut() else { continue };
        match row.get("missed") {
            Some(true) => event.missed = true,
            Some(false) => event.owed.push(delivery(row)),
            None => {}
        }
    }
    let full = i64::try_from(events.len()).is_ok_and(|read| read == limit);
    let next = events.last().map(|(id, _)| *id).filter(|_| full);
    Ok(EventPage { events, next })
}

fn event(row: &Row) -> Event {
    Event {
        kind: row.get("kind"),
        message_id: row.get("message_id"),
        sequence: row.get("sequence"),
        status: row.get("status"),
        missed: false,
        owed: Vec::new(),
    }
}

fn delivery(row: &Row) -> Delivery {
    Delivery { pending: row.get("pending"), delivered: row.get("delivered"), due_in_ms: row.get("due_in_ms") }
}
