//! Evolution API's wire, as its version 2.3.7 speaks it: the same magic recipients, answered in its shapes.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::Sandbox;
use super::callbacks::{INSTANCE_ROW, Message, Pending, Subject};
use super::calls::{Call, Outcome};
use super::recipients::{Link, Report, Script};
use super::request::digits;
use super::server::{CloseConnection, cut_off};

/// What the look-up of a number comes to when WhatsApp does not answer it: certainly before the send.
const LOOK_UP_FAILED: &str = "Cannot read properties of undefined (reading 'find')";

/// The fields of a send that the sandbox looks at. Whatever else is there is ignored.
#[derive(Debug, Default, Deserialize)]
pub struct SendRequest {
    number: Option<Value>,
    text: Option<Value>,
    /// Versions before 2.4 pass over it; it is recorded as the client's note.
    #[serde(rename = "messageId")]
    message_id: Option<String>,
}

/// A refusal in Evolution's shape.
#[derive(Clone, Debug)]
struct Refusal {
    status: StatusCode,
    body: Value,
}

impl Refusal {
    fn new(status: u16, message: &Value) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let error = status.canonical_reason().unwrap_or_default();
        let response = json!({ "message": message });
        Self { status, body: json!({"status": status.as_u16(), "error": error, "response": response}) }
    }

    fn not_licensed() -> Self {
        let body = json!({
            "error": "service not activated", "code": "LICENSE_REQUIRED", "message": "Instance is not activated.",
        });
        Self { status: StatusCode::SERVICE_UNAVAILABLE, body }
    }
}

/// What the ending of a number makes of a send.
enum Reply {
    Take(Outcome),
    Refuse(Refusal),
    /// Refused that many times, then taken.
    RefuseFirst(u32, Refusal),
}

impl Reply {
    fn of(number: &str) -> Self {
        match number.get(number.len().saturating_sub(4)..).unwrap_or_default() {
            "0010" => Self::Refuse(Refusal::new(400, &json!([["Invalid format"]]))),
            "0011" => {
                let found = json!([{"jid": jid(number), "exists": false, "number": number}]);
                Self::Refuse(Refusal::new(400, &found))
            }
            "0013" => Self::Refuse(Refusal::new(500, &json!("write EPIPE"))),
            "0020" => Self::RefuseFirst(1, Refusal::new(500, &json!("Connection Closed"))),
            "0022" => Self::RefuseFirst(2, Refusal::new(500, &json!(LOOK_UP_FAILED))),
            "0023" => Self::Refuse(Refusal::new(500, &json!(LOOK_UP_FAILED))),
            "0030" | "0031" => Self::Take(Outcome::Held),
            "0032" => Self::Take(Outcome::Closed),
            "0033" => Self::Take(Outcome::WithoutId),
            "0034" => Self::Take(Outcome::Garbled),
            "0035" => Self::Take(Outcome::CutOff),
            "0040" => Self::Refuse(Refusal::new(401, &json!("Unauthorized"))),
            "0041" => Self::Refuse(Refusal::not_licensed()),
            "0042" => Self::Refuse(Refusal::new(400, &json!(["Error: Connection Closed"]))),
            _ => Self::Take(Outcome::Accepted),
        }
    }
}

/// `POST /message/sendText/{instance}`
pub async fn send(
    State(sandbox): State<Arc<Sandbox>>,
    Path(instance): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let request: Result<SendRequest, _> = serde_json::from_slice(&body);
    let read = request.map_err(|error| {
        // The one refusal whose name contradicts its status.
        let mut refusal = Refusal::new(400, &json!(error.to_string()));
        refusal.body["error"] = json!("Internal Server Error");
        refusal
    });
    let decision = match (sandbox.admit_evolution(&headers), &read) {
        (Err(refusal), _) => Err(refusal),
        (Ok(()), Err(refusal)) => Err(refusal.clone()),
        (Ok(()), Ok(request)) => sandbox.decide_evolution(request).await,
    };
    let request = read.unwrap_or_default();
    let outcome = match &decision {
        Ok((outcome, _)) => *outcome,
        Err(refusal) => Outcome::Refused(refusal.status.as_u16().into()),
    };
    let to = request
        .number
        .as_ref()
        .map(|number| number.as_str().map_or_else(|| number.to_string(), str::to_owned));
    let attempted_at = sandbox.settings.clock.now();
    sandbox.calls.record(Call { to, opaque: request.message_id, attempted_at, outcome });
    let response = match decision {
        Ok((outcome, taken)) => {
            let id = message_id();
            sandbox.plan_reports(&instance, &id, &taken, attempted_at);
            accept(outcome, &id, &taken, attempted_at.as_second())
        }
        Err(refusal) => (refusal.status, Json(refusal.body)).into_response(),
    };
    sandbox.keep_waiting(outcome).await;
    response
}

/// A send that is in order.
struct Taken {
    number: String,
    text: String,
}

