//! `Prefer: wait`: callers who want to know the outcome before they are answered.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::domain::id::MessageKey;
use crate::domain::status::Status;
use crate::store::{Pool, StoreError, messages};

/// Most callers who wait at once in this process; others are answered at once.
const MOST: usize = 1_000;
/// How often the waited-for messages are looked at: all of them in one query.
const INTERVAL: Duration = Duration::from_millis(50);

/// What a caller learns in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The provider has it.
    Sent,
    /// It will not be delivered.
    Failed,
}

/// The callers who wait; cloning shares them.
#[derive(Clone)]
pub(super) struct Outcomes(Arc<Shared>);

/// One caller's place.
struct Place<'a> {
    outcomes: &'a Outcomes,
    message: MessageKey,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.outcomes.waiting().remove(&self.message);
    }
}

struct Shared {
    stop: CancellationToken,
    waiting: Mutex<HashMap<MessageKey, oneshot::Sender<Outcome>>>,
    arrived: Notify,
}

impl Outcomes {
    /// Starts the one task that looks for all of them.
    pub(super) fn start(pool: Pool, stop: CancellationToken) -> Self {
        let shared =
            Arc::new(Shared { stop: stop.clone(), waiting: Mutex::default(), arrived: Notify::new() });
        let outcomes = Self(shared);
        tokio::spawn(outcomes.clone().watch(pool, stop));
        outcomes
    }

    /// Waits for the message's outcome. The outer `None`: too many wait already; the inner: not known in time.
    pub(super) async fn wait(&self, message: MessageKey, longest: Duration) -> Option<Option<Outcome>> {
        let (sender, receiver) = oneshot::channel();
        {
            let mut waiting = self.waiting();
            if waiting.len() >= MOST {
                return None;
            }
            waiting.insert(message, sender);
        }
        // The caller may go away at any time: then this is dropped, and nobody waits any more.
        let _place = Place { outcomes: self, message };
        self.0.arrived.notify_one();
        let outcome = tokio::select! {
            outcome = tokio::time::timeout(longest, receiver) => outcome.ok().and_then(Result::ok),
            () = self.0.stop.cancelled() => None,
        };
        Some(outcome)
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, HashMap<MessageKey, oneshot::Sender<Outcome>>> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn watch(self, pool: Pool, stop: CancellationToken) {
        loop {
            let messages: Vec<MessageKey> = self.waiting().keys().copied().collect();
            if messages.is_empty() {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = self.0.arrived.notified() => continue,
                }
            }
            if let Err(error) = self.look(&pool, &messages).await {
                debug!(%error, "cannot look at outcomes");
            }
            tokio::select! {
                // Everybody who waits is answered with what is known: accepted.
                () = stop.cancelled() => return,
                () = tokio::time::sleep(INTERVAL) => {}
            }
        }
    }

    async fn look(&self, pool: &Pool, keys: &[MessageKey]) -> Result<(), StoreError> {
        for (key, status) in messages::statuses(&pool.get().await?, keys).await? {
            let outcome = match status {
                Status::Sent | Status::Delivered | Status::Read => Outcome::Sent,
                Status::Failed | Status::Expired | Status::Canceled => Outcome::Failed,
                Status::Queued | Status::Sending | Status::Unknown => continue,
            };
            if let Some(caller) = self.waiting().remove(&key) {
                // The caller may have gone meanwhile.
                let _ = caller.send(outcome);
            }
        }
        Ok(())
    }
}
