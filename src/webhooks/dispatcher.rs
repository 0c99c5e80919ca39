//! The loop of the stage: takes jobs, claims what has a place, sends it, and puts off what has none.
//!
//! One task owns the lanes; it waits for nothing but news. Work that waits for others (claims, attempts, pauses to be
//! stored) runs in tasks it counts: attempts as many as there are places, the rest a few.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use metrics::{counter, gauge};
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::warn;
use uuid::Uuid;

use super::courier::Courier;
use super::lanes::{EndpointKey, Lanes, Places};
use super::recorder::{Outcome, observe};
use super::ticket::{Ticket, settle};
use crate::broker::{Consumer, Job};
use crate::domain::id::DeliveryKey;
use crate::domain::job::{self, Kind};
use crate::runtime::retry;
use crate::runtime::stage::Stage;
use crate::store::Pool;
use crate::store::webhooks::{self, Claim};

/// Most deliveries of one claim.
const CLAIM_BATCH: usize = 256;
/// Claims under way at once: one is answered while the next one is sent.
const CLAIMS: usize = 2;
/// Most pauses stored in one statement.
const DEFER_BATCH: usize = 1_024;
/// No more jobs are taken while this many deliveries wait or are being put off. A job adds at most 64.
const MOST_HELD: usize = 8_192;
/// How often lanes are looked through for what has waited too long.
const TRIM_INTERVAL: Duration = Duration::from_millis(250);

/// What the tasks of the stage share.
pub(super) struct Context {
    pub(super) pool: Pool,
    pub(super) courier: Courier,
    /// How long a claimed delivery belongs to this process.
    pub(super) lease_time: Duration,
    /// Where results go.
    pub(super) outcomes: mpsc::Sender<Outcome>,
    /// Ends attempts and statements that are still under way.
    pub(super) hurry: CancellationToken,
}

/// A statement that has been answered.
enum Done {
    /// These are ours, those are to be dropped.
    Claimed { claims: Vec<(Ticket, Claim)>, lease: Uuid, dropped: Vec<EndpointKey> },
    /// The pauses are stored.
    Deferred,
}

/// An attempt whose result was handed on.
struct Sent {
    endpoint: EndpointKey,
    began: Instant,
    failed: bool,
}

/// The stage's state.
pub(super) struct Dispatcher {
    context: Arc<Context>,
    lanes: Lanes<Ticket>,
    excess: Vec<(Ticket, Duration)>,
    claims: JoinSet<Option<Done>>,
    deferral: JoinSet<Option<Done>>,
    sends: JoinSet<Sent>,
}

impl Dispatcher {
    /// Nothing to do yet.
    pub(super) fn new(context: Context, places: Places) -> Self {
        Self {
            context: Arc::new(context),
            lanes: Lanes::new(places),
            excess: Vec::new(),
            claims: JoinSet::new(),
            deferral: JoinSet::new(),
            sends: JoinSet::new(),
        }
    }

    /// Works on jobs until `stop`, then finishes what is claimed. What was waiting goes back with its jobs.
    pub(super) async fn run(mut self, consumer: &mut Consumer, stop: &CancellationToken) {
        let context = Arc::clone(&self.context);
        let mut trim = tokio::time::interval(TRIM_INTERVAL);
        trim.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while !stop.is_cancelled() {
            self.start_claims();
            self.start_deferral();
            gauge!("gatepost_webhooks_waiting").set(self.lanes.waiting() as f64);
            gauge!("gatepost_webhooks_in_flight").set(self.lanes.taken() as f64);
            let has_room = self.held() < MOST_HELD;
            tokio::select! {
                () = stop.cancelled() => break,
                // Without a recorder nothing may be sent.
                () = context.outcomes.closed() => break,
                Some(sent) = self.sends.join_next() => self.finish(sent),
                Some(done) = self.claims.join_next() => self.apply(done),
                Some(done) = self.deferral.join_next() => self.apply(done),
                job = consumer.next(), if has_room => match job {
                    None => break,
                    Some(job) => self.take_jobs(job, consumer).await,
                },
                _ = trim.tick() => {
                    let excess = self.lanes.trim(Instant::now());
                    self.put_off(excess);
                }
            }
        }
        self.drain().await;
    }

    async fn drain(&mut self) {
        loop {
            tokio::select! {
                Some(sent) = self.sends.join_next() => self.finish(sent),
                Some(done) = self.claims.join_next() => self.apply(done),
                Some(done) = self.deferral.join_next() => self.apply(done),
                else => return,
            }
        }
    }

    fn held(&self) -> usize {
        self.lanes.waiting() + self.excess.len()
    }

    /// Takes this job and those that are there already, so that one claim covers them.
    async fn take_jobs(&mut self, first: Job, consumer: &mut Consumer) {
        let mut next = Some(first);
        while let Some(job) = next {
            match job::decode::<DeliveryKey>(Kind::Notify, &job.body) {
                Ok(keys) => self.admit(Ticket::of(job, keys)),
                Err(poison) => {
                    counter!("gatepost_parked_jobs_total").increment(1);
                    warn!(error = %poison, "a job was parked");
                    job.park().await;
                }
            }
            next = if self.held() < MOST_HELD { consumer.try_next() } else { None };
        }
    }

