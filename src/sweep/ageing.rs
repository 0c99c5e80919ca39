//! Makes the partitions of the time to come, and drops those that are older than anybody wants them.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::rounds::rounds;
use crate::store::partitions::{self, FAMILIES, Family, Retired};
use crate::store::{Pool, StoreError};
use crate::wiring::Parts;

/// From one look to the next, and to the next where something could not be done because a table was in use.
const PAUSE: Duration = Duration::from_secs(600);
const AGAIN: Duration = Duration::from_secs(10);
/// Partitions of a table dropped in one go: who shortens what is kept has them dropped over some minutes.
const DROPPED: usize = 8;
/// Rows removed in one statement, and statements in one go.
const REMOVED: i64 = 2_000;
const REMOVALS: usize = 50;

/// Keeps the tables in the shape that time asks for.
pub(super) struct Ageing {
    pool: Pool,
    keep_texts_days: i32,
    keep_rows_days: i32,
    stop: CancellationToken,
}

impl Ageing {
    pub(super) fn new(parts: &Parts) -> Self {
        let (pool, stop) = (parts.pool.clone(), parts.stop.clone());
        let (keep_texts_days, keep_rows_days) = (parts.config.keep_texts_days, parts.config.keep_rows_days);
        Self { pool, keep_texts_days, keep_rows_days, stop }
    }

    /// Looks until told to stop; what is broken off is done the next time.
    pub(super) async fn run(&self) {
        let mut complete: Option<Instant> = None;
        let look = async || {
            if complete.is_none_or(|at| at.elapsed() >= PAUSE) && self.round().await? {
                complete = Some(Instant::now());
            }
            Ok(false)
        };
        rounds(&self.stop, AGAIN, "looking at partitions", look).await;
    }

    /// Does what time asks for; `false` if something is left. One table's failure does not keep the others.
    async fn round(&self) -> Result<bool, StoreError> {
        let now = self.pool.now().await?;
        let mut complete = true;
        for family in &FAMILIES {
            complete &= done("partitions are not made", family, self.make(family, now).await);
            complete &= done("partitions are not closed", family, self.close(family, now).await);
        }
        for (texts, days) in [(true, self.keep_texts_days), (false, self.keep_rows_days)] {
            let until = back(now, days);
            for family in partitions::families(texts) {
                complete &= self.drop_old(family, until).await.unwrap_or_else(|error| {
                    // Never urgent, and whoever wants the table waits behind a drop that waits: it is left for the next look.
                    warn!(table = family.table, %error, "partitions are not dropped: tried again in ten minutes");
                    true
                });
                complete &=
                    done("old rows are not removed", family, self.remove_outside(family, until).await);
            }
        }
        self.forget_words(back(now, self.keep_texts_days)).await?;
        Ok(complete)
    }

    async fn make(&self, family: &Family, now: Timestamp) -> Result<bool, StoreError> {
        let missing = partitions::missing(&self.pool.get().await?, family, now).await?;
        for period in missing {
            let mut session = self.pool.get().await?;
            let transaction = session.begin().await?;
            if !partitions::make(&transaction, family, period).await? {
                return Ok(false);
            }
            transaction.commit().await?;
            info!(table = family.table, %period, "a partition was made");
        }
        Ok(true)
    }

    async fn close(&self, family: &Family, now: Timestamp) -> Result<bool, StoreError> {
        let over = partitions::unclosed(&self.pool.get().await?, family, now).await?;
        for partition in over {
            let mut session = self.pool.get().await?;
            let transaction = session.begin().await?;
            if !partitions::close(&transaction, &partition).await? {
                return Ok(false);
            }
            transaction.commit().await?;
        }
        Ok(true)
    }

    /// One partition in each transaction, so that the table is free between them.
    async fn drop_old(&self, family: &Family, until: Timestamp) -> Result<bool, StoreError> {
        for _ in 0..DROPPED {
            let mut session = self.pool.get().await?;
            let transaction = session.begin().await?;
            let retired = partitions::drop_oldest(&transaction, family, until).await?;
            // Also where nothing was dropped: the locks are given back before anything else is tried.
            transaction.commit().await?;
            match retired {
                Retired::Dropped(partition) => {
                    info!(partition, "was dropped: all of it is older than it is to be kept");
                }
                Retired::Open(partition) => {
                    warn!(partition, "is kept although it is old: something of its time is not final");
                    return Ok(true);
                }
                Retired::Nothing => return Ok(true),
                Retired::Busy => return Ok(false),
            }
        }
        Ok(false)
    }

    async fn remove_outside(&self, family: &Family, until: Timestamp) -> Result<bool, StoreError> {
        for _ in 0..REMOVALS {
            let mut session = self.pool.get().await?;
            let transaction = session.begin().await?;
            let removed = partitions::forget_outside(&transaction, family, until, REMOVED).await?;
            transaction.commit().await?;
            if removed < REMOVED.cast_unsigned() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn forget_words(&self, until: Timestamp) -> Result<(), StoreError> {
        for _ in 0..REMOVALS {
            let removed = partitions::forget_words(&self.pool.get().await?, until, REMOVED).await?;
            if removed < REMOVED.cast_unsigned() {
                break;
            }
        }
        Ok(())
    }
}

/// The moment so many days back: what is from before is old.
fn back(now: Timestamp, days: i32) -> Timestamp {
    now.saturating_sub(SignedDuration::from_hours(24 * i64::from(days))).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// Whether all of it was done.
fn done(what: &'static str, family: &Family, outcome: Result<bool, StoreError>) -> bool {
    outcome.unwrap_or_else(|error| {
        warn!(table = family.table, %error, "{what}: tried again in a moment");
        false
    })
}
