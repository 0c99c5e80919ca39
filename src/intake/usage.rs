//! `GET /api/usage`: what an account may send, and what it has sent.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::Response;
use axum::http::request::Parts;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use tracing::error;

use super::Intake;
use super::answer::{Refused, finish, json, new_request_id, show_allowance};
use super::authenticate::authenticate;
use crate::domain::account::{Allowance, Periods, Plan, Usage};
use crate::domain::refusal::Refusal;
use crate::store::{StoreError, quota};

#[derive(Serialize)]
struct Answer<'a> {
    success: bool,
    plan: &'a str,
    timezone: &'a str,
    #[serde(flatten)]
    allowance: Shown,
}

/// An allowance, as the API shows it.
#[derive(Serialize)]
pub(super) struct Shown {
    day: ShownUsage,
    month: ShownUsage,
}

#[derive(Serialize)]
struct ShownUsage {
    limit: i32,
    used: i32,
    remaining: i32,
    resets_at: String,
}

impl Shown {
    /// The allowance as of `now`.
    pub(super) fn new(allowance: &Allowance, now: Timestamp) -> Self {
        let shown = |usage: &Usage| ShownUsage {
            limit: usage.limit,
            used: usage.used,
            remaining: usage.remaining(),
            resets_at: in_seconds(now, i64::from(usage.ends_in)),
        };
        Self { day: shown(&allowance.day), month: shown(&allowance.month) }
    }
}

/// The second that lies so far ahead, as RFC 3339 writes it.
pub(super) fn in_seconds(now: Timestamp, seconds: i64) -> String {
    let then = Timestamp::from_second(now.as_second()).unwrap_or(now);
    then.checked_add(SignedDuration::from_secs(seconds)).unwrap_or(then).to_string()
}

/// Shows it.
pub(super) async fn usage(State(intake): State<Arc<Intake>>, request: Request) -> Response<Body> {
    let request_id = new_request_id();
    let answered = show(&intake, &request.into_parts().0, &request_id).await;
    finish(&request_id, answered)
}

async fn show(intake: &Intake, request: &Parts, request_id: &str) -> Result<Response<Body>, Refused> {
    let key = authenticate(intake, request).await?;
    let account = &key.account;
    if !account.api_access {
        return Err(Refusal::ModuleNotEnabled.into());
    }
    let limits = account.limits.ok_or(Refusal::ActivePlanRequired)?;
    let now = intake.guard.clock.now();
    let periods = Periods::at(now, &account.timezone);
    let used = async { quota::used(&intake.pool.get().await?, account.account_id, &periods).await };
    let used = used.await.map_err(|error: StoreError| {
        error!(request_id, %error, "cannot look the usage up");
        Refusal::Internal
    })?;
    let allowance = Allowance::new(limits, &periods, used);
    let answer = Answer {
        success: true,
        plan: account.plan.map_or("", Plan::as_str),
        timezone: account.timezone.iana_name().unwrap_or("UTC"),
        allowance: Shown::new(&allowance, now),
    };
    let body = serde_json::to_string(&answer).expect("strings and numbers always serialise");
    let mut response = json(200, body);
    show_allowance(&mut response, &allowance);
    Ok(response)
}
