//! The adapter to Meta's WhatsApp Cloud API.

use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use serde::Serialize;

use super::http::{self, Body, Broken};
use super::{ClientError, ClientSettings, Outgoing, meta_wire};
use crate::domain::meta_codes::{FEW_ATTEMPTS, RATE_LIMIT_PAUSE, classify};
use crate::domain::outcome::{Class, Failure, Outcome};
use crate::domain::template::Template;

/// Sends messages through the Cloud API. Clones share their connections.
#[derive(Clone, Debug)]
pub struct MetaClient {
    http: reqwest::Client,
}

/// Who sends: one business phone number. It has no `Debug`, because it holds a token.
pub struct Sender<'a> {
    /// The API's address with its version, for example `https://graph.facebook.com/v23.0`.
    pub base_url: &'a str,
    /// Meta's id of the business phone number; neither the number itself nor the account's id.
    pub phone_number_id: &'a str,
    /// The access token.
    pub token: &'a str,
}

/// A number, as Meta shows it. What it does not say is `None`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Number {
    /// As people see it.
    pub display_phone_number: Option<String>,
    /// The business's name.
    pub verified_name: Option<String>,
    /// `GREEN`, `YELLOW`, `RED` or `UNKNOWN`: what recipients think of its messages.
    pub quality_rating: Option<String>,
    /// `STANDARD`, `HIGH` or `NOT_APPLICABLE`: how many messages a second it may send.
    pub throughput: Option<String>,
}

/// Why a number could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    /// The address or the token cannot be put into a request.
    #[error("the provider's address or token is not usable")]
    Unusable,
    /// Nothing came back.
    #[error("{0}")]
    NoAnswer(&'static str),
    /// Meta said no, in our words for its reason.
    #[error("meta refuses: {0}")]
    Refused(String),
}

impl MetaClient {
    /// A client with its own connections.
    ///
    /// # Errors
    ///
    /// [`ClientError`], when TLS is not set up for this process.
    pub fn new(settings: &ClientSettings) -> Result<Self, ClientError> {
        Ok(Self { http: http::client(settings)? })
    }

    /// Makes one call that asks Meta to send `message`, or `template` in place of its text, and says what became of it.
    /// Never tries twice.
    ///
    /// [`Outcome::Failed`] means that Meta certainly did not take the message. A call that breaks, runs out of time
    /// or is answered unintelligibly after the request could have been written is [`Outcome::Unknown`].
    pub async fn send(
        &self,
        sender: &Sender<'_>,
        message: &Outgoing<'_>,
        template: Option<&Template>,
    ) -> Outcome {
        let Some(url) = meta_wire::messages_url(sender) else {
            return Outcome::Failed(Failure::new(Class::Instance, "the provider's address is not a URL"));
        };
        let call = self
            .http
            .post(url)
            .bearer_auth(sender.token)
            .header(CONTENT_TYPE, "application/json")
            .body(meta_wire::request(message, template))
            .send();
        match call.await {
            Ok(response) => {
                let status = response.status();
                let headers = response.headers().clone();
                judge(status, &headers, &http::read_body(response).await)
            }
            Err(error) => http::broken_call(&error),
        }
    }
}

impl MetaClient {
    /// Asks what the sender's number is and how it stands. It changes nothing there.
    ///
    /// # Errors
    ///
    /// [`LookError`].
    pub async fn look(&self, sender: &Sender<'_>) -> Result<Number, LookError> {
        let url = meta_wire::number_url(sender).ok_or(LookError::Unusable)?;
        let call = self.http.get(url).bearer_auth(sender.token).send().await;
        let response = call.map_err(|error| match Broken::of(&error) {
            Broken::Unusable => LookError::Unusable,
            Broken::Unsent(reason) | Broken::Unknown(reason) => LookError::NoAnswer(reason),
        })?;
        let status = response.status();
        let body = http::read_body(response).await;
        let body = body.whole().ok_or(LookError::NoAnswer("the answer did not come whole"))?;
        if status.is_success() {
            return meta_wire::number(body).ok_or(LookError::NoAnswer("the answer is not meta's"));
        }
        let reason = meta_wire::error(body).map(|error| classify(&error, Some(status.as_u16())).reason);
        Err(LookError::Refused(reason.unwrap_or_else(|| format!("HTTP {}", status.as_u16()))))
    }
}

/// How long Meta asks to wait, by whichever of its headers.
fn wait_hint(headers: &HeaderMap) -> WaitHint {
    let usage = headers.get("x-business-use-case-usage").and_then(|value| value.to_str().ok());
    WaitHint {
        retry_after: http::retry_after(headers),
        account_blocked: usage.and_then(meta_wire::regain_access).and_then(http::plausible),
    }
}

#[derive(Clone, Copy)]
struct WaitHint {
    /// `Retry-After`, which holds for whatever the answer is about.
    retry_after: Option<Duration>,
    /// `x-business-use-case-usage`, which speaks of the account and its senders only.
    account_blocked: Option<Duration>,
}

impl WaitHint {
    /// Lets what Meta says about the time outrank our own guess.
    fn apply(self, failure: &mut Failure) {
        let hint = match failure.class {
            Class::ThrottleSender => self.retry_after.max(self.account_blocked),
            Class::ThrottlePair | Class::Retry => self.retry_after,
            Class::Instance | Class::Permanent | Class::Recipient | Class::Window | Class::Unknown => None,
        };
        failure.retry_after = hint.or(failure.retry_after);
    }
}

/// What an answer to a send says.
#[must_use]
pub fn judge(status: StatusCode, headers: &HeaderMap, body: &Body) -> Outcome {
    if status.is_success() {
        return match body.whole().and_then(meta_wire::accepted_id) {
            Some(provider_message_id) => Outcome::Accepted { provider_message_id },
            None => Outcome::Unknown { reason: format!("HTTP {} without a message id", status.as_u16()) },
        };
    }
    let outcome = match body.whole().and_then(meta_wire::error) {
        Some(error) => Outcome::Failed(classify(&error, Some(status.as_u16()))),
        None => unexplained(status, body),
    };
    match outcome {
        Outcome::Failed(mut failure) => {
            wait_hint(headers).apply(&mut failure);
            Outcome::Failed(failure)
        }
        other => other,
    }
}

/// What an HTTP status alone says, when no error object of Meta's came with it. Then it may stem from something in
/// between, and a 5xx proves nothing about what happened behind it.
fn unexplained(status: StatusCode, body: &Body) -> Outcome {
    let code = status.as_u16();
    let failed = |class, why| Failure::new(class, format!("HTTP {code} {why}"));
    let failure = match code {
        429 => Failure {
            retry_after: Some(RATE_LIMIT_PAUSE),
            ..failed(Class::ThrottleSender, "without an error object")
        },
        401 | 403 => failed(Class::Instance, "without an error object"),
        // Whatever redirects is not the API: the address is wrong for every message of this sender.
        300..=399 => failed(Class::Instance, "redirects; the API's address is wrong"),
        // By its definition (RFC 9110, 15.5.9) the request did not arrive whole.
        408 => failed(Class::Retry, "before the request was read"),
        // A refusal, so nothing was sent; but its reason, which could be a limit, got lost on the way.
        400..=499 if matches!(body, Body::Lost) => Failure {
            retry_limit: Some(FEW_ATTEMPTS),
            ..failed(Class::Retry, "with its body lost on the way")
        },
        400..=499 => failed(Class::Permanent, "without an error object"),
        _ => return Outcome::Unknown { reason: format!("HTTP {code} without an error object") },
    };
    Outcome::Failed(failure)
}
