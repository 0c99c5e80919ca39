//! `POST /api/send-message`.
//!
//! Order of the checks, and so of the errors: media type, key, JSON, fields, module, plan, instance, purpose present,
//! purpose allowed, daily limit, monthly limit, suppression, throttling, review, rules, connection. From the limits on
//! they are judged by the commit, where they are exact.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Response};
use tracing::{error, info};
use uuid::Uuid;

use super::Intake;
use super::answer::{Refused, finish, json, new_request_id, refused_body, show_allowance, success};
use super::authenticate::authenticate;
use super::committer::Verdict;
use super::door::Place;
use super::metrics;
use super::outcomes::Outcome;
use super::request::{check_media_type, idempotency_key, preferred_wait, read_body};
use crate::domain::account::{Allowance, Periods};
use crate::domain::decision::THROTTLED;
use crate::domain::id::MessageKey;
use crate::domain::refusal::Refusal;
use crate::domain::send_request::{self, SendRequest};
use crate::guard::Asker;
use crate::runtime::secrets::sha256;
use crate::store::acceptance::Draft;
use crate::store::directory::Key;
use crate::store::{StoreError, idempotency, quota};

/// One request on its way through the checks.
struct Asking<'a> {
    intake: &'a Intake,
    asker: Asker,
    /// Taken once the request is read, given back as soon as it is decided.
    place: Option<Place>,
    wait: Option<Duration>,
}

/// Accepts, or refuses and says why.
pub(super) async fn send(State(intake): State<Arc<Intake>>, request: Request) -> Response<Body> {
    let request_id = new_request_id();
    let (parts, body) = request.into_parts();
    let answered = receive(&intake, &parts, body, request_id.clone()).await;
    if let Err(refused) = &answered {
        metrics::count(refused.refusal.code());
    }
    finish(&request_id, answered)
}

async fn receive(
    intake: &Intake,
    request: &Parts,
    body: Body,
    request_id: String,
) -> Result<Response<Body>, Refused> {
    let headers = &request.headers;
    check_media_type(headers)?;
    let key = authenticate(intake, request).await?;
    within_budget(intake, &key)?;
    let asker = Asker { key, request_id, idempotency: None };
    let mut asking = Asking { intake, asker, place: None, wait: preferred_wait(headers) };
    let answer = asking.answer(headers, body).await;
    if let Err(refused) = &answer
        && !matches!(refused.refusal, Refusal::Internal | Refusal::Overloaded)
    {
        intake.refusals.spend(asking.asker.key.key_id, intake.guard.clock.now(), refused.allowance);
    }
    answer
}

/// Refuses a caller that was refused too often, at no cost.
pub(super) fn within_budget(intake: &Intake, key: &Key) -> Result<(), Refused> {
    let Some(slowed) = intake.refusals.slowed(key.key_id, intake.guard.clock.now()) else { return Ok(()) };
    let seconds = u32::try_from(slowed.wait.as_secs()).unwrap_or(u32::MAX).saturating_add(1);
    let refusal = Refusal::SendingThrottled { retry_after: Some(seconds), risk_score: THROTTLED };
    Err(Refused { refusal, allowance: slowed.allowance })
}

