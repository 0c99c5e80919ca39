//! Postgres: the truth. The only room with SQL, one file per family of tables.
//!
//! Functions here take a [`Db`] (a connection or a transaction) and never begin a transaction themselves: what is
//! atomic is visible in the stage that asks for it. A call ends within [`QUERY_TIMEOUT`].

pub mod acceptance;
pub mod accounts;
pub mod acknowledgements;
pub mod aliases;
pub mod audit;
pub mod behaviour;
pub mod callbacks;
pub mod connections;
pub mod conversations;
pub mod delivery;
pub mod directory;
pub mod due;
pub mod effects;
pub mod endpoints;
pub mod idempotency;
pub mod instances;
pub mod internal_numbers;
pub mod look_ups;
pub mod measures;
pub mod messages;
mod metrics;
pub mod migrations;
pub mod notices;
pub mod opt_out_words;
pub mod outcomes;
pub mod partitions;
mod pipeline;
pub mod policy_log;
pub mod quota;
pub mod recipients;
pub mod reports;
pub mod restored;
pub mod senders;
mod span;
pub mod suppressions;
pub mod suspicions;
mod tls;
pub mod webhooks;

/// The end of a statement that has put events into `told`: what is owed for them to the account's endpoints. It is
/// published after the commit; due a little later, so that `sweep` does what a lost publish did not.
macro_rules! owe {
    () => {
        "insert into webhook_deliveries (account_id, event_id, endpoint_id, due_at) \
         select t.account_id, t.event_id, e.endpoint_id, now() + interval '10 seconds' \
         from told t join webhook_endpoints e on e.account_id = t.account_id \
         where e.disabled_at is null and (e.events is null or t.kind = any(e.events)) \
         returning account_id, event_id, endpoint_id"
    };
}
use owe;

/// Whether the suppression `s` counts at this moment: it has begun and has not ended.
macro_rules! in_force {
    () => {
        "(s.starts_at <= now() and (s.ends_at is null or s.ends_at > now()))"
    };
}
use in_force;

pub use metrics::METRICS;
pub use pipeline::{Pipeline, Step};

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use deadpool_postgres::{GenericClient, Manager, ManagerConfig, QueueMode, RecyclingMethod, Runtime};
use jiff::Timestamp;
use tokio_postgres::Row;
use tokio_postgres::config::SslMode;
use tokio_postgres::types::ToSql;

use crate::config::Hidden;

/// Writes E.164 digits with their plus.
fn with_plus<S: serde::Serializer>(digits: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("+{digits}"))
}

/// The longest wait for an answer of the database.
pub const QUERY_TIMEOUT: Duration = Duration::from_millis(3_500);
/// The longest wait for a free connection.
const POOL_TIMEOUT: Duration = Duration::from_millis(1_000);
/// The longest wait for a new connection.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(1_500);
/// How long a connection is silent before the other end is asked whether it is there.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// Set for every connection. Hot statements look rows up by key; a plan made while a table was small must not stay a
/// sequential scan for the life of the process, so the planner is told to use the indexes there are from the start. A statement
/// on partitions takes longer to plan than to run, so it is planned once, and finds its partitions each time it runs.
const SESSION_OPTIONS: &str = "-c statement_timeout=3000 -c idle_in_transaction_session_timeout=2000 -c lock_timeout=2500 \
     -c enable_seqscan=off -c enable_bitmapscan=off -c enable_hashjoin=off -c enable_mergejoin=off \
     -c plan_cache_mode=force_generic_plan -c jit=off -c timezone=UTC";

/// Why the database did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// `DATABASE_URL` is not understood.
    #[error("DATABASE_URL is not valid: {0}")]
    Url(String),
    /// No connection could be had in time.
    #[error("no database connection: {0}")]
    Connect(String),
    /// No answer in time.
    #[error("the database did not answer in time")]
    Timeout,
    /// The database refused the statement, or the connection broke.
    #[error("database: {}", describe(.0))]
    Database(#[from] tokio_postgres::Error),
    /// The schema is older than the one this build was made for.
    #[error("the database has schema version {found}, this build needs {needed}: run `gateway migrate`")]
    Schema {
        /// The version found, 0 for none.
        found: i32,
        /// The version needed.
        needed: i32,
    },
    /// A later release has taken something away that this build works with.
    #[error(
        "the database has schema version {found}, which serves builds made for {oldest} or later, and this one was made for {needed}: replace it"
    )]
    SchemaTooNew {
        /// The version found.
        found: i32,
        /// The oldest version whose builds it serves.
        oldest: i32,
        /// The version this build was made for.
        needed: i32,
    },
    /// A migration failed.
    #[error("migration failed: {0}")]
    Migration(String),
    /// A row holds something this build does not understand.
    #[error("unexpected value in column {0}")]
    Value(&'static str),
}

