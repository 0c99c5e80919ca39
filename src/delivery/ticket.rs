//! A job's share in each of its messages: it is acknowledged when the last of them is recorded.

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use crate::broker::Job;

/// Held by every message of a job. Dropped without [`Ticket::finish`], the job stays unacknowledged and comes again.
pub(super) struct Ticket {
    job: Arc<Job>,
    _room: OwnedSemaphorePermit,
}

impl Ticket {
    /// One message's share.
    pub(super) fn new(job: &Arc<Job>, room: OwnedSemaphorePermit) -> Self {
        Self { job: Arc::clone(job), _room: room }
    }

    /// The message is recorded, or given back; the job is acknowledged with its last message.
    pub(super) async fn finish(self) {
        finish(self.job).await;
    }
}

/// Gives one share up.
pub(super) async fn finish(job: Arc<Job>) {
    if let Some(job) = Arc::into_inner(job) {
        job.ack().await;
    }
}
