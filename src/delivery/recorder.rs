//! Outcomes become durable, many in one commit; then webhooks are published.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};
use uuid::Uuid;

use super::affected::{Affected, How};
use super::places::Place;
use crate::broker::{Publisher, Queue};
use crate::domain::effect::Effect;
use crate::domain::id::DeliveryKey;
use crate::domain::instance::Provider;
use crate::domain::job::Kind;
use crate::domain::outcome::Outcome;
use crate::domain::suspicion::{self, Verdict};
use crate::runtime::linger::Linger;
use crate::runtime::retry::until_ok;
use crate::runtime::stage::Stage;
use crate::store::acknowledgements::{self, Taken};
use crate::store::effects::{self, Concerned};
use crate::store::outcomes::{self, Record};
use crate::store::{Pool, Session, StoreError, instances, suspicions};

/// Most outcomes in one commit.
const BATCH: usize = 256;
/// How long the next commit waits after one of many.
const LINGER: Duration = Duration::from_millis(3);

/// A message's outcome on its way to the database.
pub(super) struct Finished {
    pub(super) record: Record,
    pub(super) affected: Vec<Affected>,
    pub(super) taken: Option<Taken>,
    pub(super) place: Place,
}

/// Records outcomes.
pub(super) struct Recorder {
    pool: Pool,
    publisher: Publisher,
    publishing: TaskTracker,
    linger: Linger,
}

impl Recorder {
    /// For the outcomes of so many calls at once. When half of them are recorded together, hardly any are left to wait for: a
    /// call keeps its place until it is recorded.
    pub(super) fn new(pool: Pool, publisher: Publisher, calls: usize) -> Self {
        let linger = Linger::new(LINGER, BATCH.min(calls / 2));
        Self { pool, publisher, publishing: TaskTracker::new(), linger }
    }

    /// Records until nobody has outcomes any more.
    pub(super) async fn run(mut self, mut outcomes: mpsc::Receiver<Finished>) {
        let mut batch = Vec::with_capacity(BATCH);
        while outcomes.recv_many(&mut batch, BATCH).await > 0 {
            let size = batch.len();
            self.record(std::mem::take(&mut batch)).await;
            self.linger.took(size);
            self.linger.wait(outcomes.len()).await;
        }
        self.publishing.close();
        self.publishing.wait().await;
    }

    /// Publishes owed webhooks without keeping the next outcomes waiting.
    fn tell(&self, owed: Vec<DeliveryKey>) {
        if !owed.is_empty() {
            let publisher = self.publisher.clone();
            self.publishing
                .spawn(async move { publisher.publish_all(Queue::Notify, Kind::Notify, &owed).await });
        }
    }

    /// Tries until it is recorded: an outcome that is known must not end as unknown because the database was away.
    async fn record(&self, batch: Vec<Finished>) {
        let mut records = Vec::with_capacity(batch.len());
        let (mut affected, mut taken) = (Vec::new(), Vec::new());
        let mut places = Vec::with_capacity(batch.len());
        for finished in batch {
            records.push(finished.record);
            affected.extend(finished.affected);
            taken.extend(finished.taken);
            places.push(finished.place);
        }
        // Ended from outside: the process does not wait for this longer than its grace.
        let never = CancellationToken::new();
        // First what concerns others: it can be done twice, and is lost if the process dies after the record.
        for affected in affected {
            let owed = until_ok("effect", &never, || self.apply(&affected)).await;
            self.tell(owed.unwrap_or_default());
        }
        let mut parts = vec![records];
        while let Some(mut part) = parts.pop() {
            let outcome =
                until_ok("record", &never, || Stage::Record.run_batch(part.len(), self.write(&part))).await;
            match outcome {
                Some(Ok(owed)) => self.tell(owed),
                Some(Err(_)) if part.len() > 1 => {
                    let rest = part.split_off(part.len() / 2);
                    parts.extend([part, rest]);
                }
                Some(Err(error)) => error!(%error, "an outcome is refused by the database"),
                None => return,
            }
        }
        self.note(&taken).await;
        drop(places);
    }

    /// Notes what Evolution servers took. Once: an instance is judged by several messages, and one that is not noted only makes
    /// that later.
    async fn note(&self, taken: &[Taken]) {
        if taken.is_empty() {
            return;
        }
        let noted = async { acknowledgements::taken(&self.pool.get().await?, taken).await };
        if let Err(error) = noted.await {
            warn!(%error, "what was taken is not noted");
        }
    }

    /// The outer error is worth another try, the inner is not.
    async fn write(&self, records: &[Record]) -> Result<Result<Vec<DeliveryKey>, StoreError>, StoreError> {
        let session = self.pool.get().await?;
        match outcomes::record(&session, records).await {
            Ok(owed) => Ok(Ok(owed)),
            Err(error) if error.is_refusal() => Ok(Err(error)),
            Err(error) => Err(error),
        }
    }

    /// The message that was let through shows whether its sender can send: if so, the others follow.
    async fn tried(
        &self,
        session: &Session,
        sender: (i64, &str),
        message_id: Uuid,
        (provider, outcome): (Provider, &Outcome),
    ) -> Result<(), StoreError> {
        let (account_id, instance_id) = sender;
        let Some(cause) = suspicions::tried_by(session, sender, message_id).await? else { return Ok(()) };
        let verdict = suspicion::verdict(cause, outcome);
        info!(account_id, instance_id, ?cause, ?verdict, "a suspect sender was tried");
        match verdict {
            Verdict::Recovered => {
                if instances::recovered(session, sender).await? {
                    self.wake(sender);
                }
            }
            Verdict::Failed => {
                let at_least = suspicion::tried_again_after(provider, outcome);
                suspicions::failed(session, sender, message_id, at_least).await?;
            }
            Verdict::Open => {}
        }
        Ok(())
    }

    /// What was held leaves, without keeping the next outcomes waiting.
    fn wake(&self, (account_id, instance_id): (i64, &str)) {
        let (pool, instance_id) = (self.pool.clone(), instance_id.to_owned());
        self.publishing.spawn(async move {
            let woken = async { instances::wake(&pool.get().await?, (account_id, &instance_id)).await };
            if let Err(error) = woken.await {
                warn!(account_id, instance_id, %error, "what was held leaves some seconds later");
            }
        });
    }

    async fn apply(&self, affected: &Affected) -> Result<Vec<DeliveryKey>, StoreError> {
        let Affected { account_id, instance_id, recipient, how } = affected;
        let (account_id, sender) = (*account_id, (*account_id, instance_id.as_str()));
        let session = self.pool.get().await?;
        match how {
            How::Failed { effect, reason } => {
                log(sender, effect, reason);
                let concerned = Concerned { account_id, instance_id, recipient: Some(recipient), reason };
                effects::carry_out(&session, concerned, *effect).await
            }
            How::Tried { message_id, provider, outcome } => {
                self.tried(&session, sender, *message_id, (*provider, outcome)).await?;
                Ok(Vec::new())
            }
        }
    }
}

/// Tells operators of what stops more than one message.
fn log((account_id, instance_id): (i64, &str), effect: &Effect, reason: &str) {
    match effect {
        Effect::Hold { pause, reach } => {
            let (pause_s, reach) = (pause.as_secs(), reach.as_str());
            warn!(account_id, instance_id, reason, pause_s, reach, "the sender is throttled");
        }
        Effect::Suspect { .. } => {
            error!(account_id, instance_id, reason, "the provider refuses the sender; it is held");
        }
        Effect::DelayPair { .. } | Effect::OptOut | Effect::CoolDown { .. } => {}
    }
}
