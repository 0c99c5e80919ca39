//! Which job an id came with: a job is acknowledged when the last of its ids is settled.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use futures_util::future::join_all;

use crate::broker::Job;
use crate::domain::id::DeliveryKey;

/// One delivery a job asked for. Dropped without being settled, its job is not acknowledged and comes again.
pub(super) struct Ticket<J = Job> {
    /// The delivery.
    pub(super) key: DeliveryKey,
    receipt: Arc<Receipt<J>>,
}

struct Receipt<J> {
    open: AtomicUsize,
    job: Mutex<Option<J>>,
}

impl<J> Ticket<J> {
    /// A ticket for each of the job's ids.
    pub(super) fn of(job: J, keys: Vec<DeliveryKey>) -> impl Iterator<Item = Self> {
        let receipt = Arc::new(Receipt { open: AtomicUsize::new(keys.len()), job: Mutex::new(Some(job)) });
        keys.into_iter().map(move |key| Self { key, receipt: Arc::clone(&receipt) })
    }

    /// Nothing is left to do for this delivery here; gives the job where it was the last one.
    fn settle(self) -> Option<J> {
        let last = self.receipt.open.fetch_sub(1, Ordering::AcqRel) == 1;
        last.then(|| self.receipt.job.lock().unwrap_or_else(PoisonError::into_inner).take()).flatten()
    }
}

/// Settles tickets, and acknowledges the jobs that are done with it.
pub(super) async fn settle(tickets: impl IntoIterator<Item = Ticket>) {
    join_all(tickets.into_iter().filter_map(Ticket::settle).map(Job::ack)).await;
}

#[cfg(test)]
mod tests {
    use super::Ticket;
    use crate::domain::id::DeliveryKey;
    use uuid::Uuid;

    fn keys(count: u128) -> Vec<DeliveryKey> {
        (0..count)
            .map(|number| DeliveryKey {
                account_id: 1,
                event_id: Uuid::from_u128(number),
                endpoint_id: Uuid::nil(),
            })
            .collect()
    }

    #[test]
    fn the_last_ticket_settled_gives_the_job() {
        let tickets: Vec<Ticket<&str>> = Ticket::of("job", keys(3)).collect();
        let jobs: Vec<Option<&str>> = tickets.into_iter().map(Ticket::settle).collect();
        assert_eq!(jobs, [None, None, Some("job")]);
    }

    #[test]
    fn a_ticket_that_is_lost_keeps_the_job_unacknowledged() {
        let mut tickets: Vec<Ticket<&str>> = Ticket::of("job", keys(2)).collect();
        drop(tickets.pop());
        assert_eq!(tickets.pop().and_then(Ticket::settle), None);
    }
}
