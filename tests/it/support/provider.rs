//! A provider that answers as a test tells it to: it speaks as much of Meta's wire as a send needs.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use gatepost::admin::{Admin, instances};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::world::{Customer, World};

/// How a send is answered.
#[derive(Clone, Debug)]
pub enum Reply {
    /// With this status, these headers and this body.
    Say(u16, Vec<(String, String)>, Value),
    /// With the beginning of an acceptance, and a broken connection.
    Half,
}

impl Reply {
    /// With this status and body.
    pub fn say(status: u16, body: Value) -> Self {
        Self::Say(status, Vec::new(), body)
    }

    /// With an error of Meta's.
    pub fn error(status: u16, code: i32) -> Self {
        Self::say(status, json!({"error": {"message": "any", "type": "OAuthException", "code": code}}))
    }
}

struct Shared {
    calls: Mutex<Vec<Value>>,
    senders: Mutex<Vec<String>>,
    replies: Mutex<HashMap<String, VecDeque<Reply>>>,
    number: Mutex<(u16, Value)>,
    held: watch::Sender<bool>,
}

/// The provider; it takes every send for which no other reply is planned. The ids it gives are known before: see
/// [`Provider::id`].
pub struct Provider {
    shared: Arc<Shared>,
    pub base_url: String,
}

impl Provider {
    /// A provider that answers at once.
    pub async fn start() -> Self {
        let shared = Arc::new(Shared {
            calls: Mutex::default(),
            senders: Mutex::default(),
            replies: Mutex::default(),
            number: Mutex::new((404, Value::Null)),
            held: watch::Sender::new(false),
        });
        let router = Router::new()
            .route("/v23.0/{phone_number_id}/messages", post(send))
            .route("/v23.0/{phone_number_id}", get(look))
            .with_state(Arc::clone(&shared));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let base_url = format!("http://{}/v23.0", listener.local_addr().expect("it listens"));
        tokio::spawn(async move { axum::serve(listener, router).await.expect("it serves") });
        Self { shared, base_url }
    }

    /// Keeps all acceptances back from now on, or lets them go.
    pub fn hold(&self, held: bool) {
        self.shared.held.send_replace(held);
    }

    /// Plans the reply to the next send to that recipient that has none yet.
    pub fn plan(&self, to: &str, reply: Reply) {
        let mut replies = self.shared.replies.lock().expect("no test panics inside");
        replies.entry(to.to_owned()).or_default().push_back(reply);
    }

    /// How it answers whoever asks about a number.
    pub fn show_number(&self, status: u16, body: Value) {
        *self.shared.number.lock().expect("no test panics inside") = (status, body);
    }

    /// The bodies of the sends it has met.
    pub fn calls(&self) -> Vec<Value> {
        self.shared.calls.lock().expect("no test panics inside").clone()
    }

    /// The bodies of the sends to that recipient.
    pub fn calls_to(&self, to: &str) -> Vec<Value> {
        self.calls().into_iter().filter(|call| call["to"] == to).collect()
    }

    /// The ids of the numbers that sent, in the order of their calls.
    pub fn senders(&self) -> Vec<String> {
        self.shared.senders.lock().expect("no test panics inside").clone()
    }

    /// The id it gives to the `n`-th send (from 0).
    pub fn id(n: usize) -> String {
        format!("wamid.SCRIPTED{n:04}==")
    }

    /// One more instance of the customer's, with this provider; given as a customer who sends from it.
    pub async fn instance(&self, world: &World, customer: &Customer, id: &str) -> Customer {
        add_instance(world, customer, id, &self.base_url).await
    }

