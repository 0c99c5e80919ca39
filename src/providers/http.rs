//! What every adapter needs of HTTP: a client that never repeats a send, and what a call proves when it breaks.

use std::error::Error;
use std::time::Duration;

use jiff::fmt::rfc2822::DateTimeParser;
use reqwest::header::{DATE, HeaderMap, HeaderName, RETRY_AFTER};

use super::{ClientError, ClientSettings};
use crate::domain::outcome::{Class, Failure, Outcome};

/// The most that is read of an answer. Real ones stay below 2 KiB.
const MAX_BODY: usize = 64 * 1024;

/// The longest message id believed, in bytes; real ones are shorter by far, and callbacks name none that is longer.
const LONGEST_ID: usize = 512;

/// The most that connecting (name, TCP, TLS) may take of a call.
const MAX_CONNECT: Duration = Duration::from_secs(5);

/// How long an idle connection is kept. A connection that the other side closes just when a request is written to it
/// makes an unknown outcome, so ours are closed first, well before the usual limits of servers (60 s and more).
const IDLE_LIMIT: Duration = Duration::from_secs(15);

/// The longest wait believed when a provider names one; longer is taken for a mistake.
const MAX_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

/// A client that follows no redirect, uses no proxy from the environment, and writes a request at most once.
///
/// The last is the sum of three things. `retry::never` turns off reqwest's own repeats. HTTP/1.1 only, so there is
/// no stream that a server may refuse and a client repeat. What remains is hyper-util's repeat of a request that met a
/// closed pooled connection, which cannot be turned off here and need not be: it happens only when hyper hands the
/// request itself back, which it does only while the request still waits in the connection's queue, before its
/// first byte is encoded. Once it was taken from that queue, hyper gives back an error without the request.
///
/// Connecting has a limit below the call's, so that a call that never got a connection ends as a connect error
/// (certainly not sent) and not as a timeout (unknown).
///
/// # Errors
///
/// [`ClientError`], when TLS is not set up.
pub(super) fn client(settings: &ClientSettings) -> Result<reqwest::Client, ClientError> {
    // Without it, reqwest would panic.
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        return Err(ClientError::NoTls);
    }
    reqwest::Client::builder()
        .http1_only()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .no_proxy()
        .referer(false)
        .timeout(settings.call_timeout)
        .connect_timeout(MAX_CONNECT.min(settings.call_timeout / 2))
        .pool_max_idle_per_host(settings.idle_connections)
        .pool_idle_timeout(IDLE_LIMIT)
        .build()
        .map_err(ClientError::Setup)
}

