//! One lane: from its queue to the beginning of the calls.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::warn;
use uuid::Uuid;

use super::call::Caller;
use super::ticket::{self, Ticket};
use crate::broker::{Consumer, Job, Nodes, Publisher, Queue, Topology};
use crate::domain::effect::NEEDS_TEMPLATE;
use crate::domain::id::MessageKey;
use crate::domain::job::{self, Kind};
use crate::domain::purpose::Lane;
use crate::domain::retry::Next;
use crate::runtime::retry::until_ok;
use crate::store::delivery::{self, Claimed, Step};
use crate::store::outcomes::Record;
use crate::store::{Pool, StoreError};

/// Jobs the broker may hand out before one is acknowledged.
const PREFETCH: u16 = 64;
/// Most ids in one claim: enough for one round trip to be cheap.
const CLAIM: usize = 256;
/// What giving messages back may take: a process that ends must not wait long for a database that does not answer.
const RELEASE_TIME: Duration = Duration::from_secs(2);

/// Works one lane.
pub(super) struct LaneWorker {
    pool: Pool,
    publisher: Publisher,
    caller: Arc<Caller>,
    nodes: Nodes,
    topology: Topology,
    lease: Duration,
    stop: CancellationToken,
    /// Calls in flight.
    permits: Arc<Semaphore>,
    /// Messages claimed and not finished: twice the calls, so that the next are at hand.
    room: Arc<Semaphore>,
    room_size: usize,
    /// Claimed messages that wait for their slot, by time and order of arrival.
    waiting: BTreeMap<(Instant, u64), Waiting>,
    arrivals: u64,
}

struct Waiting {
    key: MessageKey,
    token: Uuid,
    ticket: Ticket,
}

impl LaneWorker {
    pub(super) fn new(
        parts: &crate::wiring::Parts,
        publisher: Publisher,
        caller: Arc<Caller>,
        places: usize,
    ) -> Self {
        let room_size = (places * 2).max(job::MAX_IDS);
        Self {
            pool: parts.pool.clone(),
            publisher,
            caller,
            nodes: parts.nodes.clone(),
            topology: parts.topology.clone(),
            lease: parts.config.lease,
            stop: parts.stop.clone(),
            permits: Arc::new(Semaphore::new(places)),
            room: Arc::new(Semaphore::new(room_size)),
            room_size,
            waiting: BTreeMap::new(),
            arrivals: 0,
        }
    }

    /// Works until told to stop; gives the consumer back, to be closed when everything is acknowledged.
    pub(super) async fn run(mut self, lane: Lane) -> Consumer {
        let mut consumer =
            Consumer::start(&self.nodes, &self.topology, Queue::of(lane), PREFETCH, self.stop.clone());
        let mut pending: Vec<(Arc<Job>, Vec<MessageKey>)> = Vec::new();
        loop {
            let next_slot = self.waiting.keys().next().map(|(at, _)| *at);
            let room_for_more = pending.is_empty();
            tokio::select! {
                biased;
                () = self.stop.cancelled() => break,
                permit = Arc::clone(&self.permits).acquire_owned(), if next_slot.is_some_and(|at| at <= Instant::now()) => {
                    // Closed only when the process ends.
                    let Ok(permit) = permit else { break };
                    self.begin_due(permit).await;
                }
                () = sleep_until(next_slot.unwrap_or_else(Instant::now)),
                    if next_slot.is_some_and(|at| at > Instant::now()) => {}
                room = Arc::clone(&self.room).acquire_many_owned(ids(&pending)), if !room_for_more => {
                    let Ok(room) = room else { break };
                    self.claim(std::mem::take(&mut pending), room).await;
                }
                job = consumer.next(), if room_for_more => {
                    let Some(job) = job else { break };
                    pending = self.gather(job, &mut consumer).await;
                }
            }
        }
        self.release_all().await;
        consumer
    }

    /// Decodes a job and what waits behind it, up to one claim's worth.
    async fn gather(&self, first: Job, consumer: &mut Consumer) -> Vec<(Arc<Job>, Vec<MessageKey>)> {
        let limit = CLAIM.min(self.room_size);
        let mut gathered = Vec::new();
        let mut count = 0;
        let mut next = Some(first);
        while let Some(job) = next {
            match job::decode::<MessageKey>(Kind::Deliver, &job.body) {
                Ok(keys) => {
                    count += keys.len();
                    gathered.push((Arc::new(job), keys));
                }
                Err(error) => {
                    warn!(%error, "parked a job");
                    metrics::counter!("gatepost_parked_jobs_total").increment(1);
                    job.park().await;
                }
            }
            next = if count + job::MAX_IDS <= limit { consumer.try_next() } else { None };
        }
        gathered
    }

