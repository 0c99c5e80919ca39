//! What is read of a request before it is judged: its headers and its bounded body.

use std::time::Duration;

use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};

use crate::domain::refusal::Refusal;

/// The largest body.
const LARGEST_BODY: usize = 64 * 1024;
/// The longest `Idempotency-Key`.
const LONGEST_KEY: usize = 255;
/// The longest wait a `Prefer: wait=` is granted.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Refuses what is not declared as JSON in UTF-8.
pub(super) fn check_media_type(headers: &HeaderMap) -> Result<(), Refusal> {
    let declared = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut parts = declared.split(';').map(str::trim);
    let json = parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case("application/json"));
    let utf8 = parts.all(|parameter| match parameter.split_once('=') {
        Some((name, charset)) if name.trim().eq_ignore_ascii_case("charset") => {
            charset.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
        }
        _ => true,
    });
    if json && utf8 { Ok(()) } else { Err(Refusal::UnsupportedMediaType) }
}

/// Reads the body, at most 64 KiB and for at most `longest`.
pub(super) async fn read_body(body: Body, longest: Duration) -> Result<Bytes, Refusal> {
    match tokio::time::timeout(longest, Limited::new(body, LARGEST_BODY).collect()).await {
        Err(_) => Err(Refusal::RequestTimeout),
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Refusal::PayloadTooLarge),
        // The client broke off; nobody will read the answer.
        Ok(Err(_)) => Err(Refusal::InvalidJson),
    }
}

/// The `Idempotency-Key`: 1 to 255 visible ASCII characters.
pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    let mut values = headers.get_all("idempotency-key").iter();
    let Some(value) = values.next() else { return Ok(None) };
    let key = value.to_str().ok().map(str::trim).filter(|key| (1..=LONGEST_KEY).contains(&key.len()));
    match (key, values.next()) {
        (Some(key), None) => Ok(Some(key.to_owned())),
        _ => Err(Refusal::Validation(vec!["Idempotency-Key".to_owned()])),
    }
}

/// How long a `Prefer: wait=N` (RFC 7240) asks to wait for the outcome, at most 30 seconds.
pub(super) fn preferred_wait(headers: &HeaderMap) -> Option<Duration> {
    headers
        .get_all("prefer")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|preference| preference.split(';').next()?.split_once('='))
        .filter(|(name, _)| name.trim().eq_ignore_ascii_case("wait"))
        .find_map(|(_, seconds)| seconds.trim().trim_matches('"').parse().ok())
        .map(|seconds| Duration::from_secs(seconds).min(LONGEST_WAIT))
        .filter(|wait| !wait.is_zero())
}

#[cfg(test)]
mod tests {
    use super::{Duration, check_media_type, idempotency_key, preferred_wait};
    use axum::http::{HeaderMap, HeaderValue};
    use proptest::prelude::{any, prop_assert, proptest};

    fn bytes(name: &'static str, value: &[u8]) -> HeaderMap {
        let value = HeaderValue::from_bytes(value).ok();
        value.into_iter().map(|value| (axum::http::HeaderName::from_static(name), value)).collect()
    }

    proptest! {
        #[test]
        fn no_header_makes_it_panic_and_what_is_taken_is_bounded(
            value in proptest::collection::vec(any::<u8>(), 0..400), prefer in r"[ -~]{0,20}wait *= *[ -~]{0,30}"
        ) {
            let _ = check_media_type(&bytes("content-type", &value));
            if let Ok(Some(key)) = idempotency_key(&bytes("idempotency-key", &value)) {
                prop_assert!((1..=255).contains(&key.len()));
                prop_assert!(key.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{:?}", key);
            }
            for headers in [bytes("prefer", &value), header("prefer", prefer.trim())] {
                let wait = preferred_wait(&headers);
                prop_assert!(wait.is_none_or(|wait| wait.as_secs() <= 30 && !wait.is_zero()));
            }
        }
    }

    fn header(name: &'static str, value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        headers
    }

    #[test]
    fn only_json_in_utf8_is_taken() {
        let taken = |value| check_media_type(&header("content-type", value)).is_ok();
        for value in
            ["application/json", "Application/JSON; charset=utf-8", "application/json;charset=\"UTF-8\"; x=y"]
        {
            assert!(taken(value), "{value}");
        }
        for value in [
            "",
            "text/plain",
            "application/json; charset=latin1",
            "application/jsonx",
            "application/x-www-form-urlencoded",
        ] {
            assert!(!taken(value), "{value}");
        }
        assert!(check_media_type(&HeaderMap::new()).is_err());
    }

    #[test]
    fn an_idempotency_key_has_1_to_255_characters_and_comes_once() {
        assert_eq!(idempotency_key(&HeaderMap::new()), Ok(None));
        assert_eq!(idempotency_key(&header("idempotency-key", " a ")), Ok(Some("a".to_owned())));
        assert!(idempotency_key(&header("idempotency-key", &"k".repeat(255))).is_ok());
        for bad in ["", "  ", &"k".repeat(256)] {
            assert!(idempotency_key(&header("idempotency-key", bad)).is_err(), "{bad}");
        }
        let mut twice = header("idempotency-key", "a");
        twice.append("idempotency-key", "b".parse().unwrap());
        assert!(idempotency_key(&twice).is_err());
    }

    #[test]
    fn a_preferred_wait_is_found_among_other_preferences_and_bounded() {
        let wait = |value| preferred_wait(&header("prefer", value)).map(|wait| wait.as_secs());
        assert_eq!(wait("wait=10"), Some(10));
        assert_eq!(wait("respond-async, wait = 5; x=y"), Some(5));
        assert_eq!(wait("wait=9999"), Some(30));
        for none in ["", "wait", "wait=", "wait=-1", "wait=x", "wait=0", "respond-async"] {
            assert_eq!(wait(none), None, "{none}");
        }
        assert_eq!(preferred_wait(&HeaderMap::new()), None::<Duration>);
    }
}
