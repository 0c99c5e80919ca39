//! Outcomes become durable, many in one commit; then webhooks are published and jobs acknowledged.

use futures_util::future::join_all;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, warn};

use super::ticket::Ticket;
use crate::broker::{Publisher, Queue};
use crate::domain::effect::Effect;
use crate::domain::id::DeliveryKey;
use crate::domain::job::Kind;
use crate::runtime::retry::until_ok;
use crate::store::effects::{self, Concerned};
use crate::store::outcomes::{self, Record};
use crate::store::{Pool, StoreError};

/// Most outcomes in one commit.
const BATCH: usize = 256;

/// A message's outcome on its way to the database.
pub(super) struct Finished {
    pub(super) record: Record,
    pub(super) affected: Vec<Affected>,
    pub(super) ticket: Ticket,
}

/// What an outcome means for others than its message.
pub(super) struct Affected {
    pub(super) account_id: i64,
    pub(super) instance_id: String,
    pub(super) recipient: String,
    pub(super) reason: String,
    pub(super) effect: Effect,
}

/// Records outcomes.
pub(super) struct Recorder {
    pool: Pool,
    publisher: Publisher,
    publishing: TaskTracker,
}

impl Recorder {
    pub(super) fn new(pool: Pool, publisher: Publisher) -> Self {
        Self { pool, publisher, publishing: TaskTracker::new() }
    }

    /// Records until nobody has outcomes any more.
    pub(super) async fn run(self, mut outcomes: mpsc::Receiver<Finished>) {
        let mut batch = Vec::with_capacity(BATCH);
        while outcomes.recv_many(&mut batch, BATCH).await > 0 {
            self.record(std::mem::take(&mut batch)).await;
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
        let mut affected = Vec::new();
        let mut tickets = Vec::with_capacity(batch.len());
        for finished in batch {
            records.push(finished.record);
            affected.extend(finished.affected);
            tickets.push(finished.ticket);
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
            let outcome = until_ok("record", &never, || self.write(&part)).await;
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
        join_all(tickets.into_iter().map(Ticket::finish)).await;
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

    async fn apply(&self, affected: &Affected) -> Result<Vec<DeliveryKey>, StoreError> {
        let Affected { account_id, instance_id, recipient, reason, effect } = affected;
        let session = self.pool.get().await?;
        match effect {
            Effect::Hold { pause, reach } => {
                let (pause_s, reach) = (pause.as_secs(), reach.as_str());
                warn!(account_id, instance_id, reason, pause_s, reach, "the sender is throttled");
            }
            Effect::Suspect => {
                error!(account_id, instance_id, reason, "the provider refuses the sender; it is held");
            }
            Effect::DelayPair { .. } | Effect::OptOut | Effect::CoolDown { .. } => {}
        }
        let concerned =
            Concerned { account_id: *account_id, instance_id, recipient: Some(recipient), reason };
        effects::carry_out(&session, concerned, *effect).await
    }
}
