//! The policy log: every decision past authentication.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use tokio_postgres::Row;
use uuid::Uuid;

use super::{Db, StoreError};

/// One decision, as operators see it: everything but who the message was for.
#[derive(Clone, Debug, Serialize)]
pub struct Decision {
    /// Its number, unique over all accounts.
    pub log_id: i64,
    /// The tenant.
    pub account_id: i64,
    /// When it was made.
    pub at: Timestamp,
    /// The key that asked.
    pub api_key_id: Uuid,
    /// The instance named, where the request got that far.
    pub instance_id: Option<String>,
    /// The purpose, where the request got that far.
    pub purpose: Option<String>,
    /// What was done: `allow`, `throttle`, `block` or `pause_instance`.
    pub action: String,
    /// From 0 to 100.
    pub risk_score: i16,
    /// The error code of a refusal.
    pub error: Option<String>,
    /// The version of the rules that judged; `None`: refused before they were asked.
    pub rules_version: Option<String>,
    /// The rules that fired, as the guard names them.
    pub signals: Value,
    /// What it rested on besides; `None`: nothing was looked up.
    pub facts: Option<Value>,
    /// The message that was accepted.
    pub message_id: Option<Uuid>,
    /// The request.
    pub request_id: String,
}

impl From<&Row> for Decision {
    fn from(row: &Row) -> Self {
        Self {
            log_id: row.get("log_id"),
            account_id: row.get("account_id"),
            at: row.get("created_at"),
            api_key_id: row.get("api_key_id"),
            instance_id: row.get("instance_id"),
            purpose: row.get("purpose"),
            action: row.get("action"),
            risk_score: row.get("risk_score"),
            error: row.get("error_code"),
            rules_version: row.get("rules_version"),
            signals: row.get("signals"),
            facts: row.get("facts"),
            message_id: row.get("message_id"),
            request_id: row.get("request_id"),
        }
    }
}

/// The decision of that number, of that account where one is given.
///
/// # Errors
/// [`StoreError`].
pub async fn find(
    db: &impl Db,
    log_id: i64,
    account_id: Option<i64>,
) -> Result<Option<Decision>, StoreError> {
    // The key begins with the account, so that the log can be distributed by tenant: one look into the key per account
    // instead of one through the whole log. The limit inside keeps the planner from turning that round.
    const SQL: &str = "-- policy_log.find
        select l.* from accounts a
        cross join lateral (
            select account_id, log_id, created_at, api_key_id, instance_id, purpose, action, risk_score, error_code,
                   rules_version, signals, facts, message_id, request_id
            from policy_log p where p.account_id = a.account_id and p.log_id = $1 limit 1
        ) l
        where $2::int8 is null or a.account_id = $2
        limit 1";
    let rows = db.query(SQL, &[&log_id, &account_id]).await?;
    Ok(rows.first().map(Decision::from))
}
