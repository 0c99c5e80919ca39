//! How publishing goes.

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
