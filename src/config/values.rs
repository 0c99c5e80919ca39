//! What a setting may look like, and what is said of one that does not.

use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;

use super::{ConfigError, Environment, Hidden, Lookup};
use crate::runtime::secrets::SecretKey;

pub(super) fn invalid<T>(name: &'static str, expected: &'static str) -> Result<T, ConfigError> {
    Err(ConfigError::Invalid { name, expected })
}

pub(super) fn required(lookup: Lookup<'_>, name: &'static str) -> Result<Hidden, ConfigError> {
    lookup(name).map(Hidden).ok_or(ConfigError::Missing(name))
}

pub(super) fn parsed<T: FromStr>(
    lookup: Lookup<'_>,
    name: &'static str,
    expected: &'static str,
) -> Result<Option<T>, ConfigError> {
    match lookup(name) {
        None => Ok(None),
        Some(text) => text.parse().map(Some).map_err(|_| ConfigError::Invalid { name, expected }),
    }
}

pub(super) fn count(lookup: Lookup<'_>, name: &'static str, default: usize) -> Result<usize, ConfigError> {
    match parsed(lookup, name, "a whole number from 1 to 10000")? {
        None => Ok(default),
        Some(number) if (1..=10_000).contains(&number) => Ok(number),
        Some(_) => invalid(name, "a whole number from 1 to 10000"),
    }
}

pub(super) fn millis(lookup: Lookup<'_>, name: &'static str, default: u64) -> Result<Duration, ConfigError> {
    match parsed(lookup, name, "milliseconds from 1 to 86400000")? {
        None => Ok(Duration::from_millis(default)),
        Some(number) if (1..=86_400_000).contains(&number) => Ok(Duration::from_millis(number)),
        Some(_) => invalid(name, "milliseconds from 1 to 86400000"),
    }
}

/// The days that texts, and that everything else, are kept. A week is longer than any message or webhook waits for its end.
pub(super) fn days_to_keep(lookup: Lookup<'_>) -> Result<(i32, i32), ConfigError> {
    let (texts, rows) = ("GATEPOST_KEEP_TEXTS_DAYS", "GATEPOST_KEEP_ROWS_DAYS");
    let days = |name, default, expected| match parsed(lookup, name, expected)? {
        None => Ok(default),
        Some(days) if (7..=3_650).contains(&days) => Ok(days),
        Some(_) => invalid(name, expected),
    };
    let expected = "days from 7 to 3650, and not fewer than GATEPOST_KEEP_TEXTS_DAYS";
    let keep_texts = days(texts, 30, "days from 7 to 3650")?;
    let keep_rows = days(rows, keep_texts.max(180), expected)?;
    if keep_rows < keep_texts {
        return invalid(rows, expected);
    }
    Ok((keep_texts, keep_rows))
}

pub(super) fn secret_key(lookup: Lookup<'_>) -> Result<SecretKey, ConfigError> {
    let name = "GATEPOST_SECRET_KEY";
    let text = lookup(name).ok_or(ConfigError::Missing(name))?;
    SecretKey::from_base64(&text).ok_or(ConfigError::Invalid {
        name,
        expected: "32 bytes in base64, as `openssl rand -base64 32` makes them",
    })
}

pub(super) fn queue_prefix(lookup: Lookup<'_>) -> Result<String, ConfigError> {
    let prefix = lookup("GATEPOST_QUEUE_PREFIX").unwrap_or_else(|| "gatepost.".to_owned());
    let fits = prefix.len() <= 64 && prefix.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
    if fits { Ok(prefix) } else { invalid("GATEPOST_QUEUE_PREFIX", "at most 64 of a-z A-Z 0-9 . _ -") }
}

pub(super) fn networks(lookup: Lookup<'_>, name: &'static str) -> Result<Vec<IpNet>, ConfigError> {
    let expected = "networks like 127.0.0.0/8,10.1.0.0/16";
    let text = lookup(name).unwrap_or_default();
    text.split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(|part| part.parse().map_err(|_| ConfigError::Invalid { name, expected }))
        .collect()
}

pub(super) fn environment_kind(lookup: Lookup<'_>) -> Result<Environment, ConfigError> {
    match lookup("GATEPOST_ENV").as_deref() {
        None | Some("production") => Ok(Environment::Production),
        Some("development") => Ok(Environment::Development),
        Some(_) => invalid("GATEPOST_ENV", "development or production"),
    }
}
