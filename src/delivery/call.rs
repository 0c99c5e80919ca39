//! One provider call: its message, its outcome, and what follows.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info};
use uuid::Uuid;

use super::affected;
use super::lane::Waiting;
use super::metrics;
use super::places::Place;
use super::recorder::Finished;
use crate::broker::{Publisher, Queue};
use crate::config::Environment;
use crate::domain::id::{DeliveryKey, MessageKey};
use crate::domain::instance::Provider;
use crate::domain::job::Kind;
use crate::domain::outcome::{Class, Failure, Outcome};
use crate::domain::retry::{self, Attempt, Next};
use crate::providers::evolution::{self, EvolutionClient};
use crate::providers::meta::{self, MetaClient};
use crate::providers::{ClientError, ClientSettings, Outgoing};
use crate::runtime::retry::until_ok;
use crate::runtime::secrets::SecretKey;
use crate::store::Pool;
use crate::store::delivery::{self, Begun};
use crate::store::outcomes::{Call, Record};
use crate::store::senders::token_context;
use crate::wiring::Parts;

/// Beyond the call's own time limit: what recording may take before the outcome counts as lost.
const RECORDING_TIME: Duration = Duration::from_secs(15);

/// One adapter for each wire.
pub(super) struct Adapters {
    meta: MetaClient,
    evolution: EvolutionClient,
}

impl Adapters {
    /// # Errors
    /// [`ClientError`].
    pub(super) fn new(settings: &ClientSettings) -> Result<Self, ClientError> {
        Ok(Self { meta: MetaClient::new(settings)?, evolution: EvolutionClient::new(settings)? })
    }

    /// Has the message sent by its instance's provider, by a single call.
    async fn send(&self, message: &Begun, token: &str) -> Outcome {
        let (base_url, sender) = (message.base_url.as_str(), message.sender.as_str());
        let outgoing = |mark| Outgoing { to: &message.recipient, text: &message.body, mark };
        match message.provider {
            Provider::Meta | Provider::Sandbox => {
                let sender = meta::Sender { base_url, phone_number_id: sender, token };
                let mark = format!("{}:{}", message.key, message.call);
                self.meta.send(&sender, &outgoing(&mark), message.template.as_ref()).await
            }
            Provider::Evolution => {
                let sender = evolution::Sender { base_url, instance: sender, token };
                let mark = message.proposed_id.as_deref().unwrap_or_default();
                self.evolution.send(&sender, &outgoing(mark)).await
            }
        }
    }
}

/// Calls providers.
pub(super) struct Caller {
    adapters: Adapters,
    secret_key: SecretKey,
    environment: Environment,
    call_timeout: Duration,
    unknown_deadline: Duration,
    probe_pause: Duration,
    outcomes: Mutex<Option<mpsc::Sender<Finished>>>,
    calls: TaskTracker,
}

impl Caller {
    pub(super) fn new(
        parts: &Parts,
        adapters: Adapters,
        outcomes: mpsc::Sender<Finished>,
        calls: TaskTracker,
    ) -> Self {
        Self {
            adapters,
            secret_key: parts.config.secret_key.clone(),
            environment: parts.config.environment,
            call_timeout: parts.config.provider_timeout,
            unknown_deadline: parts.config.unknown_deadline,
            probe_pause: parts.config.probe_pause,
            outcomes: Mutex::new(Some(outcomes)),
            calls,
        }
    }

    /// How long a begun call may take until its outcome counts as lost.
    pub(super) fn lease(&self) -> Duration {
        self.call_timeout + RECORDING_TIME
    }

