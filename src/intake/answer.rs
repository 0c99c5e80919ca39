//! Answers: successes and refusals as HTTP, in the documents' shapes.

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderName, HeaderValue, Response, StatusCode};
use serde::Serialize;
use uuid::Uuid;

use crate::domain::refusal::Refusal;

/// The answer to a send names its request.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

#[derive(Serialize)]
struct Success {
    success: bool,
    status: &'static str,
    message_id: Uuid,
    log_id: i64,
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
#[must_use]
pub fn refused_body(refusal: &Refusal) -> String {
    serde_json::to_string(&refusal.body()).expect("strings and numbers always serialise")
}

/// A refusal as an answer, with `Retry-After` where a time is known.
#[must_use]
pub fn refuse(refusal: &Refusal) -> Response<Body> {
    let mut response = json(refusal.http_status(), refused_body(refusal));
    if let Some(seconds) = refusal.retry_after() {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

pub(super) async fn not_found() -> Response<Body> {
    refuse(&Refusal::NotFound)
}

pub(super) async fn method_not_allowed() -> Response<Body> {
    refuse(&Refusal::MethodNotAllowed)
}
