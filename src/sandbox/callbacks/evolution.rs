//! Evolution's callbacks: one event a POST, to the address that was set for its instance.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use reqwest::{Client, Url};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::outbox::Outbox;
use super::pending::{Pending, Subject};
use super::reporter::{parse, plain_client, wait_before};
use crate::runtime::clock::Clock;
use crate::sandbox::Settings;
use crate::sandbox::recipients::{Link, Report, Way};

/// How long a receiver may take to answer.
const POST_LIMIT: Duration = Duration::from_secs(30);
/// Answers after which Evolution does not try again.
const FINAL: [u16; 5] = [400, 401, 403, 404, 422];
/// Most instances remembered.
const INSTANCES: usize = 1_000;
/// Evolution's own id of every instance.
pub const INSTANCE_ROW: &str = "00000000-0000-4000-8000-000000000000";
/// The number every instance sends from.
const OWN_JID: &str = "966550009999@s.whatsapp.net";

/// What is set for the instances, and how they are connected.
#[derive(Default)]
pub struct Instances(Mutex<HashMap<String, Instance>>);

#[derive(Clone, Default)]
struct Instance {
    webhook: Option<Webhook>,
    link: Link,
}

/// Where an instance reports to, and the headers it sends there. `jwt_key` is none of them: it signs a token.
#[derive(Clone)]
struct Webhook {
    url: Url,
    headers: HeaderMap,
    jwt_key: Option<String>,
}

impl Instances {
    /// Sets where an instance reports to, from the body of `POST /webhook/set`; says what is wrong with it.
    pub fn set_webhook(&self, name: &str, body: &Value) -> Result<(), String> {
        let webhook = &body["webhook"];
        let url = parse(webhook["url"].as_str().unwrap_or_default()).map_err(|error| error.to_string())?;
        let mut headers = HeaderMap::new();
        for (name, value) in webhook["headers"].as_object().into_iter().flatten() {
            let named = HeaderName::from_bytes(name.as_bytes()).ok();
            let value = value.as_str().and_then(|value| HeaderValue::from_str(value).ok());
            headers.insert(named.ok_or("headers")?, value.ok_or("headers")?);
        }
        let jwt_key = headers.remove("jwt_key").and_then(|key| key.to_str().ok().map(str::to_owned));
        let webhook = (webhook["enabled"] == true).then_some(Webhook { url, headers, jwt_key });
        self.change(name, |instance| instance.webhook = webhook);
        Ok(())
    }

    /// How an instance is connected.
    pub fn link(&self, name: &str) -> Link {
        self.all().get(name).map(|instance| instance.link).unwrap_or_default()
    }

    fn webhook(&self, name: &str) -> Option<Webhook> {
        self.all().get(name)?.webhook.clone()
    }

    fn change(&self, name: &str, change: impl FnOnce(&mut Instance)) {
        let mut all = self.all();
        if all.len() < INSTANCES || all.contains_key(name) {
            change(all.entry(name.to_owned()).or_default());
        }
    }

    fn all(&self) -> MutexGuard<'_, HashMap<String, Instance>> {
        // Each change leaves the map whole, so it is good after a panic, too.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Posts what the outbox holds, each update for itself.
pub struct EvolutionReporter {
    client: Client,
    attempts: u32,
    clock: Clock,
    outbox: Arc<Outbox>,
    instances: Arc<Instances>,
}

impl EvolutionReporter {
    /// Builds the client.
    pub fn new(settings: &Settings, outbox: Arc<Outbox>, instances: Arc<Instances>) -> io::Result<Self> {
        let attempts = settings.callback_attempts.max(1);
        Ok(Self {
            client: plain_client(POST_LIMIT)?,
            attempts,
            clock: settings.clock.clone(),
            outbox,
            instances,
        })
    }

    /// Starts that many workers; they end when the outbox has been drained.
    pub fn start(self, workers: usize) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        let reporter = Arc::new(self);
        for _ in 0..workers.max(1) {
            tasks.spawn(Arc::clone(&reporter).work());
        }
        tasks
    }

    async fn work(self: Arc<Self>) {
        while let Some(batch) = self.outbox.batch().await {
            for pending in batch {
                let answered = self.report(&pending).await;
                self.outbox.settle(vec![pending], answered, Instant::now());
            }
        }
    }

