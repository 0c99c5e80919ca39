//! Asks Evolution servers whether they have the messages whose outcome is unknown. That one has is evidence; that it has
//! not is none, because it may keep no record: then the deadline decides.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::connections::LONGEST_PAUSE;
use super::rounds::rounds;
use super::servers::Servers;
use crate::broker::{Publisher, Queue};
use crate::domain::job::Kind;
use crate::domain::look_up;
use crate::domain::status::Report;
use crate::providers::evolution::{Found, Wanted};
use crate::store::look_ups::{self, LookUp};
use crate::store::reports::{self, Known, Named, Rise, Sender, WentOut};
use crate::store::{Pool, StoreError};
use crate::wiring::Parts;

/// Messages asked about in one round, and at the same time.
const BATCH: i64 = 64;
const AT_ONCE: usize = 16;

/// Asks about messages of unknown outcome.
pub(super) struct LookUps {
    pool: Pool,
    servers: Servers,
    publisher: Publisher,
    schedule: [Duration; 3],
    stop: CancellationToken,
}

impl LookUps {
    pub(super) fn new(parts: &Parts, servers: Servers, publisher: Publisher) -> Self {
        let (pool, stop) = (parts.pool.clone(), parts.stop.clone());
        Self { pool, servers, publisher, schedule: look_up::schedule(parts.config.unknown_deadline), stop }
    }

    /// Asks until told to stop.
    pub(super) async fn run(&self) {
        let pause = self.schedule[0].min(LONGEST_PAUSE);
        rounds(&self.stop, pause, "asking about messages of unknown outcome", || self.round()).await;
    }

    /// Asks about what is due; `true` if there may be more.
    async fn round(&self) -> Result<bool, StoreError> {
        let due = look_ups::claim(&self.pool.get().await?, BATCH, &self.schedule).await?;
        let full = due.len() as i64 == BATCH;
        stream::iter(&due).for_each_concurrent(AT_ONCE, |message| self.ask(message)).await;
        Ok(full)
    }

    /// Asks about one message. No connection to the database is held meanwhile.
    async fn ask(&self, message: &LookUp) {
        let message_id = message.key.message_id;
        let wanted = Wanted {
            proposed_id: &message.proposed_id,
            recipient: &message.recipient,
            text: &message.text,
            called_at: message.called_at,
        };
        let found = self.servers.find(&message.server, &wanted).await;
        let label = match &found {
            Ok(Some(_)) => "the message",
            Ok(None) => "nothing",
            Err(_) => "no answer",
        };
        metrics::counter!("gatepost_look_ups_total", "found" => label).increment(1);
        match found {
            Ok(Some(found)) => {
                if let Err(error) = self.record(message, found).await {
                    warn!(%message_id, %error, "what was found of a message could not be recorded");
                }
            }
            Ok(None) => debug!(%message_id, "the server has no record of the message"),
            Err(problem) => debug!(%message_id, problem, "the server could not be asked about the message"),
        }
    }

    async fn record(&self, message: &LookUp, found: Found) -> Result<(), StoreError> {
        let (account_id, instance_id) = message.server.key();
        let Found { provider_message_id, report } = found;
        let mut session = self.pool.get().await?;
        let transaction = session.begin().await?;
        if provider_message_id != message.proposed_id {
            // It counts for this message only if it can be no other's.
            let sent = WentOut {
                account_id,
                instance_id,
                provider_message_id: &provider_message_id,
                recipient: &message.recipient,
                text: &message.text,
                told_at: message.called_at,
            };
            reports::recognise(&transaction, &sent).await?;
        }
        let sender = Sender::Instance(account_id, instance_id.to_owned());
        let named = Named { sender, provider_message_id: provider_message_id.clone(), marked: None };
        let known = reports::lock(&transaction, &[named]).await?;
        let [Known::Message { key, status, call, .. }] = known.as_slice() else { return Ok(()) };
        let Some(to) = status.after(report).filter(|_| *key == message.key) else { return Ok(()) };
        let failed = report == Report::Failed;
        let rise = Rise {
            key: *key,
            from: *status,
            to,
            error: failed.then_some("gateway_send_failed"),
            reason: failed
                .then(|| "evolution has on record that WhatsApp did not take the message".to_owned()),
            provider_message_id,
            call: *call,
        };
        let owed = reports::raise(&transaction, &[rise]).await?;
        transaction.commit().await?;
        info!(message_id = %key.message_id, status = to.as_str(), "the server has the message on record");
        self.publisher.publish_all(Queue::Notify, Kind::Notify, &owed).await;
        Ok(())
    }
}