/// Postgres's message without its detail, which may quote row values.
fn describe(error: &tokio_postgres::Error) -> String {
    error.as_db_error().map_or_else(
        || error.to_string(),
        |refused| format!("{} ({})", refused.message(), refused.code().code()),
    )
}

impl StoreError {
    /// The constraint the statement ran into, where it did.
    #[must_use]
    pub fn constraint(&self) -> Option<&str> {
        match self {
            Self::Database(error) => error.as_db_error().and_then(tokio_postgres::error::DbError::constraint),
            _ => None,
        }
    }

    /// Whether another transaction was in the way (a deadlock): nothing was done, and doing it again
    /// is worth a try.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        match self {
            Self::Database(error) => {
                error.code().is_some_and(|code| matches!(code.code(), "40001" | "40P01"))
            }
            _ => false,
        }
    }

    /// Whether the statement itself was at fault (a value out of range, a broken rule), so that trying it again as it
    /// is cannot help; everything else is about the database's health.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Database(error) => error
                .code()
                .is_some_and(|code| matches!(code.code().get(..2), Some("22" | "23" | "42" | "54"))),
            _ => false,
        }
    }
}

/// Something statements can be sent to: a connection, or a transaction on one.
pub trait Db: Sync {
    /// Runs a statement, prepared once per connection, and gives its rows.
    fn query(
        &self,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> impl Future<Output = Result<Vec<Row>, StoreError>> + Send;

    /// Runs a statement and gives the number of rows it touched.
    fn execute(
        &self,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> impl Future<Output = Result<u64, StoreError>> + Send;
}

/// The process's connections.
#[derive(Clone)]
pub struct Pool(deadpool_postgres::Pool);

/// One connection, given back to the pool when dropped, unless it stopped answering.
pub struct Session {
    client: Option<deadpool_postgres::Client>,
    silent: AtomicBool,
}

/// A transaction: rolled back unless committed.
pub struct Transaction<'a> {
    transaction: deadpool_postgres::Transaction<'a>,
    silent: &'a AtomicBool,
}

impl Pool {
    /// Prepares connections to `url`; none is opened yet.
    ///
    /// # Errors
    /// [`StoreError::Url`].
    pub fn new(url: &Hidden, size: usize) -> Result<Self, StoreError> {
        let config = connection_config(url)?;
        let connector = tls::connector(&config)?;
        let manager = Manager::from_config(
            config,
            connector,
            ManagerConfig { recycling_method: RecyclingMethod::Fast },
        );
        let pool = deadpool_postgres::Pool::builder(manager)
            .max_size(size)
            // The one used last: its server process has its caches warm, and statements prepared.
            .queue_mode(QueueMode::Lifo)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(POOL_TIMEOUT))
            .create_timeout(Some(CONNECT_TIMEOUT))
            .build()
            .map_err(|error| StoreError::Url(error.to_string()))?;
        Ok(Self(pool))
    }

    /// A connection.
    ///
    /// # Errors
    /// [`StoreError::Connect`] when none is to be had in time.
    pub async fn get(&self) -> Result<Session, StoreError> {
        let began = Instant::now();
        let client = self.0.get().await;
        metrics::waited(began.elapsed(), client.as_ref().err());
        let client = client.map_err(|error| StoreError::Connect(pool_problem(&error)))?;
        Ok(Session { client: Some(client), silent: AtomicBool::new(false) })
    }

    /// Sets the gauges that say what the connections are used for.
    pub fn tell(&self) {
        metrics::used(self.0.status());
    }

