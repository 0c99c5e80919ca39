//! What a worker does with a message before its call: it claims it with its pacing slot, and puts the call on record.

mod begin;
mod claim;

use std::time::Duration;

use tokio_postgres::Row;
use uuid::Uuid;

pub use self::begin::{Begun, begin, unbegin};
pub use self::claim::{Claimed, Step, claim, release};
use crate::domain::id::MessageKey;

fn columns(keys: &[MessageKey]) -> (Vec<i64>, Vec<Uuid>) {
    keys.iter().map(|key| (key.account_id, key.message_id)).unzip()
}

fn key(row: &Row) -> MessageKey {
    MessageKey { account_id: row.get(0), message_id: row.get(1) }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
