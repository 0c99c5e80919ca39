//! `POST /api/send-message`.
//!
//! Order of the checks, and so of the errors: media type, key, JSON, fields, module, plan, instance, purpose present,
//! purpose allowed, daily limit, monthly limit, suppression, backlog, review, connection. The middle part is judged by
//! the commit itself, where it is exact.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Response};
use tracing::{error, info};
use uuid::Uuid;

use super::Intake;
use super::answer::{json, name, new_request_id, refuse, refused_body, success};
use super::authenticate::authenticate;
use super::outcomes::Outcome;
use super::request::{check_media_type, idempotency_key, preferred_wait, read_body};
use crate::domain::account::{Limits, Periods};
use crate::domain::id::MessageKey;
use crate::domain::purpose::Purpose;
use crate::domain::refusal::{Action, Refusal, Usage};
use crate::domain::send_request::{self, SendRequest};
use crate::guard::{self, Judgement};
use crate::runtime::secrets::sha256;
use crate::store::acceptance::{Draft, NewMessage, Verdict};
use crate::store::directory::Key;
use crate::store::idempotency;

/// One request on its way through the checks.
struct Asking<'a> {
    intake: &'a Intake,
    key: Arc<Key>,
    request_id: String,
    idempotency: Option<(String, Vec<u8>)>,
    wait: Option<Duration>,
}

/// Accepts, or refuses and says why.
pub(super) async fn send(State(intake): State<Arc<Intake>>, request: Request) -> Response<Body> {
    let request_id = new_request_id();
    let (parts, body) = request.into_parts();
    match receive(&intake, &parts.headers, body, request_id.clone()).await {
        Ok(mut response) => {
            name(&mut response, &request_id);
            response
        }
        Err(refusal) => refuse(&request_id, &refusal),
    }
}

async fn receive(
    intake: &Intake,
    headers: &HeaderMap,
    body: Body,
    request_id: String,
) -> Result<Response<Body>, Refusal> {
    check_media_type(headers)?;
    let key = authenticate(intake, headers).await?;
    let mut asking = Asking { intake, key, request_id, idempotency: None, wait: preferred_wait(headers) };
    let parsed = asking.parse(headers, body).await;
    match parsed {
        Ok(request) => match asking.replay().await? {
            Some(answer) => Ok(answer),
            None => asking.judge(request).await,
        },
        Err(refusal) => Err(asking.log(refusal, None, None).await?),
    }
}

