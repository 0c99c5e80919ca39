//! Pacing rates as operators write them: `20/s`, `1/6s`, `30/min,burst=3`.

use std::fmt;
use std::str::FromStr;

/// The provider's limit per pair of sender and recipient: one message in six seconds …
pub const PAIR_INTERVAL_US: i64 = 6_000_000;
/// … with this many at once after a rest.
pub const PAIR_BURST: i64 = 3;

/// How often an instance may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Microseconds between two messages, at least 1.
    pub interval_us: i64,
    /// How many messages may leave at once after a rest, at least 1.
    pub burst: i32,
}

/// Why a text is not a rate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a rate; write COUNT/[N]UNIT with unit s, min or h, for example 20/s, 1/6s or 30/min,burst=3"
)]
pub struct InvalidRate(String);

impl FromStr for Rate {
    type Err = InvalidRate;

    fn from_str(text: &str) -> Result<Self, InvalidRate> {
        parse(text).ok_or_else(|| InvalidRate(text.to_owned()))
    }
}

fn parse(text: &str) -> Option<Rate> {
    let (rate, burst) = match text.split_once(',') {
        None => (text, 1),
        Some((rate, burst)) => (rate, burst.strip_prefix("burst=")?.parse().ok().filter(|b| *b > 0)?),
    };
    let (count, period) = rate.split_once('/')?;
    let count: i64 = count.parse().ok().filter(|count| *count > 0)?;
    let digits = period.len() - period.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = period.split_at(digits);
    let number: i64 = if number.is_empty() { 1 } else { number.parse().ok().filter(|n| *n > 0)? };
    let unit_us: i64 = match unit {
        "s" => 1_000_000,
        "min" => 60_000_000,
        "h" => 3_600_000_000,
        _ => return None,
    };
    let interval_us = number.checked_mul(unit_us)? / count;
    (1..=86_400_000_000).contains(&interval_us).then_some(Rate { interval_us, burst })
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if 1_000_000 % self.interval_us == 0 {
            write!(f, "{}/s", 1_000_000 / self.interval_us)?;
        } else if self.interval_us % 1_000_000 == 0 {
            write!(f, "1/{}s", self.interval_us / 1_000_000)?;
        } else {
            write!(f, "one in {} us", self.interval_us)?;
        }
        if self.burst > 1 { write!(f, ",burst={}", self.burst) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::Rate;
    use proptest::prelude::{prop_assert, proptest};

    proptest! {
        #[test]
        fn no_text_makes_it_panic_and_a_rate_is_within_its_bounds(
            text in r"\PC{0,30}|-?[0-9]{1,20}/[0-9]{0,20}(s|min|h|d)(,burst=-?[0-9]{1,20})?"
        ) {
            if let Ok(rate) = text.parse::<Rate>() {
                prop_assert!((1..=86_400_000_000).contains(&rate.interval_us) && rate.burst > 0, "{:?}", rate);
                prop_assert!(!rate.to_string().is_empty());
            }
        }
    }

    #[test]
    fn rates_are_read_as_written() {
        let cases = [
            ("20/s", 50_000, 1),
            ("1/6s", 6_000_000, 1),
            ("80/s,burst=5", 12_500, 5),
            ("30/min", 2_000_000, 1),
            ("600/h,burst=2", 6_000_000, 2),
            ("100000/s", 10, 1),
        ];
        for (text, interval_us, burst) in cases {
            assert_eq!(text.parse(), Ok(Rate { interval_us, burst }), "{text}");
        }
    }

    #[test]
    fn other_texts_are_refused_with_examples() {
        for text in [
            "",
            "20",
            "20/",
            "0/s",
            "-1/s",
            "1/0s",
            "1/d",
            "20/s,burst=0",
            "20/s,x=1",
            "9999999/s",
            "1/99999999h",
        ] {
            let error = text.parse::<Rate>().unwrap_err().to_string();
            assert!(error.contains("1/6s"), "{text}: {error}");
        }
    }

    #[test]
    fn rates_are_shown_as_they_are_written() {
        for text in ["20/s", "1/6s", "80/s,burst=5"] {
            assert_eq!(text.parse::<Rate>().unwrap().to_string(), text);
        }
    }
}