impl Sandbox {
    /// Plans what is reported of a message: first that it went out, as Evolution does.
    fn plan_reports(&self, sender: &str, id: &str, taken: &Taken, accepted_at: Timestamp) {
        let reports = reports(&taken.number);
        if reports.is_empty() {
            return;
        }
        let (id, number) = (id.to_owned(), taken.number.clone());
        let went_out = Subject::WentOut { id: id.clone(), text: taken.text.clone() };
        let message = Subject::Message(Message { id, opaque: None, accepted_at, reports });
        for subject in [went_out, message] {
            let pending = Pending { sender: sender.to_owned(), number: number.clone(), subject };
            self.instances_outbox.push(pending, Instant::now());
        }
    }

    /// Every call carries the key, where one is set.
    fn admit_evolution(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let given = headers.get("apikey").and_then(|value| value.to_str().ok());
        match &self.settings.token {
            Some(token) if given != Some(token) => Err(Refusal::new(401, &json!("Unauthorized"))),
            _ => Ok(()),
        }
    }

    async fn decide_evolution(&self, request: &SendRequest) -> Result<(Outcome, Taken), Refusal> {
        let taken = request.check()?;
        if rand::random_range(0..100) < self.settings.fault_percent {
            return Err(Refusal::new(500, &json!(LOOK_UP_FAILED)));
        }
        match Reply::of(&taken.number) {
            Reply::Take(outcome) => Ok((outcome, taken)),
            Reply::Refuse(refusal) => Err(refusal),
            Reply::RefuseFirst(times, refusal) if self.attempts.count(&taken.number).await <= times => {
                Err(refusal)
            }
            Reply::RefuseFirst(..) => Ok((Outcome::Accepted, taken)),
        }
    }
}

impl SendRequest {
    fn check(&self) -> Result<Taken, Refusal> {
        let malformed = |problem: &str| Refusal::new(400, &json!([[problem]]));
        let number =
            self.number.as_ref().ok_or_else(|| malformed("instance requires property \"number\""))?;
        let text = self.text.as_ref().ok_or_else(|| malformed("instance requires property \"text\""))?;
        let (Some(number), Some(text)) = (number.as_str(), text.as_str()) else {
            return Err(malformed("Invalid format"));
        };
        let number = digits(number).ok_or_else(|| malformed("Invalid format"))?;
        if text.trim().is_empty() {
            return Err(Refusal::new(400, &json!(["Text is required"])));
        }
        Ok(Taken { number, text: text.to_owned() })
    }
}

fn jid(number: &str) -> String {
    format!("{number}@s.whatsapp.net")
}

/// A new id like WhatsApp's.
fn message_id() -> String {
    format!("3EB0{:018X}", rand::random::<u128>() >> 56)
}

/// What is reported of a message that was taken, the same as on Meta's wire but for the connection.
fn reports(number: &str) -> &'static [Report] {
    match number.get(number.len().saturating_sub(4)..).unwrap_or_default() {
        "0043" => &[Report::Sent, Report::Link(Link::Connecting), Report::Link(Link::Open)],
        "0044" => &[Report::Sent, Report::Link(Link::Close)],
        // A window is Meta's alone.
        "0012" => Script::of("0001").reports,
        _ => Script::of(number).reports,
    }
}

fn accept(outcome: Outcome, id: &str, taken: &Taken, now: i64) -> Response {
    let mut key = json!({"remoteJid": jid(&taken.number), "fromMe": true});
    match outcome {
        Outcome::Accepted => {
            key["id"] = json!(id);
        }
        Outcome::WithoutId => {}
        Outcome::Garbled => return (StatusCode::CREATED, r#"{"key":"#).into_response(),
        Outcome::CutOff => return cut_off(StatusCode::CREATED, r#"{"key":{"remoteJid":"#),
        Outcome::Held | Outcome::Closed | Outcome::Refused(_) => return CloseConnection.into_response(),
    }
    let body = json!({
        "key": key,
        "pushName": "Sandbox",
        "status": "PENDING",
        "message": {"conversation": taken.text},
        "contextInfo": {},
        "messageType": "conversation",
        "messageTimestamp": now,
        "instanceId": INSTANCE_ROW,
        "source": "web",
    });
    (StatusCode::CREATED, Json(body)).into_response()
}

/// `GET /instance/connectionState/{instance}`: open, unless a report said otherwise.
pub async fn connection_state(
    State(sandbox): State<Arc<Sandbox>>,
    Path(instance): Path<String>,
    headers: HeaderMap,
) -> Response {
    match sandbox.admit_evolution(&headers) {
        Ok(()) => {
            let state = sandbox.instances.link(&instance).as_str();
            Json(json!({"instance": {"instanceName": instance, "state": state}})).into_response()
        }
        Err(refusal) => (refusal.status, Json(refusal.body)).into_response(),
    }
}

/// `POST /webhook/set/{instance}`: from now on the instance reports there.
pub async fn set_webhook(
    State(sandbox): State<Arc<Sandbox>>,
    Path(instance): Path<String>,
    headers: HeaderMap,
    Json(request): Json<Value>,
) -> Response {
    let set = sandbox.admit_evolution(&headers).and_then(|()| {
        let set = sandbox.instances.set_webhook(&instance, &request);
        set.map_err(|problem| Refusal::new(400, &json!([problem])))
    });
    match set {
        Ok(()) => (StatusCode::CREATED, Json(request["webhook"].clone())).into_response(),
        Err(refusal) => (refusal.status, Json(refusal.body)).into_response(),
    }
}
