//! The partitions of what grows with every message: a week each, made ahead and dropped when they are old.
//!
//! What falls outside of the weeks that are there is in the partition `TABLE_default`. Rows from before there were weeks are in
//! `TABLE_before_WEEK`, which ends where that week begins.

mod make;
mod retire;

use jiff::Timestamp;

pub(super) use make::make_all;
pub use make::{close, make, missing, unclosed};
pub use retire::{Retired, drop_oldest, forget_outside, forget_words, kept_since};

use super::{Db, StoreError, Transaction, bounded};
use crate::domain::week::Week;

/// A table that is kept in partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Family {
    /// Its name.
    pub table: &'static str,
    /// The column it is ranged by.
    key: &'static str,
    /// Whether that is a time, and not an id that begins with one.
    by_time: bool,
    /// It holds texts of messages, which go before everything else.
    texts: bool,
}

const fn by_id(table: &'static str, key: &'static str) -> Family {
    Family { table, key, by_time: false, texts: false }
}

/// Every table that is kept in partitions.
pub const FAMILIES: [Family; 7] = [
    Family { texts: true, ..by_id("message_texts", "message_id") },
    by_id("messages", "message_id"),
    by_id("attempts", "message_id"),
    by_id("events", "event_id"),
    by_id("webhook_deliveries", "event_id"),
    by_id("webhook_attempts", "event_id"),
    Family { by_time: true, ..by_id("policy_log", "created_at") },
];

/// The tables with texts of messages, or all others.
pub fn families(texts: bool) -> impl Iterator<Item = &'static Family> {
    FAMILIES.iter().filter(move |family| family.texts == texts)
}

/// A partition that can be dropped as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Its name.
    pub name: String,
    /// Nothing in it is of this moment or later.
    pub ends: Timestamp,
    /// The week it is; `None`: everything before `ends`.
    pub week: Option<Week>,
}

impl Family {
    fn name(&self, week: Week) -> String {
        format!("{}_{week}", self.table)
    }

    fn default_name(&self) -> String {
        format!("{}_default", self.table)
    }

    /// The SQL of the least key of a moment that is given in SQL.
    fn bound(&self, moment: &str) -> String {
        let moment = format!("{moment}::timestamptz");
        if self.by_time { moment } else { format!("first_id_of({moment})") }
    }

    /// What a partition's name tells of it; `None`: it is the default one, or none of ours.
    fn read(&self, name: &str) -> Option<Partition> {
        let suffix = name.strip_prefix(self.table)?.strip_prefix('_')?;
        let (week, ends) = match suffix.strip_prefix("before_") {
            Some(week) => (None, week.parse::<Week>().ok()?.starts()),
            None => {
                let week: Week = suffix.parse().ok()?;
                (Some(week), week.ends())
            }
        };
        Some(Partition { name: name.to_owned(), ends, week })
    }
}

const PARTITIONS: &str = "-- partitions.list
    select c.relname::text, coalesce(array_to_string(c.reloptions, ', '), '')
    from pg_inherits i join pg_class c on c.oid = i.inhrelid
    where i.inhparent = $1::text::regclass order by 1";

/// The table's partitions but the default one, from the oldest on, each with its settings.
async fn partitions(db: &impl Db, family: &Family) -> Result<Vec<(Partition, String)>, StoreError> {
    let rows = db.query(PARTITIONS, &[&family.table]).await?;
    let mut found: Vec<(Partition, String)> =
        rows.iter().filter_map(|row| Some((family.read(row.get(0))?, row.get(1)))).collect();
    found.sort_by_key(|(partition, _)| partition.ends);
    Ok(found)
}

impl Transaction<'_> {
    /// Runs statements that are not worth being prepared.
    async fn run(&self, statements: &str) -> Result<(), StoreError> {
        bounded(self.silent, async { Ok(self.transaction.batch_execute(statements).await?) }).await
    }
}

#[cfg(test)]
mod tests {
    use super::{FAMILIES, Family};

    #[test]
    fn names_of_partitions_are_read_as_they_are_written() {
        let messages: Family = FAMILIES[1];
        let week = "2026w48".parse().expect("a week");
        let found = messages.read(&messages.name(week)).expect("a partition of ours");
        assert_eq!((found.week, found.ends.to_string().as_str()), (Some(week), "2026-11-30T00:00:00Z"));
        let before = messages.read("messages_before_2026w48").expect("a partition of ours");
        assert_eq!((before.week, before.ends.to_string().as_str()), (None, "2026-11-23T00:00:00Z"));
        for other in ["messages_default", "messages_of_yesterday", "attempts_2026w48"] {
            assert_eq!(messages.read(other), None, "{other}");
        }
    }
}
