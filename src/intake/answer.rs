//! Answers: successes and refusals as HTTP, in the documents' shapes.

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderName, HeaderValue, Response, StatusCode};
use serde::Serialize;
use tracing::{debug, info};
use uuid::Uuid;

use crate::domain::account::{Allowance, Usage};
use crate::domain::refusal::Refusal;

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

#[derive(Serialize)]
struct Success {
    success: bool,
    status: &'static str,
    message_id: Uuid,
    log_id: i64,
}

/// A refusal on its way to the caller.
#[derive(Debug)]
pub(super) struct Refused {
    /// Why.
    pub(super) refusal: Refusal,
    /// What the account has left, where that is known.
    pub(super) allowance: Option<Allowance>,
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, allowance: None }
    }
}

/// `{"success":true,…}` with the message's two names.
pub(super) fn success(status: &'static str, message_id: Uuid, log_id: i64) -> String {
    serde_json::to_string(&Success { success: true, status, message_id, log_id })
        .expect("strings and numbers always serialise")
}

/// A JSON answer.
pub(super) fn json(status: u16, body: String) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response
}

/// A refusal's body.
pub(super) fn refused_body(refusal: &Refusal) -> String {
    serde_json::to_string(&refusal.body()).expect("strings and numbers always serialise")
}

/// A request's name.
pub(super) fn new_request_id() -> String {
    Uuid::now_v7().simple().to_string()
}

/// Every answer names its request.
fn name(response: &mut Response<Body>, request_id: &str) {
    if let Ok(value) = HeaderValue::from_str(request_id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
}

/// Says what the account has left, as `RateLimit-Policy` and `RateLimit`
/// (draft-ietf-httpapi-ratelimit-headers): a quota a day and a quota a calendar month.
pub(super) fn show_allowance(response: &mut Response<Body>, allowance: &Allowance) {
    let quotas = [("day", &allowance.day), ("month", &allowance.month)];
    let list = |item: fn(&str, &Usage) -> String| {
        HeaderValue::from_str(&quotas.map(|(name, usage)| item(name, usage)).join(", "))
    };
    let policy = list(|name, usage| format!("\"{name}\";q={};w={}", usage.limit.max(0), usage.length));
    let left = list(|name, usage| format!("\"{name}\";r={};t={}", usage.remaining(), usage.ends_in));
    if let (Ok(policy), Ok(left)) = (policy, left) {
        response.headers_mut().insert(RATE_LIMIT_POLICY, policy);
        response.headers_mut().insert(RATE_LIMIT, left);
    }
}

/// A refusal as the answer to a request, with `Retry-After` where a time is known; logged.
fn refuse(request_id: &str, refused: &Refused) -> Response<Body> {
    let refusal = &refused.refusal;
    if *refusal == Refusal::Overloaded {
        metrics::counter!("gatepost_overloaded_total").increment(1);
    }
    if matches!(refusal, Refusal::TooManyWrongKeys { .. } | Refusal::Overloaded) {
        // A line for each would be the guesser's to write, or the flood's. Guessing is logged once a minute.
        debug!(request_id, error = refusal.code(), "refused");
    } else {
        info!(request_id, error = refusal.code(), "refused");
    }
    let mut response = json(refusal.http_status(), refused_body(refusal));
    if let Some(seconds) = refusal.retry_after() {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    if let Some(allowance) = &refused.allowance {
        show_allowance(&mut response, allowance);
    }
    name(&mut response, request_id);
    response
}

/// An answer of either kind, named.
pub(super) fn finish(request_id: &str, answered: Result<Response<Body>, Refused>) -> Response<Body> {
    match answered {
        Ok(mut response) => {
            name(&mut response, request_id);
            response
        }
        Err(refused) => refuse(request_id, &refused),
    }
}

/// The whole answer, with its head, to a request that no handler gets to see; logged.
#[must_use]
pub fn headers_too_large() -> String {
    let (request_id, refusal) = (new_request_id(), Refusal::HeadersTooLarge);
    info!(request_id, error = refusal.code(), "refused");
    let body = refused_body(&refusal);
    format!(
        "HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: application/json\r\nx-request-id: {request_id}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

pub(super) async fn not_found() -> Response<Body> {
    refuse(&new_request_id(), &Refusal::NotFound.into())
}

pub(super) async fn method_not_allowed() -> Response<Body> {
    refuse(&new_request_id(), &Refusal::MethodNotAllowed.into())
}
