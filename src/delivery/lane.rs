//! One lane: from hearing of messages to the beginning of their calls.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;
use uuid::Uuid;

use super::call::Caller;
use super::heard::Heard;
use super::metrics;
use super::places::{Place, Places};
use crate::broker::{Consumer, Job, Nodes, Publisher, Queue, Topology};
use crate::domain::effect::NEEDS_TEMPLATE;
use crate::domain::fair::FairQueue;
use crate::domain::id::MessageKey;
use crate::domain::job::{self, Kind};
use crate::domain::purpose::Lane;
use crate::domain::retry::Next;
use crate::runtime::retry::until_ok;
use crate::runtime::stage::Stage;
use crate::store::delivery::{self, Claimed, Step};
use crate::store::outcomes::Record;
use crate::store::{Pool, StoreError};

/// Jobs the broker may hand out before one is acknowledged.
const PREFETCH: u16 = 64;
/// Most ids in one claim: enough for one round trip to be cheap.
const CLAIM: usize = 256;
/// What giving messages back may take: a process that ends must not wait long for a database or a broker that does not
/// answer.
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
    lane: Lane,
    /// Messages heard of and not claimed yet.
    heard: Heard,
    /// Messages claimed and not finished: twice the calls, so that the next are at hand.
    room: Places,
    /// Claimed messages that wait for their slot, by time and order of arrival.
    waiting: BTreeMap<(Instant, u64), Waiting>,
    arrivals: u64,
    /// Those whose slot has come.
    ready: FairQueue<Waiting>,
    /// Calls in flight.
    calls: Places,
    acknowledging: TaskTracker,
}

/// A claimed message.
pub(super) struct Waiting {
    pub(super) key: MessageKey,
    pub(super) token: Uuid,
    instance_id: String,
    place: Place,
    /// Since its acceptance, when it was claimed, and when that was.
    age: (Duration, Instant),
}

impl LaneWorker {
    pub(super) fn new(
        parts: &crate::wiring::Parts,
        publisher: Publisher,
        caller: Arc<Caller>,
        (lane, calls): (Lane, usize),
    ) -> Self {
        let room = (calls * 2).max(job::MAX_IDS * 2);
        Self {
            pool: parts.pool.clone(),
            publisher,
            caller,
            nodes: parts.nodes.clone(),
            topology: parts.topology.clone(),
            lease: parts.config.lease,
            stop: parts.stop.clone(),
            lane,
            heard: Heard::new(),
            room: Places::new(room),
            waiting: BTreeMap::new(),
            arrivals: 0,
            // Its share of the room is less than an account's share of this: it never turns one away.
            ready: FairQueue::new(room * 2),
            calls: Places::new(calls),
            acknowledging: TaskTracker::new(),
        }
    }

    /// Works until told to stop; gives the consumer back, to be closed when everything is acknowledged.
    pub(super) async fn run(mut self) -> Consumer {
        let queue = Queue::of(self.lane);
        let mut consumer = Consumer::start(&self.nodes, &self.topology, queue, PREFETCH, self.stop.clone());
        while !self.stop.is_cancelled() {
            // Before anything else and each time: whoever is heard late is served late.
            self.hear(consumer.try_next(), &mut consumer);
            if self.heard.next_look() <= Instant::now() {
                tokio::select! {
                    () = self.stop.cancelled() => break,
                    () = self.heard.look(&self.pool, self.lane) => {}
                }
            }
            let (claimed, begun) = (self.claim().await, self.begin().await);
            // A full one may have left something.
            if claimed || begun {
                continue;
            }
            metrics::in_flight(self.lane, self.calls.taken());
            let next_slot = self.waiting.keys().next().map(|(at, _)| *at);
            tokio::select! {
                biased;
                () = self.stop.cancelled() => break,
                () = sleep_until(next_slot.unwrap_or_else(Instant::now)), if next_slot.is_some() => {}
                () = self.calls.freed(), if !self.ready.is_empty() => {}
                () = self.room.freed(), if !self.heard.is_empty() => {}
                job = consumer.next() => match job {
                    Some(job) => self.hear(Some(job), &mut consumer),
                    None => break,
                },
                () = sleep_until(self.heard.next_look()) => {}
            }
        }
        self.give_all_back().await;
        consumer
    }

    /// Notes the ids of a job and of those behind it. That is all a job is for: what it names is in the database, and
    /// found there by itself when it is due, so that the job is done with at once.
    fn hear(&mut self, mut next: Option<Job>, consumer: &mut Consumer) {
        for _ in 0..PREFETCH {
            let Some(job) = next else { break };
            match job::decode::<MessageKey>(Kind::Deliver, &job.body) {
                Ok(keys) => {
                    for key in keys {
                        self.heard.note(key);
                    }
                    self.acknowledging.spawn(job.ack());
                }
                Err(error) => {
                    warn!(%error, "parked a job");
                    metrics::parked();
                    self.acknowledging.spawn(job.park());
                }
            }
            next = consumer.try_next();
        }
    }

