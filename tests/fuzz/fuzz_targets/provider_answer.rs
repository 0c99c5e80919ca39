//! What a provider, or whatever stands at its address, may answer to a send: three bytes for status and provider, a line
//! for `Retry-After`, a line for Meta's usage, a body. Nothing of it may panic, and what is recorded of it must be fit for
//! the database.

#![no_main]

use std::time::Duration;

use gatepost::domain::outcome::Outcome;
use gatepost::providers::{Body, evolution, meta};
use libfuzzer_sys::fuzz_target;
use reqwest::StatusCode;
use reqwest::header::{DATE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fuzz_target!(|data: &[u8]| {
    let [high, low, which, rest @ ..] = data else { return };
    let Ok(status) = StatusCode::from_u16(100 + u16::from_be_bytes([*high, *low]) % 500) else { return };
    let mut parts = rest.splitn(3, |byte| *byte == b'\n');
    let mut headers = HeaderMap::new();
    headers.insert(DATE, HeaderValue::from_static("Thu, 01 Jan 2026 12:00:00 GMT"));
    for name in [RETRY_AFTER, HeaderName::from_static("x-business-use-case-usage")] {
        if let Some(Ok(value)) = parts.next().map(HeaderValue::from_bytes) {
            headers.insert(name, value);
        }
    }
    let body = match which % 8 {
        0 => Body::Lost,
        1 => Body::TooLong,
        _ => Body::Whole(parts.next().unwrap_or_default().to_vec()),
    };
    for outcome in [meta::judge(status, &headers, &body), evolution::judge(status, &headers, &body)] {
        match outcome {
            Outcome::Accepted { provider_message_id: id } => {
                assert!(status.is_success());
                assert!((1..=512).contains(&id.len()) && !id.contains('\0'));
            }
            Outcome::Failed(failure) => {
                assert!(!status.is_success());
                storable(&failure.reason);
                failure.detail.iter().for_each(|detail| storable(detail.as_str()));
                assert!(failure.retry_after.is_none_or(|wait| wait <= DAY));
            }
            Outcome::Unknown { reason } => storable(&reason),
        }
    }
});

/// Postgres takes no NUL, and what is kept is short.
fn storable(text: &str) {
    assert!(!text.is_empty() && !text.contains('\0') && text.chars().count() <= 500);
}
