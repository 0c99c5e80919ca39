//! How publishing goes.

use std::time::Duration;

use metrics::{counter, histogram};

use super::Queue;
use crate::runtime::metrics::{CALL_SECONDS, Labels, Metric};

const QUEUES: Labels = &[("queue", &["deliver.priority", "deliver.standard", "notify"])];

/// What every process with a [`Publisher`](super::Publisher) tells of it.
pub const METRICS: &[Metric] = &[
    Metric::histogram(
        "gatepost_publish_seconds",
        QUEUES,
        CALL_SECONDS,
        "From a job's first publish until RabbitMQ confirmed it; only jobs that were confirmed",
    ),
    Metric::counter(
        "gatepost_publish_repeats_total",
        QUEUES,
        "Publishes of a job after one that was lost or refused",
    ),
    Metric::counter(
        "gatepost_publish_failures_total",
        QUEUES,
        "Jobs that were not published; their rows say when they are due",
    ),
];

/// Counts a job that was confirmed.
pub(super) fn confirmed(queue: Queue, took: Duration) {
    histogram!("gatepost_publish_seconds", "queue" => queue.key()).record(took);
}

/// Counts a job that is published again.
pub(super) fn repeated(queue: Queue) {
    counter!("gatepost_publish_repeats_total", "queue" => queue.key()).increment(1);
}

/// Counts a job that was not published.
pub(super) fn failed(queue: Queue) {
    counter!("gatepost_publish_failures_total", "queue" => queue.key()).increment(1);
}
