//! `POST /api/check-message`: what a send would be answered now. It reserves, counts and logs nothing.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::Response;
use axum::http::request::Parts;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use tracing::error;

use super::Intake;
use super::answer::{Refused, finish, json, new_request_id, refused_body, show_allowance};
use super::authenticate::authenticate;
use super::request::{check_media_type, read_body};
use super::send::within_budget;
use super::usage::{Shown, in_seconds};
use crate::domain::account::Allowance;
use crate::domain::refusal::{Action, Refusal};
use crate::domain::send_request;
use crate::guard::Asker;
use crate::guard::batch::{Batch, Ruling};
use crate::store::acceptance::{self, Draft, Judged};

#[derive(Serialize)]
struct Answer {
    success: bool,
    action: Action,
    risk_score: u8,
    signals: Value,
    would_be: Option<Box<RawValue>>,
    allowance: Option<Shown>,
    earliest_send_at: Option<String>,
}

/// Says what would happen.
pub(super) async fn check(State(intake): State<Arc<Intake>>, request: Request) -> Response<Body> {
    let request_id = new_request_id();
    let (parts, body) = request.into_parts();
    let answered = receive(&intake, &parts, body, &request_id).await;
    finish(&request_id, answered)
}

/// What is no well-formed request of a known key is refused like a send; everything else is an answer.
async fn receive(
    intake: &Intake,
    request: &Parts,
    body: Body,
    request_id: &str,
) -> Result<Response<Body>, Refused> {
    check_media_type(&request.headers)?;
    let key = authenticate(intake, request).await?;
    within_budget(intake, &key)?;
    let asker = Asker { key, request_id: request_id.to_owned(), idempotency: None };
    let answered = answer(intake, &asker, body).await;
    let allowance = answered.as_ref().map_or(None, |(_, allowance)| *allowance);
    // It costs the account nothing else.
    intake.refusals.spend(asker.key.key_id, intake.guard.clock.now(), allowance);
    answered.map(|(response, _)| response)
}

/// The answer, and what the account has left.
async fn answer(
    intake: &Intake,
    asker: &Asker,
    body: Body,
) -> Result<(Response<Body>, Option<Allowance>), Refused> {
    let body = read_body(body, intake.body_timeout).await?;
    let request = send_request::parse(&body)?;
    let ruling = async {
        let draft = intake.guard.draft(asker, request).await?;
        judge(intake, &draft).await.map_err(Arc::new)
    };
    let ruling = ruling.await.map_err(|error| {
        error!(request_id = asker.request_id, %error, "check failed");
        Refusal::Internal
    })?;
    match ruling {
        Ruling::Judged { judged, allowance, backlog } => {
            let waits = i64::try_from(backlog.as_secs()).unwrap_or(i64::MAX);
            // The send that was judged did not happen.
            let accepted = judged.decision.refusal.is_none();
            let allowance = allowance.map(|left| if accepted { left.after(-1) } else { left });
            Ok((show(judged, allowance, waits, intake.guard.clock.now()), allowance))
        }
        // Only a send with an idempotency key can be one, and only a commit leaves anybody out.
        Ruling::Duplicate | Ruling::Left => Err(Refusal::Internal.into()),
    }
}

async fn judge(intake: &Intake, draft: &Draft) -> Result<Ruling, crate::store::StoreError> {
    let session = intake.pool.get().await?;
    let (known, seen) = acceptance::look(&session, draft).await?;
    Ok(Batch::new(intake.code_limits, seen).judge(draft, &known))
}

fn show(judged: Judged, allowance: Option<Allowance>, backlog: i64, now: Timestamp) -> Response<Body> {
    let decision = judged.decision;
    let waits = match &decision.refusal {
        None => Some(backlog),
        Some(refusal) => refusal.retry_after().map(i64::from),
    };
    let would_be = decision.refusal.as_ref().map(refused_body);
    let answer = Answer {
        success: true,
        action: decision.action,
        risk_score: decision.risk_score,
        signals: judged.signals,
        would_be: would_be.and_then(|body| RawValue::from_string(body).ok()),
        allowance: allowance.as_ref().map(|allowance| Shown::new(allowance, now)),
        earliest_send_at: waits.map(|seconds| in_seconds(now, seconds)),
    };
    let body = serde_json::to_string(&answer).expect("strings and numbers always serialise");
    let mut response = json(200, body);
    if let Some(allowance) = &allowance {
        show_allowance(&mut response, allowance);
    }
    response
}
