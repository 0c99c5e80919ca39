//! Sweep: whatever is overdue is published again, or brought to its end. The only way back into the queues.
//!
//! A lost publish, a dead worker and a wiped broker look the same from here: a row whose `due_at` has passed. Several
//! processes may sweep; in each round one leads.

use std::time::{Duration, Instant};

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
use crate::store::{Pool, StoreError, callbacks, idempotency};
use crate::wiring::{self, Parts, StartError};

/// Rows taken up per lane and round.
const BATCH: i64 = 512;
/// Jobs in a queue beyond which nothing is added: what waits there would only be doubled.
const DEEP: u32 = 500;
/// A published row is looked at again after this time, if nobody has claimed it.
const PUBLISHED_MS: i64 = 10_000;
/// A row that could not be published because the broker is away is looked at again after this time.
const AWAY_MS: i64 = 2_000;
/// How often old rows are removed.
const CLEANING: Duration = Duration::from_secs(30);
/// Days a settled callback is kept: providers repeat theirs for seven.
const CALLBACK_DAYS: i32 = 8;

/// Sweeps until told to stop.
///
/// # Errors
/// [`StartError`] where it cannot start.
pub async fn run(parts: Parts) -> Result<(), StartError> {
    let closing = CancellationToken::new();
    let publisher = Publisher::start(&parts.config.amqp_url, &parts.topology, closing.clone()).await?;
    let checked = publisher.clone();
    let broker = ops::check("broker", move || std::future::ready(checked.problem()));
    wiring::serve_ops(&parts, vec![broker]).await?;
    let sweeper =
        Sweeper { pool: parts.pool.clone(), publisher, unknown_deadline: parts.config.unknown_deadline };
    let mut cleaned = None;
    while !parts.stop.is_cancelled() {
        let full = match sweeper.round().await {
            Ok(full) => full,
            Err(error) => {
                warn!(%error, "a round failed");
                false
            }
        };
        if cleaned.is_none_or(|at: Instant| at.elapsed() > CLEANING) {
            cleaned = Some(Instant::now());
            if let Err(error) = sweeper.clean().await {
                warn!(%error, "cleaning failed");
            }
        }
        // A full round means there is more.
        let pause = if full { Duration::ZERO } else { parts.config.sweep_interval };
        tokio::select! {
            () = parts.stop.cancelled() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
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
    /// Takes up what is due; `true` if there may be more.
    async fn round(&self) -> Result<bool, StoreError> {
        let lanes = [
            (Lane::Priority, self.pauses(Queue::DeliverPriority).await),
            (Lane::Standard, self.pauses(Queue::DeliverStandard).await),
        ];
        let notify = self.pauses(Queue::Notify).await;
        let Some(found) = self.take(lanes, notify).await? else { return Ok(false) };
        for (lane, keys) in &found.messages {
            self.publisher.publish_all(Queue::of(*lane), Kind::Deliver, keys).await;
        }
        self.publisher.publish_all(Queue::Notify, Kind::Notify, &found.deliveries).await;
        Ok(found.full)
    }

    /// How long rows of a queue are put off, from how it fares.
    async fn pauses(&self, queue: Queue) -> Pauses {
        let busy_ms = match self.publisher.depth(queue).await {
            Ok(depth) if depth < DEEP => None,
            // The deeper, the longer until it can have come to these rows.
            Ok(depth) => Some(PUBLISHED_MS * i64::from(depth / DEEP).min(30)),
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
        for (lane, pauses) in lanes {
            let token = Uuid::new_v4();
            let taken = due::messages(&transaction, lane, BATCH, pauses, token).await?;
            found.full |= taken.len() as i64 == BATCH;
            let ended: Vec<Record> = taken.iter().filter_map(|due| self.ended(due, token)).collect();
            if !ended.is_empty() {
                info!(lane = lane.as_str(), messages = ended.len(), "came to an end unattended");
                found.deliveries.extend(outcomes::record(&transaction, &ended).await?);
            }
            let waiting = taken.into_iter().filter(|due| due.ending.is_none()).map(|due| due.key);
            found.messages.push((lane, waiting.collect()));
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

    async fn clean(&self) -> Result<(), StoreError> {
        let session = self.pool.get().await?;
        idempotency::forget_old(&session, 10_000).await?;
        due::forget_rested_pairs(&session, 10_000).await?;
        callbacks::forget_old(&session, CALLBACK_DAYS, 1_000).await?;
        Ok(())
    }
}
