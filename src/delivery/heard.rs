//! What a lane has heard of and not claimed yet: by jobs, and by looking for what is due.

use std::collections::HashSet;
use std::time::Duration;

use tokio::time::Instant;
use tracing::warn;

use crate::domain::fair::FairQueue;
use crate::domain::id::MessageKey;
use crate::domain::purpose::Lane;
use crate::runtime::stage::Stage;
use crate::store::{Pool, StoreError, due};

/// Ids remembered until there is room for their messages.
const MOST: usize = 4_096;
/// How often the database is asked what is due.
const LOOK: Duration = Duration::from_millis(200);
/// Messages that a look takes, the longest due first. Where there are more, it goes from account to account: so many
/// accounts, and messages of each. Together fewer than half of what can be remembered, so that jobs find room.
const LONGEST_DUE: i64 = 512;
const TENANTS: i32 = 384;
const EACH: i64 = 4;

/// Ids of messages, handed out account by account. It always listens, so that nobody is heard late because of another's
/// flood: what an account's share does not hold is turned away, and found when it is due.
pub(super) struct Heard {
    waiting: FairQueue<MessageKey>,
    /// Those that wait: a message that is heard of again waits once.
    known: HashSet<MessageKey>,
    next_look: Instant,
    /// The account behind which the next look from account to account begins.
    looked_to: i64,
}

impl Heard {
    pub(super) fn new() -> Self {
        let (waiting, known) = (FairQueue::new(MOST), HashSet::new());
        Self { waiting, known, next_look: Instant::now(), looked_to: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Notes a message; whether it is new and its account has room.
    pub(super) fn note(&mut self, key: MessageKey) -> bool {
        let noted = !self.known.contains(&key) && self.waiting.push(key.account_id, key);
        noted && self.known.insert(key)
    }

    /// Hands out up to `most` ids with their places.
    pub(super) fn take<P>(
        &mut self,
        most: usize,
        place: impl FnMut(i64) -> Option<P>,
    ) -> Vec<(MessageKey, P)> {
        let taken = self.waiting.take(most, place);
        for (key, _) in &taken {
            self.known.remove(key);
        }
        taken
    }

    /// Hands out everything.
    pub(super) fn drain(&mut self) -> Vec<MessageKey> {
        self.take(usize::MAX, Some).into_iter().map(|(key, _)| key).collect()
    }

    /// When the database is to be asked again.
    pub(super) fn next_look(&self) -> Instant {
        self.next_look
    }

    /// Asks the database what is due: whatever was put off, whose publish was lost, or whose worker is no more.
    pub(super) async fn look(&mut self, pool: &Pool, lane: Lane) {
        let due = Stage::Look.run(self.due(pool, lane)).await;
        self.next_look = Instant::now() + LOOK;
        match due {
            Ok((keys, more)) => {
                let new = keys.into_iter().filter(|key| self.note(*key)).count();
                if more && new > 0 && self.has_room() {
                    self.next_look = Instant::now();
                }
            }
            Err(error) => warn!(%error, "what is due is not known"),
        }
    }

    /// What is due, and whether there may be more. Of a memory that is half full, everybody's turn is all that is wanted.
    async fn due(&mut self, pool: &Pool, lane: Lane) -> Result<(Vec<MessageKey>, bool), StoreError> {
        let session = pool.get().await?;
        let mut keys = Vec::new();
        if self.has_room() {
            keys = due::claimable(&session, lane, LONGEST_DUE).await?;
            if i64::try_from(keys.len()) != Ok(LONGEST_DUE) {
                return Ok((keys, false));
            }
        }
        let tenants = due::tenants(&session, lane, self.looked_to, TENANTS).await?;
        keys.extend(due::claimable_of(&session, lane, &tenants, EACH).await?);
        let all = i32::try_from(tenants.len()) != Ok(TENANTS);
        self.looked_to = tenants.last().copied().filter(|_| !all).unwrap_or_default();
        Ok((keys, true))
    }

    fn has_room(&self) -> bool {
        self.waiting.len() < MOST / 2
    }
}
