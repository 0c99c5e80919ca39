//! Stored callbacks take effect: statuses rise, opt-outs stand, senders are held, all in one commit per callback.

mod accounts;
mod evolution;
mod meta;
mod people;
mod reports;
mod wishes;

use std::sync::Arc;
use std::time::Duration;

use metrics::counter;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use self::accounts::Listening;
use super::{evolution_payload, meta_payload};
use crate::broker::{Publisher, Queue};
use crate::domain::id::DeliveryKey;
use crate::domain::job::Kind;
use crate::runtime::retry::until_ok;
use crate::store::callbacks::{self, Callback, Origin};
use crate::store::{Pool, StoreError};

/// Callbacks taken up at once.
const BATCH: i64 = 16;
/// A callback that was taken up and not settled is due again after this time.
const LEASE_MS: i64 = 30_000;
/// How often to look for callbacks nobody announced.
const INTERVAL: Duration = Duration::from_secs(1);
/// Reports of messages that are not known yet are tried again, each time after twice as long …
const AGAIN_MS: i64 = 1_000;
/// … for this long after they arrived: by then the send has been recorded, or the message is not ours.
const GIVE_UP_SECONDS: i64 = 600;

/// Applies callbacks.
pub(super) struct Applier {
    pool: Pool,
    publisher: Publisher,
    arrived: Arc<Notify>,
    listening: Listening,
}

/// What one callback's commit leaves to do.
#[derive(Default)]
struct Applied {
    owed: Vec<DeliveryKey>,
    not_yet: bool,
}

impl Applier {
    pub(super) fn new(pool: Pool, publisher: Publisher, arrived: Arc<Notify>) -> Self {
        Self { pool, publisher, arrived, listening: Listening::default() }
    }

    /// Applies what is due, until `stop`.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        loop {
            let taken = until_ok("callbacks", &stop, || async {
                callbacks::take(&self.pool.get().await?, BATCH, LEASE_MS).await
            })
            .await;
            let Some(taken) = taken else { return };
            let more = !taken.is_empty();
            for callback in taken {
                match self.apply(&callback).await {
                    Ok(owed) => self.publisher.publish_all(Queue::Notify, Kind::Notify, &owed).await,
                    // It is due again when its lease ends.
                    Err(error) => warn!(%error, "a callback could not be applied yet"),
                }
            }
            if more {
                continue;
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.arrived.notified() => {}
                () = tokio::time::sleep(INTERVAL) => {}
            }
        }
    }

    async fn apply(&mut self, callback: &Callback) -> Result<Vec<DeliveryKey>, StoreError> {
        let read = Said::read(callback);
        let mut session = self.pool.get().await?;
        let transaction = session.begin().await?;
        // Taken up again for a report that has to wait, the rest has had its effect, and may have been overtaken.
        let mut noted = Vec::new();
        let applied = match read {
            Said::ByMeta(payload) => {
                let applied = meta::apply(&transaction, callback, payload.updates).await?;
                noted = self.listening.note(&transaction, payload.told).await?;
                applied
            }
            Said::ByEvolution(instance_id, updates) => {
                evolution::apply(&transaction, (callback, instance_id), updates).await?
            }
        };
        let again = applied.not_yet && callback.age_seconds < GIVE_UP_SECONDS;
        let again_ms = again.then(|| AGAIN_MS << callback.tries.clamp(0, 6));
        callbacks::settle(&transaction, callback.account_id, &callback.body_hash, again_ms).await?;
        transaction.commit().await?;
        self.listening.remember(noted);
        Ok(applied.owed)
    }
}

/// What a callback says, in its provider's words.
enum Said<'a> {
    ByMeta(meta_payload::Payload),
    ByEvolution(&'a str, Vec<evolution_payload::Update>),
}

impl<'a> Said<'a> {
    fn read(callback: &'a Callback) -> Self {
        let (body, at) = (callback.body.as_slice(), callback.received_at);
        let (said, ignored, provider) = match &callback.origin {
            Origin::Meta => {
                let payload = meta::read(body, at);
                let ignored = payload.ignored;
                (Self::ByMeta(payload), ignored, "meta")
            }
            Origin::Evolution(instance_id) => {
                let (updates, ignored) = evolution::read(body, at);
                (Self::ByEvolution(instance_id, updates), ignored, "evolution")
            }
        };
        if ignored > 0 && !callback.heard {
            counter!("gatepost_callback_parts_ignored_total", "provider" => provider)
                .increment(u64::try_from(ignored).unwrap_or(u64::MAX));
        }
        said
    }
}
