//! An Evolution server that answers as a test tells it to, and keeps what it was asked.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::world::{Customer, World};

/// The key that every request must carry.
pub const KEY: &str = "the-evolution-servers-key";
/// The instance's name on the server; it has to be escaped in addresses.
pub const NAME: &str = "shop main";

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Asked {
    /// `sendText` or `set`.
    pub action: &'static str,
    pub instance: String,
    pub headers: HeaderMap,
    pub body: Value,
}

/// How a send is answered.
#[derive(Clone, Debug)]
pub enum Reply {
    /// With this status and this body.
    Say(u16, Value),
    /// By nothing, as long as anybody waits.
    Nothing,
}

impl Reply {
    /// A refusal in Evolution's envelope.
    pub fn refuse(status: u16, message: &Value) -> Self {
        let response = json!({ "message": message });
        Self::Say(status, json!({"status": status, "error": "Any", "response": response}))
    }
}

struct Shared {
    asked: Mutex<Vec<Asked>>,
    replies: Mutex<VecDeque<Reply>>,
    state: Mutex<Option<&'static str>>,
    looks: Mutex<usize>,
    webhook_status: Mutex<u16>,
}

/// The server. Sends are accepted where no other reply is planned.
pub struct Evolution {
    shared: Arc<Shared>,
    pub base_url: String,
}

impl Evolution {
    /// A server whose instance is open.
    pub async fn start() -> Self {
        let shared = Arc::new(Shared {
            asked: Mutex::default(),
            replies: Mutex::default(),
            state: Mutex::new(Some("open")),
            looks: Mutex::default(),
            webhook_status: Mutex::new(201),
        });
        let router = Router::new()
            .route("/message/sendText/{instance}", post(send))
            .route("/webhook/set/{instance}", post(set_webhook))
            .route("/instance/connectionState/{instance}", get(connection_state))
            .with_state(Arc::clone(&shared));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let base_url = format!("http://{}", listener.local_addr().expect("it listens"));
        tokio::spawn(async move { axum::serve(listener, router).await.expect("it serves") });
        Self { shared, base_url }
    }

    /// Plans the reply to the next send that has none yet.
    pub fn plan(&self, reply: Reply) {
        self.shared.replies.lock().expect("no test panics inside").push_back(reply);
    }

    /// What looks at the connection find from now on; `None`: the instance is not loaded.
    pub fn set_state(&self, state: Option<&'static str>) {
        *self.shared.state.lock().expect("no test panics inside") = state;
    }

    /// How webhooks are answered from now on.
    pub fn answer_webhooks(&self, status: u16) {
        *self.shared.webhook_status.lock().expect("no test panics inside") = status;
    }

    /// What was asked by that action.
    pub fn asked(&self, action: &str) -> Vec<Asked> {
        let asked = self.shared.asked.lock().expect("no test panics inside");
        asked.iter().filter(|asked| asked.action == action).cloned().collect()
    }

    /// How often somebody looked at the connection.
    pub fn looks(&self) -> usize {
        *self.shared.looks.lock().expect("no test panics inside")
    }

    /// The id it gives to the `n`-th send (from 0).
    pub fn id(n: usize) -> String {
        format!("3EB0{n:018X}")
    }

    /// An instance of the customer's on this server, given as a customer who sends from it. The world's setting
    /// `EVOLUTION_KEY` must be [`KEY`].
    pub async fn instance(&self, world: &World, customer: &Customer) -> Customer {
        let mut arguments = vec!["instance", "create", "--account", &customer.account, "--id", "evo"];
        arguments.extend(["--name", "Evolution line", "--provider", "evolution"]);
        arguments.extend(["--base-url", &self.base_url, "--provider-instance", NAME]);
        arguments.extend(["--token-env", "EVOLUTION_KEY", "--rate", "100000/s,burst=1000"]);
        world.admin(&arguments).await;
        Customer { instance: "evo".to_owned(), ..customer.clone() }
    }
}

impl Shared {
    fn note(&self, action: &'static str, instance: String, headers: HeaderMap, body: &Bytes) -> usize {
        let body = serde_json::from_slice(body).unwrap_or(Value::Null);
        let mut asked = self.asked.lock().expect("no test panics inside");
        asked.push(Asked { action, instance, headers, body });
        asked.iter().filter(|asked| asked.action == action).count() - 1
    }
}

async fn send(
    State(shared): State<Arc<Shared>>,
    Path(instance): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let n = shared.note("sendText", instance, headers, &body);
    let planned = shared.replies.lock().expect("no test panics inside").pop_front();
    match planned {
        Some(Reply::Nothing) => std::future::pending().await,
        Some(Reply::Say(status, body)) => {
            (StatusCode::from_u16(status).expect("a status"), Json(body)).into_response()
        }
        None => {
            let key = json!({"remoteJid": "x@s.whatsapp.net", "fromMe": true, "id": Evolution::id(n)});
            (StatusCode::CREATED, Json(json!({"key": key, "status": "PENDING"}))).into_response()
        }
    }
}

async fn set_webhook(
    State(shared): State<Arc<Shared>>,
    Path(instance): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    shared.note("set", instance, headers, &body);
    let status = *shared.webhook_status.lock().expect("no test panics inside");
    (StatusCode::from_u16(status).expect("a status"), Json(json!({}))).into_response()
}

async fn connection_state(State(shared): State<Arc<Shared>>, Path(instance): Path<String>) -> Json<Value> {
    *shared.looks.lock().expect("no test panics inside") += 1;
    let mut found = json!({ "instanceName": instance });
    if let Some(state) = *shared.state.lock().expect("no test panics inside") {
        found["state"] = json!(state);
    }
    Json(json!({ "instance": found }))
}
