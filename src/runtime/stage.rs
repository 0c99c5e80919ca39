//! Rate, errors and duration of the steps that a message's life is made of.

use std::time::Instant;

use metrics::{counter, histogram};

use super::metrics::{BATCH, Labels, Metric, STATEMENT_SECONDS};

/// A step of a process with its database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Deciding on sends and making what is accepted durable.
    Commit,
    /// Storing a provider's callback.
    CallbackStore,
    /// Applying stored callbacks.
    CallbackApply,
    /// Looking for messages that are due.
    Look,
    /// Claiming messages and giving them their slots.
    Claim,
    /// Putting calls on record before they are made.
    Begin,
    /// Recording the outcomes of calls.
    Record,
    /// Claiming webhooks.
    WebhookClaim,
    /// Recording the outcomes of webhooks.
    WebhookRecord,
    /// A round of sweep.
    SweepRound,
    /// Measuring what waits in the database.
    Measure,
}

impl Stage {
    /// The value of the label `stage`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Commit => "commit",
            Self::CallbackStore => "callback_store",
            Self::CallbackApply => "callback_apply",
            Self::Look => "look",
            Self::Claim => "claim",
            Self::Begin => "begin",
            Self::Record => "record",
            Self::WebhookClaim => "webhook_claim",
            Self::WebhookRecord => "webhook_record",
            Self::SweepRound => "sweep_round",
            Self::Measure => "measure",
        }
    }

    /// Does `work` once, and counts how long it took and whether it failed.
    ///
    /// # Errors
    /// Those of `work`.
    pub async fn run<T, E>(self, work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        let began = Instant::now();
        let outcome = work.await;
        histogram!("gatepost_stage_seconds", "stage" => self.as_str()).record(began.elapsed());
        if outcome.is_err() {
            counter!("gatepost_stage_failures_total", "stage" => self.as_str()).increment(1);
        }
        outcome
    }

    /// As [`Self::run`], for work on `size` rows together.
    ///
    /// # Errors
    /// Those of `work`.
    pub async fn run_batch<T, E>(
        self,
        size: usize,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        histogram!("gatepost_stage_batch_size", "stage" => self.as_str()).record(size as f64);
        self.run(work).await
    }
}

/// How long stages take; for a room's table.
#[must_use]
pub const fn seconds(stages: Labels) -> Metric {
    Metric::histogram(
        "gatepost_stage_seconds",
        stages,
        STATEMENT_SECONDS,
        "How long one try of a stage took; with commits, claims and the like, one of its batches",
    )
}

/// How often stages fail; for a room's table.
#[must_use]
pub const fn failures(stages: Labels) -> Metric {
    Metric::counter(
        "gatepost_stage_failures_total",
        stages,
        "Tries of a stage that failed; mostly it is tried again",
    )
}

/// How much stages do at once; for a room's table.
#[must_use]
pub const fn batches(stages: Labels) -> Metric {
    Metric::histogram(
        "gatepost_stage_batch_size",
        stages,
        BATCH,
        "Messages, webhooks or callbacks in one try of a stage",
    )
}