    fn admit(&mut self, tickets: impl Iterator<Item = Ticket>) {
        let now = Instant::now();
        let mut excess = Vec::new();
        for ticket in tickets {
            excess.extend(self.lanes.admit(ticket.key.into(), ticket, now));
        }
        self.put_off(excess);
    }

    fn put_off(&mut self, excess: Vec<(Ticket, Duration)>) {
        counter!("gatepost_webhooks_deferred_total").increment(excess.len() as u64);
        self.excess.extend(excess);
    }

    fn start_claims(&mut self) {
        while self.claims.len() < CLAIMS {
            let tickets = self.lanes.take(CLAIM_BATCH, Instant::now());
            if tickets.is_empty() {
                return;
            }
            self.claims.spawn(claim(Arc::clone(&self.context), tickets));
        }
    }

    fn start_deferral(&mut self) {
        if self.deferral.is_empty() && !self.excess.is_empty() {
            let batch = self.excess.drain(..self.excess.len().min(DEFER_BATCH)).collect();
            self.deferral.spawn(defer(Arc::clone(&self.context), batch));
        }
    }

    fn apply(&mut self, done: Result<Option<Done>, JoinError>) {
        let Some(Done::Claimed { claims, lease, dropped }) = unwound(done) else { return };
        for endpoint in dropped {
            self.lanes.drop_taken(endpoint);
        }
        for (ticket, claim) in claims {
            let (endpoint, began) = (ticket.key.into(), Instant::now());
            self.lanes.begin(endpoint, began);
            let context = Arc::clone(&self.context);
            self.sends.spawn(async move {
                let failed = send(&context, ticket, claim, lease).await;
                Sent { endpoint, began, failed }
            });
        }
    }

    fn finish(&mut self, sent: Result<Sent, JoinError>) {
        let Sent { endpoint, began, failed } = unwound(sent);
        self.lanes.finish(endpoint, began, failed, Instant::now());
    }
}

/// The result of a task. Its panic ends the process: going on without it would lose places or results unseen.
pub(super) fn unwound<T>(result: Result<T, JoinError>) -> T {
    result.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}

/// Claims what it can of these; `None` when told to hurry before the database answered.
async fn claim(context: Arc<Context>, tickets: Vec<Ticket>) -> Option<Done> {
    let lease = Uuid::now_v7();
    let keys: Vec<DeliveryKey> = tickets.iter().map(|ticket| ticket.key).collect();
    let claimed = retry::until_ok("claiming webhooks", &context.hurry, || async {
        let claim =
            async { webhooks::claim(&context.pool.get().await?, &keys, lease, context.lease_time).await };
        Stage::WebhookClaim.run_batch(keys.len(), claim).await
    })
    .await?;
    let mut claimed: HashMap<DeliveryKey, Claim> =
        claimed.into_iter().map(|claim| (claim.key, claim)).collect();
    let mut claims = Vec::with_capacity(claimed.len());
    let mut others = Vec::new();
    for ticket in tickets {
        // A key that came twice is claimed once.
        match claimed.remove(&ticket.key) {
            Some(claim) => claims.push((ticket, claim)),
            None => others.push(ticket),
        }
    }
    let dropped = others.iter().map(|ticket| ticket.key.into()).collect();
    settle(others).await;
    Some(Done::Claimed { claims, lease, dropped })
}

async fn defer(context: Arc<Context>, batch: Vec<(Ticket, Duration)>) -> Option<Done> {
    let (tickets, pauses): (Vec<Ticket>, Vec<Duration>) = batch.into_iter().unzip();
    let keys: Vec<DeliveryKey> = tickets.iter().map(|ticket| ticket.key).collect();
    retry::until_ok("putting off webhooks", &context.hurry, || async {
        webhooks::defer(&context.pool.get().await?, &keys, &pauses).await
    })
    .await?;
    settle(tickets).await;
    Some(Done::Deferred)
}

/// Makes the attempt, hands its result on (which waits while too many results wait to be recorded), and says whether
/// it failed.
async fn send(context: &Context, ticket: Ticket, claim: Claim, lease: Uuid) -> bool {
    let answer = tokio::select! {
        () = context.hurry.cancelled() => None,
        answer = context.courier.send(&claim) => Some(answer),
    };
    let sent = answer.map(|answer| {
        let next = answer.next(claim.attempt, rand::random());
        observe(&claim, &answer, next);
        (answer, next)
    });
    let failed = sent.as_ref().is_none_or(|(answer, _)| answer.failure.is_some());
    let outcome = Outcome { ticket, lease, was_failing: claim.failing, sent };
    // Nobody receives any more only where the process ends without the database: the lease runs out.
    drop(context.outcomes.send(outcome).await);
    failed
}
