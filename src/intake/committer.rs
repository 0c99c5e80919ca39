//! The group commit: whatever queued up during the last round trip is made durable in the next one.
//!
//! Alone, a request waits for nobody; after a commit that many shared the next one waits a moment, so that those who were
//! just answered can share it with those who came meanwhile. What the commit accepted is published by id afterwards; a
//! publish that fails is only logged and counted, because every row already says when it will be looked at.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::error;

use crate::broker::{Publisher, Queue};
use crate::domain::account::Allowance;
use crate::domain::id::MessageKey;
use crate::domain::job::Kind;
use crate::domain::purpose::Lane;
use crate::domain::refusal::Refusal;
use crate::guard::batch::{Batch, CodeLimits, Ruling};
use crate::runtime::linger::Linger;
use crate::runtime::stage::Stage;
use crate::store::acceptance::{self, Draft, Judged};
use crate::store::{Pool, StoreError};

/// Most drafts in one commit.
const BATCH: usize = 256;
/// How long the next commit waits after one that many shared.
const LINGER: Duration = Duration::from_millis(1);
/// How often a batch that ran into another transaction is tried again.
const CONFLICTS: u32 = 3;
/// How often counters are opened for one batch: once is enough, unless it had to be committed in parts.
const OPENINGS: u32 = 8;
/// Most drafts that may wait; beyond it requests are refused at once.
const WAITING: usize = 4_096;
/// Most publishes that wait for their confirm; beyond it workers find them when they are due.
const PUBLISHING: usize = 256;
/// A caller is told within this time.
const LONGEST_WAIT: Duration = Duration::from_millis(4_700);
/// What is to be written must have this much of it left: who is told that nothing was accepted should find it so.
const WRITING: Duration = Duration::from_millis(1_200);

/// Hands drafts to the committing task; cloning shares it.
#[derive(Clone)]
pub struct Committer(mpsc::Sender<Waiting>);

struct Waiting {
    draft: Draft,
    since: Instant,
    caller: oneshot::Sender<Verdict>,
}

impl Waiting {
    /// Its caller has left, or would before it is written.
    fn is_too_late(&self) -> bool {
        self.caller.is_closed() || self.since.elapsed() + WRITING > LONGEST_WAIT
    }
}

/// What became of a draft.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is decided, and in the policy log.
    Decided {
        /// Its row there.
        log_id: i64,
        /// Why it is refused, unless it is a message now.
        refusal: Option<Refusal>,
        /// What the account has left; `None`: it has no plan.
        allowance: Option<Allowance>,
    },
    /// Its idempotency key was taken meanwhile; nothing was written.
    Duplicate,
}

/// The draft was not committed, or nobody knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotCommitted;

impl Committer {
    /// The draft's verdict, once it is durable.
    ///
    /// # Errors
    /// [`NotCommitted`] when the database does not take it in time.
    pub async fn commit(&self, draft: Draft) -> Result<Verdict, NotCommitted> {
        let (caller, verdict) = oneshot::channel();
        self.0.try_send(Waiting { draft, since: Instant::now(), caller }).map_err(|_| NotCommitted)?;
        match tokio::time::timeout(LONGEST_WAIT, verdict).await {
            Ok(Ok(verdict)) => Ok(verdict),
            Ok(Err(_)) | Err(_) => Err(NotCommitted),
        }
    }
}

struct Task {
    pool: Pool,
    publisher: Publisher,
    publishing: Arc<Semaphore>,
    code_limits: CodeLimits,
    due_ms: i32,
    held: Vec<Waiting>,
}

/// Starts the committing task. After `stop` it commits what its callers still hand in, until the last of them is gone.
pub(super) fn start(
    pool: Pool,
    publisher: Publisher,
    (code_limits, due_ms): (CodeLimits, i32),
    stop: CancellationToken,
) -> (Committer, JoinHandle<()>) {
    let (sender, receiver) = mpsc::channel(WAITING);
    let publishing = Arc::new(Semaphore::new(PUBLISHING));
    let task = Task { pool, publisher, publishing, code_limits, due_ms, held: Vec::new() };
    (Committer(sender), tokio::spawn(task.run(receiver, stop)))
}

