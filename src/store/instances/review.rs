//! Pausing an instance for a review, ending the review, and who did so when and why.

use jiff::Timestamp;
use serde::Serialize;
use tokio_postgres::Row;
use uuid::Uuid;

use super::OWE;
use crate::store::{Db, StoreError};

/// How the guard is called where it paused.
pub const GUARD: &str = "guard";
/// How many reviews are shown.
const SHOWN: i64 = 100;

/// A pause or the end of one.
#[derive(Clone, Debug, Serialize)]
pub struct ReviewRow {
    /// Its id.
    #[serde(rename = "id")]
    pub review_id: Uuid,
    /// When.
    pub at: Timestamp,
    /// `paused` or `resumed`.
    pub action: String,
    /// The operator's name, or [`GUARD`].
    pub by: String,
    /// Why, or what was found.
    pub note: Option<String>,
    /// The decision that paused it, where the guard did.
    pub log_id: Option<i64>,
}

impl From<&Row> for ReviewRow {
    fn from(row: &Row) -> Self {
        Self {
            review_id: row.get("review_id"),
            at: row.get("at"),
            action: row.get("action"),
            by: row.get("by_whom"),
            note: row.get("note"),
            log_id: row.get("log_id"),
        }
    }
}

/// What became of a resume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resumed {
    /// It is not paused any more.
    Done,
    /// It was not paused.
    NotPaused,
    /// There is no such instance.
    NoInstance,
}

/// Who pauses, and why.
struct Pause<'a> {
    by: &'a str,
    reason: Option<&'a str>,
    log_id: Option<i64>,
    /// Whether what is paused already is reviewed again, for another reason.
    again: bool,
}

/// Pauses for a review and tells the customer; already paused, it keeps its time and takes the new reason, and nobody
/// is told. Either is written down as a review. False: no such instance.
///
/// # Errors
/// [`StoreError`].
pub async fn pause(
    db: &impl Db,
    (account_id, instance_id): (i64, &str),
    reason: Option<&str>,
    by: &str,
) -> Result<bool, StoreError> {
    set_paused(db, (account_id, instance_id), Pause { by, reason, log_id: None, again: true }).await
}

/// Pauses for a review because of the decision `log_id`, and tells the customer. False, and nothing is written: it is
/// paused already, or there is no such instance.
///
/// # Errors
/// [`StoreError`].
pub async fn pause_by_guard(
    db: &impl Db,
    account_id: i64,
    instance_id: &str,
    reason: &str,
    log_id: i64,
) -> Result<bool, StoreError> {
    let pause = Pause { by: GUARD, reason: Some(reason), log_id: Some(log_id), again: false };
    set_paused(db, (account_id, instance_id), pause).await
}

async fn set_paused(
    db: &impl Db,
    (account_id, instance_id): (i64, &str),
    pause: Pause<'_>,
) -> Result<bool, StoreError> {
    let sql = format!(
        "-- instances.pause
        with before as (
            select paused_at from instances where account_id = $1 and instance_id = $2 for update
        ), changed as (
            update instances n set paused_at = coalesce(n.paused_at, now()), paused_reason = $3
            from before
            where n.account_id = $1 and n.instance_id = $2 and ($8::bool or before.paused_at is null)
            returning n.account_id, n.instance_id, before.paused_at is null as is_new
        ), reviewed as (
            insert into reviews (account_id, review_id, instance_id, action, by_whom, note, log_id)
            select account_id, $5, instance_id, 'paused', $6, $3, $7 from changed
        ), told as (
            insert into events (account_id, event_id, kind, instance_id, reason)
            select account_id, $4, 'instance.paused', instance_id, $3 from changed where is_new
            returning account_id, event_id, kind
        ), {OWE}"
    );
    let (event_id, review_id) = (Uuid::now_v7(), Uuid::now_v7());
    let Pause { by, reason, log_id, again } = pause;
    let rows = db
        .query(&sql, &[&account_id, &instance_id, &reason, &event_id, &review_id, &by, &log_id, &again])
        .await?;
    Ok(!rows.is_empty())
}

/// Ends a review, with what was found.
///
/// # Errors
/// [`StoreError`].
pub async fn resume(
    db: &impl Db,
    (account_id, instance_id): (i64, &str),
    note: &str,
    by: &str,
) -> Result<Resumed, StoreError> {
    const SQL: &str = "-- instances.resume
        with before as materialized (
            select paused_at is not null as paused from instances
            where account_id = $1 and instance_id = $2 for update
        ), changed as (
            update instances n set paused_at = null, paused_reason = null
            from before
            where n.account_id = $1 and n.instance_id = $2 and before.paused
            returning n.account_id, n.instance_id
        ), reviewed as (
            insert into reviews (account_id, review_id, instance_id, action, by_whom, note)
            select account_id, $3, instance_id, 'resumed', $4, $5 from changed
        )
        select paused from before";
    let rows = db.query(SQL, &[&account_id, &instance_id, &Uuid::now_v7(), &by, &note]).await?;
    Ok(match rows.first().map(|row| row.get(0)) {
        Some(true) => Resumed::Done,
        Some(false) => Resumed::NotPaused,
        None => Resumed::NoInstance,
    })
}

/// The instance's latest reviews, newest first; `None`: no such instance.
///
/// # Errors
/// [`StoreError`].
pub async fn reviews(
    db: &impl Db,
    account_id: i64,
    instance_id: &str,
) -> Result<Option<Vec<ReviewRow>>, StoreError> {
    const EXISTS: &str = "-- instances.exists
        select from instances where account_id = $1 and instance_id = $2";
    const SQL: &str = "-- instances.reviews
        select review_id, at, action, by_whom, note, log_id from reviews
        where account_id = $1 and instance_id = $2 order by at desc, review_id desc limit $3";
    if db.query(EXISTS, &[&account_id, &instance_id]).await?.is_empty() {
        return Ok(None);
    }
    let rows = db.query(SQL, &[&account_id, &instance_id, &SHOWN]).await?;
    Ok(Some(rows.iter().map(ReviewRow::from).collect()))
}