    /// As [`Self::instance`], made within this process: for a test that needs many.
    pub async fn instance_by(&self, admin: &Admin, customer: &Customer, id: &str) -> Customer {
        let mut other = customer.clone();
        id.clone_into(&mut other.instance);
        other.phone_number_id = a_number();
        let new = instances::Create {
            account: customer.account_id,
            id: id.to_owned(),
            name: "Another line".to_owned(),
            provider: gatepost::domain::instance::Provider::Sandbox,
            base_url: Some(self.base_url.parse().expect("a URL")),
            phone_number_id: Some(other.phone_number_id.clone()),
            provider_instance: None,
            token_env: None,
            rate: Some("100000/s,burst=1000".parse().expect("a rate")),
        };
        instances::create(admin, &new).await.expect("it can be made");
        other
    }

    /// As [`Self::instance`], but one of Meta's.
    pub async fn meta_instance(&self, world: &World, customer: &Customer, id: &str) -> Customer {
        add_instance_of(world, customer, id, (&self.base_url, "meta")).await
    }
}

/// One more instance of the customer's at the sandbox of that address.
pub async fn add_instance(world: &World, customer: &Customer, id: &str, base_url: &str) -> Customer {
    add_instance_of(world, customer, id, (base_url, "sandbox")).await
}

async fn add_instance_of(
    world: &World,
    customer: &Customer,
    id: &str,
    (base_url, provider): (&str, &str),
) -> Customer {
    let phone_number_id = a_number();
    let mut arguments = vec!["instance", "create", "--account", &customer.account, "--id", id];
    arguments.extend(["--name", "Another line", "--provider", provider, "--base-url", base_url]);
    arguments.extend(["--phone-number-id", &phone_number_id, "--token-env", "SANDBOX_TOKEN"]);
    arguments.extend(["--rate", "100000/s,burst=1000"]);
    world.admin(&arguments).await;
    let mut other = customer.clone();
    id.clone_into(&mut other.instance);
    other.phone_number_id = phone_number_id;
    other
}

fn a_number() -> String {
    format!("2{:014}", rand::random_range(0..100_000_000_000_000_u64))
}

async fn send(
    State(shared): State<Arc<Shared>>,
    Path(sender): Path<String>,
    Json(body): Json<Value>,
) -> Response {
    let to = body["to"].as_str().unwrap_or_default().to_owned();
    let id = {
        let mut calls = shared.calls.lock().expect("no test panics inside");
        calls.push(body.clone());
        shared.senders.lock().expect("no test panics inside").push(sender);
        Provider::id(calls.len() - 1)
    };
    let planned =
        shared.replies.lock().expect("no test panics inside").get_mut(&to).and_then(VecDeque::pop_front);
    match planned {
        Some(Reply::Say(status, headers, body)) => {
            let mut response = (StatusCode::from_u16(status).expect("a status"), Json(body)).into_response();
            for (name, value) in headers {
                let name = axum::http::HeaderName::try_from(name).expect("a header's name");
                response.headers_mut().insert(name, value.parse().expect("a header's value"));
            }
            response
        }
        Some(Reply::Half) => half(&id),
        None => {
            // An error means that the provider is gone, and this task will be soon.
            let _ = shared.held.subscribe().wait_for(|held| !held).await;
            Json(json!({"messaging_product": "whatsapp", "messages": [{"id": id}],
                "contacts": [{"input": body["to"], "wa_id": body["to"]}]}))
            .into_response()
        }
    }
}

async fn look(State(shared): State<Arc<Shared>>, Query(query): Query<HashMap<String, String>>) -> Response {
    assert_eq!(query["fields"], "display_phone_number,verified_name,quality_rating,throughput");
    let (status, body) = shared.number.lock().expect("no test panics inside").clone();
    (StatusCode::from_u16(status).expect("a status"), Json(body)).into_response()
}

/// The beginning of an acceptance that promises more than comes.
fn half(id: &str) -> Response {
    let begun = Bytes::from(format!(r#"{{"messaging_product":"whatsapp","messages":[{{"id":"{id}"}}"#));
    let stream = futures_util::stream::once(async move { Ok::<_, Infallible>(begun) });
    let mut response = Response::new(Body::from_stream(stream));
    response.headers_mut().insert("content-length", axum::http::HeaderValue::from_static("500"));
    response
}
