//! What the intake tells of itself.

use metrics::counter;

use crate::runtime::metrics::{Labels, Metric, STATEMENT_SECONDS};
use crate::runtime::stage::{self, Stage};

const STAGES: Labels = &[("stage", &[Stage::Commit.as_str()])];

/// The table of its metrics.
pub const METRICS: &[Metric] = &[
    Metric::counter(
        "gatepost_sends_total",
        &[("outcome", &["accepted", "replayed", "internal_error", "overloaded"])],
        "Sends, by outcome: accepted, replayed, or the code of the error",
    ),
    Metric::histogram(
        "gatepost_accept_seconds",
        &[],
        STATEMENT_SECONDS,
        "From when a send was read to when it was decided on and that was durable",
    ),
    stage::seconds(STAGES),
    stage::failures(STAGES),
    stage::batches(STAGES),
    Metric::counter(
        "gatepost_overloaded_total",
        &[],
        "Requests refused at once because too many are worked on",
    ),
    Metric::counter(
        "gatepost_wrong_keys_total",
        &[("slowed", &["no", "yes"])],
        "Requests with a key that is none of ours, and whether its sender is being slowed",
    ),
];

/// Counts a send by what is answered.
pub(super) fn count(outcome: &'static str) {
    counter!("gatepost_sends_total", "outcome" => outcome).increment(1);
}
