//! Sweep: whatever is overdue is published again, or brought to its end. The only way back into the queues.
//!
//! A lost publish, a dead worker and a wiped broker look the same from here: a row whose `due_at` has passed. Several
//! processes may sweep; in each round one leads. Beside that, Evolution servers are asked how their instances are connected and
//! what became of messages of unknown outcome, and suspect instances are tried.

mod connections;
mod look_ups;
mod rounds;
mod servers;
mod suspicions;

use std::time::Duration;

use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use uuid::Uuid;

use crate::broker::{Publisher, Queue};
use crate::domain::id::{DeliveryKey, MessageKey};
use crate::domain::job::Kind;
use crate::domain::purpose::Lane;
use crate::domain::retry::Next;
use crate::runtime::ops;
use crate::store::due::{self, Due, Ending, Pauses};
use crate::store::outcomes::{self, Call, Record};
use crate::store::{Pool, StoreError, behaviour, callbacks, conversations, idempotency, recipients};
use crate::wiring::{self, Parts, StartError};
use connections::Watcher;
use look_ups::LookUps;
use rounds::rounds;
use servers::Servers;
use suspicions::Prober;

/// Rows taken up per lane and round.
const BATCH: i64 = 512;
/// Jobs in a queue beyond which nothing is added: what waits there would only be doubled.
const DEEP: u32 = 500;
/// A published row is looked at again after this time, if nobody has claimed it: on a cluster that lost a node, the job
/// may be with a consumer that is no more.
const PUBLISHED_MS: i64 = 4_000;
/// What so many jobs may take to be worked off.
const DEEP_MS: i64 = 10_000;
/// A row that could not be published because the broker is away is looked at again after this time.
const AWAY_MS: i64 = 2_000;
/// How often old rows are removed.
const CLEANING: Duration = Duration::from_secs(30);
/// Rows of one kind removed in one statement, and statements in one go.
const CLEANED: i64 = 2_000;
const CLEANING_ROUNDS: u32 = 50;
/// Days a settled callback, and what was heard of in one, is kept: providers repeat theirs for seven.
const CALLBACK_DAYS: i32 = 8;
/// Days it is remembered to whom an account has written.
const CONTACT_DAYS: i32 = 180;

/// Sweeps until told to stop.
///
/// # Errors
/// [`StartError`] where it cannot start.
pub async fn run(parts: Parts) -> Result<(), StartError> {
    let closing = CancellationToken::new();
    let publisher = Publisher::start(&parts.nodes, &parts.topology, closing.clone()).await?;
    let checked = publisher.clone();
    let broker = ops::check("broker", move || std::future::ready(checked.problem()));
    wiring::serve_ops(&parts, vec![broker]).await?;
    let servers = Servers::new(&parts)?;
    let prober = Prober::new(&parts, servers.clone(), publisher.clone());
    let look_ups = LookUps::new(&parts, servers.clone(), publisher.clone());
    let watcher = Watcher::new(&parts, servers, prober.clone());
    let sweeper =
        Sweeper { pool: parts.pool.clone(), publisher, unknown_deadline: parts.config.unknown_deadline };
    tokio::join!(
        sweeper.run(&parts),
        sweeper.keep_clean(&parts),
        watcher.run(),
        prober.run(),
        look_ups.run()
    );
    closing.cancel();
    Ok(())
}

struct Sweeper {
    pool: Pool,
    publisher: Publisher,
    unknown_deadline: Duration,
}

/// What one round's commit leaves to publish.
#[derive(Default)]
struct Found {
    messages: Vec<(Lane, Vec<MessageKey>)>,
    deliveries: Vec<DeliveryKey>,
    full: bool,
}

impl Sweeper {
    async fn run(&self, parts: &Parts) {
        rounds(&parts.stop, parts.config.sweep_interval, "taking up what is due", || self.round()).await;
    }

    /// Takes up what is due; `true` if there may be more.
    async fn round(&self) -> Result<bool, StoreError> {
        let (priority, standard, notify) = tokio::join!(
            self.pauses(Queue::DeliverPriority),
            self.pauses(Queue::DeliverStandard),
            self.pauses(Queue::Notify)
        );
        let lanes = [(Lane::Priority, priority), (Lane::Standard, standard)];
        let Some(found) = self.take(lanes, notify).await? else { return Ok(false) };
        let messages = found
            .messages
            .iter()
            .map(|(lane, keys)| self.publisher.publish_all(Queue::of(*lane), Kind::Deliver, keys));
        let deliveries = self.publisher.publish_all(Queue::Notify, Kind::Notify, &found.deliveries);
        tokio::join!(join_all(messages), deliveries);
        Ok(found.full)
    }

    /// How long rows of a queue are put off, from how it fares.
    async fn pauses(&self, queue: Queue) -> Pauses {
        let busy_ms = match self.publisher.depth(queue).await {
            Ok(depth) if depth < DEEP => None,
            // The deeper, the longer until it can have come to these rows.
            Ok(depth) => Some(DEEP_MS * i64::from(depth / DEEP).min(30)),
            Err(_) => Some(AWAY_MS),
        };
        Pauses { published_ms: PUBLISHED_MS, busy_ms }
    }

