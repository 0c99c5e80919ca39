//! How the database's connections are come by.

use std::time::Duration;

use deadpool_postgres::{PoolError, Status};
use metrics::{counter, gauge, histogram};

use crate::runtime::metrics::{Metric, STATEMENT_SECONDS};

/// What every process with a [`Pool`](super::Pool) tells of it.
pub const METRICS: &[Metric] = &[
    Metric::histogram(
        "gatepost_pool_wait_seconds",
        &[],
        STATEMENT_SECONDS,
        "How long a connection to the database was waited for, those in vain included",
    ),
    Metric::counter(
        "gatepost_pool_failures_total",
        &[("reason", &["busy", "connect"])],
        "Waits in vain for a connection: all were busy for a second, or the database took none",
    ),
    Metric::gauge("gatepost_pool_connections", "Connections to the database, by state: busy or idle"),
    Metric::gauge("gatepost_pool_connections_limit", "Most connections to the database at once"),
];

/// Counts a wait for a connection.
pub(super) fn waited(took: Duration, outcome: Option<&PoolError>) {
    histogram!("gatepost_pool_wait_seconds").record(took);
    if let Some(error) = outcome {
        let busy = matches!(error, PoolError::Timeout(deadpool_postgres::TimeoutType::Wait));
        counter!("gatepost_pool_failures_total", "reason" => if busy { "busy" } else { "connect" })
            .increment(1);
    }
}

/// Tells what the connections are used for at this moment.
pub(super) fn used(status: Status) {
    let busy = status.size.saturating_sub(status.available);
    gauge!("gatepost_pool_connections", "state" => "busy").set(busy as f64);
    gauge!("gatepost_pool_connections", "state" => "idle").set(status.available as f64);
    gauge!("gatepost_pool_connections_limit").set(status.max_size as f64);
}
