//! Stored callbacks take effect: statuses rise, opt-outs stand, senders are held. What a callback says has its effect in one
//! commit. Most only report that messages arrive, three for each that is sent: those share a commit.

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
use self::reports::{Heard, Reported};
use super::{evolution_payload, meta_payload};
use crate::broker::{Publisher, Queue};
use crate::domain::id::DeliveryKey;
use crate::domain::job::Kind;
use crate::runtime::retry::until_ok;
use crate::runtime::stage::Stage;
use crate::store::callbacks::{self, Callback, Origin, Settled};
use crate::store::{Pool, StoreError, instances};

/// Callbacks taken up at once.
const BATCH: i64 = 64;
/// Most reports in one commit: a callback may bring a thousand of them, and has one of its own then.
const REPORTS: usize = 256;
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
            self.apply_all(taken).await;
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

    async fn apply_all(&mut self, taken: Vec<Callback>) {
        let mut room = REPORTS;
        let (mut together, others): (Vec<_>, Vec<_>) = taken
            .into_iter()
            .map(|callback| (Said::read(&callback), callback))
            .partition(|(said, _)| said.takes_of(&mut room));
        if together.len() > 1 {
            let work = self.apply_together(&together);
            match Stage::CallbackApply.run_batch(together.len(), work).await {
                Ok(owed) => {
                    self.tell(owed);
                    together.clear();
                }
                // Each has its own commit then: what is refused of one keeps none of the others waiting.
                Err(error) if error.is_refusal() => warn!(%error, "callbacks could not be applied together"),
                // They are due again when their leases end.
                Err(error) => {
                    warn!(%error, callbacks = together.len(), "callbacks could not be applied yet");
                    together.clear();
                }
            }
        }
        for (said, callback) in together.into_iter().chain(others) {
            match Stage::CallbackApply.run_batch(1, self.apply(&callback, said)).await {
                Ok(owed) => self.tell(owed),
                Err(error) if error.is_refusal() && callback.tries >= MOST_TRIES => {
                    self.give_up(&callback, &error).await;
                }
                // It is due again when its lease ends.
                Err(error) => warn!(%error, "a callback could not be applied yet"),
            }
        }
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

    /// Applies callbacks that only report that messages arrive.
    async fn apply_together(&mut self, said: &[(Said, Callback)]) -> Result<Vec<DeliveryKey>, StoreError> {
        let mut reported = Vec::new();
        let mut told = Vec::new();
        for (place, (said, callback)) in said.iter().enumerate() {
            let Said::ByMeta(payload) = said else { continue };
            let reports = payload.updates.iter().filter_map(|update| meta::reported(update, callback));
            reported.extend(reports.map(|report| Reported { callback: place, ..report }));
            told.extend(payload.told.iter().cloned());
        }
        told.sort_unstable();
        told.dedup();
        let mut session = self.pool.get().await?;
        let transaction = session.begin().await?;
        let Heard { mut applied, aliases, not_yet, .. } = reports::apply(&transaction, reported).await?;
        applied.owed.extend(people::learn_all(&transaction, aliases).await?);
        let noted = self.listening.note(&transaction, told).await?;
        let settled = said.iter().enumerate();
        let settled = settled.map(|(place, (_, callback))| settled_as(callback, not_yet.contains(&place)));
        callbacks::settle(&transaction, &settled.collect::<Vec<_>>()).await?;
        transaction.commit().await?;
        self.listening.remember(noted);
        Ok(applied.owed)
    }

    async fn apply(&mut self, callback: &Callback, said: Said) -> Result<Vec<DeliveryKey>, StoreError> {
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
                evolution::apply(&transaction, (callback, &instance_id), payload).await?
            }
        };
        callbacks::settle(&transaction, &[settled_as(callback, applied.not_yet)]).await?;
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

/// What becomes of a callback that had its effect, unless it reports on a message that is not known yet.
fn settled_as(callback: &Callback, not_yet: bool) -> Settled<'_> {
    let again = not_yet && callback.age_seconds < GIVE_UP_SECONDS;
    let again_ms = again.then(|| AGAIN_MS << callback.tries.clamp(0, 6));
    Settled { account_id: callback.account_id, body_hash: &callback.body_hash, again_ms }
}

/// What a callback says, in its provider's words.
enum Said {
    ByMeta(meta_payload::Payload),
    /// Of which instance, and what.
    ByEvolution(String, evolution_payload::Payload),
}

impl Said {
    /// Whether it only reports that messages arrive, and there is room for that in a commit with others; the room is taken
    /// then.
    fn takes_of(&self, room: &mut usize) -> bool {
        let Self::ByMeta(payload) = self else { return false };
        let takes = meta::only_reports_arrivals(payload) && payload.updates.len() <= *room;
        if takes {
            *room -= payload.updates.len();
        }
        takes
    }

    fn read(callback: &Callback) -> Self {
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
                (Self::ByEvolution(instance_id.clone(), payload), ignored, "evolution")
            }
        };
        if ignored > 0 && !callback.heard {
            counter!("gatepost_callback_parts_ignored_total", "provider" => provider)
                .increment(u64::try_from(ignored).unwrap_or(u64::MAX));
        }
        said
    }
}
