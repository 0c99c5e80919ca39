//! The partitions of what grows with every message: a month each, or a week, made ahead and dropped when they are old.
//!
//! What falls outside of the periods that are there is in the partition `TABLE_default`. Rows from before there were partitions
//! are in `TABLE_before_PERIOD`, which ends where that period begins.

mod make;
mod retire;

use jiff::Timestamp;

pub(super) use make::make_all;
pub use make::{close, make, missing, unclosed};
pub use retire::{Retired, drop_oldest, forget_outside, forget_words, kept_since};

use super::{Db, StoreError, Transaction, bounded};
use crate::domain::period::{Length, Period};

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
    /// The period it is; `None`: everything before `ends`.
    pub period: Option<Period>,
}

impl Family {
    /// Many partitions cost every statement, as long ones keep rows for longer than is asked for: half a year is kept in months,
    /// but texts, which go after one month, in weeks.
    fn length(&self) -> Length {
        if self.texts { Length::Week } else { Length::Month }
    }

    fn name(&self, period: Period) -> String {
        format!("{}_{period}", self.table)
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
        let (period, ends) = match suffix.strip_prefix("before_") {
            Some(period) => (None, period.parse::<Period>().ok()?.starts()),
            None => {
                let period: Period = suffix.parse().ok()?;
                (Some(period), period.ends())
            }
        };
        Some(Partition { name: name.to_owned(), ends, period })
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
        let period = "2026m11".parse().expect("a period");
        let found = messages.read(&messages.name(period)).expect("a partition of ours");
        assert_eq!((found.period, found.ends.to_string().as_str()), (Some(period), "2026-12-01T00:00:00Z"));
        let before = messages.read("messages_before_2026m11").expect("a partition of ours");
        assert_eq!((before.period, before.ends.to_string().as_str()), (None, "2026-11-01T00:00:00Z"));
        for other in ["messages_default", "messages_of_yesterday", "attempts_2026m11"] {
            assert_eq!(messages.read(other), None, "{other}");
        }
    }
}
