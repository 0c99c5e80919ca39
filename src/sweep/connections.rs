//! Looks at the connections of Evolution instances: their servers do not tell of every change, and what they tell may get
//! lost.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::rounds::rounds;
use super::servers::Servers;
use super::suspicions::Prober;
use crate::domain::instance::Connection;
use crate::store::connections::{self, Look};
use crate::store::{Pool, Session, StoreError, instances};
use crate::wiring::Parts;

/// Instances looked at in one round, and at the same time.
const BATCH: i64 = 64;
const AT_ONCE: usize = 16;
/// How long a claimed instance is left alone by others: longer than a round of servers that do not answer.
const LEASE: Duration = Duration::from_secs(60);
/// The longest pause between two searches for what is due.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Looks at connections.
pub(super) struct Watcher {
    pool: Pool,
    servers: Servers,
    prober: Prober,
    interval: Duration,
    stop: CancellationToken,
}

impl Watcher {
    pub(super) fn new(parts: &Parts, servers: Servers, prober: Prober) -> Self {
        let (pool, stop) = (parts.pool.clone(), parts.stop.clone());
        Self { pool, servers, prober, interval: parts.config.connection_poll, stop }
    }

    /// Looks until told to stop; a look that is broken off is made again when its lease ends.
    pub(super) async fn run(&self) {
        let pause = self.interval.min(LONGEST_PAUSE);
        rounds(&self.stop, pause, "looking at connections", || self.round()).await;
    }

    /// Looks at what is due; `true` if there may be more.
    async fn round(&self) -> Result<bool, StoreError> {
        let due = connections::claim(&self.pool.get().await?, BATCH, LEASE).await?;
        let full = due.len() as i64 == BATCH;
        let looks = stream::iter(&due).for_each_concurrent(AT_ONCE, |look| async move {
            if let Err(error) = self.look(look).await {
                let (account_id, instance_id) = look.server.key();
                warn!(account_id, instance_id, %error, "what was found could not be recorded");
            }
        });
        looks.await;
        Ok(full)
    }

    async fn look(&self, look: &Look) -> Result<(), StoreError> {
        let (account_id, instance_id) = look.server.key();
        let found = match self.servers.connection(&look.server).await {
            Ok(found) => {
                metrics::counter!("gatepost_connection_looks_total", "found" => found.as_str()).increment(1);
                Some(found)
            }
            Err(problem) => {
                debug!(account_id, instance_id, problem, "the connection could not be looked at");
                metrics::counter!("gatepost_connection_looks_total", "found" => "nothing").increment(1);
                None
            }
        };
        // No connection to the database was held during the call.
        let session = self.pool.get().await?;
        let known = look.connection;
        let now = found.map_or(known, |found| known.found(found));
        let now = if now == known || self.record(&session, look, now).await? { now } else { known };
        if (now, found) == (Connection::Suspect, Some(Connection::Open)) {
            self.prober.try_connected(&session, look.server.key()).await?;
        }
        connections::looked(&session, look.server.key(), now.pause(self.interval)).await
    }

    /// Records what was found; `false` where an operator, or a later report, has said something else.
    async fn record(&self, session: &Session, look: &Look, now: Connection) -> Result<bool, StoreError> {
        let (key, state) = (look.server.key(), now.as_str());
        let (account_id, instance_id) = key;
        let why = format!("evolution answers {state}");
        if !instances::report_connection(session, key, now, &why, look.claimed_at).await? {
            return Ok(false);
        }
        info!(
            account_id,
            instance_id,
            before = look.connection.as_str(),
            state,
            "the connection has changed"
        );
        if now == Connection::Open {
            instances::wake(session, key).await?;
        }
        Ok(true)
    }
}
