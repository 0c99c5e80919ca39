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

/// What a send needs to know of the account.
#[derive(Clone, Debug)]
pub struct Account {
    /// The tenant.
    pub account_id: i64,
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
}

impl Periods {
    /// The periods `now` falls into, in the account's time zone.
    #[must_use]
    pub fn at(now: Timestamp, timezone: &TimeZone) -> Self {
        let day = now.to_zoned(timezone.clone()).date();
        let month = day.first_of_month();
        Self {
            day,
            month,
            day_ends_in: seconds_until(now, day.saturating_add(1.day()), timezone),
            month_ends_in: seconds_until(now, month.saturating_add(1.month()), timezone),
        }
    }
}

/// Seconds from `now` to the beginning of `date`, at least 1.
fn seconds_until(now: Timestamp, date: Date, timezone: &TimeZone) -> u32 {
    let begin = timezone.to_timestamp(date.at(0, 0, 0, 0)).unwrap_or(now);
    u32::try_from(begin.as_second() - now.as_second()).unwrap_or(0).max(1)
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
        assert_eq!(after.day_ends_in, 86_400);
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
