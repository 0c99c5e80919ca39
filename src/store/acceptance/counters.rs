//! The accounts' counters, locked before anything is decided.

use std::collections::{BTreeSet, HashMap};

use jiff::civil::Date;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::Draft;
use crate::domain::account::Periods;

macro_rules! counters {
    () => {
        "select q.account_id, q.period, q.starts_on, q.used
from unnest($1::int8[], $2::text[], $3::date[]) as w(account_id, period, starts_on)
join quota_usage q on q.account_id = w.account_id and q.period = w.period and q.starts_on = w.starts_on
order by q.account_id, q.period, q.starts_on"
    };
}

/// What the counters hold comes from the lock itself: a counter opened after it looked is there for the next statement,
/// but not locked.
pub(super) const LOCK: &str = concat!("-- acceptance.lock\n", counters!(), "\nfor update of q");
/// For what is refused in any case, and only told what is left.
pub(super) const READ: &str = concat!("-- acceptance.counters\n", counters!());

/// The counters of drafts.
pub(super) struct Counters {
    accounts: Vec<i64>,
    periods: Vec<&'static str>,
    starts: Vec<Date>,
}

impl Counters {
    /// Of those that ask for a place, or of the others.
    pub(super) fn of(drafts: &[Draft], asking: bool) -> Self {
        let mut rows = BTreeSet::new();
        for draft in drafts.iter().filter(|draft| draft.message().is_some() == asking) {
            rows.insert((draft.account_id, "day", draft.periods.day));
            rows.insert((draft.account_id, "month", draft.periods.month));
        }
        Self {
            accounts: rows.iter().map(|row| row.0).collect(),
            periods: rows.iter().map(|row| row.1).collect(),
            starts: rows.iter().map(|row| row.2).collect(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.accounts.is_empty()
    }

    pub(super) fn params(&self) -> [&(dyn ToSql + Sync); 3] {
        [&self.accounts, &self.periods, &self.starts]
    }
}

/// What counters hold.
pub(super) struct Held(HashMap<(i64, bool, Date), i32>);

impl Held {
    pub(super) fn read(rows: &[Row]) -> Self {
        let counter = |row: &Row| ((row.get(0), row.get::<_, &str>(1) == "day", row.get(2)), row.get(3));
        Self(rows.iter().map(counter).collect())
    }

    /// What is used of the draft's day and month, if both were found.
    pub(super) fn of(&self, draft: &Draft) -> Option<(i32, i32)> {
        let Periods { day, month, .. } = draft.periods;
        let used = |of_day, start| self.0.get(&(draft.account_id, of_day, start)).copied();
        used(true, day).zip(used(false, month))
    }
}
