//! An Evolution server that answers as a test tells it to, and keeps what it was asked.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use gatepost::runtime::clock::Clock;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::Instant;

use super::process::Process;
use super::services::Services;
use super::world::{Customer, World};

/// The key that every request must carry.
pub const KEY: &str = "the-evolution-servers-key";
/// The instance's name on the server; it has to be escaped in addresses.
pub const NAME: &str = "shop main";

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Asked {
    /// `sendText`, `set` or `findMessages`.
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
    /// By nothing, but the message leaves under the id that was proposed, as from 2.4 on (`true`), or under the server's own.
    Leaves(bool),
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
    refusal: Mutex<Option<Reply>>,
    /// The messages that have left.
    records: Mutex<Vec<Value>>,
    arrivals: Mutex<Vec<Instant>>,
    state: Mutex<Value>,
    elsewhere: Mutex<Vec<String>>,
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
            refusal: Mutex::default(),
            records: Mutex::default(),
            arrivals: Mutex::default(),
            state: Mutex::new(state(Some("open"))),
            elsewhere: Mutex::default(),
            looks: Mutex::default(),
            webhook_status: Mutex::new(201),
        });
        let router = Router::new()
            .route("/message/sendText/{instance}", post(send))
            .route("/webhook/set/{instance}", post(set_webhook))
            .route("/instance/connectionState/{instance}", get(connection_state))
            .route("/chat/findMessages/{instance}", post(find_messages))
            .fallback(elsewhere)
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

    /// From now on every send without a planned reply is answered so; `None`: it is taken.
    pub fn answer_all(&self, reply: Option<Reply>) {
        *self.shared.refusal.lock().expect("no test panics inside") = reply;
    }

    /// When each send came.
    pub fn arrivals(&self) -> Vec<Instant> {
        self.shared.arrivals.lock().expect("no test panics inside").clone()
    }

    /// Changes what is on record of the `n`-th message that has left.
    pub fn change_record(&self, n: usize, change: impl FnOnce(&mut Value)) {
        change(&mut self.shared.records.lock().expect("no test panics inside")[n]);
    }

    /// Puts a message on record that has left in another way.
    pub fn add_record(&self, record: Value) {
        self.shared.records.lock().expect("no test panics inside").push(record);
    }

    /// What looks at the connection find from now on; `None`: the instance is not loaded.
    pub fn set_state(&self, state: Option<&'static str>) {
        self.answer_looks(self::state(state));
    }

    /// As [`Self::set_state`], with the whole body.
    pub fn answer_looks(&self, body: Value) {
        *self.shared.state.lock().expect("no test panics inside") = body;
    }

    /// What else it was asked, by its address.
    pub fn asked_elsewhere(&self) -> Vec<String> {
        self.shared.elsewhere.lock().expect("no test panics inside").clone()
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
    shared.arrivals.lock().expect("no test panics inside").push(Instant::now());
    let planned = shared.replies.lock().expect("no test panics inside").pop_front();
    let planned = planned.or_else(|| shared.refusal.lock().expect("no test panics inside").clone());
    match planned {
        Some(Reply::Nothing) => std::future::pending().await,
        Some(Reply::Leaves(by_proposed_id)) => {
            let body: Value = serde_json::from_slice(&body).expect("JSON");
            let proposed = body["messageId"].as_str().expect("an id").to_owned();
            let id = if by_proposed_id { proposed } else { Evolution::id(n) };
            shared.records.lock().expect("no test panics inside").push(record(&body, &id));
            std::future::pending().await
        }
        Some(Reply::Say(status, body)) => {
            (StatusCode::from_u16(status).expect("a status"), Json(body)).into_response()
        }
        None => {
            let key = json!({"remoteJid": "x@s.whatsapp.net", "fromMe": true, "id": Evolution::id(n)});
            (StatusCode::CREATED, Json(json!({"key": key, "status": "PENDING"}))).into_response()
        }
    }
}

/// A message as the server keeps it.
pub fn record(sent: &Value, id: &str) -> Value {
    let jid = format!("{}@s.whatsapp.net", sent["number"].as_str().expect("a number"));
    let now = Clock::system().now();
    json!({
        "id": format!("row of {id}"), "key": {"remoteJid": jid, "fromMe": true, "id": id}, "pushName": "Shop",
        "messageType": "conversation", "message": {"conversation": sent["text"]}, "messageTimestamp": now.as_second(),
        "source": "web", "MessageUpdate": [],
    })
}

