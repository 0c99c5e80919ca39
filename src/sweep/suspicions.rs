//! Suspect instances are tried by one message each; and instances are found that call themselves connected and are not.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::connections::LONGEST_PAUSE;
use crate::broker::{Publisher, Queue};
use crate::domain::job::Kind;
use crate::domain::suspicion::{self, Cause};
use crate::store::suspicions::{self, Doubt, Overdue, Tried};
use crate::store::{Db, Pool, StoreError, instances};
use crate::wiring::Parts;

/// Suspect instances dealt with in one round.
const BATCH: i64 = 64;
/// What a message that was let through may take beside its call: its queue, its slot, its record.
const ON_THE_WAY: Duration = Duration::from_secs(10);

/// Tries suspect instances, and finds them.
#[derive(Clone)]
pub(super) struct Prober {
    pool: Pool,
    publisher: Publisher,
    pause: Duration,
    /// How long nothing may be acknowledged.
    silence: Duration,
    /// How long a message that was let through has to show something.
    limit: Duration,
    stop: CancellationToken,
}

impl Prober {
    pub(super) fn new(parts: &Parts, publisher: Publisher) -> Self {
        let config = &parts.config;
        Self {
            pool: parts.pool.clone(),
            publisher,
            pause: config.probe_pause,
            silence: config.silence,
            limit: ON_THE_WAY.saturating_add(config.provider_timeout).saturating_add(config.silence),
            stop: parts.stop.clone(),
        }
    }

    /// Works until told to stop.
    pub(super) async fn run(&self) {
        while !self.stop.is_cancelled() {
            tokio::select! {
                () = self.stop.cancelled() => return,
                round = self.round() => {
                    if let Err(error) = round {
                        warn!(%error, "suspect instances could not be dealt with");
                    }
                }
            }
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(self.pause.min(self.silence).min(LONGEST_PAUSE)) => {}
            }
        }
    }

    async fn round(&self) -> Result<(), StoreError> {
        let session = self.pool.get().await?;
        for Overdue { account_id, instance_id, probe } in suspicions::overdue(&session, BATCH).await? {
            let key = (account_id, instance_id.as_str());
            match probe {
                Some(message_id) => {
                    info!(
                        account_id,
                        instance_id, "the message that was let through has shown nothing in time"
                    );
                    suspicions::failed(&session, key, message_id, Some(Duration::ZERO)).await?;
                }
                None => drop(self.try_one(&session, key).await?),
            }
        }
        for ((account_id, instance_id), people) in suspicions::unacknowledged(&session).await? {
            let Some(trouble) = suspicion::trouble(&people, self.silence) else { continue };
            let reason = trouble.reason();
            error!(account_id, instance_id, reason, "the sender is held");
            let doubt = Doubt { cause: Cause::Silence, reason, heals_after: Some(self.pause) };
            let owed = suspicions::suspect(&session, (account_id, &instance_id), doubt).await?;
            self.publisher.publish_all(Queue::Notify, Kind::Notify, &owed).await;
        }
        Ok(())
    }

    /// Lets one message of a suspect instance through, if it is time and there is one.
    async fn try_one(&self, db: &impl Db, key: (i64, &str)) -> Result<Tried, StoreError> {
        let tried = suspicions::try_one(db, key, self.limit).await?;
        if tried == Tried::LetThrough {
            let (account_id, instance_id) = key;
            info!(account_id, instance_id, "a suspect sender is tried by one message");
        }
        Ok(tried)
    }

    /// As [`Self::try_one`], where the provider says that the instance is open. If there is no message that could show it, it
    /// is believed, unless a message has shown otherwise.
    pub(super) async fn try_connected(&self, db: &impl Db, key: (i64, &str)) -> Result<(), StoreError> {
        let tried = self.try_one(db, key).await?;
        if tried == Tried::Untried(Cause::Refusal) && instances::recovered(db, key).await? {
            let (account_id, instance_id) = key;
            info!(account_id, instance_id, "a suspect sender is called open, and has nothing to be tried by");
        }
        Ok(())
    }
}