/// How a call ended without an answer.
pub(super) enum Broken {
    /// It could not be begun at all.
    Unusable,
    /// Certainly before the request was written.
    Unsent(&'static str),
    /// After the request could have been written.
    Unknown(&'static str),
}

impl Broken {
    /// What is known of the call.
    pub(super) fn of(error: &reqwest::Error) -> Self {
        if error.is_builder() {
            return Self::Unusable;
        }
        if error.is_connect() {
            return Self::Unsent(match (error.is_dns(), error.is_timeout()) {
                (true, _) => "the provider's name was not resolved",
                (false, true) => "connecting took too long",
                (false, false) => "no connection, or no TLS on it",
            });
        }
        if was_never_written(error) {
            return Self::Unsent("the connection closed before the request was written");
        }
        if error.is_timeout() {
            return Self::Unknown("no answer within the call's time limit");
        }
        Self::Unknown("the connection broke before a whole answer came")
    }
}

/// What a send without an answer proves.
pub(super) fn broken_call(error: &reqwest::Error) -> Outcome {
    match Broken::of(error) {
        Broken::Unusable => {
            Outcome::Failed(Failure::new(Class::Instance, "the provider's address or token is not usable"))
        }
        Broken::Unsent(reason) => Outcome::Failed(Failure::new(Class::Retry, reason)),
        Broken::Unknown(reason) => Outcome::Unknown { reason: reason.to_owned() },
    }
}

/// Whether hyper gave the request back unwritten.
///
/// With HTTP/1 hyper calls an error "canceled" in exactly that case (see [`client`]); only its outermost error
/// counts, because a canceled request may name another error as its cause, and the other way round.
fn was_never_written(error: &reqwest::Error) -> bool {
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(hyper_error) = cause.downcast_ref::<hyper::Error>() {
            return hyper_error.is_canceled();
        }
        source = cause.source();
    }
    false
}

/// The body of an answer, as far as it was worth reading.
#[derive(Debug)]
pub enum Body {
    /// All of it.
    Whole(Vec<u8>),
    /// More than [`MAX_BODY`]: not an answer of the provider's.
    TooLong,
    /// The connection broke, or the call's time ran out, before its end.
    Lost,
}

impl Body {
    /// The bytes, if all of them came.
    pub(super) fn whole(&self) -> Option<&[u8]> {
        match self {
            Self::Whole(bytes) => Some(bytes),
            Self::TooLong | Self::Lost => None,
        }
    }
}

/// Reads an answer's body, bounded in size here and in time by the call's limit.
pub(super) async fn read_body(mut response: reqwest::Response) -> Body {
    let mut bytes = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if bytes.len() + chunk.len() > MAX_BODY => return Body::TooLong,
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            Ok(None) => return Body::Whole(bytes),
            Err(_) => return Body::Lost,
        }
    }
}

/// How long the answer's `Retry-After` asks to wait: seconds, or a date (RFC 9110, 10.2.3).
///
/// A date is read against the answer's own `Date`, so that neither our clock nor its difference from theirs matters.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: HeaderName| headers.get(name)?.to_str().ok().map(str::trim);
    let date = |value: &str| DateTimeParser::new().parse_timestamp(value).ok();
    let wait = text(RETRY_AFTER)?;
    let seconds = match wait.parse::<u64>() {
        Ok(seconds) => seconds,
        Err(_) => u64::try_from(date(wait)?.duration_since(date(text(DATE)?)?).as_secs()).ok()?,
    };
    plausible(Duration::from_secs(seconds))
}

/// A message's id as an answer gives it; `None` where it cannot be one. Postgres stores no NUL, and no index holds a long
/// text, so what came of the call could never be recorded.
pub(super) fn message_id(id: &str) -> Option<String> {
    let fits = (1..=LONGEST_ID).contains(&id.len()) && !id.contains('\0');
    fits.then(|| id.to_owned())
}

/// A wait that a provider names, bounded; none at all says nothing.
pub(super) fn plausible(wait: Duration) -> Option<Duration> {
    (!wait.is_zero()).then(|| wait.min(MAX_WAIT))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use reqwest::header::{DATE, HeaderMap, HeaderValue, RETRY_AFTER};

    use super::retry_after;

    #[test]
    fn retry_after_is_seconds_or_a_date_seen_from_the_answers_date() {
        let noon = Some("Thu, 01 Jan 2026 12:00:00 GMT");
        for (wait, date, expected) in [
            ("30", None, Some(30)),
            (" 7 ", noon, Some(7)),
            ("0", noon, None),
            ("-5", noon, None),
            ("99999999999999999999", noon, None),
            ("31536000", noon, Some(86_400)),
            ("Thu, 01 Jan 2026 12:01:30 GMT", noon, Some(90)),
            ("Thu, 01 Jan 2026 11:00:00 GMT", noon, None),
            ("Thu, 01 Jan 2026 12:01:30 GMT", None, None),
            ("Fri, 01 Jan 2027 12:00:00 GMT", noon, Some(86_400)),
            ("soon", noon, None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, HeaderValue::from_static(wait));
            if let Some(date) = date {
                headers.insert(DATE, HeaderValue::from_static(date));
            }
            assert_eq!(retry_after(&headers), expected.map(Duration::from_secs), "{wait} {date:?}");
        }
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }
}