    /// Claims the messages of the jobs; those that may be attempted wait for their slot from now on.
    async fn claim(&mut self, jobs: Vec<(Arc<Job>, Vec<MessageKey>)>, mut room: OwnedSemaphorePermit) {
        let token = Uuid::new_v4();
        let keys: Vec<MessageKey> = jobs.iter().flat_map(|(_, keys)| keys.iter().copied()).collect();
        let (pool, lease) = (&self.pool, self.lease);
        let claimed = until_ok("claim", &self.stop, || async {
            delivery::claim(&pool.get().await?, &keys, token, lease).await
        })
        .await;
        // Told to stop: the jobs are handed to somebody else.
        let Some(claimed) = claimed else { return };
        let now = Instant::now();
        let mut over = Vec::new();
        for Claimed { key, step, request_id } in claimed {
            let Some((job, _)) = jobs.iter().find(|(_, keys)| keys.contains(&key)) else { continue };
            let Some(place) = room.split(1) else { continue };
            let ticket = Ticket::new(job, place);
            match step {
                Step::Attempt(wait) => {
                    self.arrivals += 1;
                    self.waiting.insert((now + wait, self.arrivals), Waiting { key, token, ticket });
                }
                Step::Expire => over.push((ended(key, token, Next::Expired, "message_expired"), ticket)),
                Step::NeedTemplate => {
                    tracing::info!(request_id, message_id = %key.message_id, "outside the 24-hour window; not sent");
                    over.push((ended(key, token, Next::Failed, NEEDS_TEMPLATE), ticket));
                }
                Step::Suppress => {
                    tracing::info!(request_id, message_id = %key.message_id, "recipient opted out; not sent");
                    over.push((ended(key, token, Next::Failed, "recipient_suppressed"), ticket));
                }
            }
        }
        self.caller.record(over).await;
        for (job, _) in jobs {
            ticket::finish(job).await;
        }
    }

    /// Begins the calls whose slot has come, as many as there are permits.
    async fn begin_due(&mut self, permit: OwnedSemaphorePermit) {
        let mut permits = vec![permit];
        let mut due: Vec<Waiting> = Vec::new();
        let now = Instant::now();
        while let Some(entry) = self.waiting.first_entry()
            && entry.key().0 <= now
            // One statement begins what was claimed under one token.
            && due.first().is_none_or(|first| first.token == entry.get().token)
        {
            if due.len() == permits.len() {
                let Ok(more) = Arc::clone(&self.permits).try_acquire_owned() else { break };
                permits.push(more);
            }
            due.push(entry.remove());
        }
        let Some(token) = due.first().map(|first| first.token) else { return };
        let keys: Vec<MessageKey> = due.iter().map(|waiting| waiting.key).collect();
        let lease = self.caller.lease();
        let begun = async {
            let session = self.pool.get().await?;
            delivery::begin(&session, &keys, token, lease).await
        };
        match begun.await {
            Ok((begun, owed)) => {
                self.caller.tell(self.publisher.clone(), owed);
                let mut by_key: BTreeMap<MessageKey, Waiting> =
                    due.into_iter().map(|waiting| (waiting.key, waiting)).collect();
                for (message, permit) in begun.into_iter().zip(permits) {
                    if let Some(Waiting { ticket, .. }) = by_key.remove(&message.key) {
                        self.caller.start(message, token, ticket, permit);
                    }
                }
                let not_begun: Vec<Waiting> = by_key.into_values().collect();
                self.give_back(not_begun).await;
            }
            // Whether they are on record as begun is not known; that no call was made is.
            Err(error) => {
                warn!(%error, messages = due.len(), "calls not begun");
                let messages = due.into_iter().map(|waiting| (waiting.key, waiting.ticket)).collect();
                self.caller.take_back(self.pool.clone(), messages, token);
            }
        }
    }

    /// Gives claimed messages back that may not be attempted now, and is done with them.
    async fn give_back(&self, messages: Vec<Waiting>) {
        self.release(&messages).await;
        for waiting in messages {
            waiting.ticket.finish().await;
        }
    }

    /// Ends the lease of claimed messages; they are due at once. One short try: the lease ends by itself as well.
    async fn release(&self, messages: &[Waiting]) {
        if messages.is_empty() {
            return;
        }
        let (keys, tokens): (Vec<MessageKey>, Vec<Uuid>) =
            messages.iter().map(|waiting| (waiting.key, waiting.token)).unzip();
        let release = async { delivery::release(&self.pool.get().await?, &keys, &tokens).await };
        let problem = match tokio::time::timeout(RELEASE_TIME, release).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error,
            Err(_) => StoreError::Timeout,
        };
        warn!(error = %problem, messages = messages.len(), "not given back; they come back when their lease ends");
    }

    /// At the end: what was claimed and not begun goes back, and its jobs, unacknowledged, to another worker at once.
    async fn release_all(&mut self) {
        let waiting: Vec<Waiting> = std::mem::take(&mut self.waiting).into_values().collect();
        self.release(&waiting).await;
    }
}

/// How many places the jobs need, at most one claim's worth.
fn ids(jobs: &[(Arc<Job>, Vec<MessageKey>)]) -> u32 {
    let count: usize = jobs.iter().map(|(_, keys)| keys.len()).sum();
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn ended(key: MessageKey, token: Uuid, next: Next, error: &'static str) -> Record {
    Record { key, token, call: None, next, reached_provider: false, error: Some(error) }
}
