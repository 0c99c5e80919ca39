//! The routes: Meta's two, Evolution's three, and the sandbox's own.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::callbacks::{DISPLAY_NUMBER, Pending, Subject, Tally, VERIFIED_NAME};
use super::calls::{Filter, Listing};
use super::faults::Refusal;
use super::request::digits;
use super::send::send;
use super::{Sandbox, evolution};

/// All routes.
pub fn router(sandbox: Arc<Sandbox>) -> Router {
    Router::new()
        .route("/livez", get(async || StatusCode::OK))
        .route("/sandbox/calls", get(list_calls).delete(reset_calls))
        .route("/sandbox/callbacks", get(show_callbacks))
        .route("/sandbox/inbound", post(write_inbound))
        .route("/{version}/{phone_number_id}", get(show_sender))
        .route("/{version}/{phone_number_id}/messages", post(send))
        .route("/message/sendText/{instance}", post(evolution::send))
        .route("/instance/connectionState/{instance}", get(evolution::connection_state))
        .route("/webhook/set/{instance}", post(evolution::set_webhook))
        .with_state(sandbox)
}

/// A sender as Meta shows it, in Meta's order.
#[derive(Serialize)]
struct Sender {
    verified_name: &'static str,
    code_verification_status: &'static str,
    display_phone_number: &'static str,
    quality_rating: &'static str,
    platform_type: &'static str,
    throughput: Throughput,
    id: String,
}

#[derive(Serialize)]
struct Throughput {
    level: &'static str,
}

async fn show_sender(
    State(sandbox): State<Arc<Sandbox>>,
    Path((_version, id)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Json<Sender>, Refusal> {
    sandbox.admit("get", &id, &headers)?;
    Ok(Json(Sender {
        verified_name: VERIFIED_NAME,
        code_verification_status: "VERIFIED",
        display_phone_number: DISPLAY_NUMBER,
        quality_rating: "GREEN",
        platform_type: "CLOUD_API",
        throughput: Throughput { level: "STANDARD" },
        id,
    }))
}

async fn list_calls(State(sandbox): State<Arc<Sandbox>>, Query(filter): Query<Filter>) -> Json<Listing> {
    Json(sandbox.calls.list(&filter))
}

async fn reset_calls(State(sandbox): State<Arc<Sandbox>>) -> StatusCode {
    sandbox.calls.reset();
    sandbox.attempts.reset();
    StatusCode::NO_CONTENT
}

async fn show_callbacks(State(sandbox): State<Arc<Sandbox>>) -> Json<Tally> {
    Json(sandbox.outbox.tally())
}

/// A text somebody writes.
#[derive(Deserialize)]
struct InboundText {
    from: String,
    text: String,
    phone_number_id: String,
}

async fn write_inbound(State(sandbox): State<Arc<Sandbox>>, Json(inbound): Json<InboundText>) -> Response {
    let Some(number) = digits(&inbound.from) else {
        return (StatusCode::BAD_REQUEST, "from: not a phone number\n").into_response();
    };
    if sandbox.settings.callback_url.is_none() {
        return (StatusCode::CONFLICT, "there is no callback address to send it to\n").into_response();
    }
    let pending = Pending { sender: inbound.phone_number_id, number, subject: Subject::Text(inbound.text) };
    if sandbox.outbox.push(pending, Instant::now()) {
        StatusCode::ACCEPTED.into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "too many callbacks wait\n").into_response()
    }
}
