//! A customer's webhook endpoint: a real server that verifies what it gets with the published library.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::Value;
use standardwebhooks::Webhook;
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

/// One webhook as it arrived.
#[derive(Clone, Debug)]
pub struct Received {
    /// `webhook-id`.
    pub id: String,
    /// The body, byte for byte.
    pub raw: String,
    /// The body as JSON.
    pub body: Value,
    /// Whether the published library accepts the signature.
    pub verified: bool,
    /// When it arrived.
    pub at: Instant,
}

/// How a webhook is answered.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    /// Where a redirect leads.
    pub location: Option<String>,
    pub body: Vec<u8>,
}

impl Reply {
    /// A status and nothing else.
    pub fn status(status: u16) -> Self {
        Self { status, location: None, body: Vec::new() }
    }
}

struct Shared {
    secret: Mutex<Option<String>>,
    received: Mutex<Vec<Received>>,
    answers: Mutex<HashMap<usize, Reply>>,
    always: Mutex<Reply>,
    held: watch::Sender<bool>,
}

/// The endpoint; it stops when dropped.
pub struct Receiver {
    shared: Arc<Shared>,
    pub url: String,
    _stop: oneshot::Sender<()>,
}

impl Receiver {
    /// Listens on a port of its own and answers 200.
    pub async fn start() -> Self {
        let shared = Arc::new(Shared {
            secret: Mutex::default(),
            received: Mutex::default(),
            answers: Mutex::default(),
            always: Mutex::new(Reply::status(200)),
            held: watch::Sender::new(false),
        });
        let router = Router::new().route("/hooks", post(receive)).with_state(Arc::clone(&shared));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let url = format!("http://{}/hooks", listener.local_addr().expect("it listens"));
        let (stop, stopped) = oneshot::channel::<()>();
        tokio::spawn(async move {
            let ended = async { drop(stopped.await) };
            axum::serve(listener, router).with_graceful_shutdown(ended).await.expect("it serves");
        });
        Self { shared, url, _stop: stop }
    }

    /// The secret to verify with, as `webhook create` showed it.
    pub fn trust(&self, secret: &str) {
        *self.shared.secret.lock().expect("no test panics inside") = Some(secret.to_owned());
    }

    /// Answers the `n`-th webhook (from 0) with that status.
    pub fn answer(&self, n: usize, status: u16) {
        self.shared.answers.lock().expect("no test panics inside").insert(n, Reply::status(status));
    }

    /// Answers every webhook with that status, unless it has one of its own.
    pub fn always_answer(&self, status: u16) {
        self.always_reply(Reply::status(status));
    }

    /// As [`Self::always_answer`], with more than a status.
    pub fn always_reply(&self, reply: Reply) {
        *self.shared.always.lock().expect("no test panics inside") = reply;
    }

    /// Keeps all answers back from now on, or lets them go. A webhook counts as received before its answer.
    pub fn hold(&self, held: bool) {
        self.shared.held.send_replace(held);
    }

    /// Everything received so far.
    pub fn received(&self) -> Vec<Received> {
        self.shared.received.lock().expect("no test panics inside").clone()
    }

    /// The statuses that the `message.status_updated` events of a message told, in their order.
    pub fn rises(&self, message_id: &str) -> Vec<(i64, String)> {
        let told = self.events("message.status_updated").into_iter();
        let of_message = told.filter(|event| event["message_id"] == message_id);
        let mut rises: Vec<(i64, String)> = of_message
            .map(|event| {
                let status = event["status"].as_str().unwrap_or_default();
                (event["sequence"].as_i64().unwrap_or(-1), status.to_owned())
            })
            .collect();
        rises.sort();
        rises
    }

    /// The events of that kind received so far, each once.
    pub fn events(&self, kind: &str) -> Vec<Value> {
        let mut seen = Vec::new();
        let mut events = Vec::new();
        for received in self.received() {
            if received.body["event"] == kind && !seen.contains(&received.id) {
                seen.push(received.id);
                events.push(received.body);
            }
        }
        events
    }
}

async fn receive(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    let secret = shared.secret.lock().expect("no test panics inside").clone();
    let verified = secret
        .and_then(|secret| Webhook::new(&secret).ok())
        .is_some_and(|webhook| webhook.verify(&body, &headers).is_ok());
    let id = headers.get("webhook-id").and_then(|id| id.to_str().ok()).unwrap_or_default().to_owned();
    let raw = String::from_utf8_lossy(&body).into_owned();
    let parsed = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let n = {
        let mut received = shared.received.lock().expect("no test panics inside");
        received.push(Received { id, raw, body: parsed, verified, at: Instant::now() });
        received.len() - 1
    };
    // An error means that the receiver is gone, and this task will be soon.
    let _ = shared.held.subscribe().wait_for(|held| !held).await;
    let own = shared.answers.lock().expect("no test panics inside").get(&n).cloned();
    let reply = own.unwrap_or_else(|| shared.always.lock().expect("no test panics inside").clone());
    let mut response = (StatusCode::from_u16(reply.status).expect("a status"), reply.body).into_response();
    if let Some(location) = reply.location {
        response.headers_mut().insert(LOCATION, location.parse().expect("an address"));
    }
    response
}
