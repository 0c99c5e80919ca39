//! What sweep tells of itself.

use metrics::counter;

use crate::domain::retry::Next;
use crate::runtime::metrics::{Labels, Metric};
use crate::runtime::stage::{self, Stage};

const STAGES: Labels = &[("stage", &[Stage::SweepRound.as_str(), Stage::Measure.as_str()])];

/// The table of its metrics. The gauges at its end are of the whole database, and the same in every process.
pub(super) const METRICS: &[Metric] = &[
    stage::seconds(STAGES),
    stage::failures(STAGES),
    Metric::counter(
        "gatepost_sweep_rounds_total",
        &[("led", &["no", "yes"])],
        "Rounds, and whether this process led them; one that does not lead leaves the work to another",
    ),
    Metric::counter(
        "gatepost_sweep_ended_total",
        &[("ending", &["expired", "call_lost", "no_evidence"])],
        "Messages that came to an end unattended: unsent in time, their worker lost during the call, or without evidence",
    ),
    Metric::counter("gatepost_sweep_webhooks_total", &[], "Overdue webhooks that were published again"),
    Metric::counter(
        "gatepost_connection_looks_total",
        &[("found", &["open", "connecting", "close", "nothing"])],
        "Looks at connections of Evolution instances, by what was found",
    ),
    Metric::counter(
        "gatepost_look_ups_total",
        &[("found", &["the message", "nothing", "no answer"])],
        "Questions to Evolution servers about unknown outcomes, by what was found",
    ),
    Metric::gauge(
        "gatepost_messages_oldest_due_seconds",
        "How long the message that is longest due has been, by lane",
    ),
    Metric::gauge(
        "gatepost_messages_due",
        "Messages that are due, by lane; 10000 stands for as many or more",
    ),
    Metric::gauge(
        "gatepost_messages_backlog",
        "Messages that are not final, by lane; 10000 stands for as many or more",
    ),
    Metric::gauge(
        "gatepost_messages_unknown",
        "Messages of unknown outcome; 10000 stands for as many or more",
    ),
    Metric::gauge(
        "gatepost_webhooks_oldest_due_seconds",
        "How long the webhook that is longest due has been",
    ),
    Metric::gauge("gatepost_webhooks_due", "Webhooks that are due; 10000 stands for as many or more"),
    Metric::gauge("gatepost_webhooks_backlog", "Webhooks not told yet; 10000 stands for as many or more"),
    Metric::gauge(
        "gatepost_callbacks_oldest_due_seconds",
        "How long the callback that is longest due has been",
    ),
    Metric::gauge("gatepost_callbacks_due", "Callbacks to be applied; 10000 stands for as many or more"),
    Metric::gauge(
        "gatepost_instances",
        "Instances by state: paused, else what their connection is, else throttled, else open",
    ),
    Metric::gauge(
        "gatepost_measured_timestamp_seconds",
        "When the gauges of the whole database were measured the last time",
    ),
];

/// Counts what a round has ended, by what became of each.
pub(super) fn ended(next: Next) {
    let ending = match next {
        Next::Expired => "expired",
        Next::Unknown(_) => "call_lost",
        Next::Failed | Next::Sent | Next::Again { .. } => "no_evidence",
    };
    counter!("gatepost_sweep_ended_total", "ending" => ending).increment(1);
}

/// Counts webhooks that are published again.
pub(super) fn published(webhooks: usize) {
    counter!("gatepost_sweep_webhooks_total").increment(webhooks as u64);
}

/// Counts a round.
pub(super) fn round(led: bool) {
    counter!("gatepost_sweep_rounds_total", "led" => if led { "yes" } else { "no" }).increment(1);
}
