//! How an instance is connected: the operator's word, and the provider's.

use jiff::Timestamp;
use uuid::Uuid;

use super::OWE;
use crate::domain::instance::Connection;
use crate::store::{Db, StoreError};

/// Who says it.
struct Word<'a> {
    by: &'static str,
    /// Why, for operators.
    why: Option<&'a str>,
    /// When the provider's report arrived; `None`: now.
    at: Option<Timestamp>,
}

/// Changes the connection and tells the customer, unless it is so already; opened, it forgets why it was suspect.
/// False: no such instance.
///
/// # Errors
/// [`StoreError`].
pub async fn set_connection(
    db: &impl Db,
    account_id: i64,
    instance_id: &str,
    connection: Connection,
) -> Result<bool, StoreError> {
    let word = Word { by: "operator", why: None, at: None };
    change(db, (account_id, instance_id), connection, &word).await
}

/// Changes the connection to what the provider reported at `at`, and tells the customer, unless it is so already. What an
/// operator has closed, held or called suspect stays so, and a report that is older than what is known changes nothing.
/// `why` is kept as the reason of the hold, where it is one. False: nothing was changed.
///
/// # Errors
/// [`StoreError`].
pub async fn report_connection(
    db: &impl Db,
    sender: (i64, &str),
    connection: Connection,
    why: &str,
    at: Timestamp,
) -> Result<bool, StoreError> {
    change(db, sender, connection, &Word { by: "provider", why: Some(why), at: Some(at) }).await
}

/// Opens an instance that was suspect and has shown that it can send, and tells the customer; not where an operator has called
/// it suspect. False: nothing was changed.
///
/// # Errors
/// [`StoreError`].
pub async fn recovered(db: &impl Db, sender: (i64, &str)) -> Result<bool, StoreError> {
    change(db, sender, Connection::Open, &Word { by: "provider", why: None, at: None }).await
}

async fn change(
    db: &impl Db,
    (account_id, instance_id): (i64, &str),
    connection: Connection,
    word: &Word<'_>,
) -> Result<bool, StoreError> {
    let sql = format!(
        "-- instances.set_connection
        with before as materialized (
            select connection, connection_by, connection_at from instances
            where account_id = $1 and instance_id = $2 for update
        ), changed as (
            update instances n
            set connection = $3, connection_by = $5, connection_at = coalesce($7::timestamptz, now()),
                probe = null,
                -- Whatever number it has now, an operator who opens it has seen to it.
                own_number = case when $5 = 'operator' and $3 = 'open' then null else n.own_number end,
                hold_reason = case when $3 <> 'open' then coalesce($6::text, n.hold_reason)
                                   when n.hold_until > now() then n.hold_reason end
            from before
            where n.account_id = $1 and n.instance_id = $2
              and ($5 = 'operator' or (before.connection_by = 'provider' or before.connection = 'open')
                                      and coalesce(before.connection_at <= $7, true)
                                      -- A recovery ends a suspicion, and nothing that was reported meanwhile.
                                      and ($7::timestamptz is not null or before.connection = 'suspect'))
            returning n.account_id, n.instance_id, before.connection as previous
        ), settled as (
            update suspicions s set probe_at = null, recovered_at = case when $3 = 'open' then now() end
            from changed c
            where s.account_id = c.account_id and s.instance_id = c.instance_id and c.previous = 'suspect'
        ), begun_anew as (
            delete from unacknowledged u using changed c
            where u.account_id = c.account_id and u.instance_id = c.instance_id and $3 = 'open' and c.previous <> 'open'
        ), told as (
            insert into events (account_id, event_id, kind, instance_id, state, previous_state, reason)
            select account_id, $4, 'instance.connection_updated', instance_id, $3, previous, $5
            from changed where previous <> $3
            returning account_id, event_id, kind
        ), {OWE}"
    );
    let rows = db
        .query(
            &sql,
            &[
                &account_id,
                &instance_id,
                &connection.as_str(),
                &Uuid::now_v7(),
                &word.by,
                &word.why,
                &word.at,
            ],
        )
        .await?;
    Ok(!rows.is_empty())
}
