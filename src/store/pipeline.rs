//! Statements that travel together: one round trip for several of them, in their order, within one transaction.
//!
//! Each statement sees what those before it did and waited for: a lock taken by the first is held, and what was committed
//! before it was granted is visible, when the second begins.

use std::sync::atomic::Ordering;

use futures_util::future::{join, join_all};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Row, Statement};

use super::{Db, Session, StoreError, bounded, run_execute, run_query};

/// A statement with its parameters.
pub struct Step<'a> {
    sql: &'static str,
    params: &'a [&'a (dyn ToSql + Sync)],
}

/// A transaction begun with its first statements. One that is neither committed nor rolled back takes its connection with
/// it, so that nothing stays locked.
pub struct Pipeline<'a> {
    session: &'a Session,
    ended: bool,
}

impl<'a> Step<'a> {
    /// A statement, prepared once per connection.
    #[must_use]
    pub fn new(sql: &'static str, params: &'a [&'a (dyn ToSql + Sync)]) -> Self {
        Self { sql, params }
    }
}

impl Session {
    /// Runs the statements in one round trip, outside a transaction.
    ///
    /// # Errors
    /// [`StoreError`] of the first that failed.
    pub async fn pipelined(&self, steps: &[Step<'_>]) -> Result<Vec<Vec<Row>>, StoreError> {
        bounded(&self.silent, async {
            let prepared = self.prepare(steps).await?;
            self.send(steps, &prepared).await
        })
        .await
    }

    /// Begins a transaction with these statements, in one round trip.
    ///
    /// # Errors
    /// [`StoreError`]; then there is no transaction.
    pub async fn begin_with(
        &mut self,
        steps: &[Step<'_>],
    ) -> Result<(Pipeline<'_>, Vec<Vec<Row>>), StoreError> {
        let pipeline = Pipeline { session: self, ended: false };
        let rows = bounded(&pipeline.session.silent, async {
            // Before, because a statement that has yet to be prepared would be overtaken by the next.
            let prepared = pipeline.session.prepare(steps).await?;
            let begin = pipeline.session.client().batch_execute("begin");
            let (begun, rows) = join(begin, pipeline.session.send(steps, &prepared)).await;
            begun?;
            rows
        })
        .await?;
        Ok((pipeline, rows))
    }

    async fn prepare(&self, steps: &[Step<'_>]) -> Result<Vec<Statement>, StoreError> {
        let mut prepared = Vec::with_capacity(steps.len());
        for step in steps {
            prepared.push(self.client().prepare_cached(step.sql).await?);
        }
        Ok(prepared)
    }

    /// Sends all of them at once; their futures are first polled in order, and each sends when it is.
    async fn send(&self, steps: &[Step<'_>], prepared: &[Statement]) -> Result<Vec<Vec<Row>>, StoreError> {
        let sent = steps.iter().zip(prepared).map(|(step, statement)| {
            let client: &tokio_postgres::Client = self.client();
            client.query(statement, step.params)
        });
        // After a failure the others fail as well, for that reason alone: the first one tells why.
        join_all(sent).await.into_iter().map(|rows| rows.map_err(StoreError::from)).collect()
    }
}

impl Pipeline<'_> {
    /// Runs more statements in one round trip.
    ///
    /// # Errors
    /// [`StoreError`] of the first that failed.
    pub async fn run(&self, steps: &[Step<'_>]) -> Result<Vec<Vec<Row>>, StoreError> {
        self.session.pipelined(steps).await
    }

    /// Runs the last statements and commits, in one round trip.
    ///
    /// # Errors
    /// [`StoreError`]; after [`StoreError::Timeout`] nobody knows whether it was committed, otherwise it was not.
    pub async fn commit_with(mut self, steps: &[Step<'_>]) -> Result<Vec<Vec<Row>>, StoreError> {
        let session = self.session;
        let (rows, committed) = bounded(&session.silent, async {
            let prepared = session.prepare(steps).await?;
            let commit = session.client().batch_execute("commit");
            Ok(join(session.send(steps, &prepared), commit).await)
        })
        .await?;
        // A failed transaction is rolled back by its commit, which then succeeds: what failed tells.
        self.ended = committed.is_ok();
        let rows = rows?;
        committed?;
        Ok(rows)
    }

    /// Undoes everything since the beginning.
    ///
    /// # Errors
    /// [`StoreError`]; then the connection is given up.
    pub async fn roll_back(mut self) -> Result<(), StoreError> {
        let session = self.session;
        bounded(&session.silent, async { Ok(session.client().batch_execute("rollback").await?) }).await?;
        self.ended = true;
        Ok(())
    }
}

impl Drop for Pipeline<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.session.silent.store(true, Ordering::Relaxed);
        }
    }
}

impl Db for Pipeline<'_> {
    async fn query(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, StoreError> {
        bounded(&self.session.silent, run_query(self.session.client(), sql, params)).await
    }

    async fn execute(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<u64, StoreError> {
        bounded(&self.session.silent, run_execute(self.session.client(), sql, params)).await
    }
}
