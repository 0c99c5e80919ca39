//! Accounts, plans and the periods their limits count in.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

/// A plan's name; it stands for its limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Plan {
    /// 100 a day, 2,000 a month.
    Starter,
    /// 500 a day, 10,000 a month.
    Growth,
    /// 1,500 a day, 30,000 a month.
    Scale,
}

/// How many messages may be accepted in a day and in a calendar month.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Per day.
    pub day: i32,
    /// Per calendar month.
    pub month: i32,
}

impl Plan {
    /// The name in the CLI and in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starter => "starter",
            Self::Growth => "growth",
            Self::Scale => "scale",
        }
    }

    /// The plan of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Starter, Self::Growth, Self::Scale].into_iter().find(|plan| plan.as_str() == name)
    }

    /// The documents' table of plans.
    #[must_use]
    pub fn limits(self) -> Limits {
        match self {
            Self::Starter => Limits { day: 100, month: 2_000 },
            Self::Growth => Limits { day: 500, month: 10_000 },
            Self::Scale => Limits { day: 1_500, month: 30_000 },
        }
    }
}

/// A counter and its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// The account's real limit.
    pub limit: i32,
    /// What it has used.
    pub used: i32,
    /// Seconds until the period ends.
    pub ends_in: u32,
    /// The whole period's length in seconds.
    pub length: u32,
}

impl Usage {
    /// What is left of the limit.
    #[must_use]
    pub fn remaining(&self) -> i32 {
        self.limit.saturating_sub(self.used).max(0)
    }
}

/// What an account may still send, in the day and in the month that are running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Today's.
    pub day: Usage,
    /// This calendar month's.
    pub month: Usage,
}

impl Allowance {
    /// The limits, and what is used of them in these periods.
    #[must_use]
    pub fn new(limits: Limits, periods: &Periods, (day_used, month_used): (i32, i32)) -> Self {
        let usage = |limit, used, ends_in, length| Usage { limit, used, ends_in, length };
        Self {
            day: usage(limits.day, day_used, periods.day_ends_in, periods.day_length),
            month: usage(limits.month, month_used, periods.month_ends_in, periods.month_length),
        }
    }

    /// The same after `more` sends.
    #[must_use]
    pub fn after(mut self, more: i32) -> Self {
        self.day.used = self.day.used.saturating_add(more);
        self.month.used = self.month.used.saturating_add(more);
        self
    }
}

/// What a send needs to know of the account.
#[derive(Clone, Debug)]
pub struct Account {
    /// The tenant.
    pub account_id: i64,
    /// The plan's name, if it has one.
    pub plan: Option<Plan>,
    /// `None`: no active plan.
    pub limits: Option<Limits>,
    /// Whether the API access module is enabled.
    pub api_access: bool,
    /// Where its day begins.
    pub timezone: TimeZone,
}

/// The day and the month a moment belongs to, for one account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Periods {
    /// The day.
    pub day: Date,
    /// The first day of the month.
    pub month: Date,
    /// Seconds until the next day begins.
    pub day_ends_in: u32,
    /// Seconds until the next month begins.
    pub month_ends_in: u32,
    /// The day's length in seconds.
    pub day_length: u32,
    /// The month's length in seconds.
    pub month_length: u32,
}

impl Periods {
    /// The periods `now` falls into, in the account's time zone.
    #[must_use]
    pub fn at(now: Timestamp, timezone: &TimeZone) -> Self {
        let day = now.to_zoned(timezone.clone()).date();
        let month = day.first_of_month();
        let (next_day, next_month) = (day.saturating_add(1.day()), month.saturating_add(1.month()));
        Self {
            day,
            month,
            day_ends_in: seconds_until(now, next_day, timezone),
            month_ends_in: seconds_until(now, next_month, timezone),
            day_length: seconds_until(beginning(day, timezone, now), next_day, timezone),
            month_length: seconds_until(beginning(month, timezone, now), next_month, timezone),
        }
    }
}

/// When `date` begins there; `otherwise` where the calendar ends.
fn beginning(date: Date, timezone: &TimeZone, otherwise: Timestamp) -> Timestamp {
    timezone.to_timestamp(date.at(0, 0, 0, 0)).unwrap_or(otherwise)
}

/// Seconds from `now` to the beginning of `date`, at least 1.
fn seconds_until(now: Timestamp, date: Date, timezone: &TimeZone) -> u32 {
    let seconds = beginning(date, timezone, now).as_second() - now.as_second();
    u32::try_from(seconds).unwrap_or(0).max(1)
}

#[cfg(test)]
mod tests {
    use super::{Periods, Plan};
    use jiff::tz::TimeZone;

    fn periods(now: &str, zone: &str) -> Periods {
        Periods::at(now.parse().unwrap(), &TimeZone::get(zone).unwrap())
    }

    #[test]
    fn the_day_begins_at_the_accounts_midnight() {
        let before = periods("2026-05-31T20:59:50Z", "Asia/Riyadh");
        assert_eq!(
            (before.day.to_string(), before.month.to_string()),
            ("2026-05-31".into(), "2026-05-01".into())
        );
        assert_eq!((before.day_ends_in, before.month_ends_in), (10, 10));
        let after = periods("2026-05-31T21:00:00Z", "Asia/Riyadh");
        assert_eq!(
            (after.day.to_string(), after.month.to_string()),
            ("2026-06-01".into(), "2026-06-01".into())
        );
        assert_eq!((after.day_ends_in, after.day_length), (86_400, 86_400));
        assert_eq!((before.month_length, after.month_length), (31 * 86_400, 30 * 86_400));
    }

    #[test]
    fn a_day_with_a_clock_change_has_its_real_length() {
        assert_eq!(periods("2026-03-29T00:00:00+01:00", "Europe/Berlin").day_ends_in, 23 * 3600);
    }

    #[test]
    fn plans_have_the_documents_limits() {
        let limits = |plan: Plan| (plan.limits().day, plan.limits().month);
        assert_eq!(limits(Plan::Starter), (100, 2_000));
        assert_eq!(limits(Plan::Growth), (500, 10_000));
        assert_eq!(limits(Plan::Scale), (1_500, 30_000));
    }
}
