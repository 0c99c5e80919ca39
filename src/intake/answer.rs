//! Answers: successes and refusals as HTTP, in the documents' shapes.

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderName, HeaderValue, Response, StatusCode};
use serde::Serialize;
use tracing::info;
use uuid::Uuid;

use crate::domain::refusal::Refusal;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
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
pub(super) fn refused_body(refusal: &Refusal) -> String {
    serde_json::to_string(&refusal.body()).expect("strings and numbers always serialise")
}

/// A request's name.
pub(super) fn new_request_id() -> String {
    Uuid::now_v7().simple().to_string()
}

/// Every answer names its request.
pub(super) fn name(response: &mut Response<Body>, request_id: &str) {
    if let Ok(value) = HeaderValue::from_str(request_id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
}

/// A refusal as the answer to a request, with `Retry-After` where a time is known; logged.
pub(super) fn refuse(request_id: &str, refusal: &Refusal) -> Response<Body> {
    info!(request_id, error = refusal.code(), "refused");
    let mut response = json(refusal.http_status(), refused_body(refusal));
    if let Some(seconds) = refusal.retry_after() {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    name(&mut response, request_id);
    response
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
    refuse(&new_request_id(), &Refusal::NotFound)
}

pub(super) async fn method_not_allowed() -> Response<Body> {
    refuse(&new_request_id(), &Refusal::MethodNotAllowed)
}
