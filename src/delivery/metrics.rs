//! What the delivery tells of itself.

use std::time::Duration;

use metrics::{counter, gauge, histogram};

use crate::domain::instance::Provider;
use crate::domain::purpose::Lane;
use crate::runtime::metrics::{CALL_SECONDS, Labels, Metric, WAIT_SECONDS};
use crate::runtime::stage::{self, Stage};
use crate::store::delivery::Step;

const STAGES: Labels = &[(
    "stage",
    &[Stage::Look.as_str(), Stage::Claim.as_str(), Stage::Begin.as_str(), Stage::Record.as_str()],
)];
const BATCHES: Labels = &[("stage", &[Stage::Claim.as_str(), Stage::Begin.as_str(), Stage::Record.as_str()])];
const LANES: Labels = &[("lane", &[Lane::Priority.as_str(), Lane::Standard.as_str()])];
const PROVIDERS: Labels = &[("provider", &["meta", "evolution", "sandbox"])];
const CLASSES: [&str; 9] = [
    "accepted",
    "retry",
    "throttle_sender",
    "throttle_pair",
    "instance",
    "permanent",
    "recipient",
    "window",
    "unknown",
];

/// The table of its metrics.
pub(super) const METRICS: &[Metric] = &[
    stage::seconds(STAGES),
    stage::failures(STAGES),
    stage::batches(BATCHES),
    Metric::counter(
        "gatepost_claims_total",
        &[("step", &["attempt", "later", "hold", "expire", "suppress", "need_template"])],
        "Claimed messages, by what is done with them: attempt; later, when their slot comes; hold, while the sender may not send",
    ),
    Metric::histogram(
        "gatepost_pacing_wait_seconds",
        LANES,
        WAIT_SECONDS,
        "How far ahead the slot of a claimed message is; one that is put off counts again when it comes back",
    ),
    Metric::histogram(
        "gatepost_first_call_lag_seconds",
        LANES,
        WAIT_SECONDS,
        "From a message's acceptance to the beginning of its first call",
    ),
    Metric::gauge("gatepost_calls_in_flight", "Calls under way, by lane"),
    Metric::histogram(
        "gatepost_provider_call_seconds",
        PROVIDERS,
        CALL_SECONDS,
        "How long a call of a provider took, whatever came of it",
    ),
    Metric::counter(
        "gatepost_attempts_total",
        &[("provider", &["meta", "evolution", "sandbox"]), ("outcome", &CLASSES)],
        "Calls of providers, by outcome: accepted, or the class of the failure",
    ),
    Metric::counter(
        "gatepost_retries_total",
        &[("class", &["retry", "throttle_sender", "throttle_pair", "instance"])],
        "Attempts after which the message is tried again, by the class of the failure",
    ),
    Metric::counter("gatepost_parked_jobs_total", &[], "Jobs that could not be decoded"),
];

/// Counts a call.
pub(super) fn called(provider: Provider, outcome: &'static str, again: bool, took: Duration) {
    let provider = provider.as_str();
    histogram!("gatepost_provider_call_seconds", "provider" => provider).record(took);
    counter!("gatepost_attempts_total", "provider" => provider, "outcome" => outcome).increment(1);
    if again {
        counter!("gatepost_retries_total", "class" => outcome).increment(1);
    }
}

/// Counts a claimed message, and how far ahead its slot is where it has one.
pub(super) fn claimed(lane: Lane, step: &Step) {
    let (step, wait) = match step {
        Step::Attempt(wait) => ("attempt", Some(*wait)),
        Step::Later(wait) => ("later", Some(*wait)),
        Step::Hold => ("hold", None),
        Step::Expire => ("expire", None),
        Step::Suppress => ("suppress", None),
        Step::NeedTemplate => ("need_template", None),
    };
    counter!("gatepost_claims_total", "step" => step).increment(1);
    if let Some(wait) = wait {
        histogram!("gatepost_pacing_wait_seconds", "lane" => lane.as_str()).record(wait);
    }
}

/// Counts a job that could not be decoded.
pub(super) fn parked() {
    counter!("gatepost_parked_jobs_total").increment(1);
}

/// Tells how long after its acceptance a message was called for the first time.
pub(super) fn first_called(lane: Lane, lag: Duration) {
    histogram!("gatepost_first_call_lag_seconds", "lane" => lane.as_str()).record(lag);
}

/// Tells how many calls are under way.
pub(super) fn in_flight(lane: Lane, calls: usize) {
    gauge!("gatepost_calls_in_flight", "lane" => lane.as_str()).set(calls as f64);
}
