//! The sandbox from outside: over HTTP, with a receiver that plays the gateway.

mod answers;
mod evolution;
mod record;
mod reports;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use reqwest::{Client, Response};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::callbacks::{plain_client, signature};
use super::{Settings, run};

const SECRET: &str = "a secret of the tests";
const SENDER: &str = "109876543210987";

/// The longest a test waits for something that should happen.
const PATIENCE: Duration = Duration::from_secs(20);

/// A sandbox that is running.
struct Stage {
    base: String,
    client: Client,
    shutdown: CancellationToken,
    task: JoinHandle<io::Result<()>>,
}

impl Stage {
    async fn start(settings: Settings) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let base = format!("http://{}", listener.local_addr().expect("bound"));
        let shutdown = CancellationToken::new();
        let settings = Settings { app_secret: SECRET.into(), ..settings };
        let task = tokio::spawn(run(listener, settings, shutdown.clone()));
        Self { base, client: plain_client(PATIENCE).expect("a client"), shutdown, task }
    }

    /// A sandbox that reports to a receiver, without delay.
    async fn reporting() -> (Self, Receiver) {
        let receiver = Receiver::start(0).await;
        let stage = Self::start(receiver.settings(Duration::ZERO)).await;
        (stage, receiver)
    }

    /// Sends a text to the magic number with this ending, noted as its ending.
    async fn send(&self, ending: &str) -> Result<Response, reqwest::Error> {
        self.send_body(&text_to(ending)).await
    }

    async fn send_body(&self, body: &Value) -> Result<Response, reqwest::Error> {
        self.client.post(format!("{}/v23.0/{SENDER}/messages", self.base)).json(body).send().await
    }

    async fn get(&self, path: &str) -> Value {
        let response = self.client.get(format!("{}{path}", self.base)).send().await.expect("an answer");
        response.json().await.expect("JSON")
    }

    async fn stop(self) {
        self.shutdown.cancel();
        timeout(PATIENCE, self.task).await.expect("it ends").expect("no panic").expect("no error");
    }
}

fn text_to(ending: &str) -> Value {
    json!({
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        "to": format!("+96650123{ending}"),
        "type": "text",
        "text": {"preview_url": false, "body": "Your order 1042 is confirmed."},
        "biz_opaque_callback_data": ending,
    })
}

/// One POST the receiver met. Only signed ones get this far.
#[derive(Clone, Debug)]
struct Posted {
    raw: Bytes,
    body: Value,
}

/// Plays the gateway: takes callbacks, and may refuse the first few.
struct Receiver {
    url: String,
    posts: watch::Receiver<Vec<Posted>>,
}

struct Inbox {
    posts: watch::Sender<Vec<Posted>>,
    refuse_first: usize,
}

impl Receiver {
    async fn start(refuse_first: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}/callbacks/meta", listener.local_addr().expect("bound"));
        let (sender, posts) = watch::channel(Vec::new());
        let inbox = Arc::new(Inbox { posts: sender, refuse_first });
        let router = Router::new().route("/callbacks/meta", post(take)).with_state(inbox);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, posts }
    }

    fn settings(&self, callback_delay: Duration) -> Settings {
        Settings { callback_url: Some(self.url.clone()), callback_delay, ..Settings::default() }
    }

    /// Waits for that many POSTs.
    async fn posts(&mut self, count: usize) -> Vec<Posted> {
        let enough = self.posts.wait_for(|posts| posts.len() >= count);
        timeout(PATIENCE, enough).await.expect("as many POSTs").expect("the receiver runs").clone()
    }

    /// Waits for that many updates and gives them as `note status`, `number "text"`.
    async fn updates(&mut self, count: usize) -> Vec<String> {
        let enough = self.posts.wait_for(|posts| updates(posts).len() >= count);
        let posts = timeout(PATIENCE, enough).await.expect("as many updates").expect("the receiver runs");
        updates(&posts)
    }
}

async fn take(State(inbox): State<Arc<Inbox>>, headers: HeaderMap, raw: Bytes) -> StatusCode {
    let signed = headers.get("x-hub-signature-256").is_some_and(|given| given == &signature(SECRET, &raw));
    if !signed || !raw.is_ascii() {
        return StatusCode::FORBIDDEN;
    }
    let body = serde_json::from_slice(&raw).expect("JSON");
    let refused = inbox.posts.borrow().len() < inbox.refuse_first;
    inbox.posts.send_modify(|posts| posts.push(Posted { raw, body }));
    if refused { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK }
}

fn updates(posts: &[Posted]) -> Vec<String> {
    let list = |value: &Value, name: &str| value[name].as_array().cloned().unwrap_or_default();
    let mut updates = Vec::new();
    for change in posts.iter().flat_map(|post| list(&post.body["entry"][0], "changes")) {
        for status in list(&change["value"], "statuses") {
            let word = |name: &str| status[name].as_str().unwrap_or_default().to_owned();
            updates.push(format!("{} {}", word("biz_opaque_callback_data"), word("status")));
        }
        for message in list(&change["value"], "messages") {
            let tapped = &message["interactive"];
            let said = match tapped["type"].as_str() {
                Some("button_reply") => format!("{} (button)", tapped["button_reply"]["title"]),
                Some("list_reply") => format!("{} (list)", tapped["list_reply"]["title"]),
                _ => message["text"]["body"].to_string(),
            };
            updates.push(format!("{} {said}", message["from"].as_str().unwrap_or_default()));
        }
    }
    updates
}
