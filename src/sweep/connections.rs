//! Looks at the connections of Evolution instances: their servers do not tell of every change, and what they tell may get
//! lost.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::config::Environment;
use crate::domain::instance::{Connection, Watch};
use crate::providers::ClientSettings;
use crate::providers::evolution::{CallError, EvolutionClient, Sender};
use crate::runtime::secrets::SecretKey;
use crate::store::connections::{self, Look};
use crate::store::instances;
use crate::store::senders::token_context;
use crate::store::{Pool, Session, StoreError};
use crate::wiring::{Parts, StartError};

/// Instances looked at in one round, and at the same time.
const BATCH: i64 = 64;
const AT_ONCE: usize = 16;
/// The limit for one look. It is shorter than a send's, because nothing is lost by it.
const CALL_TIME: Duration = Duration::from_secs(5);
/// How long a claimed instance is left alone by others: longer than a round of servers that do not answer.
const LEASE: Duration = Duration::from_secs(60);
/// The longest pause between two searches for what is due.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Looks at connections.
pub(super) struct Watcher {
    pool: Pool,
    client: EvolutionClient,
    secret_key: SecretKey,
    environment: Environment,
    interval: Duration,
    stop: CancellationToken,
}

impl Watcher {
    /// # Errors
    /// [`StartError::Refused`] where TLS is not to be had.
    pub(super) fn new(parts: &Parts) -> Result<Self, StartError> {
        let settings = ClientSettings { call_timeout: CALL_TIME, idle_connections: 1 };
        let client =
            EvolutionClient::new(&settings).map_err(|error| StartError::Refused(error.to_string()))?;
        Ok(Self {
            pool: parts.pool.clone(),
            client,
            secret_key: parts.config.secret_key.clone(),
            environment: parts.config.environment,
            interval: parts.config.connection_poll,
            stop: parts.stop.clone(),
        })
    }

    /// Looks until told to stop; a look that is broken off is made again when its lease ends.
    pub(super) async fn run(&self) {
        while !self.stop.is_cancelled() {
            let full = tokio::select! {
                () = self.stop.cancelled() => return,
                round = self.round() => round.unwrap_or_else(|error| {
                    warn!(%error, "connections could not be looked at");
                    false
                }),
            };
            if !full {
                tokio::select! {
                    () = self.stop.cancelled() => return,
                    () = tokio::time::sleep(self.interval.min(LONGEST_PAUSE)) => {}
                }
            }
        }
    }

    /// Looks at what is due; `true` if there may be more.
    async fn round(&self) -> Result<bool, StoreError> {
        let due = connections::claim(&self.pool.get().await?, BATCH, LEASE).await?;
        let full = due.len() as i64 == BATCH;
        let looks = stream::iter(&due).for_each_concurrent(AT_ONCE, |look| async move {
            if let Err(error) = self.look(look).await {
                let Look { account_id, instance_id, .. } = look;
                warn!(account_id, instance_id, %error, "what was found could not be recorded");
            }
        });
        looks.await;
        Ok(full)
    }

    async fn look(&self, look: &Look) -> Result<(), StoreError> {
        let Look { account_id, instance_id, .. } = look;
        let known = Watch { connection: look.connection, revivals: look.revivals };
        let now = match self.ask(look).await {
            Ok(found) => {
                metrics::counter!("gatepost_connection_looks_total", "found" => found.as_str()).increment(1);
                known.found(found)
            }
            Err(problem) => {
                debug!(account_id, instance_id, problem, "the connection could not be looked at");
                metrics::counter!("gatepost_connection_looks_total", "found" => "nothing").increment(1);
                known
            }
        };
        // No connection to the database was held during the call.
        let session = self.pool.get().await?;
        let key = (*account_id, instance_id.as_str());
        let now = if now.connection == known.connection || self.record(&session, look, now).await? {
            now
        } else {
            known
        };
        connections::looked(&session, key, now.pause(self.interval), now.revivals).await
    }

    /// Records what was found; `false` where an operator, or a later report, has said something else.
    async fn record(&self, session: &Session, look: &Look, now: Watch) -> Result<bool, StoreError> {
        let Look { account_id, instance_id, .. } = look;
        let (key, state) = ((*account_id, instance_id.as_str()), now.connection.as_str());
        let why = format!("evolution answers {state}");
        if !instances::report_connection(session, key, now.connection, &why, look.claimed_at).await? {
            return Ok(false);
        }
        info!(
            account_id,
            instance_id,
            before = look.connection.as_str(),
            state,
            "the connection has changed"
        );
        if now.connection == Connection::Open {
            instances::wake(session, key).await?;
        }
        Ok(true)
    }

    async fn ask(&self, look: &Look) -> Result<Connection, &'static str> {
        if self.environment == Environment::Production && !look.base_url.starts_with("https://") {
            return Err("production allows only https");
        }
        let context = token_context(look.account_id, &look.instance_id);
        let token = self.secret_key.open(&context, &look.token_sealed);
        let token = token.map_err(|_| "the token cannot be decrypted")?;
        let sender = Sender {
            base_url: &look.base_url,
            instance: &look.provider_instance,
            token: &String::from_utf8_lossy(&token),
        };
        self.client.connection_state(&sender).await.map_err(|error| match error {
            CallError::Unusable => "the address or key is not usable",
            CallError::NoAnswer(reason) => reason,
            CallError::Refused(_) => "the server refuses to say",
        })
    }
}