    /// Takes no more outcomes: the recorder ends when it has recorded those it has.
    pub(super) fn give_up(&self) {
        self.outcomes.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    fn sender(&self) -> Option<mpsc::Sender<Finished>> {
        self.outcomes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Calls the provider for a begun message, in the background.
    pub(super) fn start(self: &Arc<Self>, message: Begun, token: Uuid, (claimed, call): (Place, Place)) {
        let caller = Arc::clone(self);
        self.calls.spawn(async move {
            let began = Instant::now();
            let outcome = caller.call(&message).await;
            drop(call);
            let finished = caller.conclude(&message, token, (&outcome, began), claimed);
            caller.hand_over(finished).await;
        });
    }

    /// Records messages that ended without a call.
    pub(super) async fn record(&self, ended: Vec<(Record, Place)>) {
        for (record, place) in ended {
            self.hand_over(Finished { record, affected: Vec::new(), taken: None, place }).await;
        }
    }

    /// Publishes owed webhooks in the background; the process does not end before.
    pub(super) fn tell(&self, publisher: Publisher, owed: Vec<DeliveryKey>) {
        if !owed.is_empty() {
            self.calls.spawn(async move { publisher.publish_all(Queue::Notify, Kind::Notify, &owed).await });
        }
    }

    /// Takes back calls whose beginning may or may not be on record, in the background: none was made. If it cannot be
    /// recorded while the lease lasts, they end as unknown.
    pub(super) fn take_back(&self, pool: Pool, messages: Vec<Waiting>) {
        let lease = self.lease();
        self.calls.spawn(async move {
            let (keys, tokens): (Vec<MessageKey>, Vec<Uuid>) =
                messages.iter().map(|waiting| (waiting.key, waiting.token)).unzip();
            let ended = CancellationToken::new();
            let undo = until_ok("take back", &ended, || async {
                delivery::unbegin(&pool.get().await?, &keys, &tokens).await
            });
            if tokio::time::timeout(lease, undo).await.is_err() {
                error!(messages = keys.len(), "calls that were not made could not be taken back");
            }
            drop(messages);
        });
    }

    async fn hand_over(&self, finished: Finished) {
        // Nobody records any more: the process ends, and the lease tells the rest.
        if let Some(outcomes) = self.sender() {
            let _ = outcomes.send(finished).await;
        }
    }

    async fn call(&self, message: &Begun) -> Outcome {
        if self.environment == Environment::Production && !message.base_url.starts_with("https://") {
            return Outcome::Failed(Failure::new(Class::Instance, "production allows only https"));
        }
        let context = token_context(message.key.account_id, &message.instance_id);
        let token = match self.secret_key.open(&context, &message.token_sealed) {
            Ok(token) => token,
            Err(error) => {
                error!(account_id = message.key.account_id, instance_id = message.instance_id, %error, "cannot send");
                return Outcome::Failed(Failure::new(Class::Instance, "the token cannot be decrypted"));
            }
        };
        self.adapters.send(message, &String::from_utf8_lossy(&token)).await
    }

    fn conclude(
        &self,
        message: &Begun,
        token: Uuid,
        (outcome, began): (&Outcome, Instant),
        place: Place,
    ) -> Finished {
        let attempt = Attempt {
            counted: message.attempts,
            call: u8::try_from(message.call).unwrap_or(u8::MAX),
            expires_in: message.expires_in.saturating_sub(began.elapsed()),
            chance: rand::random(),
            unknown_deadline: self.unknown_deadline,
        };
        let next = retry::next(outcome, &attempt);
        info!(
            request_id = message.request_id,
            account_id = message.key.account_id,
            message_id = %message.key.message_id,
            call = message.call,
            outcome = name(outcome),
            next = ?next,
            "attempted"
        );
        let again = matches!(next, Next::Again { .. });
        metrics::called(message.provider, name(outcome), again, began.elapsed());
        let record = Record {
            key: message.key,
            token,
            next,
            reached_provider: retry::reached_provider(outcome),
            error: (next == Next::Failed).then_some(shown_error(outcome)),
            call: Some(attempt_row(message.call, outcome)),
        };
        let affected = affected::of(message, outcome, self.probe_pause);
        Finished { record, affected, taken: affected::taken(message, outcome, began), place }
    }
}

fn name(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Accepted { .. } => "accepted",
        Outcome::Unknown { .. } => Class::Unknown.as_str(),
        Outcome::Failed(failure) => failure.class.as_str(),
    }
}

fn shown_error(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Failed(failure) => failure.shown_error(),
        Outcome::Accepted { .. } | Outcome::Unknown { .. } => "gateway_send_failed",
    }
}

fn attempt_row(number: i16, outcome: &Outcome) -> Call {
    let mut call =
        Call { number, outcome: name(outcome), code: None, reason: None, provider_message_id: None };
    match outcome {
        Outcome::Accepted { provider_message_id } => {
            call.provider_message_id = Some(provider_message_id.clone());
        }
        Outcome::Unknown { reason } => call.reason = Some(reason.clone()),
        Outcome::Failed(failure) => {
            call.code = failure.code;
            call.reason = Some(match &failure.detail {
                Some(detail) => format!("{}: {}", failure.reason, detail.as_str()),
                None => failure.reason.clone(),
            });
        }
    }
    call
}
