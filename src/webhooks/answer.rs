//! What an attempt told us, and what follows from it.

use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use reqwest::StatusCode;
use reqwest::header::{DATE, HeaderMap, HeaderName, RETRY_AFTER};

use crate::domain::webhook::pause;
use crate::store::webhooks::Next;

/// The most of an answer's text that is kept, in bytes.
pub(super) const KEPT_BYTES: usize = 16 * 1024;

/// Why an attempt failed, as it is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The URL is not one webhooks can be sent to.
    Url,
    /// Plain http in production.
    InsecureUrl,
    /// The signing secret cannot be read with this process's key.
    Secret,
    /// The host is not on the public internet.
    Address,
    /// The host's name was not resolved.
    Name,
    /// No connection, or no TLS on it.
    Connect,
    /// No whole answer in time.
    Timeout,
    /// The connection broke before a whole answer came.
    Broken,
    /// The endpoint answered with a redirect, which is not followed.
    Redirect,
    /// The endpoint answered 410: it wants no more webhooks.
    Gone,
    /// The endpoint answered with another status than 2xx.
    Status,
}

impl Failure {
    /// The name in the database and in metrics.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Url => "url",
            Self::InsecureUrl => "insecure_url",
            Self::Secret => "secret",
            Self::Address => "address_refused",
            Self::Name => "name_not_resolved",
            Self::Connect => "connect",
            Self::Timeout => "timeout",
            Self::Broken => "connection_broken",
            Self::Redirect => "redirect",
            Self::Gone => "gone",
            Self::Status => "status",
        }
    }

    /// What a status says; `None` for success.
    pub(super) fn of_status(status: StatusCode) -> Option<Self> {
        match status {
            status if status.is_success() => None,
            StatusCode::GONE => Some(Self::Gone),
            status if status.is_redirection() => Some(Self::Redirect),
            _ => Some(Self::Status),
        }
    }
}

/// One attempt's result.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    /// From the first step to the end of the answer.
    pub(super) duration: Duration,
    /// The answer's status, where one came.
    pub(super) status: Option<StatusCode>,
    /// `None`: delivered.
    pub(super) failure: Option<Failure>,
    /// How long the endpoint asked to be left alone.
    pub(super) retry_after: Option<Duration>,
    /// The beginning of the answer's body.
    pub(super) text: Option<String>,
}

impl Answer {
    /// An attempt that ended without an answer.
    pub(super) fn none(failure: Failure, duration: Duration) -> Self {
        Self { duration, status: None, failure: Some(failure), retry_after: None, text: None }
    }

    /// What becomes of the delivery after attempt number `attempt` (from 1); `chance` is uniform in 0..1.
    pub(super) fn next(&self, attempt: u16, chance: f64) -> Next {
        match self.failure {
            None => Next::Delivered,
            Some(Failure::Gone) => Next::Failed,
            Some(_) => pause(attempt, chance, self.retry_after).map_or(Next::Failed, Next::Retry),
        }
    }
}

/// How long `Retry-After` asks to wait: seconds, or a date (RFC 9110, 10.2.3), read against the answer's own date
/// where it has one, so that a difference between the clocks does not matter.
pub(super) fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = |name: HeaderName| headers.get(name)?.to_str().ok().map(str::trim);
    let date = |value: &str| DateTimeParser::new().parse_timestamp(value).ok();
    let wait = text(RETRY_AFTER)?;
    if let Ok(seconds) = wait.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let answered = text(DATE).and_then(date).unwrap_or(now);
    date(wait)?.duration_since(answered).try_into().ok()
}