impl Asking<'_> {
    async fn answer(&mut self, headers: &HeaderMap, body: Body) -> Result<Response<Body>, Refused> {
        let parsed = self.parse(headers, body).await;
        // Not before: how slowly a customer sends is no sign of how fast this machine is.
        let account_id = self.asker.key.account.account_id;
        self.place = Some(self.intake.door.enter(account_id).ok_or(Refusal::Overloaded)?);
        match parsed {
            Ok(request) => match self.replay().await? {
                Some(answer) => Ok(answer),
                None => self.judge(request).await,
            },
            Err(refusal) => {
                let draft = self.intake.guard.refused(&self.asker, refusal);
                self.decide(draft).await
            }
        }
    }

    async fn parse(&mut self, headers: &HeaderMap, body: Body) -> Result<SendRequest, Refusal> {
        let body = read_body(body, self.intake.body_timeout).await?;
        let request = send_request::parse(&body)?;
        self.asker.idempotency = idempotency_key(headers)?.map(|key| (key, sha256(&body)));
        Ok(request)
    }

    /// The first answer again, where this request was answered before.
    async fn replay(&self) -> Result<Option<Response<Body>>, Refused> {
        let Some((key, body_hash)) = &self.asker.idempotency else { return Ok(None) };
        let account = &self.asker.key.account;
        let found = async {
            let session = self.intake.pool.get().await?;
            let Some(first) = idempotency::find(&session, account.account_id, key).await? else {
                return Ok(None);
            };
            let periods = Periods::at(self.intake.guard.clock.now(), &account.timezone);
            let used = quota::used(&session, account.account_id, &periods).await?;
            Ok(Some((first, account.limits.map(|limits| Allowance::new(limits, &periods, used)))))
        };
        let Some((first, allowance)) = found.await.map_err(|error| self.internal(&error))? else {
            return Ok(None);
        };
        if first.body_hash != *body_hash {
            return Err(self.reused().await?);
        }
        metrics::count("replayed");
        let (status, body) =
            first.answer.unwrap_or_else(|| (202, success("queued", first.message_id, first.log_id)));
        let mut response = json(status, body);
        response.headers_mut().insert("idempotent-replayed", HeaderValue::from_static("true"));
        if let Some(allowance) = allowance {
            show_allowance(&mut response, &allowance);
        }
        Ok(Some(response))
    }

    /// The refusal of a key that came with another body before, logged like every other.
    async fn reused(&self) -> Result<Refused, Refused> {
        let refusal = Refusal::IdempotencyKeyReused;
        let draft = self.intake.guard.refused(&self.asker, refusal.clone());
        match self.intake.committer.commit(draft).await.map_err(|_| Refusal::Internal)? {
            Verdict::Decided { allowance, .. } => Ok(Refused { refusal, allowance }),
            Verdict::Duplicate => Err(Refusal::Internal.into()),
        }
    }

    async fn judge(&mut self, request: SendRequest) -> Result<Response<Body>, Refused> {
        let draft =
            self.intake.guard.draft(&self.asker, request).await.map_err(|error| self.internal(&error))?;
        self.decide(draft).await
    }

    /// Has the draft decided on and logged.
    async fn decide(&mut self, draft: Draft) -> Result<Response<Body>, Refused> {
        let message_id = draft.message().map(|message| message.message_id);
        let verdict = self.intake.committer.commit(draft).await.map_err(|_| Refusal::Internal)?;
        self.place = None;
        match (verdict, message_id) {
            (Verdict::Decided { refusal: Some(refusal), allowance, .. }, _) => {
                Err(Refused { refusal, allowance })
            }
            (Verdict::Decided { log_id, refusal: None, allowance }, Some(message_id)) => {
                let mut response = self.accepted(message_id, log_id).await;
                if let Some(allowance) = allowance {
                    show_allowance(&mut response, &allowance);
                }
                Ok(response)
            }
            // Somebody with the same key was faster: the answer is theirs.
            (Verdict::Duplicate, _) => self.replay().await?.ok_or(Refusal::Internal.into()),
            (Verdict::Decided { refusal: None, .. }, None) => Err(Refusal::Internal.into()),
        }
    }

    fn internal(&self, error: &StoreError) -> Refusal {
        error!(request_id = self.asker.request_id, %error, "request failed");
        Refusal::Internal
    }

    /// The answer to an accepted message: the 202, or, where the caller prefers to wait, the outcome.
    async fn accepted(&self, message_id: Uuid, log_id: i64) -> Response<Body> {
        let account_id = self.asker.key.account.account_id;
        info!(request_id = self.asker.request_id, account_id, %message_id, log_id, "accepted");
        metrics::count("accepted");
        let queued = json(202, success("queued", message_id, log_id));
        let Some(wait) = self.wait else { return queued };
        let waited = self.intake.outcomes.wait(MessageKey { account_id, message_id }, wait).await;
        let mut response = match waited {
            None => return queued,
            Some(None) => queued,
            Some(Some(Outcome::Sent)) => self.kept(200, success("sent", message_id, log_id)).await,
            Some(Some(Outcome::Failed)) => {
                self.kept(Refusal::GatewaySendFailed.http_status(), refused_body(&Refusal::GatewaySendFailed))
                    .await
            }
        };
        if let Ok(applied) = HeaderValue::from_str(&format!("wait={}", wait.as_secs())) {
            response.headers_mut().insert("preference-applied", applied);
        }
        response
    }

    /// An answer that a repeat of the request must get as well.
    async fn kept(&self, status: u16, body: String) -> Response<Body> {
        if let Some((key, _)) = &self.asker.idempotency {
            let account_id = self.asker.key.account.account_id;
            let keep = async {
                let session = self.intake.pool.get().await?;
                idempotency::keep_answer(&session, account_id, key, status, &body).await
            };
            // A repeat then gets the 202 of the same message: less, but not wrong.
            if let Err(error) = keep.await {
                error!(request_id = self.asker.request_id, %error, "cannot keep the answer");
            }
        }
        json(status, body)
    }
}