impl Task {
    async fn run(mut self, mut drafts: mpsc::Receiver<Waiting>, stop: CancellationToken) {
        let mut arrived = Vec::with_capacity(BATCH);
        let mut linger = Linger::new(LINGER, BATCH);
        loop {
            linger.wait(drafts.len()).await;
            if self.held.is_empty() && drafts.recv_many(&mut arrived, BATCH).await == 0 {
                break;
            }
            while arrived.len() < BATCH
                && let Ok(more) = drafts.try_recv()
            {
                arrived.push(more);
            }
            let size = arrived.len();
            let batch = self.next_batch(&mut arrived);
            self.commit(batch).await;
            linger.took(size);
        }
        // What was published last is confirmed, or left to what is due, before the connection goes.
        if stop.is_cancelled() {
            let all = u32::try_from(PUBLISHING).unwrap_or(u32::MAX);
            let _ = tokio::time::timeout(Duration::from_secs(2), self.publishing.acquire_many(all)).await;
        }
    }

    /// What can be committed together: callers who are gone are left out. A second draft with the same idempotency key waits
    /// for the next round, where it finds the first one's record; so does one of an account's other day, at its midnight,
    /// because a commit counts and locks one day per account.
    fn next_batch(&mut self, arrived: &mut Vec<Waiting>) -> Vec<Waiting> {
        let mut keys = HashSet::new();
        let mut days = HashMap::new();
        let mut batch = Vec::with_capacity(arrived.len() + self.held.len());
        for waiting in std::mem::take(&mut self.held).into_iter().chain(arrived.drain(..)) {
            if waiting.caller.is_closed() {
                continue;
            }
            let draft = &waiting.draft;
            let same_day = draft.message().is_none()
                || *days.entry(draft.account_id).or_insert(draft.periods.day) == draft.periods.day;
            let key = draft.idempotency_key().map(|(account, key)| (account, key.to_owned()));
            if same_day && key.is_none_or(|key| keys.insert(key)) {
                batch.push(waiting);
            } else {
                self.held.push(waiting);
            }
        }
        batch
    }

    /// Commits a batch. One that the database refuses as it is is halved until the draft at fault stands alone, so that
    /// it cannot fail its neighbours.
    async fn commit(&mut self, batch: Vec<Waiting>) {
        let mut parts = vec![batch];
        let mut conflicts = 0;
        let mut opened = 0;
        while let Some(mut part) = parts.pop() {
            if part.is_empty() {
                continue;
            }
            let drafts: Vec<Draft> = part.iter().map(|waiting| waiting.draft.clone()).collect();
            let gone = |place: usize| part.get(place).is_some_and(Waiting::is_too_late);
            match Stage::Commit.run_batch(drafts.len(), self.decide(&drafts, gone)).await {
                Ok(Some(verdicts)) => self.conclude(part, verdicts),
                Ok(None) if opened < OPENINGS => {
                    opened += 1;
                    if self.open_periods(&drafts).await {
                        parts.push(part);
                    }
                }
                Ok(None) => {
                    error!(drafts = part.len(), "counters not found after they were opened");
                }
                Err(error) if error.is_conflict() && conflicts < CONFLICTS => {
                    conflicts += 1;
                    parts.push(part);
                }
                Err(error) if error.is_refusal() && part.len() > 1 => {
                    let rest = part.split_off(part.len() / 2);
                    parts.push(rest);
                    parts.push(part);
                }
                // The callers learn it when their channel closes.
                Err(error) => error!(%error, drafts = part.len(), "commit failed"),
            }
        }
    }

