//! Messages as others ask about them.

use uuid::Uuid;

use super::span::{few, span};
use super::{Db, StoreError};
use crate::domain::id::MessageKey;
use crate::domain::status::Status;

/// The statuses of those of the messages that exist.
///
/// # Errors
/// [`StoreError`].
pub async fn statuses(db: &impl Db, keys: &[MessageKey]) -> Result<Vec<(MessageKey, Status)>, StoreError> {
    const SQL: &str = concat!(
        "-- messages.statuses
        select m.account_id, m.message_id, m.status::text
        from unnest($1::int8[], $2::uuid[]) as k(account_id, message_id)
        join messages m on m.account_id = k.account_id and m.message_id = k.message_id
        where m.message_id between $3 and $4 and ",
        few!("k")
    );
    let accounts: Vec<i64> = keys.iter().map(|key| key.account_id).collect();
    let messages: Vec<Uuid> = keys.iter().map(|key| key.message_id).collect();
    let (least, greatest) = span(&messages);
    let rows = db.query(SQL, &[&accounts, &messages, &least, &greatest]).await?;
    rows.iter()
        .map(|row| {
            let status = Status::parse(row.get(2)).ok_or(StoreError::Value("messages.status"))?;
            Ok((MessageKey { account_id: row.get(0), message_id: row.get(1) }, status))
        })
        .collect()
}
