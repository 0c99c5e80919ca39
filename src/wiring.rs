//! What every binary does before its own work: settings, logs, database, schema, ops listener.

use std::fmt::Display;
use std::process::ExitCode;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::broker::{BrokerError, Nodes, Topology};
use crate::config::{self, Config, ConfigError, LogConfig};
use crate::runtime::clock::Clock;
use crate::runtime::metrics::{Exposition, Metric};
use crate::runtime::{logging, ops, process, retry};
use crate::store::{self, Pool, StoreError, migrations};

/// What every process tells of itself.
const METRICS: &[Metric] =
    &[Metric::gauge("gatepost_build_info", "1, with the process's kind and version as labels")];

/// Why a process did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A setting is missing or not valid.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The database has another schema, or its address is wrong.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The broker has other queues.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// An address cannot be listened on.
    #[error("cannot listen on {0}: {1}")]
    Listen(std::net::SocketAddr, std::io::Error),
    /// Something a production configuration does not allow, or else is wrong with how the process is used.
    #[error("{0}")]
    Refused(String),
}

/// What the stages of a process are built from.
#[derive(Clone)]
pub struct Parts {
    /// Every setting.
    pub config: Config,
    /// The database.
    pub pool: Pool,
    /// The broker's addresses.
    pub nodes: Nodes,
    /// The broker's names.
    pub topology: Topology,
    /// The time.
    pub clock: Clock,
    /// Cancelled when the process is told to stop.
    pub stop: CancellationToken,
}

/// The `main` of a long-running binary: settings and logs, then `body` with its [`Parts`].
/// `body` is not called where the process is told to stop before the database answers.
pub fn main<Fut, E>(name: &'static str, body: impl FnOnce(Parts) -> Fut) -> ExitCode
where
    Fut: Future<Output = Result<(), E>>,
    E: Display + From<StartError>,
{
    let log = match LogConfig::read(&config::environment) {
        Ok(log) => log,
        Err(error) => {
            eprintln!("{name}: {error}");
            return ExitCode::FAILURE;
        }
    };
    logging::start(log.format, &log.filter);
    process::run(name, async |stop| {
        let Some(parts) = prepare(stop).await? else { return Ok(()) };
        info!(process = name, "started");
        body(parts).await
    })
}

/// Reads the settings and waits for the database; `None` when told to stop first.
async fn prepare(stop: CancellationToken) -> Result<Option<Parts>, StartError> {
    let config = Config::read(&config::environment)?;
    let nodes = Nodes::parse(&config.amqp_url)?;
    let pool = Pool::new(&config.database_url, config.database_connections)?;
    let checked = retry::until_ok("database", &stop, || async {
        match migrations::check(&pool).await {
            Err(error @ (StoreError::Schema { .. } | StoreError::SchemaTooNew { .. })) => Ok(Some(error)),
            other => other.map(|()| None),
        }
    })
    .await;
    match checked {
        None => return Ok(None),
        Some(Some(mismatch)) => return Err(mismatch.into()),
        Some(None) => {}
    }
    let topology = Topology::new(&config.queue_prefix);
    Ok(Some(Parts { config, pool, nodes, topology, clock: Clock::system(), stop }))
}

/// Listens on an address.
///
/// # Errors
/// [`StartError::Listen`].
pub async fn listen(address: std::net::SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|error| StartError::Listen(address, error))
}

/// Serves health and metrics of this kind of `process` where an ops listener is set; the database is always among the checks
/// and in the metrics, beside those of `tables`.
///
/// # Errors
/// [`StartError::Listen`].
pub async fn serve_ops(
    parts: &Parts,
    process: &'static str,
    mut checks: Vec<(&'static str, ops::Check)>,
    tables: &[&'static [Metric]],
) -> Result<(), StartError> {
    let Some(address) = parts.config.ops_listen else { return Ok(()) };
    let pool = parts.pool.clone();
    checks.push(ops::check("database", move || {
        let pool = pool.clone();
        async move { pool.problem().await }
    }));
    let listener = listen(address).await?;
    let pool = parts.pool.clone();
    let metrics = Exposition::start(&[&[METRICS, store::METRICS], tables].concat(), move || pool.tell());
    metrics::gauge!("gatepost_build_info", "process" => process, "version" => env!("CARGO_PKG_VERSION"))
        .set(1.0);
    if let Some(metrics) = metrics.clone() {
        tokio::spawn(metrics.keep_up(parts.stop.clone()));
    }
    tokio::spawn(ops::serve(listener, checks, metrics, parts.stop.clone()));
    Ok(())
}
