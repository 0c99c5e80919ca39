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
use tokio_util::task::TaskTracker;
use tracing::{error, warn};

use self::accounts::Listening;
use super::{evolution_payload, meta_payload};
use crate::broker::{Publisher, Queue};
use crate::domain::id::DeliveryKey;
use crate::domain::job::Kind;
use crate::runtime::retry::until_ok;
use crate::runtime::stage::Stage;
use crate::store::callbacks::{self, Callback, Origin};
use crate::store::{Pool, StoreError, instances};

/// Callbacks taken up at once.
const BATCH: i64 = 16;
/// A callback that was taken up and not settled is due again after this time.
const LEASE_MS: i64 = 30_000;
/// How often to look for callbacks nobody announced.
const INTERVAL: Duration = Duration::from_secs(1);
/// A callback that the database refuses is given up after so many tries, half an hour.
const MOST_TRIES: i16 = 10;
/// Reports of messages that are not known yet are tried again, each time after twice as long …
const AGAIN_MS: i64 = 1_000;
/// … for this long after they arrived: by then the send has been recorded, or the message is not ours.
const GIVE_UP_SECONDS: i64 = 600;

/// Most callbacks' webhooks that wait for their confirm; beyond it they are left to `sweep`.
const PUBLISHING: usize = 256;
/// How long the last of them are waited for at the end.
const LAST_CONFIRMS: Duration = Duration::from_secs(2);

/// Applies callbacks.
pub(super) struct Applier {
    pool: Pool,
    publisher: Publisher,
    publishing: TaskTracker,
    arrived: Arc<Notify>,
    listening: Listening,
}

/// What one callback's commit leaves to do.
#[derive(Default)]
struct Applied {
    owed: Vec<DeliveryKey>,
    not_yet: bool,
    /// The instance that was called for is open by it: what it held may leave.
    opened: bool,
}

impl Applier {
    pub(super) fn new(pool: Pool, publisher: Publisher, arrived: Arc<Notify>) -> Self {
        Self { pool, publisher, publishing: TaskTracker::new(), arrived, listening: Listening::default() }
    }

    /// Applies what is due, until `stop`.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        loop {
            let taken = until_ok("callbacks", &stop, || async {
                callbacks::take(&self.pool.get().await?, BATCH, LEASE_MS).await
            })
            .await;
            let Some(taken) = taken else { break };
            let more = !taken.is_empty();
            for callback in taken {
                match Stage::CallbackApply.run(self.apply(&callback)).await {
                    Ok(owed) => self.tell(owed),
                    Err(error) if error.is_refusal() && callback.tries >= MOST_TRIES => {
                        self.give_up(&callback, &error).await;
                    }
                    // It is due again when its lease ends.
                    Err(error) => warn!(%error, "a callback could not be applied yet"),
                }
            }
            if more {
                continue;
            }
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.arrived.notified() => {}
                () = tokio::time::sleep(INTERVAL) => {}
            }
        }
        // What was published last is confirmed, or left to sweep, before the connection goes.
        self.publishing.close();
        let _ = tokio::time::timeout(LAST_CONFIRMS, self.publishing.wait()).await;
    }

    /// Publishes owed webhooks without keeping the next callbacks waiting: a queue without a leader takes seconds.
    fn tell(&self, owed: Vec<DeliveryKey>) {
        if owed.is_empty() {
            return;
        }
        if self.publishing.len() >= PUBLISHING {
            counter!("gatepost_publish_failures_total", "queue" => Queue::Notify.key()).increment(1);
            return;
        }
        let publisher = self.publisher.clone();
        self.publishing.spawn(async move { publisher.publish_all(Queue::Notify, Kind::Notify, &owed).await });
    }

    /// What the database refuses again and again is kept, and keeps nobody waiting any more.
    async fn give_up(&self, callback: &Callback, refusal: &StoreError) {
        let account_id = callback.account_id;
        error!(account_id, error = %refusal, "a callback is given up; it stays in the table callbacks");
        counter!("gatepost_callbacks_given_up_total").increment(1);
        let settled =
            async { callbacks::give_up(&self.pool.get().await?, account_id, &callback.body_hash).await };
        if let Err(error) = settled.await {
            warn!(account_id, %error, "it is given up later");
        }
    }

    async fn apply(&mut self, callback: &Callback) -> Result<Vec<DeliveryKey>, StoreError> {
        let said = Said::read(callback);
        let mut session = self.pool.get().await?;
        let transaction = session.begin().await?;
        // Taken up again for a report that has to wait, the rest has had its effect, and may have been overtaken.
        let mut noted = Vec::new();
        let applied = match said {
            Said::ByMeta(payload) => {
                let applied = meta::apply(&transaction, callback, payload.updates).await?;
                noted = self.listening.note(&transaction, payload.told).await?;
                applied
            }
            Said::ByEvolution(instance_id, payload) => {
                evolution::apply(&transaction, (callback, instance_id), payload).await?
            }
        };
        let again = applied.not_yet && callback.age_seconds < GIVE_UP_SECONDS;
        let again_ms = again.then(|| AGAIN_MS << callback.tries.clamp(0, 6));
        callbacks::settle(&transaction, callback.account_id, &callback.body_hash, again_ms).await?;
        transaction.commit().await?;
        self.listening.remember(noted);
        if let Origin::Evolution(instance_id) = &callback.origin
            && applied.opened
        {
            self.wake(callback.account_id, instance_id);
        }
        Ok(applied.owed)
    }

    /// What the instance held leaves, without keeping the next callbacks waiting.
    fn wake(&self, account_id: i64, instance_id: &str) {
        let (pool, instance_id) = (self.pool.clone(), instance_id.to_owned());
        tokio::spawn(async move {
            let woken = async { instances::wake(&pool.get().await?, (account_id, &instance_id)).await };
            if let Err(error) = woken.await {
                warn!(account_id, instance_id, %error, "what was held leaves some seconds later");
            }
        });
    }
}

/// What a callback says, in its provider's words.
enum Said<'a> {
    ByMeta(meta_payload::Payload),
    ByEvolution(&'a str, evolution_payload::Payload),
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
                let payload = evolution::read(body, at);
                let ignored = payload.ignored;
                (Self::ByEvolution(instance_id, payload), ignored, "evolution")
            }
        };
        if ignored > 0 && !callback.heard {
            counter!("gatepost_callback_parts_ignored_total", "provider" => provider)
                .increment(u64::try_from(ignored).unwrap_or(u64::MAX));
        }
        said
    }
}
