//! Stored callbacks take effect: statuses rise, opt-outs stand, senders are held. What a callback says has its effect in one
//! commit. Most of Meta's only report that messages arrive, three for each that is sent: those share a commit.

mod accounts;
mod evolution;
mod meta;
mod order;
mod people;
mod reports;
mod said;
mod wishes;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use metrics::counter;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, warn};

use self::accounts::Listening;
use self::order::{Share, shares};
use self::reports::Heard;
use self::said::Said;
use super::meta_payload::Payload;
use crate::broker::{Publisher, Queue};
use crate::domain::id::DeliveryKey;
use crate::domain::job::Kind;
use crate::runtime::retry::until_ok;
use crate::runtime::stage::Stage;
use crate::store::callbacks::{self, Callback, Origin, Settled};
use crate::store::{Pool, StoreError, instances};

/// Callbacks taken up at once.
const BATCH: i64 = 64;
/// They are at most so long together, unless it is one; a callback may have 4 MiB.
const BATCH_BYTES: i64 = 8 * 1024 * 1024;
/// A callback that was taken up and not settled is due again after this time.
const LEASE_MS: i64 = 30_000;
/// How long callbacks that were taken up are applied: half as long as they are ours.
const TURN: Duration = Duration::from_secs(15);
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
                callbacks::take(&self.pool.get().await?, (BATCH, BATCH_BYTES), LEASE_MS).await
            })
            .await;
            let Some(taken) = taken else { break };
            let more = !taken.is_empty();
            self.apply_all(taken, &stop).await;
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

    /// Applies what was taken up, as long as it is certain to be ours; the rest is due again at once.
    async fn apply_all(&mut self, taken: Vec<Callback>, stop: &CancellationToken) {
        let began = Instant::now();
        let mut shares = VecDeque::from(shares(taken));
        while let Some(share) = shares.pop_front() {
            if stop.is_cancelled() || began.elapsed() > TURN {
                shares.push_front(share);
                break;
            }
            match share {
                Share::Alone(said, callback) => self.apply_alone(said, &callback).await,
                Share::Together(arrivals) => {
                    // Each has its own commit then: what is wrong with one keeps none of the others waiting.
                    let apart = self.apply_together(arrivals).await.into_iter().rev();
                    apart.for_each(|(payload, callback)| {
                        shares.push_front(Share::Alone(Said::Arrivals(payload), callback));
                    });
                }
            }
        }
        let left: Vec<Callback> = shares.into_iter().flat_map(Share::into_callbacks).collect();
        if !left.is_empty() {
            let given_back = async { callbacks::give_back(&self.pool.get().await?, &left).await };
            if let Err(error) = given_back.await {
                warn!(%error, callbacks = left.len(), "callbacks are applied when their leases end");
            }
        }
    }

    /// Applies callbacks that share a commit; gives back those that are to be applied one by one.
    async fn apply_together(&mut self, arrivals: Vec<(Payload, Callback)>) -> Vec<(Payload, Callback)> {
        match Stage::CallbackApply.run_batch(arrivals.len(), self.report(&arrivals)).await {
            Ok(owed) => {
                self.tell(owed);
                Vec::new()
            }
            // They are due again when their leases end.
            Err(error @ (StoreError::Connect(_) | StoreError::Timeout)) => {
                warn!(%error, callbacks = arrivals.len(), "callbacks could not be applied yet");
                Vec::new()
            }
            Err(error) => {
                warn!(%error, callbacks = arrivals.len(), "callbacks could not be applied together");
                arrivals
            }
        }
    }

    async fn apply_alone(&mut self, said: Said, callback: &Callback) {
        match Stage::CallbackApply.run_batch(1, self.apply(callback, said)).await {
            Ok(owed) => self.tell(owed),
            Err(error) if error.is_refusal() && callback.tries >= MOST_TRIES => {
                self.give_up(callback, &error).await;
            }
            // It is due again when its lease ends.
            Err(error) => warn!(%error, "a callback could not be applied yet"),
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

    /// Applies callbacks that only report that messages arrive, in one commit.
    async fn report(&mut self, arrivals: &[(Payload, Callback)]) -> Result<Vec<DeliveryKey>, StoreError> {
        let mut reported = Vec::new();
        // A number has one account: the one that was told last.
        let mut told = BTreeMap::new();
        for (place, (payload, callback)) in arrivals.iter().enumerate() {
            let updates = payload.updates.iter();
            reported.extend(updates.filter_map(|update| meta::reported(update, (place, callback))));
            told.extend(payload.told.iter().map(|(account, number)| (number.clone(), account.clone())));
        }
        let told = told.into_iter().map(|(number, account)| (account, number)).collect();
        let mut session = self.pool.get().await?;
        let transaction = session.begin().await?;
        let Heard { mut owed, aliases, not_yet, .. } = reports::apply(&transaction, reported).await?;
        owed.extend(people::learn_all(&transaction, aliases).await?);
        let noted = self.listening.note(&transaction, told).await?;
        let settled = arrivals.iter().enumerate();
        let settled = settled.map(|(place, (_, callback))| settled_as(callback, not_yet.contains(&place)));
        callbacks::settle(&transaction, &settled.collect::<Vec<_>>()).await?;
        transaction.commit().await?;
        self.listening.remember(noted);
        Ok(owed)
    }

    async fn apply(&mut self, callback: &Callback, said: Said) -> Result<Vec<DeliveryKey>, StoreError> {
        let mut session = self.pool.get().await?;
        let transaction = session.begin().await?;
        // Taken up again for a report that has to wait, the rest has had its effect, and may have been overtaken.
        let mut noted = Vec::new();
        let applied = match said {
            Said::Arrivals(payload) | Said::ByMeta(payload) => {
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
