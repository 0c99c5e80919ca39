//! Sweep: what has come to an end unattended is ended, and webhooks that are overdue are published again.
//!
//! A lost publish, a dead worker and a wiped broker look the same from here: a row whose `due_at` has passed. Messages that
//! are merely due are the workers' own business. Several processes may sweep; in each round one leads. Beside that, Evolution servers are asked how their instances are connected and
//! what became of messages of unknown outcome, and suspect instances are tried. Once in a while partitions are made and dropped.

mod ageing;
mod connections;
mod ends;
mod look_ups;
mod measures;
mod metrics;
mod rounds;
mod servers;
mod suspicions;

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::broker::{self, Publisher, Queue};
use crate::domain::id::DeliveryKey;
use crate::domain::job::Kind;
use crate::runtime::ops;
use crate::runtime::stage::Stage;
use crate::store::due;
use crate::store::outcomes;
use crate::store::{Pool, StoreError, behaviour, callbacks, conversations, idempotency, recipients};
use crate::wiring::{self, Parts, StartError};
use ageing::Ageing;
use connections::Watcher;
use ends::Ends;
use look_ups::LookUps;
use measures::Measurer;
use rounds::rounds;
use servers::Servers;
use suspicions::Prober;

/// Webhooks taken up in a round.
const BATCH: i64 = 512;
/// Jobs in a queue beyond which nothing is added: what waits there would only be doubled.
const DEEP: u32 = 500;
/// A published row is looked at again after this time, if nobody has claimed it: on a cluster that lost a node, the job
/// may be with a consumer that is no more.
const PUBLISHED_MS: i64 = 4_000;
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
    let connected = ops::check("broker", move || std::future::ready(checked.problem()));
    wiring::serve_ops(&parts, "sweep", vec![connected], &[metrics::METRICS, broker::METRICS]).await?;
    let servers = Servers::new(&parts)?;
    let prober = Prober::new(&parts, servers.clone(), publisher.clone());
    let look_ups = LookUps::new(&parts, servers.clone(), publisher.clone());
    let watcher = Watcher::new(&parts, servers, prober.clone());
    let ageing = Ageing::new(&parts);
    let sweeper = Sweeper { pool: parts.pool.clone(), publisher };
    let mut ends = Ends::new(parts.config.unknown_deadline);
    tokio::join!(
        sweeper.run(&parts, &mut ends),
        sweeper.keep_clean(&parts),
        watcher.run(),
        prober.run(),
        Measurer::new(&parts).run(),
        look_ups.run(),
        ageing.run()
    );
    closing.cancel();
    Ok(())
}

struct Sweeper {
    pool: Pool,
    publisher: Publisher,
}

/// What one round's commit leaves to publish.
#[derive(Default)]
struct Found {
    deliveries: Vec<DeliveryKey>,
    full: bool,
}

impl Sweeper {
    async fn run(&self, parts: &Parts, ends: &mut Ends) {
        let work = "taking up what is due";
        rounds(&parts.stop, parts.config.sweep_interval, work, async || {
            Stage::SweepRound.run(self.round(ends)).await
        })
        .await;
    }

    /// Takes up what is due; `true` if there may be more.
    async fn round(&self, ends: &mut Ends) -> Result<bool, StoreError> {
        // The deeper, the longer until it can have come to these rows; one that is away takes nothing.
        let room = self.publisher.depth(Queue::Notify).await.is_ok_and(|depth| depth < DEEP);
        let taken = self.take(ends, room).await?;
        metrics::round(taken.is_some());
        let Some(found) = taken else { return Ok(false) };
        self.publisher.publish_all(Queue::Notify, Kind::Notify, &found.deliveries).await;
        Ok(found.full)
    }

    /// Ends messages, and takes up webhooks where there is `room` for them in their queue.
    async fn take(&self, ends: &mut Ends, room: bool) -> Result<Option<Found>, StoreError> {
        let mut session = self.pool.get().await?;
        let transaction = session.begin().await?;
        if !due::lead(&transaction).await? {
            return Ok(None);
        }
        let mut found = Found::default();
        let (ended, positions) = ends.look(&transaction).await?;
        if !ended.is_empty() {
            info!(messages = ended.len(), "came to an end unattended");
            let owed = outcomes::record(&transaction, &ended).await?;
            // A queue that takes nothing would keep the round waiting; each says when it is looked at.
            found.deliveries.extend(if room { owed } else { Vec::new() });
        }
        let mut deliveries = Vec::new();
        if room {
            deliveries = due::deliveries(&transaction, BATCH, PUBLISHED_MS).await?;
            found.full |= deliveries.len() as i64 == BATCH;
        }
        transaction.commit().await?;
        ended.iter().for_each(|record| metrics::ended(record.next));
        metrics::published(deliveries.len());
        found.deliveries.extend(deliveries);
        ends.go_on(positions);
        Ok(Some(found))
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
