//! Weeks, in which what grows is kept and after which it goes: those of ISO 8601, in UTC.

use std::fmt;
use std::str::FromStr;

use jiff::civil::{Date, ISOWeekDate, Weekday};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::id::InvalidId;

/// From a Monday's midnight to the next one's. Written `2026w09`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Week {
    monday: Date,
}

const LENGTH: SignedDuration = SignedDuration::from_hours(7 * 24);

impl Week {
    /// The week of a moment.
    #[must_use]
    pub fn of(moment: Timestamp) -> Self {
        let day = moment.to_zoned(TimeZone::UTC).date();
        Self::beginning_near(day.iso_week_date())
    }

    fn beginning_near(date: ISOWeekDate) -> Self {
        let monday = ISOWeekDate::new(date.year(), date.week(), Weekday::Monday);
        Self { monday: monday.map_or(Date::MIN, ISOWeekDate::date) }
    }

    /// Its first moment.
    #[must_use]
    pub fn starts(self) -> Timestamp {
        self.monday.to_zoned(TimeZone::UTC).map_or(Timestamp::MIN, |midnight| midnight.timestamp())
    }

    /// The first moment behind it.
    #[must_use]
    pub fn ends(self) -> Timestamp {
        self.starts().saturating_add(LENGTH).unwrap_or(Timestamp::MAX)
    }

    /// The week behind it.
    #[must_use]
    pub fn next(self) -> Self {
        Self::of(self.ends())
    }

    /// It and the weeks behind it, `ahead` of them.
    pub fn and_next(self, ahead: usize) -> impl Iterator<Item = Self> {
        std::iter::successors(Some(self), |week| Some(week.next())).take(ahead + 1)
    }
}

impl fmt::Display for Week {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let date = self.monday.iso_week_date();
        write!(f, "{:04}w{:02}", date.year(), date.week())
    }
}

impl FromStr for Week {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let (year, week) = text.split_once('w').ok_or(InvalidId)?;
        let year: i16 = year.parse().map_err(|_| InvalidId)?;
        let week: i8 = week.parse().map_err(|_| InvalidId)?;
        let date = ISOWeekDate::new(year, week, Weekday::Monday).map_err(|_| InvalidId)?;
        Ok(Self { monday: date.date() })
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

    use super::Week;

    fn week(moment: &str) -> Week {
        Week::of(moment.parse().expect("a moment"))
    }

    #[test]
    fn a_week_begins_with_monday_in_utc() {
        let monday = week("2026-11-23T00:00:00Z");
        assert_eq!(monday.to_string(), "2026w48");
        assert_eq!(monday.starts().to_string(), "2026-11-23T00:00:00Z");
        assert_eq!(monday.ends().to_string(), "2026-11-30T00:00:00Z");
        assert_eq!(week("2026-11-22T23:59:59.999Z").to_string(), "2026w47");
        assert_eq!(week("2026-11-29T23:59:59.999Z"), monday);
    }

    #[test]
    fn a_week_of_two_years_belongs_to_that_of_its_thursday() {
        assert_eq!(week("2027-01-01T12:00:00Z").to_string(), "2026w53");
        assert_eq!(week("2026-12-31T12:00:00Z").next().to_string(), "2027w01");
        assert_eq!(week("2024-12-30T12:00:00Z").to_string(), "2025w01");
    }

    #[test]
    fn other_texts_are_no_weeks() {
        for text in ["", "2026", "2026w", "w01", "2026w00", "2026w54", "2027w53", "2026-01"] {
            assert!(text.parse::<Week>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn weeks_follow_each_other_without_a_gap(seconds in 0_i64..4_000_000_000) {
            let moment = Timestamp::from_second(seconds).expect("a moment");
            let week = Week::of(moment);
            prop_assert!(week.starts() <= moment && moment < week.ends());
            prop_assert_eq!(week.next().starts(), week.ends());
            prop_assert_eq!(week.to_string().parse(), Ok(week));
            prop_assert_eq!(week.and_next(4).last(), Some(week.next().next().next().next()));
        }
    }
}
