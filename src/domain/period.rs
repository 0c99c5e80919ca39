//! Periods in which what grows is kept, and after which it goes: weeks of ISO 8601 and calendar months, in UTC.

use std::fmt;
use std::str::FromStr;

use jiff::civil::{Date, ISOWeekDate, Weekday};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use super::id::InvalidId;

/// How long a period is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// From a Monday to the next.
    Week,
    /// From the first of a month to that of the next.
    Month,
}

/// A week, written `2026w09`, or a month, written `2026m03`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period {
    length: Length,
    first: Date,
}

impl Period {
    /// The period of that length that a moment is in.
    #[must_use]
    pub fn of(length: Length, moment: Timestamp) -> Self {
        let day = moment.to_zoned(TimeZone::UTC).date();
        let first = match length {
            Length::Week => {
                let date = day.iso_week_date();
                ISOWeekDate::new(date.year(), date.week(), Weekday::Monday).map_or(day, ISOWeekDate::date)
            }
            Length::Month => day.first_of_month(),
        };
        Self { length, first }
    }

    /// Its first moment.
    #[must_use]
    pub fn starts(self) -> Timestamp {
        self.first.to_zoned(TimeZone::UTC).map_or(Timestamp::MIN, |midnight| midnight.timestamp())
    }

    /// The first moment behind it.
    #[must_use]
    pub fn ends(self) -> Timestamp {
        self.next().starts()
    }

    /// The period behind it.
    #[must_use]
    pub fn next(self) -> Self {
        let span = match self.length {
            Length::Week => 1.week(),
            Length::Month => 1.month(),
        };
        Self { first: self.first.saturating_add(span), ..self }
    }

    /// It and those behind it that begin before `end`.
    pub fn and_next(self, end: Timestamp) -> impl Iterator<Item = Self> {
        std::iter::successors(Some(self), move |period| {
            Some(period.next()).filter(|next| next.starts() < end)
        })
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.length {
            Length::Week => {
                let date = self.first.iso_week_date();
                write!(f, "{:04}w{:02}", date.year(), date.week())
            }
            Length::Month => write!(f, "{:04}m{:02}", self.first.year(), self.first.month()),
        }
    }
}

impl FromStr for Period {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let (year, letter, number) = text
            .find(['w', 'm'])
            .map(|at| (&text[..at], &text[at..=at], &text[at + 1..]))
            .ok_or(InvalidId)?;
        let year: i16 = year.parse().map_err(|_| InvalidId)?;
        let number: i8 = number.parse().map_err(|_| InvalidId)?;
        let (length, first) = if letter == "w" {
            (Length::Week, ISOWeekDate::new(year, number, Weekday::Monday).map(ISOWeekDate::date))
        } else {
            (Length::Month, Date::new(year, number, 1))
        };
        Ok(Self { length, first: first.map_err(|_| InvalidId)? })
    }
}

#[cfg(test)]
mod tests {
    use jiff::{SignedDuration, Timestamp};
    use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

    use super::{Length, Period};

    fn period(length: Length, moment: &str) -> Period {
        Period::of(length, moment.parse().expect("a moment"))
    }

    #[test]
    fn a_week_begins_with_monday_in_utc() {
        let week = period(Length::Week, "2026-11-23T00:00:00Z");
        assert_eq!(week.to_string(), "2026w48");
        assert_eq!(week.starts().to_string(), "2026-11-23T00:00:00Z");
        assert_eq!(week.ends().to_string(), "2026-11-30T00:00:00Z");
        assert_eq!(period(Length::Week, "2026-11-22T23:59:59.999Z").to_string(), "2026w47");
        assert_eq!(period(Length::Week, "2026-11-29T23:59:59.999Z"), week);
    }

    #[test]
    fn a_week_of_two_years_belongs_to_that_of_its_thursday() {
        assert_eq!(period(Length::Week, "2027-01-01T12:00:00Z").to_string(), "2026w53");
        assert_eq!(period(Length::Week, "2026-12-31T12:00:00Z").next().to_string(), "2027w01");
        assert_eq!(period(Length::Week, "2024-12-30T12:00:00Z").to_string(), "2025w01");
    }

    #[test]
    fn a_month_is_as_long_as_the_calendar_has_it() {
        let month = period(Length::Month, "2028-02-29T23:59:59Z");
        assert_eq!(month.to_string(), "2028m02");
        assert_eq!(month.ends().to_string(), "2028-03-01T00:00:00Z");
        assert_eq!(period(Length::Month, "2026-12-31T23:59:59Z").next().to_string(), "2027m01");
    }

    #[test]
    fn other_texts_are_no_periods() {
        for text in
            ["", "2026", "2026w", "w01", "2026w00", "2026w54", "2027w53", "2026-01", "2026m13", "2026é1"]
        {
            assert!(text.parse::<Period>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn periods_follow_each_other_without_a_gap(seconds in 0_i64..4_000_000_000, monthly: bool) {
            let moment = Timestamp::from_second(seconds).expect("a moment");
            let period = Period::of(if monthly { Length::Month } else { Length::Week }, moment);
            prop_assert!(period.starts() <= moment && moment < period.ends());
            prop_assert_eq!(period.next().starts(), period.ends());
            prop_assert_eq!(period.to_string().parse(), Ok(period));
            let end = moment + SignedDuration::from_hours(28 * 24);
            let periods: Vec<Period> = period.and_next(end).collect();
            prop_assert!(periods.iter().all(|next| next.starts() < end));
            prop_assert!(periods.last().is_some_and(|last| last.ends() >= end));
        }
    }
}