    /// Posts the next update of one until it is answered with success, within the attempts.
    async fn report(&self, pending: &Pending) -> bool {
        let (event, data) = event(pending, self.clock.now());
        if let ("connection.update", Some(link)) = (event, link_of(pending)) {
            self.instances.change(&pending.sender, |instance| instance.link = link);
        }
        let Some(webhook) = self.instances.webhook(&pending.sender) else { return false };
        let body = json!({
            "event": event, "instance": pending.sender, "data": data, "destination": webhook.url.as_str(),
            // The server's local time, whatever it says.
            "date_time": self.clock.now().to_string(), "sender": OWN_JID,
            "server_url": "http://sandbox", "apikey": null,
        });
        // Made once, and sent again with each repetition.
        let token = webhook.jwt_key.as_deref().map(|key| token(key, self.clock.now()));
        for attempt in 0..self.attempts {
            if attempt > 0 {
                sleep(wait_before(attempt)).await;
            }
            self.outbox.count_post();
            let mut request =
                self.client.post(webhook.url.clone()).headers(webhook.headers.clone()).json(&body);
            if let Some(token) = &token {
                request = request.bearer_auth(token);
            }
            let status = request.send().await.map_or(StatusCode::BAD_GATEWAY, |response| response.status());
            if status.is_success() || FINAL.contains(&status.as_u16()) {
                return status.is_success();
            }
        }
        tracing::warn!(attempts = self.attempts, "sandbox: a callback was never answered with success");
        false
    }
}

/// An HS256 token as Evolution makes it: it says nothing of the body.
fn token(key: &str, now: Timestamp) -> String {
    let issued = now.as_second();
    let claims = json!({"iat": issued, "exp": issued + 600, "app": "evolution", "action": "webhook"});
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(&json!({"alg": "HS256", "typ": "JWT"})), part(&claims));
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).expect("HMAC takes a key of any length");
    mac.update(signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}

fn link_of(pending: &Pending) -> Option<Link> {
    match &pending.subject {
        Subject::Link(link) => Some(*link),
        Subject::Message(message) => match message.reports.first() {
            Some(Report::Link(link)) => Some(*link),
            _ => None,
        },
        Subject::Text(_) | Subject::WentOut { .. } => None,
    }
}

/// The event that reports the next update, and its data.
fn event(pending: &Pending, now: Timestamp) -> (&'static str, Value) {
    let jid = format!("{}@s.whatsapp.net", pending.number);
    let message = match &pending.subject {
        Subject::Text(text) => return ("messages.upsert", written(&jid, (Way::Text, text), now)),
        Subject::Link(link) => return ("connection.update", connection(&pending.sender, *link)),
        Subject::WentOut { id, text } => {
            let data = json!({
                "key": {"remoteJid": jid, "fromMe": true, "id": id}, "pushName": "Sandbox", "status": "PENDING",
                "message": {"conversation": text}, "contextInfo": {}, "messageType": "conversation",
                "messageTimestamp": now.as_second(), "instanceId": INSTANCE_ROW, "source": "web",
            });
            return ("send.message", data);
        }
        Subject::Message(message) => message,
    };
    let status = match message.reports.first() {
        Some(Report::Reply(way, words)) => return ("messages.upsert", written(&jid, (*way, words), now)),
        Some(Report::Link(link)) => return ("connection.update", connection(&pending.sender, *link)),
        Some(Report::Sent) | None => "SERVER_ACK",
        Some(Report::Delivered) => "DELIVERY_ACK",
        Some(Report::Read) => "READ",
        Some(Report::Failed(_)) => "ERROR",
    };
    let data = json!({
        "keyId": message.id, "remoteJid": jid, "fromMe": true, "status": status,
        "instanceId": INSTANCE_ROW, "messageId": format!("row-{}", message.id),
    });
    ("messages.update", data)
}

fn connection(instance: &str, link: Link) -> Value {
    let reason = if link == Link::Close { 401 } else { 200 };
    json!({"instance": instance, "state": link.as_str(), "statusReason": reason})
}

/// What a person writes or taps.
fn written(jid: &str, (way, words): (Way, &str), now: Timestamp) -> Value {
    let (kind, message) = match way {
        Way::Text => ("conversation", json!({"conversation": words})),
        Way::Button => {
            let tapped = json!({"selectedButtonId": "button-1", "selectedDisplayText": words, "type": 1});
            ("buttonsResponseMessage", json!({"buttonsResponseMessage": tapped}))
        }
        Way::Row => {
            let row = json!({"selectedRowId": "row-1"});
            let chosen = json!({"title": words, "listType": 1, "singleSelectReply": row});
            ("listResponseMessage", json!({"listResponseMessage": chosen}))
        }
    };
    json!({
        "key": {"remoteJid": jid, "fromMe": false, "id": format!("3A{:018X}", rand::random::<u128>() >> 56)},
        "pushName": "Test Customer", "status": "DELIVERY_ACK", "message": message, "messageType": kind,
        "messageTimestamp": now.as_second(), "instanceId": INSTANCE_ROW, "source": "android",
    })
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::token;

    #[test]
    fn a_token_is_signed_as_evolution_signs_it() {
        // Computed with another program.
        let expected = concat!(
            "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.",
            "eyJhY3Rpb24iOiJ3ZWJob29rIiwiYXBwIjoiZXZvbHV0aW9uIiwiZXhwIjoxNzY3MjI2MjAwLCJpYXQiOjE3NjcyMjU2MDB9.",
            "C0vEROtrePP3ltcRh0qml543vXvx_uUM1YxZgPiaew8"
        );
        assert_eq!(token("the key", Timestamp::from_second(1_767_225_600).expect("in range")), expected);
    }
}
