//! What was answered to an `Idempotency-Key`.

use uuid::Uuid;

use super::{Db, StoreError};

/// The first answer to a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// SHA-256 of the first request's body.
    pub body_hash: Vec<u8>,
    /// The message it became.
    pub message_id: Uuid,
    /// Its row in the policy log.
    pub log_id: i64,
    /// HTTP status and body, where the answer was not the plain 202.
    pub answer: Option<(u16, String)>,
}

/// The first answer to the account's key within the last 24 hours, if there was one.
///
/// # Errors
/// [`StoreError`].
pub async fn find(db: &impl Db, account_id: i64, key: &str) -> Result<Option<Answered>, StoreError> {
    const SQL: &str = "-- idempotency.find
        select body_hash, message_id, log_id, answer_code, answer from idempotency_keys
        where account_id = $1 and key = $2 and created_at >= now() - interval '24 hours'";
    let rows = db.query(SQL, &[&account_id, &key]).await?;
    Ok(rows.first().map(|row| Answered {
        body_hash: row.get(0),
        message_id: row.get(1),
        log_id: row.get(2),
        answer: row
            .get::<_, Option<i16>>(3)
            .and_then(|code| u16::try_from(code).ok())
            .zip(row.get::<_, Option<String>>(4)),
    }))
}

/// Keeps an answer that was not the plain 202.
///
/// # Errors
/// [`StoreError`].
pub async fn keep_answer(
    db: &impl Db,
    account_id: i64,
    key: &str,
    code: u16,
    body: &str,
) -> Result<(), StoreError> {
    const SQL: &str = "-- idempotency.keep_answer
        update idempotency_keys set answer_code = $3, answer = $4 where account_id = $1 and key = $2";
    db.execute(SQL, &[&account_id, &key, &code.cast_signed(), &body]).await?;
    Ok(())
}

/// Forgets keys older than 24 hours, at most `limit` of them; gives how many.
///
/// # Errors
/// [`StoreError`].
pub async fn forget_old(db: &impl Db, limit: i64) -> Result<u64, StoreError> {
    const SQL: &str = "-- idempotency.forget_old
        delete from idempotency_keys where (account_id, key) in (
            select account_id, key from idempotency_keys
            where created_at < now() - interval '24 hours' order by created_at limit $1 for update skip locked)";
    db.execute(SQL, &[&limit]).await
}
