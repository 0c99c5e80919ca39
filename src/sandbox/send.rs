//! Meta's send.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::Serialize;
use tokio::time::Instant;

use super::Sandbox;
use super::callbacks::{Message, Pending, Subject, message_id};
use super::calls::{Call, Outcome};
use super::faults::{Fault, Refusal};
use super::recipients::{Answer, Report, Script};
use super::request::{Addressee, SendRequest};
use super::server::{CloseConnection, cut_off};

/// `POST /{version}/{phone_number_id}/messages`
pub async fn send(
    State(sandbox): State<Arc<Sandbox>>,
    Path((_version, sender)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let read = sandbox.admit("post", &sender, &headers).and_then(|()| SendRequest::read(&body));
    let decision = match &read {
        Ok(request) => sandbox.decide(request).await,
        Err(refusal) => Err(refusal.clone()),
    };
    let request = read.unwrap_or_default();
    let now = sandbox.settings.clock.now();
    let outcome = match &decision {
        Ok(accepted) => accepted.outcome,
        Err(refusal) => Outcome::Refused(refusal.code()),
    };
    let opaque = request.opaque.clone();
    sandbox.calls.record(Call { to: request.to, opaque, attempted_at: now, outcome });
    let response = match decision {
        Ok(accepted) => sandbox.accept(accepted, sender, request.opaque, now),
        Err(refusal) => refusal.into_response(),
    };
    sandbox.keep_waiting(outcome).await;
    response
}

/// A send that is taken, whether its answer says so or not.
struct Accepted {
    addressee: Addressee,
    outcome: Outcome,
    reports: &'static [Report],
}

impl Sandbox {
    async fn decide(&self, request: &SendRequest) -> Result<Accepted, Refusal> {
        let addressee = request.check()?;
        if rand::random_range(0..100) < self.settings.fault_percent {
            return Err(Fault::Unknown.into());
        }
        let script = Script::of(&addressee.number);
        let outcome = match script.answer {
            Answer::Accept => Outcome::Accepted,
            Answer::RefuseFirst(times, fault) => {
                if self.attempts.count(&addressee.number).await <= times {
                    return Err(fault.into());
                }
                Outcome::Accepted
            }
            Answer::Refuse(fault) => return Err(fault.into()),
            Answer::Hold => Outcome::Held,
            Answer::Close => Outcome::Closed,
            Answer::OmitId => Outcome::WithoutId,
            Answer::Garble => Outcome::Garbled,
            Answer::CutOff => Outcome::CutOff,
        };
        Ok(Accepted { addressee, outcome, reports: script.reports })
    }

    /// Plans the reports and writes the answer.
    fn accept(&self, accepted: Accepted, sender: String, opaque: Option<String>, now: Timestamp) -> Response {
        let Accepted { addressee, outcome, reports } = accepted;
        let id = message_id(&addressee.number);
        let response = match outcome {
            Outcome::Accepted => Json(Answered::new(&addressee, Some(&id))).into_response(),
            Outcome::WithoutId => Json(Answered::new(&addressee, None)).into_response(),
            Outcome::Garbled => {
                ([(CONTENT_TYPE, "application/json")], r#"{"messaging_product":"#).into_response()
            }
            Outcome::CutOff => cut_off(StatusCode::OK, r#"{"messaging_product":"whatsapp","contacts":["#),
            Outcome::Held | Outcome::Closed | Outcome::Refused(_) => CloseConnection.into_response(),
        };
        if !reports.is_empty() {
            let message = Message { id, opaque, accepted_at: now, reports };
            let number = addressee.number;
            let pending = Pending { sender, number, subject: Subject::Message(message) };
            self.outbox.push(pending, Instant::now());
        }
        response
    }
}

/// The answer to a send that is taken; Meta's fields in Meta's order.
#[derive(Serialize)]
struct Answered<'a> {
    messaging_product: &'static str,
    contacts: [AnsweredContact<'a>; 1],
    messages: Vec<AnsweredMessage<'a>>,
}

#[derive(Serialize)]
struct AnsweredContact<'a> {
    input: &'a str,
    wa_id: &'a str,
}

#[derive(Serialize)]
struct AnsweredMessage<'a> {
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_status: Option<&'static str>,
}

impl<'a> Answered<'a> {
    fn new(addressee: &'a Addressee, id: Option<&'a str>) -> Self {
        let message_status = addressee.template.then_some("accepted");
        Self {
            messaging_product: "whatsapp",
            contacts: [AnsweredContact { input: &addressee.input, wa_id: &addressee.number }],
            messages: id.map(|id| AnsweredMessage { id, message_status }).into_iter().collect(),
        }
    }
}