    /// Decides on the drafts and commits that, except for those whose callers are `gone` once everything is known: they
    /// are told that nothing was accepted. `None`: an account's day or month has no counters yet.
    async fn decide(
        &self,
        drafts: &[Draft],
        gone: impl Fn(usize) -> bool,
    ) -> Result<Option<Vec<Verdict>>, StoreError> {
        let mut session = self.pool.get().await?;
        let mut gathered = acceptance::gather(&mut session, drafts).await?;
        let asking = drafts.iter().zip(&gathered.known).filter(|(draft, _)| draft.message().is_some());
        if asking.into_iter().any(|(_, known)| known.used.is_none()) {
            gathered.release().await?;
            return Ok(None);
        }
        let mut batch = Batch::new(self.code_limits, std::mem::take(&mut gathered.seen));
        let judged = drafts.iter().zip(&gathered.known).enumerate();
        let rulings: Vec<Ruling> = judged
            .map(|(place, (draft, known))| if gone(place) { Ruling::Left } else { batch.judge(draft, known) })
            .collect();
        let decided: Vec<(&Draft, &Judged)> = drafts
            .iter()
            .zip(&rulings)
            .filter_map(|(draft, ruling)| Some((draft, ruling.judged()?)))
            .collect();
        let written = gathered.write(&decided, &batch.record(), self.due_ms).await?;
        Ok(Some(verdicts(rulings, written)))
    }

    /// Opens the counters of drafts that found none; whether that went well.
    async fn open_periods(&self, drafts: &[Draft]) -> bool {
        let open = async { acceptance::open_periods(&self.pool.get().await?, drafts).await };
        let opened = open.await;
        if let Err(error) = &opened {
            error!(%error, drafts = drafts.len(), "counters not opened");
        }
        opened.is_ok()
    }

    /// Answers the callers and publishes what was accepted.
    fn conclude(&self, batch: Vec<Waiting>, verdicts: Vec<Verdict>) {
        let mut accepted: [(Lane, Vec<MessageKey>); 2] = Lane::ALL.map(|lane| (lane, Vec::new()));
        for (waiting, verdict) in batch.into_iter().zip(verdicts) {
            if let (Verdict::Decided { refusal: None, .. }, Some(message)) =
                (&verdict, waiting.draft.message())
            {
                let key = MessageKey { account_id: waiting.draft.account_id, message_id: message.message_id };
                let lane = usize::from(message.purpose.lane() == Lane::Standard);
                accepted[lane].1.push(key);
            }
            // A caller who gave up has an accepted message nevertheless: it is durable, and delivered.
            let _ = waiting.caller.send(verdict);
        }
        for (lane, keys) in accepted {
            if !keys.is_empty() {
                self.publish(Queue::of(lane), keys);
            }
        }
    }

    fn publish(&self, queue: Queue, keys: Vec<MessageKey>) {
        let Ok(place) = Arc::clone(&self.publishing).try_acquire_owned() else {
            metrics::counter!("gatepost_publish_failures_total", "queue" => queue.key()).increment(1);
            return;
        };
        let publisher = self.publisher.clone();
        tokio::spawn(async move {
            publisher.publish_all(queue, Kind::Deliver, &keys).await;
            drop(place);
        });
    }
}

/// The rulings, with their rows in the policy log. What was not written is a duplicate, or nobody asks any more.
fn verdicts(rulings: Vec<Ruling>, written: Vec<Option<i64>>) -> Vec<Verdict> {
    let mut written = written.into_iter();
    let verdict = |ruling| match ruling {
        Ruling::Duplicate | Ruling::Left => Verdict::Duplicate,
        Ruling::Judged { judged, allowance, .. } => match written.next().flatten() {
            Some(log_id) => Verdict::Decided { log_id, refusal: judged.decision.refusal, allowance },
            None => Verdict::Duplicate,
        },
    };
    rulings.into_iter().map(verdict).collect()
}
