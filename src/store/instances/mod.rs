//! Instances and their pacing schedules.

mod connection;
mod evolution;
mod meta;
mod review;

use jiff::Timestamp;
use serde::Serialize;
use tokio_postgres::Row;

pub use self::connection::{recovered, report_connection, set_connection};
pub use self::evolution::{CallbackAddress, EvolutionRow, evolution, is_own_number, set_callback_address};
pub use self::meta::{MetaRow, meta, set_outside_window};
pub use self::review::{GUARD, Resumed, ReviewRow, pause, pause_by_guard, resume, reviews};
use super::{Db, StoreError};
use crate::domain::instance::{OnUnknown, Provider};
use crate::domain::purpose::Lane;
use crate::domain::rate::Rate;

/// How many messages one statement makes due: well within its time limit.
const DUE_BATCH: i64 = 5_000;
/// Together with [`DUE_BATCH`] more than any backlog that is accepted.
const DUE_ROUNDS: u32 = 2_000;

/// The rule that a business number belongs to one instance.
pub const PHONE_NUMBER_TAKEN: &str = "instances_by_phone_number";
/// The rule that an instance of an Evolution server belongs to one of ours.
pub const PROVIDER_INSTANCE_TAKEN: &str = "instances_by_provider_instance";
/// The rule that an account's instance ids differ.
pub const INSTANCE_ID_TAKEN: &str = "instances_pkey";

/// An instance, as operators see it; its token is not shown.
#[derive(Clone, Debug, Serialize)]
pub struct InstanceRow {
    /// As given by the operator.
    #[serde(rename = "id")]
    pub instance_id: String,
    /// For people, and in webhooks.
    pub name: String,
    /// The provider's name.
    pub provider: String,
    /// Where its provider is.
    pub base_url: String,
    /// Meta's id of the business number.
    pub phone_number_id: Option<String>,
    /// The instance's name on its Evolution server.
    pub provider_instance: Option<String>,
    /// The connection's name.
    pub connection: String,
    /// Since when it waits for a review.
    pub paused_at: Option<Timestamp>,
    /// Why it does.
    pub paused_reason: Option<String>,
    /// The provider throttled it until then.
    pub hold_until: Option<Timestamp>,
    /// Why it was throttled, or is suspect.
    pub hold_reason: Option<String>,
    /// Meta restricts free text until then.
    pub texts_hold_until: Option<Timestamp>,
    /// Meta restricts templates until then.
    pub templates_hold_until: Option<Timestamp>,
    /// The pacing rate, as operators write it.
    pub rate: String,
    /// What people who opt out are answered.
    pub opt_out_confirmation: Option<String>,
    /// `fail` or `try`: what free text outside the provider's window does; for Meta and the sandbox.
    pub outside_window: String,
    /// Since when callbacks tell of its messages: a day later it is known who is outside the window.
    pub listening_since: Option<Timestamp>,
    /// Meta's id of the business account its number belongs to, once a callback told it.
    pub business_account_id: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// An instance to be stored.
#[derive(Clone, Copy, Debug)]
pub struct NewInstance<'a> {
    /// The tenant.
    pub account_id: i64,
    /// Unique within the account.
    pub instance_id: &'a str,
    /// For people, and in webhooks.
    pub name: &'a str,
    /// Whose wire it speaks.
    pub provider: Provider,
    /// Where its provider is.
    pub base_url: &'a str,
    /// Meta's id of the business number, unique among all instances.
    pub phone_number_id: Option<&'a str>,
    /// The instance's name on its Evolution server, unique there.
    pub provider_instance: Option<&'a str>,
    /// The provider's token, encrypted.
    pub token_sealed: &'a [u8],
    /// How often it may send.
    pub rate: Rate,
}

impl From<&Row> for InstanceRow {
    fn from(row: &Row) -> Self {
        let rate = Rate { interval_us: row.get("interval_us"), burst: row.get("burst") };
        Self {
            instance_id: row.get("instance_id"),
            name: row.get("name"),
            provider: row.get("provider"),
            base_url: row.get("base_url"),
            phone_number_id: row.get("phone_number_id"),
            provider_instance: row.get("provider_instance"),
            connection: row.get("connection"),
            paused_at: row.get("paused_at"),
            paused_reason: row.get("paused_reason"),
            hold_until: row.get("hold_until"),
            hold_reason: row.get("hold_reason"),
            texts_hold_until: row.get("texts_hold_until"),
            templates_hold_until: row.get("templates_hold_until"),
            rate: rate.to_string(),
            opt_out_confirmation: row.get("opt_out_confirmation"),
            outside_window: row.get("outside_window"),
            listening_since: row.get("listening_since"),
            business_account_id: row.get("business_account_id"),
            created_at: row.get("created_at"),
        }
    }
}

/// Stores an instance, open. Its schedules are to be made in the same transaction, see [`insert_pacing`].
///
/// # Errors
/// [`StoreError`], with the constraint where the account does not exist, [`INSTANCE_ID_TAKEN`],
/// [`PHONE_NUMBER_TAKEN`] or [`PROVIDER_INSTANCE_TAKEN`].
pub async fn insert(db: &impl Db, new: &NewInstance<'_>) -> Result<(), StoreError> {
    db.execute(
        "-- instances.insert
        insert into instances (account_id, instance_id, name, provider, base_url, phone_number_id,
            provider_instance, token_sealed, interval_us, burst, outside_window)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        &[
            &new.account_id,
            &new.instance_id,
            &new.name,
            &new.provider.as_str(),
            &new.base_url,
            &new.phone_number_id,
            &new.provider_instance,
            &new.token_sealed,
            &new.rate.interval_us,
            &new.rate.burst,
            &new.provider.outside_window().as_str(),
        ],
    )
    .await?;
    Ok(())
}

