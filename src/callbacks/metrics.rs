//! What the callbacks tell of themselves.

use axum::http::StatusCode;
use metrics::counter;

use crate::runtime::metrics::{Labels, Metric};
use crate::runtime::stage::{self, Stage};

const STAGES: Labels = &[("stage", &[Stage::CallbackStore.as_str(), Stage::CallbackApply.as_str()])];

/// The table of their metrics.
pub const METRICS: &[Metric] = &[
    Metric::counter(
        "gatepost_callbacks_total",
        &[("provider", &["meta", "evolution"]), ("outcome", &["taken", "refused", "failed"])],
        "Callbacks: taken, refused for what they are, or not stored, so that the provider has to repeat them",
    ),
    Metric::counter(
        "gatepost_callback_parts_ignored_total",
        &[("provider", &["meta", "evolution"])],
        "Parts of callbacks that nothing follows from",
    ),
    Metric::counter(
        "gatepost_callbacks_given_up_total",
        &[],
        "Callbacks the database refused again and again",
    ),
    stage::seconds(STAGES),
    stage::failures(STAGES),
    stage::batches(&[("stage", &[Stage::CallbackApply.as_str()])]),
];

/// Counts a callback by its answer.
pub(super) fn count(provider: &'static str, answer: StatusCode) {
    let outcome = match answer {
        answer if answer.is_success() => "taken",
        answer if answer.is_server_error() => "failed",
        _ => "refused",
    };
    counter!("gatepost_callbacks_total", "provider" => provider, "outcome" => outcome).increment(1);
}