    /// Claims what there is room for, each account in its turn; what may be attempted waits for its slot from now on. Whether
    /// it was as much as one claim takes.
    async fn claim(&mut self) -> bool {
        let room = self.room.clone();
        let mut places: BTreeMap<MessageKey, Place> =
            self.heard.take(CLAIM, |account_id| room.take(account_id)).into_iter().collect();
        if places.is_empty() {
            return false;
        }
        let full = places.len() == CLAIM;
        let token = Uuid::new_v4();
        let keys: Vec<MessageKey> = places.keys().copied().collect();
        let (pool, lease) = (&self.pool, self.lease);
        let claimed = until_ok("claim", &self.stop, || async {
            let claim = async { delivery::claim(&pool.get().await?, &keys, token, lease).await };
            Stage::Claim.run_batch(keys.len(), claim).await
        })
        .await;
        // Told to stop: they are due again, or their lease ends.
        let Some(claimed) = claimed else { return false };
        let now = Instant::now();
        let mut over = Vec::new();
        for Claimed { key, step, request_id, instance_id, age } in claimed {
            metrics::claimed(self.lane, &step);
            let Some(place) = places.remove(&key) else { continue };
            match step {
                Step::Attempt(wait) => {
                    self.arrivals += 1;
                    let waiting = Waiting { key, token, instance_id, place, age: (age, now) };
                    self.waiting.insert((now + wait, self.arrivals), waiting);
                }
                // Not ours any more.
                Step::Later(_) | Step::Hold => {}
                Step::Expire => over.push((ended(key, token, Next::Expired, "message_expired"), place)),
                Step::NeedTemplate => {
                    tracing::info!(request_id, message_id = %key.message_id, "outside the 24-hour window; not sent");
                    over.push((ended(key, token, Next::Failed, NEEDS_TEMPLATE), place));
                }
                Step::Suppress => {
                    tracing::info!(request_id, message_id = %key.message_id, "recipient opted out; not sent");
                    over.push((ended(key, token, Next::Failed, "recipient_suppressed"), place));
                }
            }
        }
        self.caller.record(over).await;
        full
    }

    /// Begins calls whose slot has come, each account in its turn: no provider that keeps its callers waiting takes every
    /// place there is. Whether it was as many as are begun at once.
    async fn begin(&mut self) -> bool {
        let now = Instant::now();
        while let Some(entry) = self.waiting.first_entry()
            && entry.key().0 <= now
        {
            let waiting = entry.remove();
            self.ready.push(waiting.key.account_id, waiting);
        }
        let calls = self.calls.clone();
        let due = self.ready.take(CLAIM, |account_id| calls.take(account_id));
        if due.is_empty() {
            return false;
        }
        let full = due.len() == CLAIM;
        let (keys, tokens): (Vec<MessageKey>, Vec<Uuid>) =
            due.iter().map(|(waiting, _)| (waiting.key, waiting.token)).unzip();
        let lease = self.caller.lease();
        let begun = async {
            let instances: Vec<&str> = due.iter().map(|(waiting, _)| waiting.instance_id.as_str()).collect();
            delivery::begin(&self.pool.get().await?, &keys, (&tokens, &instances), lease).await
        };
        match Stage::Begin.run_batch(keys.len(), begun).await {
            Ok((begun, owed)) => {
                self.caller.tell(self.publisher.clone(), owed);
                let mut by_key: BTreeMap<MessageKey, (Waiting, Place)> =
                    due.into_iter().map(|(waiting, call)| (waiting.key, (waiting, call))).collect();
                for message in begun {
                    if let Some((Waiting { token, place, age, .. }, call)) = by_key.remove(&message.key) {
                        if message.call == 1 {
                            metrics::first_called(self.lane, age.0 + age.1.elapsed());
                        }
                        self.caller.start(message, token, (place, call));
                    }
                }
                let not_begun: Vec<Waiting> = by_key.into_values().map(|(waiting, _)| waiting).collect();
                self.release(&not_begun).await;
            }
            // Whether they are on record as begun is not known; that no call was made is.
            Err(error) => {
                warn!(%error, messages = due.len(), "calls not begun");
                let messages = due.into_iter().map(|(waiting, _)| waiting).collect();
                self.caller.take_back(self.pool.clone(), messages);
            }
        }
        full
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

    /// At the end: what was claimed and not begun is due at once, and what was only heard of is told to another worker.
    async fn give_all_back(&mut self) {
        let mut waiting: Vec<Waiting> = std::mem::take(&mut self.waiting).into_values().collect();
        waiting.extend(self.ready.take(usize::MAX, Some).into_iter().map(|(waiting, _)| waiting));
        let heard = self.heard.drain();
        self.acknowledging.close();
        let told = async {
            self.publisher.publish_all(Queue::of(self.lane), Kind::Deliver, &heard).await;
            self.acknowledging.wait().await;
        };
        // Who is not told finds them when they are due.
        let _ = tokio::join!(self.release(&waiting), tokio::time::timeout(RELEASE_TIME, told));
    }
}

fn ended(key: MessageKey, token: Uuid, next: Next, error: &'static str) -> Record {
    Record { key, token, call: None, next, reached_provider: false, error: Some(error) }
}
