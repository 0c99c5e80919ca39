//! The routes: Meta's two, Evolution's three, and the sandbox's own.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::callbacks::{DISPLAY_NUMBER, Outbox, Pending, Subject, Tally, VERIFIED_NAME};
use super::calls::{Filter, Listing};
use super::faults::Refusal;
use super::recipients::Link;
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
        .route("/sandbox/connection", post(change_connection))
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
    Json(sandbox.outbox.tally() + sandbox.instances_outbox.tally())
}

/// A text somebody writes, to a number of Meta's or an instance of Evolution's.
#[derive(Deserialize)]
struct InboundText {
    from: String,
    text: String,
    #[serde(flatten)]
    to: WrittenTo,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum WrittenTo {
    PhoneNumberId(String),
    Instance(String),
}

async fn write_inbound(State(sandbox): State<Arc<Sandbox>>, Json(inbound): Json<InboundText>) -> Response {
    let Some(number) = digits(&inbound.from) else {
        return (StatusCode::BAD_REQUEST, "from: not a phone number\n").into_response();
    };
    let subject = Subject::Text(inbound.text);
    let (outbox, sender) = match inbound.to {
        WrittenTo::PhoneNumberId(_) if sandbox.settings.callback_url.is_none() => {
            return (StatusCode::CONFLICT, "there is no callback address to send it to\n").into_response();
        }
        WrittenTo::PhoneNumberId(id) => (&sandbox.outbox, id),
        WrittenTo::Instance(name) => (&sandbox.instances_outbox, name),
    };
    report(outbox, Pending { sender, number, subject })
}

/// A connection that changes.
#[derive(Deserialize)]
struct Connection {
    instance: String,
    state: Link,
}

async fn change_connection(State(sandbox): State<Arc<Sandbox>>, Json(change): Json<Connection>) -> Response {
    let subject = Subject::Link(change.state);
    let pending = Pending { sender: change.instance, number: String::new(), subject };
    report(&sandbox.instances_outbox, pending)
}

fn report(outbox: &Outbox, pending: Pending) -> Response {
    if outbox.push(pending, Instant::now()) {
        StatusCode::ACCEPTED.into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "too many callbacks wait\n").into_response()
    }
}