/// The part of an answer that can be stored as text: what is not UTF-8 is replaced, NUL is left out.
pub(super) fn storable(bytes: &[u8]) -> Option<String> {
    let mut text = String::from_utf8_lossy(bytes).replace('\0', "");
    text.truncate(text.floor_char_boundary(KEPT_BYTES));
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert, proptest};

    proptest! {
        #[test]
        fn no_answer_makes_it_panic_and_what_is_kept_can_be_stored(
            body in proptest::collection::vec(any::<u8>(), 0..300), wait in r"[ -~]{0,40}|[0-9]{1,25}",
            filler in 0..2_usize
        ) {
            let body = [body, vec![0xff; filler * KEPT_BYTES]].concat();
            if let Some(text) = storable(&body) {
                prop_assert!(!text.is_empty() && text.len() <= KEPT_BYTES && !text.contains('\0'));
            }
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, wait.parse().unwrap());
            let asked = retry_after(&headers, Timestamp::UNIX_EPOCH);
            for attempt in 1..=10 {
                if let Next::Retry(pause) = answered(503, asked.map(|wait| wait.as_secs())).next(attempt, 0.5) {
                    prop_assert!(pause <= Duration::from_secs(95_040), "{:?}", pause);
                }
            }
        }
    }

    use super::{Answer, Duration, Failure, KEPT_BYTES, Next, StatusCode, Timestamp, retry_after, storable};
    use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};

    fn answered(status: u16, retry_after: Option<u64>) -> Answer {
        let status = StatusCode::from_u16(status).unwrap();
        Answer {
            duration: Duration::from_millis(1),
            status: Some(status),
            failure: Failure::of_status(status),
            retry_after: retry_after.map(Duration::from_secs),
            text: None,
        }
    }

    #[test]
    fn only_2xx_delivers_and_410_ends_it() {
        let retry = |seconds| Next::Retry(Duration::from_secs(seconds));
        for (status, asked, attempt, expected) in [
            (200, None, 1, Next::Delivered),
            (204, None, 10, Next::Delivered),
            (301, None, 1, retry(5)),
            (307, None, 2, retry(300)),
            (304, None, 1, retry(5)),
            (400, None, 1, retry(5)),
            (404, None, 3, retry(1_800)),
            (429, Some(120), 1, retry(120)),
            (503, Some(1), 1, retry(5)),
            (503, Some(999_999), 9, retry(86_400)),
            (500, None, 10, Next::Failed),
            (410, Some(5), 1, Next::Failed),
        ] {
            assert_eq!(answered(status, asked).next(attempt, 0.5), expected, "{status} {asked:?} {attempt}");
        }
        let silent = Answer::none(Failure::Timeout, Duration::from_secs(15));
        assert_eq!(silent.next(1, 0.5), retry(5));
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now: Timestamp = "2026-01-01T12:00:00Z".parse().unwrap();
        let date = Some("Thu, 01 Jan 2026 11:00:00 GMT");
        for (wait, date, expected) in [
            (Some("30"), None, Some(30)),
            (Some(" 7 "), date, Some(7)),
            (Some("0"), None, Some(0)),
            (Some("-5"), None, None),
            (Some("Thu, 01 Jan 2026 12:01:30 GMT"), None, Some(90)),
            (Some("Thu, 01 Jan 2026 11:01:30 GMT"), date, Some(90)),
            (Some("Thu, 01 Jan 2026 10:59:00 GMT"), date, None),
            (Some("soon"), None, None),
            (None, date, None),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in [(RETRY_AFTER, wait), (DATE, date)] {
                if let Some(value) = value {
                    headers.insert(name, value.parse().unwrap());
                }
            }
            assert_eq!(retry_after(&headers, now), expected.map(Duration::from_secs), "{wait:?} {date:?}");
        }
    }

    #[test]
    fn an_answer_is_cut_and_cleaned_before_it_is_stored() {
        assert_eq!(storable(b""), None);
        assert_eq!(storable(b"\0"), None);
        assert_eq!(storable(b"a\0b\xff").as_deref(), Some("ab\u{fffd}"));
        let long = storable(&[0xff; KEPT_BYTES]).unwrap();
        assert!(long.len() <= KEPT_BYTES && long.len() > KEPT_BYTES - 3);
    }
}