    /// The database's time, which every deadline is measured by.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn now(&self) -> Result<Timestamp, StoreError> {
        let rows = self.get().await?.query("-- now\nselect now()", &[]).await?;
        Ok(rows.first().ok_or(StoreError::Value("now"))?.get(0))
    }

    /// Whether the database answers: `None` if it does, else what is wrong.
    pub async fn problem(&self) -> Option<String> {
        let answer = async { self.get().await?.query("select 1", &[]).await };
        answer.await.err().map(|error| error.to_string())
    }
}

/// The settings every connection of this program is made with.
///
/// # Errors
/// [`StoreError::Url`].
pub(crate) fn connection_config(url: &Hidden) -> Result<tokio_postgres::Config, StoreError> {
    // The error may quote the address with its password; what is wrong with it is enough.
    let mut config: tokio_postgres::Config = url
        .0
        .parse()
        .map_err(|_| StoreError::Url("expected postgres://user:password@host/database".into()))?;
    let given = config.get_options().unwrap_or_default().to_owned();
    config.options(format!("{SESSION_OPTIONS} {given}"));
    // Half-trusted connections are of no use: TLS with verification where the address asks for it, else none.
    if config.get_ssl_mode() != SslMode::Require {
        config.ssl_mode(SslMode::Disable);
    }
    config.application_name("gatepost");
    config.connect_timeout(CONNECT_TIMEOUT);
    config.tcp_user_timeout(Duration::from_secs(5));
    // Some are idle for long: what a firewall has forgotten is noticed before somebody asks through it.
    config.keepalives_idle(KEEPALIVE);
    Ok(config)
}

fn pool_problem(error: &deadpool_postgres::PoolError) -> String {
    match error {
        deadpool_postgres::PoolError::Backend(error) => describe(error),
        deadpool_postgres::PoolError::Timeout(_) => "timed out".to_owned(),
        other => other.to_string(),
    }
}

impl Session {
    fn client(&self) -> &deadpool_postgres::Client {
        self.client.as_ref().expect("taken only by drop")
    }

    /// Begins a transaction.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn begin(&mut self) -> Result<Transaction<'_>, StoreError> {
        let silent = &self.silent;
        let client = self.client.as_mut().expect("taken only by drop");
        let transaction = bounded(silent, async { Ok(client.transaction().await?) }).await?;
        Ok(Transaction { transaction, silent })
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // A connection that did not answer may answer the wrong question later: close it.
        if let Some(client) = self.client.take()
            && self.silent.load(Ordering::Relaxed)
        {
            drop(deadpool_postgres::Client::take(client));
        }
    }
}

impl Transaction<'_> {
    /// Makes everything since [`Session::begin`] durable.
    ///
    /// # Errors
    /// [`StoreError`]; whether the commit happened is then not known.
    pub async fn commit(self) -> Result<(), StoreError> {
        let Self { transaction, silent } = self;
        bounded(silent, async { Ok(transaction.commit().await?) }).await
    }
}

async fn bounded<T>(
    silent: &AtomicBool,
    work: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    match tokio::time::timeout(QUERY_TIMEOUT, work).await {
        Ok(outcome) => outcome,
        Err(_) => {
            silent.store(true, Ordering::Relaxed);
            Err(StoreError::Timeout)
        }
    }
}

async fn run_query(
    client: &impl GenericClient,
    sql: &str,
    params: &[&(dyn ToSql + Sync)],
) -> Result<Vec<Row>, StoreError> {
    let statement = client.prepare_cached(sql).await?;
    Ok(client.query(&statement, params).await?)
}

async fn run_execute(
    client: &impl GenericClient,
    sql: &str,
    params: &[&(dyn ToSql + Sync)],
) -> Result<u64, StoreError> {
    let statement = client.prepare_cached(sql).await?;
    Ok(client.execute(&statement, params).await?)
}

impl Db for Session {
    async fn query(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, StoreError> {
        bounded(&self.silent, run_query(self.client(), sql, params)).await
    }

    async fn execute(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<u64, StoreError> {
        bounded(&self.silent, run_execute(self.client(), sql, params)).await
    }
}

impl Db for Transaction<'_> {
    async fn query(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, StoreError> {
        bounded(self.silent, run_query(&self.transaction, sql, params)).await
    }

    async fn execute(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<u64, StoreError> {
        bounded(self.silent, run_execute(&self.transaction, sql, params)).await
    }
}
