//! A provider whose answers a test holds back and lets go: it speaks as much of Meta's wire as a send needs.

use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::world::{Customer, World};

struct Shared {
    calls: Mutex<Vec<Value>>,
    held: watch::Sender<bool>,
}

/// The provider; it takes every send. The ids it gives are known before: see [`Provider::id`].
pub struct Provider {
    shared: Arc<Shared>,
    base_url: String,
}

impl Provider {
    /// A provider that answers at once.
    pub async fn start() -> Self {
        let shared = Arc::new(Shared { calls: Mutex::default(), held: watch::Sender::new(false) });
        let router = Router::new()
            .route("/v23.0/{phone_number_id}/messages", post(send))
            .with_state(Arc::clone(&shared));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let base_url = format!("http://{}/v23.0", listener.local_addr().expect("it listens"));
        tokio::spawn(async move { axum::serve(listener, router).await.expect("it serves") });
        Self { shared, base_url }
    }

    /// Keeps all answers back from now on, or lets them go.
    pub fn hold(&self, held: bool) {
        self.shared.held.send_replace(held);
    }

    /// The bodies of the sends it has met.
    pub fn calls(&self) -> Vec<Value> {
        self.shared.calls.lock().expect("no test panics inside").clone()
    }

    /// The id it gives to the `n`-th send (from 0).
    pub fn id(n: usize) -> String {
        format!("wamid.SCRIPTED{n:04}==")
    }

    /// One more instance of the customer's, with this provider; given as a customer who sends from it.
    pub async fn instance(&self, world: &World, customer: &Customer, id: &str) -> Customer {
        add_instance(world, customer, id, &self.base_url).await
    }
}

/// One more instance of the customer's at the provider of that address.
pub async fn add_instance(world: &World, customer: &Customer, id: &str, base_url: &str) -> Customer {
    let phone_number_id = format!("2{:014}", rand::random_range(0..100_000_000_000_000_u64));
    let mut arguments = vec!["instance", "create", "--account", &customer.account, "--id", id];
    arguments.extend(["--name", "Another line", "--provider", "sandbox", "--base-url", base_url]);
    arguments.extend(["--phone-number-id", &phone_number_id, "--token-env", "SANDBOX_TOKEN"]);
    arguments.extend(["--rate", "100000/s,burst=1000"]);
    world.admin(&arguments).await;
    let mut other = customer.clone();
    id.clone_into(&mut other.instance);
    other.phone_number_id = phone_number_id;
    other
}

async fn send(State(shared): State<Arc<Shared>>, Json(body): Json<Value>) -> Json<Value> {
    let id = {
        let mut calls = shared.calls.lock().expect("no test panics inside");
        calls.push(body.clone());
        Provider::id(calls.len() - 1)
    };
    // An error means that the provider is gone, and this task will be soon.
    let _ = shared.held.subscribe().wait_for(|held| !held).await;
    Json(json!({"messaging_product": "whatsapp", "messages": [{"id": id}],
        "contacts": [{"input": body["to"], "wa_id": body["to"]}]}))
}
