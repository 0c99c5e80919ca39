//! Results become rows: what waits is recorded in one transaction, and only then are its jobs acknowledged.

use std::collections::HashSet;
use std::time::Duration;

use metrics::counter;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};
use uuid::Uuid;

use super::answer::{Answer, Failure};
use super::ticket::{Ticket, settle};
use crate::domain::id::DeliveryKey;
use crate::runtime::linger::Linger;
use crate::runtime::retry;
use crate::runtime::stage::Stage;
use crate::store::webhooks::{self, Attempt, Claim, DisabledEndpoint, EndpointReport, Next};
use crate::store::{Pool, StoreError};

/// Most results of one transaction, and most that wait for the next one.
pub(super) const BATCH: usize = 256;
/// How long the next transaction waits after one of many.
const LINGER: Duration = Duration::from_millis(3);

/// A delivery that was claimed, and what came of it.
pub(super) struct Outcome {
    /// The delivery and its job.
    pub(super) ticket: Ticket,
    /// The token it was claimed with.
    pub(super) lease: Uuid,
    /// Whether the endpoint was marked as failing when the delivery was claimed.
    pub(super) was_failing: bool,
    /// The attempt; `None`: the process had to stop before there was an answer.
    pub(super) sent: Option<(Answer, Next)>,
}

/// Records outcomes until there are no more senders, or `stop`.
pub(super) async fn run(pool: Pool, mut outcomes: mpsc::Receiver<Outcome>, stop: CancellationToken) {
    let mut batch = Vec::with_capacity(BATCH);
    let mut linger = Linger::new(LINGER, BATCH);
    while outcomes.recv_many(&mut batch, BATCH).await > 0 {
        if !keep(&pool, &batch, &stop).await {
            // Told to stop while the database did not answer: the leases run out.
            return;
        }
        let size = batch.len();
        settle(batch.drain(..).map(|outcome| outcome.ticket)).await;
        linger.took(size);
        linger.wait(outcomes.len()).await;
    }
}

/// Records a batch, each result by itself if the database refuses it; `false` if it could not before `stop`.
async fn keep(pool: &Pool, batch: &[Outcome], stop: &CancellationToken) -> bool {
    match commit(pool, batch, stop).await {
        None => return false,
        Some(Ok(())) => return true,
        Some(Err(refusal)) => {
            warn!(error = %refusal, "results of webhooks were refused, recording them singly");
        }
    }
    for outcome in batch {
        match commit(pool, std::slice::from_ref(outcome), stop).await {
            None => return false,
            Some(Ok(())) => {}
            // Without a record the lease runs out, and the webhook is sent again.
            Some(Err(refusal)) => {
                let key = outcome.ticket.key;
                error!(account_id = key.account_id, event_id = %key.event_id, endpoint_id = %key.endpoint_id,
                    error = %refusal, "the result of a webhook cannot be recorded");
            }
        }
    }
    true
}

/// Commits a batch, however long the database is away; `None` on `stop`, an error only where trying again is no use.
async fn commit(pool: &Pool, batch: &[Outcome], stop: &CancellationToken) -> Option<Result<(), StoreError>> {
    retry::until_ok("recording webhooks", stop, || async {
        match Stage::WebhookRecord.run_batch(batch.len(), write(pool, batch)).await {
            Err(error) if error.is_refusal() => Ok(Err(error)),
            Err(error) => Err(error),
            Ok(disabled) => {
                announce(&disabled);
                Ok(Ok(()))
            }
        }
    })
    .await
}

async fn write(pool: &Pool, batch: &[Outcome]) -> Result<Vec<DisabledEndpoint>, StoreError> {
    let attempts: Vec<Attempt> = batch.iter().filter_map(attempt).collect();
    let unsent: Vec<&Outcome> = batch.iter().filter(|outcome| outcome.sent.is_none()).collect();
    let mut session = pool.get().await?;
    let transaction = session.begin().await?;
    let mut disabled = Vec::new();
    if !attempts.is_empty() {
        let recorded: HashSet<DeliveryKey> =
            webhooks::record(&transaction, &attempts).await?.into_iter().collect();
        let reports: Vec<EndpointReport> = batch
            .iter()
            .filter(|outcome| recorded.contains(&outcome.ticket.key))
            .filter_map(report)
            .collect();
        if !reports.is_empty() {
            disabled = webhooks::report(&transaction, &reports).await?;
        }
    }
    if !unsent.is_empty() {
        let keys: Vec<DeliveryKey> = unsent.iter().map(|outcome| outcome.ticket.key).collect();
        let leases: Vec<Uuid> = unsent.iter().map(|outcome| outcome.lease).collect();
        webhooks::release(&transaction, &keys, &leases).await?;
    }
    transaction.commit().await?;
    Ok(disabled)
}

fn attempt(outcome: &Outcome) -> Option<Attempt> {
    let (answer, next) = outcome.sent.as_ref()?;
    Some(Attempt {
        key: outcome.ticket.key,
        lease: outcome.lease,
        duration_ms: i32::try_from(answer.duration.as_millis()).unwrap_or(i32::MAX),
        http_status: answer.status.and_then(|status| i16::try_from(status.as_u16()).ok()),
        error: answer.failure.map(Failure::as_str),
        answer: answer.text.clone(),
        next: *next,
    })
}

/// What an outcome says of its endpoint; `None` where it says nothing new.
fn report(outcome: &Outcome) -> Option<EndpointReport> {
    let (answer, _) = outcome.sent.as_ref()?;
    let succeeded = answer.failure.is_none();
    (!succeeded || outcome.was_failing).then(|| EndpointReport {
        account_id: outcome.ticket.key.account_id,
        endpoint_id: outcome.ticket.key.endpoint_id,
        succeeded,
        gone: answer.failure == Some(Failure::Gone),
    })
}

fn announce(disabled: &[DisabledEndpoint]) {
    for endpoint in disabled {
        counter!("gatepost_webhook_endpoints_disabled_total", "reason" => endpoint.reason.clone())
            .increment(1);
        warn!(account_id = endpoint.account_id, endpoint_id = %endpoint.endpoint_id, reason = endpoint.reason,
            "a webhook endpoint was disabled");
    }
}

/// Counts and logs an attempt.
pub(super) fn observe(claim: &Claim, answer: &Answer, next: Next) {
    let Claim { key, attempt, event, .. } = claim;
    let outcome = answer.failure.map_or("delivered", Failure::as_str);
    super::metrics::attempted(claim, answer, next);
    debug!(
        request_id = event.request_id, account_id = key.account_id, event_id = %key.event_id, endpoint_id = %key.endpoint_id, attempt, outcome,
        http_status = answer.status.map(|status| status.as_u16()), duration_ms = answer.duration.as_millis() as u64,
        "webhook sent"
    );
}