/// Makes the empty schedules of both lanes.
///
/// # Errors
/// [`StoreError`].
pub async fn insert_pacing(db: &impl Db, account_id: i64, instance_id: &str) -> Result<(), StoreError> {
    let lanes = Lane::ALL.map(Lane::as_str);
    db.execute(
        "-- pacing.insert
        insert into pacing (account_id, instance_id, lane, next_at)
        select $1, $2, lane, now() from unnest($3::text[]) lane",
        &[&account_id, &instance_id, &lanes.as_slice()],
    )
    .await?;
    Ok(())
}

/// What is told to the account's endpoints, in the statement that changes the instance. Nobody publishes it: it is due
/// at once, so that `sweep` does.
const OWE: &str = "
        owed as (
            insert into webhook_deliveries (account_id, event_id, endpoint_id, due_at)
            select t.account_id, t.event_id, e.endpoint_id, now()
            from told t join webhook_endpoints e on e.account_id = t.account_id
            where e.disabled_at is null and (e.events is null or t.kind = any(e.events))
        )
        select from changed";

/// Changes the pacing rate; false: no such instance.
///
/// # Errors
/// [`StoreError`].
pub async fn set_rate(
    db: &impl Db,
    account_id: i64,
    instance_id: &str,
    rate: Rate,
) -> Result<bool, StoreError> {
    let changed = db
        .execute(
            // What was reserved at the old rate is no measure for the new one.
            "-- instances.set_rate
            with begun_anew as (
                update pacing set next_at = now() where account_id = $1 and instance_id = $2
            ), begun_anew_at_the_door as (
                update door set next_at = now() where account_id = $1 and instance_id = $2
            )
            update instances set interval_us = $3, burst = $4 where account_id = $1 and instance_id = $2",
            &[&account_id, &instance_id, &rate.interval_us, &rate.burst],
        )
        .await?;
    Ok(changed == 1)
}

/// Says what becomes of messages whose outcome stays unknown; false: no such instance.
///
/// # Errors
/// [`StoreError`].
pub async fn set_on_unknown(
    db: &impl Db,
    account_id: i64,
    instance_id: &str,
    on_unknown: OnUnknown,
) -> Result<bool, StoreError> {
    let changed = db
        .execute(
            "-- instances.set_on_unknown
            update instances set on_unknown = $3 where account_id = $1 and instance_id = $2",
            &[&account_id, &instance_id, &on_unknown.as_str()],
        )
        .await?;
    Ok(changed == 1)
}

/// Says what people who opt out are answered, if anything; false: no such instance.
///
/// # Errors
/// [`StoreError`].
pub async fn set_opt_out_confirmation(
    db: &impl Db,
    (account_id, instance_id): (i64, &str),
    text: Option<&str>,
) -> Result<bool, StoreError> {
    const SQL: &str = "-- instances.set_opt_out_confirmation
        update instances set opt_out_confirmation = $3 where account_id = $1 and instance_id = $2";
    Ok(db.execute(SQL, &[&account_id, &instance_id, &text]).await? == 1)
}

/// Replaces the sealed access token; false: no such instance.
///
/// # Errors
/// [`StoreError`].
pub async fn set_token(
    db: &impl Db,
    account_id: i64,
    instance_id: &str,
    token_sealed: &[u8],
) -> Result<bool, StoreError> {
    let changed = db
        .execute(
            "-- instances.set_token
            update instances set token_sealed = $3 where account_id = $1 and instance_id = $2",
            &[&account_id, &instance_id, &token_sealed],
        )
        .await?;
    Ok(changed == 1)
}

/// Makes due what waits for the instance, in statements of their own: workers must find the instance's new state, which is
/// to be committed before, and no statement may take long.
///
/// # Errors
/// [`StoreError`].
pub async fn wake(db: &impl Db, key: (i64, &str)) -> Result<(), StoreError> {
    for _ in 0..DUE_ROUNDS {
        if make_due(db, key).await? == 0 {
            break;
        }
    }
    Ok(())
}

/// Makes some of the instance's waiting messages due now, and gives how many. Called again after a commit it takes the next
/// ones: what is due already is left alone, and so is what somebody else is just looking at, is owned by a worker, or waits
/// for a time of its own.
async fn make_due(db: &impl Db, (account_id, instance_id): (i64, &str)) -> Result<u64, StoreError> {
    db.execute(
        "-- messages.make_due
        with waiting as (
            select account_id, message_id from messages
            where lane in ('priority', 'standard') and account_id = $1 and instance_id = $2 and due_at > now() and status in ('queued', 'sending')
                and not in_flight and lease is null and (not_before is null or not_before <= now())
            limit $3
            for update skip locked
        )
        update messages set due_at = now()
        from waiting
        where messages.account_id = waiting.account_id and messages.message_id = waiting.message_id",
        &[&account_id, &instance_id, &DUE_BATCH],
    )
    .await
}

/// The account's instances by id.
///
/// # Errors
/// [`StoreError`].
pub async fn list(db: &impl Db, account_id: i64) -> Result<Vec<InstanceRow>, StoreError> {
    let rows = db
        .query(
            "-- instances.list
            select instance_id, name, provider, base_url, phone_number_id, provider_instance, connection, paused_at,
                paused_reason, hold_until, hold_reason, interval_us, burst, outside_window, listening_since,
                business_account_id, texts_hold_until, templates_hold_until, opt_out_confirmation, created_at
            from instances where account_id = $1 order by instance_id",
            &[&account_id],
        )
        .await?;
    Ok(rows.iter().map(InstanceRow::from).collect())
}
