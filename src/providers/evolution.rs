//! The adapter to Evolution API v2, versions 2.2.3 to 2.4.

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde::Serialize;

use super::evolution_records::{self as records, Page};
pub use super::evolution_records::{Found, Wanted};
use super::evolution_wire::{self as wire, Refusal};
use super::http::{self, Body, Broken};
use super::{ClientError, ClientSettings, Outgoing};
use crate::domain::instance::Connection;
use crate::domain::meta_codes::{FEW_ATTEMPTS, RATE_LIMIT_PAUSE};
use crate::domain::outcome::{Class, Detail, Failure, Outcome};

/// Sends messages through Evolution servers. Clones share their connections.
#[derive(Clone, Debug)]
pub struct EvolutionClient {
    http: reqwest::Client,
}

/// Who sends: one instance of an Evolution server. It has no `Debug`, because it holds a key.
pub struct Sender<'a> {
    /// The server's address, for example `https://evolution.example`.
    pub base_url: &'a str,
    /// The name of the instance on that server.
    pub instance: &'a str,
    /// The server's API key, or the instance's own.
    pub token: &'a str,
}

/// What vouches for the events that a server posts to a gateway, as a header of theirs.
#[derive(Clone, Copy, Serialize)]
pub enum Vouching<'a> {
    /// The token itself.
    #[serde(rename = "X-Gateway-Token")]
    Token(&'a str),
    /// A JSON Web Token in `Authorization`, made with this key. Servers from 2.3.0 on do that; older ones send the key.
    #[serde(rename = "jwt_key")]
    JwtKey(&'a str),
}

/// Most pages of records that are looked through for one message.
const PAGES: u32 = 5;

/// Why something other than a send was not done.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The address or the key cannot be put into a request.
    #[error("the server's address or key is not usable")]
    Unusable,
    /// It cannot be known whether it was done.
    #[error("{0}")]
    NoAnswer(&'static str),
    /// The server said no.
    #[error("the server answers HTTP {0}")]
    Refused(u16),
}

impl EvolutionClient {
    /// A client with its own connections.
    ///
    /// # Errors
    ///
    /// [`ClientError`], when TLS is not set up for this process.
    pub fn new(settings: &ClientSettings) -> Result<Self, ClientError> {
        Ok(Self { http: http::client(settings)? })
    }

    /// Makes one call that asks the server to send `message`, and says what became of it. Never tries twice.
    ///
    /// [`Outcome::Failed`] means that the message was certainly not sent, as far as the server's own words can be
    /// believed: it answers 400 also when something broke after the send, so only words that are known to come from
    /// before it count. Everything else is [`Outcome::Unknown`].
    pub async fn send(&self, sender: &Sender<'_>, message: &Outgoing<'_>) -> Outcome {
        let Some(call) = self.call(Method::POST, sender, ["message", "sendText"]) else {
            return Outcome::Failed(Failure::new(
                Class::Instance,
                "the provider's address or token is not usable",
            ));
        };
        match with_body(call, wire::text_message(message)).send().await {
            Ok(response) => {
                let status = response.status();
                let headers = response.headers().clone();
                judge(status, &headers, &http::read_body(response).await)
            }
            Err(error) => http::broken_call(&error),
        }
    }

    /// Points the events of the sender's instance at `url`; each will be vouched for in this way.
    ///
    /// # Errors
    ///
    /// [`CallError`]; after [`CallError::NoAnswer`] it may have been done nevertheless.
    pub async fn set_webhook(
        &self,
        sender: &Sender<'_>,
        url: &str,
        vouching: Vouching<'_>,
    ) -> Result<(), CallError> {
        let call = self.call(Method::POST, sender, ["webhook", "set"]).ok_or(CallError::Unusable)?;
        answer(with_body(call, wire::set_webhook(url, vouching))).await.map(|_| ())
    }

    /// Asks whether the sender's instance is connected; one that is not loaded, or in a state of another name, is not.
    ///
    /// # Errors
    ///
    /// [`CallError`]; then nothing is known.
    pub async fn connection_state(&self, sender: &Sender<'_>) -> Result<Connection, CallError> {
        let call =
            self.call(Method::GET, sender, ["instance", "connectionState"]).ok_or(CallError::Unusable)?;
        let body = answer(call).await?;
        match wire::connection_state(&body).as_deref() {
            Some("open") => Ok(Connection::Open),
            Some("connecting") => Ok(Connection::Connecting),
            Some(_) => Ok(Connection::Close),
            None => Err(CallError::NoAnswer("what answers is not an Evolution server")),
        }
    }

    /// Asks whether the server has a message on record that it was asked to send, by the id that it was proposed, or else as
    /// the only one of that recipient and text among the latest of that time. That it has none proves nothing: it may not
    /// keep them.
    ///
    /// # Errors
    ///
    /// [`CallError`]; then nothing is known.
    pub async fn find(&self, sender: &Sender<'_>, wanted: &Wanted<'_>) -> Result<Option<Found>, CallError> {
        if let Some(found) = self.find_by_id(sender, wanted.proposed_id).await? {
            return Ok(Some(found));
        }
        let mut alike = Vec::new();
        for number in 1..=PAGES {
            let page = self.page(sender, records::by_time(wanted, number)).await?;
            alike.extend(page.alike(wanted));
            if page.is_last(number) {
                break;
            }
        }
        alike.dedup_by(|one, other| one.provider_message_id == other.provider_message_id);
        let only = alike.len() == 1;
        Ok(alike.pop().filter(|_| only))
    }

    /// Asks whether the server has a message of this id on record that was sent through it.
    ///
    /// # Errors
    ///
    /// [`CallError`]; then nothing is known.
    pub async fn find_by_id(&self, sender: &Sender<'_>, id: &str) -> Result<Option<Found>, CallError> {
        Ok(self.page(sender, records::by_id(id)).await?.with_id(id))
    }

    async fn page(&self, sender: &Sender<'_>, asked: Vec<u8>) -> Result<Page, CallError> {
        let call = self.call(Method::POST, sender, ["chat", "findMessages"]).ok_or(CallError::Unusable)?;
        let body = answer(with_body(call, asked)).await?;
        Page::read(&body).ok_or(CallError::NoAnswer("what answers is not an Evolution server"))
    }

    fn call(&self, method: Method, sender: &Sender<'_>, action: [&str; 2]) -> Option<RequestBuilder> {
        let url = wire::url(sender, action)?;
        let mut key = HeaderValue::from_str(sender.token).ok()?;
        key.set_sensitive(true);
        Some(self.http.request(method, url).header("apikey", key))
    }
}

fn with_body(call: RequestBuilder, body: Vec<u8>) -> RequestBuilder {
    call.header(CONTENT_TYPE, "application/json").body(body)
}

/// The body of a successful answer.
async fn answer(call: RequestBuilder) -> Result<Vec<u8>, CallError> {
    let response = call.send().await.map_err(|error| no_answer(&error))?;
    let status = response.status();
    let body = http::read_body(response).await;
    if !status.is_success() {
        return Err(CallError::Refused(status.as_u16()));
    }
    match body {
        Body::Whole(bytes) => Ok(bytes),
        Body::TooLong | Body::Lost => Err(CallError::NoAnswer("the answer did not come whole")),
    }
}

fn no_answer(error: &reqwest::Error) -> CallError {
    match Broken::of(error) {
        Broken::Unusable => CallError::Unusable,
        Broken::Unsent(reason) | Broken::Unknown(reason) => CallError::NoAnswer(reason),
    }
}

/// What an answer to a send says.
#[must_use]
pub fn judge(status: StatusCode, headers: &HeaderMap, body: &Body) -> Outcome {
    let code = status.as_u16();
    if status.is_success() {
        return match body.whole().and_then(wire::accepted_id) {
            Some(provider_message_id) => Outcome::Accepted { provider_message_id },
            None => Outcome::Unknown { reason: format!("HTTP {code} without a message id") },
        };
    }
    let refusal = body.whole().and_then(Refusal::read);
    let known = match &refusal {
        Some(refusal) => explained(code, refusal),
        None => body.whole().and_then(|body| unsent_by_proxy(code, body)),
    };
    let Some(mut failure) = known.or_else(|| by_status(code)) else {
        return Outcome::Unknown { reason: format!("HTTP {code} that does not say what was done") };
    };
    if matches!(failure.class, Class::Retry | Class::ThrottleSender) {
        failure.retry_after = http::retry_after(headers).or(failure.retry_after);
    }
    if let Some(Refusal::Words(words)) = refusal {
        failure.detail = Detail::new(&words);
    }
    Outcome::Failed(failure)
}

/// What a refusal means whose words are known to come from before the send.
fn explained(code: u16, refusal: &Refusal) -> Option<Failure> {
    let words = match refusal {
        Refusal::Words(words) => words.as_str(),
        Refusal::NotOnWhatsApp if code == 400 => {
            return Some(Failure::new(Class::Recipient, "the number is not on WhatsApp"));
        }
        Refusal::Malformed if code == 400 => {
            return Some(Failure::new(Class::Permanent, "the request is not valid"));
        }
        Refusal::NotLicensed => {
            return Some(Failure::new(Class::Instance, "the Evolution server's licence is not activated"));
        }
        Refusal::NotOnWhatsApp | Refusal::Malformed => return None,
    };
    match (code, words) {
        (400, "Text is required" | "Group not found") => {
            Some(Failure::new(Class::Permanent, "the request is not valid"))
        }
        (400 | 500, "Connection Closed") => {
            Some(Failure::new(Class::Instance, "the connection to WhatsApp is closed"))
        }
        (500, "Cannot read properties of undefined (reading 'textMessage')") => {
            Some(Failure::new(Class::Instance, "the instance is not loaded on the Evolution server"))
        }
        // The look-up of the number, which comes before the send, gave nothing.
        (
            500,
            "Cannot read properties of undefined (reading 'find')"
            | "Cannot read properties of undefined (reading 'exists')",
        ) => Some(Failure {
            retry_limit: Some(FEW_ATTEMPTS),
            ..Failure::new(Class::Retry, "the number could not be looked up")
        }),
        _ => None,
    }
}

/// The answers of proxies that say they reached no server: `HAProxy` and Traefik. Others give the same status for a
/// connection that broke after the request was passed on.
fn unsent_by_proxy(code: u16, body: &[u8]) -> Option<Failure> {
    let text = String::from_utf8_lossy(body);
    let unreached = text.contains("No server is available to handle this request")
        || text.trim() == "no available server";
    (code == 503 && unreached).then(|| Failure::new(Class::Retry, "the proxy reached no server"))
}

/// What a status alone says, whoever gave it: an answer to a request that was not carried out.
fn by_status(code: u16) -> Option<Failure> {
    let failed = |class, why: &str| Some(Failure::new(class, format!("HTTP {code}: {why}")));
    match code {
        300..=399 => failed(Class::Instance, "the address redirects"),
        401 | 403 => failed(Class::Instance, "the key is refused"),
        404 | 405 => failed(Class::Instance, "no such instance, or not the address of an Evolution API v2"),
        // By its definition (RFC 9110, 15.5.9) the request did not arrive whole.
        408 => failed(Class::Retry, "before the request was read"),
        413 => failed(Class::Permanent, "the request is too large"),
        // Evolution limits nothing itself: a proxy before it does.
        429 => Some(Failure {
            retry_after: Some(RATE_LIMIT_PAUSE),
            ..Failure::new(Class::ThrottleSender, "HTTP 429: too many requests")
        }),
        _ => None,
    }
}