impl Asking<'_> {
    async fn parse(&mut self, headers: &HeaderMap, body: Body) -> Result<SendRequest, Refusal> {
        let body = read_body(body, self.intake.body_timeout).await?;
        let request = send_request::parse(&body)?;
        self.idempotency = idempotency_key(headers)?.map(|key| (key, sha256(&body)));
        Ok(request)
    }

    /// The first answer again, where this request was answered before.
    async fn replay(&self) -> Result<Option<Response<Body>>, Refusal> {
        let Some((key, body_hash)) = &self.idempotency else { return Ok(None) };
        let found = async {
            let session = self.intake.pool.get().await?;
            idempotency::find(&session, self.key.account.account_id, key).await
        };
        let Some(first) = found.await.map_err(|error| self.internal(&error))? else { return Ok(None) };
        if first.body_hash != *body_hash {
            return Err(Refusal::IdempotencyKeyReused);
        }
        let (status, body) =
            first.answer.unwrap_or_else(|| (202, success("queued", first.message_id, first.log_id)));
        let mut response = json(status, body);
        response.headers_mut().insert("idempotent-replayed", HeaderValue::from_static("true"));
        Ok(Some(response))
    }

    async fn judge(&self, request: SendRequest) -> Result<Response<Body>, Refusal> {
        let judgement = guard::judge(&self.intake.directory, &self.key, &request)
            .await
            .map_err(|error| self.internal(&error))?;
        match judgement {
            Judgement::Refused(refusal) => {
                let purpose = match request.purpose {
                    send_request::DeclaredPurpose::Allowed(purpose) => Some(purpose),
                    _ => None,
                };
                Err(self.log(refusal, Some(request.instance_id), purpose).await?)
            }
            Judgement::Passed { purpose, limits, held_back } => {
                self.accept(request, purpose, limits, held_back).await
            }
        }
    }

    /// Logs a refusal that needs no look at the counters; gives it back, or the failure to log it.
    async fn log(
        &self,
        refusal: Refusal,
        instance_id: Option<String>,
        purpose: Option<Purpose>,
    ) -> Result<Refusal, Refusal> {
        let draft = Draft {
            instance_id,
            purpose: purpose.map(Purpose::as_str),
            refused: Some(refusal.code()),
            judged: (refusal.action().as_str(), i16::from(refusal.risk_score())),
            ..self.draft()
        };
        self.commit(draft).await?;
        Ok(refusal)
    }

    async fn accept(
        &self,
        request: SendRequest,
        purpose: Purpose,
        limits: Limits,
        held_back: Option<Refusal>,
    ) -> Result<Response<Body>, Refusal> {
        let periods = Periods::at(self.intake.clock.now(), &self.key.account.timezone);
        let message_id = Uuid::now_v7();
        let validity = purpose.validity_seconds().min(request.validity_seconds.unwrap_or(u32::MAX));
        let judged = held_back.as_ref().map_or((Action::Allow, 0), |r| (r.action(), r.risk_score()));
        let draft = Draft {
            instance_id: Some(request.instance_id),
            purpose: Some(purpose.as_str()),
            recipient_hash: Some(self.intake.secret_key.phone_hash(request.phone.digits())),
            judged: (judged.0.as_str(), i16::from(judged.1)),
            message: Some(NewMessage {
                message_id,
                lane: purpose.lane(),
                recipient: request.phone.digits().to_owned(),
                body: request.message,
                validity_seconds: validity.cast_signed(),
                day: periods.day,
                month: periods.month,
                day_limit: limits.day,
                month_limit: limits.month,
                essential: purpose == Purpose::Authentication,
                idempotency: self.idempotency.clone(),
                held_back: held_back.as_ref().map(Refusal::code),
            }),
            ..self.draft()
        };
        match self.commit(draft).await? {
            Verdict::Accepted { log_id } => Ok(self.accepted(message_id, log_id).await),
            Verdict::Refused { code, used, wait_seconds } => {
                // Somebody with the same key may have been faster, and have used up what was left.
                if let Some(answer) = self.replay().await? {
                    return Ok(answer);
                }
                Err(late_refusal(&code, held_back, limits, periods, (used, wait_seconds)))
            }
            // Somebody with the same key was faster: the answer is theirs.
            Verdict::Duplicate => self.replay().await?.ok_or(Refusal::Internal),
            Verdict::NoCounters => Err(Refusal::Internal),
        }
    }

    fn draft(&self) -> Draft {
        Draft {
            account_id: self.key.account.account_id,
            key_id: self.key.key_id,
            instance_id: None,
            purpose: None,
            request_id: self.request_id.clone(),
            recipient_hash: None,
            refused: None,
            judged: (Action::Allow.as_str(), 0),
            message: None,
        }
    }

    async fn commit(&self, draft: Draft) -> Result<Verdict, Refusal> {
        self.intake.committer.commit(draft).await.map_err(|_| Refusal::Internal)
    }

    fn internal(&self, error: &crate::store::StoreError) -> Refusal {
        error!(request_id = self.request_id, %error, "request failed");
        Refusal::Internal
    }

    /// The answer to an accepted message: the 202, or, where the caller prefers to wait, the outcome.
    async fn accepted(&self, message_id: Uuid, log_id: i64) -> Response<Body> {
        let account_id = self.key.account.account_id;
        info!(request_id = self.request_id, account_id, %message_id, log_id, "accepted");
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
        if let Some((key, _)) = &self.idempotency {
            let keep = async {
                let session = self.intake.pool.get().await?;
                idempotency::keep_answer(&session, self.key.account.account_id, key, status, &body).await
            };
            // A repeat then gets the 202 of the same message: less, but not wrong.
            if let Err(error) = keep.await {
                error!(request_id = self.request_id, %error, "cannot keep the answer");
            }
        }
        json(status, body)
    }
}

/// The refusal the commit decided on.
fn late_refusal(
    code: &str,
    held_back: Option<Refusal>,
    limits: Limits,
    periods: Periods,
    (used, wait_seconds): (i32, u32),
) -> Refusal {
    match code {
        "daily_message_limit_exceeded" => {
            Refusal::DailyLimit(Usage { limit: limits.day, used, retry_after: periods.day_ends_in })
        }
        "monthly_message_limit_exceeded" => {
            Refusal::MonthlyLimit(Usage { limit: limits.month, used, retry_after: periods.month_ends_in })
        }
        "recipient_suppressed" => Refusal::RecipientSuppressed,
        "sending_throttled" => Refusal::SendingThrottled { retry_after: Some(wait_seconds.max(1)) },
        _ => held_back.unwrap_or(Refusal::Internal),
    }
}
