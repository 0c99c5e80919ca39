//! What the webhooks tell of themselves.

use metrics::{counter, histogram};

use super::answer::{Answer, Failure};
use crate::runtime::metrics::{CALL_SECONDS, Labels, Metric, WAIT_SECONDS};
use crate::runtime::stage::{self, Stage};
use crate::store::webhooks::{Claim, Next};

const STAGES: Labels = &[("stage", &[Stage::WebhookClaim.as_str(), Stage::WebhookRecord.as_str()])];

/// The table of their metrics.
pub(super) const METRICS: &[Metric] = &[
    stage::seconds(STAGES),
    stage::failures(STAGES),
    stage::batches(STAGES),
    Metric::counter(
        "gatepost_webhook_attempts_total",
        &[("outcome", &["delivered", "status", "timeout", "connect"])],
        "Attempts at webhooks, by outcome: delivered, or why not",
    ),
    Metric::histogram(
        "gatepost_webhook_attempt_seconds",
        &[],
        CALL_SECONDS,
        "How long an attempt at a webhook took, including the answer's body",
    ),
    Metric::histogram(
        "gatepost_webhook_lag_seconds",
        &[],
        WAIT_SECONDS,
        "From an event to the beginning of the first attempt to tell it",
    ),
    Metric::histogram(
        "gatepost_webhook_delivery_lag_seconds",
        &[],
        WAIT_SECONDS,
        "From an event to the end of the attempt that told it",
    ),
    Metric::counter("gatepost_webhooks_failed_total", &[], "Webhooks that will not be tried again"),
    Metric::gauge("gatepost_webhooks_waiting", "Webhooks that wait in this process for a place"),
    Metric::gauge("gatepost_webhooks_in_flight", "Webhooks being claimed or sent by this process"),
    Metric::counter(
        "gatepost_webhooks_deferred_total",
        &[],
        "Webhooks put off in the database because there was no place for them",
    ),
    Metric::counter(
        "gatepost_webhook_endpoints_disabled_total",
        &[("reason", &["gone", "failing"])],
        "Endpoints that were disabled",
    ),
    Metric::counter("gatepost_parked_jobs_total", &[], "Jobs that could not be decoded"),
];

/// Counts an attempt and what follows from it.
pub(super) fn attempted(claim: &Claim, answer: &Answer, next: Next) {
    let outcome = answer.failure.map_or("delivered", Failure::as_str);
    counter!("gatepost_webhook_attempts_total", "outcome" => outcome).increment(1);
    histogram!("gatepost_webhook_attempt_seconds").record(answer.duration);
    if claim.attempt == 1 {
        histogram!("gatepost_webhook_lag_seconds").record(claim.event_age);
    }
    match next {
        Next::Delivered => {
            histogram!("gatepost_webhook_delivery_lag_seconds").record(claim.event_age + answer.duration);
        }
        Next::Failed => counter!("gatepost_webhooks_failed_total").increment(1),
        Next::Retry(_) => {}
    }
}