    async fn take(&self, lanes: [(Lane, Pauses); 2], notify: Pauses) -> Result<Option<Found>, StoreError> {
        let mut session = self.pool.get().await?;
        let transaction = session.begin().await?;
        if !due::lead(&transaction).await? {
            return Ok(None);
        }
        let mut found = Found::default();
        let busy = notify.busy_ms.is_some();
        let token = Uuid::new_v4();
        let mut ended = Vec::new();
        for (lane, pauses) in lanes {
            let (taken, full) = due::messages(&transaction, lane, BATCH, pauses, token).await?;
            found.full |= full;
            ended.extend(taken.iter().filter_map(|due| self.ended(due, token)));
            let waiting = taken.into_iter().filter(|due| due.ending.is_none()).map(|due| due.key);
            found.messages.push((lane, waiting.collect()));
        }
        // Both lanes at once, so that counters are locked in one order.
        if !ended.is_empty() {
            info!(messages = ended.len(), "came to an end unattended");
            let owed = outcomes::record(&transaction, &ended).await?;
            // A queue that takes nothing would keep the round waiting; each says when it is looked at.
            found.deliveries.extend(if busy { Vec::new() } else { owed });
        }
        if notify.busy_ms.is_none() {
            let deliveries = due::deliveries(&transaction, BATCH, notify.published_ms).await?;
            found.full |= deliveries.len() as i64 == BATCH;
            found.deliveries.extend(deliveries);
        }
        transaction.commit().await?;
        Ok(Some(found))
    }

    fn ended(&self, due: &Due, token: Uuid) -> Option<Record> {
        let (next, error, reason) = match due.ending? {
            Ending::Expired => (Next::Expired, Some("message_expired"), None),
            Ending::CallLost => {
                let reason = "the worker died during the call".to_owned();
                (Next::Unknown(self.unknown_deadline), None, Some(reason))
            }
            Ending::NoEvidence => (Next::Failed, Some("gateway_send_failed"), None),
        };
        let call = reason.map(|reason| Call {
            number: due.call,
            outcome: "unknown",
            code: None,
            reason: Some(reason),
            provider_message_id: None,
        });
        let reached_provider = due.ending != Some(Ending::Expired);
        Some(Record { key: due.key, token, call, next, reached_provider, error })
    }

    /// Removes old rows beside the rounds, which do not wait for it.
    async fn keep_clean(&self, parts: &Parts) {
        while !parts.stop.is_cancelled() {
            let clean = async {
                // A full go means there is more.
                if !self.clean().await {
                    tokio::time::sleep(CLEANING).await;
                }
            };
            tokio::select! {
                () = parts.stop.cancelled() => {}
                () = clean => {}
            }
        }
    }

    /// Removes old rows, a bounded number each time; one kind's failure does not keep the others. Whether there may be more.
    async fn clean(&self) -> bool {
        for _ in 0..CLEANING_ROUNDS {
            let more = [
                cleaned("idempotency keys", self.forget_keys().await),
                cleaned("rested pairs", self.forget_pairs().await),
                cleaned("callbacks", self.forget_callbacks().await),
                cleaned("inbound messages", self.forget_inbound().await),
                cleaned("conversations", self.forget_conversations().await),
                cleaned("sightings", self.forget_sightings().await),
                cleaned("contacts", self.forget_contacts().await),
            ];
            if !more.contains(&true) {
                return false;
            }
        }
        true
    }

    async fn forget_keys(&self) -> Result<u64, StoreError> {
        idempotency::forget_old(&self.pool.get().await?, CLEANED).await
    }

    async fn forget_pairs(&self) -> Result<u64, StoreError> {
        due::forget_rested_pairs(&self.pool.get().await?, CLEANED).await
    }

    async fn forget_callbacks(&self) -> Result<u64, StoreError> {
        callbacks::forget_old(&self.pool.get().await?, CALLBACK_DAYS, CLEANED).await
    }

    async fn forget_inbound(&self) -> Result<u64, StoreError> {
        recipients::forget_old(&self.pool.get().await?, CALLBACK_DAYS, CLEANED).await
    }

    async fn forget_conversations(&self) -> Result<u64, StoreError> {
        conversations::forget_old(&self.pool.get().await?, CALLBACK_DAYS, CLEANED).await
    }

    async fn forget_sightings(&self) -> Result<u64, StoreError> {
        behaviour::forget_sightings(&self.pool.get().await?, CLEANED).await
    }

    async fn forget_contacts(&self) -> Result<u64, StoreError> {
        behaviour::forget_contacts(&self.pool.get().await?, CONTACT_DAYS, CLEANED).await
    }
}

/// Whether there may be more of it.
fn cleaned(what: &str, removed: Result<u64, StoreError>) -> bool {
    match removed {
        Ok(removed) => removed >= CLEANED.cast_unsigned(),
        Err(error) => {
            warn!(what, %error, "old rows are not removed");
            false
        }
    }
}
