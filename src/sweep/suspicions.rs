//! Suspect instances are tried by one message each; and instances are found that call themselves connected and are not.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::connections::LONGEST_PAUSE;
use super::rounds::rounds;
use super::servers::Servers;
use crate::broker::{Publisher, Queue};
use crate::domain::job::Kind;
use crate::domain::suspicion::{self, Cause, Trouble};
use crate::store::acknowledgements::{self, Waiting};
use crate::store::suspicions::{self, Doubt, Overdue, Tried};
use crate::store::{Db, Pool, StoreError, instances};
use crate::wiring::Parts;

/// Suspect instances dealt with in one round.
const BATCH: i64 = 64;
/// Servers asked at the same time.
const AT_ONCE: usize = 16;
/// When an instance with nothing to be tried by is looked at again.
const NOTHING_TO_TRY_BY: Duration = Duration::from_secs(2);
/// What a message that was let through may take beside its call: its queue, its slot, its record.
const ON_THE_WAY: Duration = Duration::from_secs(10);

/// Tries suspect instances, and finds them.
#[derive(Clone)]
pub(super) struct Prober {
    pool: Pool,
    servers: Servers,
    publisher: Publisher,
    pause: Duration,
    /// How long nothing may be acknowledged.
    silence: Duration,
    /// How long a message that was let through has to show something.
    limit: Duration,
    stop: CancellationToken,
}

impl Prober {
    pub(super) fn new(parts: &Parts, servers: Servers, publisher: Publisher) -> Self {
        let config = &parts.config;
        Self {
            pool: parts.pool.clone(),
            servers,
            publisher,
            pause: config.probe_pause,
            silence: config.silence,
            limit: ON_THE_WAY.saturating_add(config.provider_timeout).saturating_add(config.silence),
            stop: parts.stop.clone(),
        }
    }

    /// Works until told to stop.
    pub(super) async fn run(&self) {
        let pause = self.pause.min(self.silence).min(LONGEST_PAUSE);
        rounds(&self.stop, pause, "dealing with suspect instances", || self.round()).await;
    }

    async fn round(&self) -> Result<bool, StoreError> {
        let waiting = {
            let session = self.pool.get().await?;
            for overdue in suspicions::overdue(&session, BATCH).await? {
                let (account_id, instance_id) = (overdue.account_id, overdue.instance_id.clone());
                if let Err(error) = self.deal_with(&session, overdue).await {
                    warn!(account_id, instance_id, %error, "a suspect instance could not be dealt with");
                }
            }
            acknowledgements::waiting(&session).await?
        };
        let judged = stream::iter(&waiting).for_each_concurrent(AT_ONCE, |waiting| async move {
            if let Err(error) = self.judge(waiting).await {
                let (account_id, instance_id) = waiting.server.key();
                warn!(account_id, instance_id, %error, "an instance could not be judged");
            }
        });
        judged.await;
        Ok(false)
    }

    /// A suspect instance's time has come.
    async fn deal_with(&self, db: &impl Db, overdue: Overdue) -> Result<(), StoreError> {
        let Overdue { account_id, instance_id, probe } = overdue;
        let key = (account_id, instance_id.as_str());
        if let Some(message_id) = probe {
            info!(account_id, instance_id, "the message that was let through has shown nothing in time");
            return suspicions::failed(db, key, message_id, Some(Duration::ZERO)).await;
        }
        match self.try_one(db, key).await? {
            Tried::LetThrough => Ok(()),
            // Others' turn: who has nothing to be tried by must not keep the front of the line.
            Tried::Untried(_) | Tried::NotNow => suspicions::put_off(db, key, NOTHING_TO_TRY_BY).await,
        }
    }

    /// An instance that has sent to several people in vain is held, unless its server knows better. No connection to the
    /// database is held while that is asked.
    async fn judge(&self, waiting: &Waiting) -> Result<(), StoreError> {
        let Some(trouble) = suspicion::trouble(&waiting.people, self.silence) else { return Ok(()) };
        let (key, reason) = (waiting.server.key(), trouble.reason());
        let (account_id, instance_id) = key;
        let known = match trouble {
            Trouble::Unheard => {
                self.servers.is_acknowledged(&waiting.server, &waiting.provider_message_ids).await
            }
            Trouble::Rejected => Ok(false),
        };
        let session = self.pool.get().await?;
        if known == Ok(true) {
            error!(
                account_id,
                instance_id, "the server has acknowledgements that it did not report: register its webhook"
            );
            return acknowledgements::wait_no_more(&session, key).await;
        }
        error!(account_id, instance_id, reason, "the sender is held");
        let doubt = Doubt { cause: Cause::Silence, reason, heals_after: Some(self.pause) };
        let owed = suspicions::suspect(&session, key, doubt).await?;
        self.publisher.publish_all(Queue::Notify, Kind::Notify, &owed).await;
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