/// As its version 2.3.7: only the id is heeded, and else everything is on the page.
async fn find_messages(
    State(shared): State<Arc<Shared>>,
    Path(instance): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Json<Value> {
    shared.note("findMessages", instance, headers, &body);
    let asked: Value = serde_json::from_slice(&body).expect("JSON");
    let id = &asked["where"]["key"]["id"];
    let records = shared.records.lock().expect("no test panics inside").clone();
    let found: Vec<Value> =
        records.into_iter().filter(|record| id.is_null() || record["key"]["id"] == *id).collect();
    let total = found.len();
    Json(json!({"messages": {"total": total, "pages": 1, "currentPage": 1, "records": found}}))
}

async fn set_webhook(
    State(shared): State<Arc<Shared>>,
    Path(instance): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    shared.note("set", instance, headers, &body);
    let status = *shared.webhook_status.lock().expect("no test panics inside");
    (StatusCode::from_u16(status).expect("a status"), Json(wire("webhook_set_response_201"))).into_response()
}

async fn connection_state(State(shared): State<Arc<Shared>>) -> Json<Value> {
    *shared.looks.lock().expect("no test panics inside") += 1;
    Json(shared.state.lock().expect("no test panics inside").clone())
}

/// What a look is answered.
fn state(state: Option<&str>) -> Value {
    let mut found = json!({ "instanceName": NAME });
    if let Some(state) = state {
        found["state"] = json!(state);
    }
    json!({ "instance": found })
}

async fn elsewhere(State(shared): State<Arc<Shared>>, uri: Uri) -> StatusCode {
    shared.elsewhere.lock().expect("no test panics inside").push(uri.path().to_owned());
    StatusCode::NOT_FOUND
}

/// One of the samples of what goes over the wire beside sends and events.
pub fn wire(name: &str) -> Value {
    let mut samples: Value =
        serde_json::from_str(include_str!("../../fixtures/evolution/wire.json")).expect("JSON");
    assert!(!samples[name].is_null(), "{name} is a sample");
    samples[name].take()
}

/// A world whose processes run, and a customer with an instance on an Evolution server.
pub struct Stage {
    pub world: World,
    pub server: Evolution,
    pub customer: Customer,
    _processes: Vec<Process>,
}

impl Stage {
    /// Its connection is looked at in the beginning, and then not for long.
    pub async fn new(services: &Services) -> Self {
        Self::with(services, &[]).await
    }

    /// Its connection is looked at all the time.
    pub async fn looking(services: &Services) -> Self {
        Self::with(services, &[("GATEPOST_CONNECTION_POLL_MS", 50)]).await
    }

    /// With other settings.
    pub async fn with(services: &Services, settings: &[(&str, u32)]) -> Self {
        let mut world = World::new(services).await;
        world.set("EVOLUTION_KEY", KEY);
        world.set("GATEPOST_CONNECTION_POLL_MS", 600_000);
        world.set("GATEPOST_PROBE_MS", 200);
        world.set("GATEPOST_PROVIDER_TIMEOUT_MS", 1_500);
        world.set("GATEPOST_UNKNOWN_DEADLINE_MS", 5_000);
        for (name, value) in settings {
            world.set(name, value);
        }
        let processes = world.start_all().await;
        let server = Evolution::start().await;
        let customer = world.customer().await;
        let customer = server.instance(&world, &customer).await;
        Self { world, server, customer, _processes: processes }
    }

    /// Has the server report to the gateway; gives the address it was told.
    pub async fn register(&self, more: &[&str]) -> String {
        let url = self.world.gateway_url();
        let mut arguments =
            vec!["instance", "register-webhook", "--account", &self.customer.account, "--id", "evo"];
        arguments.extend(["--callback-url", &url]);
        arguments.extend(more);
        self.world.admin(&arguments).await;
        let asked = self.server.asked("set").pop().expect("the server is told");
        asked.body["webhook"]["url"].as_str().expect("an address").to_owned()
    }

    /// Reports an event to that address; gives the status of the answer.
    pub async fn report(&self, address: &str, event: &str, data: &Value) -> u16 {
        // Each another body: the very same one is a repeat.
        let nonce = rand::random::<u64>();
        let body = json!({"event": event, "instance": NAME, "data": data, "date_time": nonce.to_string()});
        let answer = self.customer.http.post(address).json(&body).send().await;
        answer.expect("the gateway answers").status().as_u16()
    }

    /// Reports how a message fares that was sent.
    pub async fn report_status(&self, address: &str, id: &str, status: &str) {
        let data = json!({"keyId": id, "remoteJid": "1@s.whatsapp.net", "fromMe": true, "status": status});
        assert_eq!(self.report(address, "messages.update", &data).await, 200);
    }

    /// Somebody writes something.
    pub async fn somebody_writes(&self, address: &str) {
        let id = format!("AC{:016X}", rand::random::<u64>());
        let key = json!({"remoteJid": "966599999999@s.whatsapp.net", "fromMe": false, "id": id});
        let data =
            json!({"key": key, "message": {"conversation": "Hello"}, "messageTimestamp": 1_769_904_100});
        assert_eq!(self.report(address, "messages.upsert", &data).await, 200);
    }

    /// How the instance is connected.
    pub async fn connection(&self) -> String {
        let sql = "select connection from instances where instance_id = 'evo'";
        self.world.database().await.query_one(sql, &[]).await.expect("the instance exists").get(0)
    }

    /// Waits until the instance is so connected.
    pub async fn wait_for_connection(&self, state: &str) {
        super::eventually(&format!("the connection is {state}"), async || {
            (self.connection().await == state).then_some(())
        })
        .await;
    }
}
