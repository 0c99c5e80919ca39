//! The audit: does everything that must hold of the database hold, and does it agree with what others remember?
//!
//! It reads pages by key, each as of one moment, and judges a message by nothing but its own page: whatever happens to it is
//! one commit, so a running system gives no false alarm. Counters are compared with their messages in one statement. It
//! locks nothing, and its memory is that of one page, besides the witnesses' ledgers.

mod report;

use std::collections::HashSet;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use self::report::Tally;
pub use self::report::{Finding, Report};
pub use crate::domain::audit::{Accepted, Answered, Call, Received, Witnesses};
use crate::domain::audit::{Check, Subject, Terms, Told, Witnessed};
use crate::store::audit::{self as facts, Horizon};
use crate::store::{Pool, StoreError};

/// Messages, decisions, keys and what ledgers name: as many at a time.
const PAGE: i64 = 2_000;
/// Events at a time.
const EVENTS: i64 = 4_000;
/// The longest that any callback may wait: one that is refused is given up after half an hour.
const LONGEST_CALLBACK: Duration = Duration::from_secs(3_600);
/// While the system runs, what witnesses saw in the last moments may not be in their ledgers yet.
const RUNNING: SignedDuration = SignedDuration::from_secs(60);

/// What is audited, and by what measure.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// This account; `None`: all.
    pub account: Option<i64>,
    /// The system had the time to do all that it can: what waits must have a reason, and ledgers are whole up to now.
    pub settled: bool,
    /// What was due for longer than this, and nobody looked at, is found.
    pub overdue_after: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self { account: None, settled: false, overdue_after: Duration::from_secs(600) }
    }
}

/// Audits the database, and holds it against what the witnesses remember.
///
/// # Errors
/// [`StoreError`] where it could not be read; nothing is changed in any case.
pub async fn audit(pool: &Pool, options: &Options, witnesses: &Witnesses) -> Result<Report, StoreError> {
    let began = pool.now().await?;
    let horizon = facts::horizon(&pool.get().await?).await?;
    let accounts = facts::accounts(&pool.get().await?, options.account).await?;
    let mut auditor = Auditor {
        pool,
        horizon,
        witnesses,
        terms: Terms {
            settled: options.settled,
            overdue_ms: i64::try_from(options.overdue_after.as_millis()).unwrap_or(i64::MAX),
        },
        until: if options.settled { began } else { began - RUNNING },
        lost: HashSet::new(),
        tally: Tally::new(options.settled, witnesses),
    };
    auditor.find_lost_answers().await?;
    for account_id in &accounts {
        auditor.messages(*account_id).await?;
        auditor.events(*account_id).await?;
        auditor.decisions(*account_id).await?;
        auditor.keys(*account_id).await?;
        auditor.counters(*account_id).await?;
    }
    auditor.callbacks(options).await?;
    auditor.answers().await?;
    auditor.unknown_calls(&accounts).await?;
    auditor.unknown_webhooks(&accounts).await?;
    Ok(auditor.tally.report(accounts.len()))
}

struct Auditor<'a> {
    pool: &'a Pool,
    /// What is older may be there in part.
    horizon: Horizon,
    witnesses: &'a Witnesses,
    terms: Terms,
    /// What happened before is in the ledgers.
    until: Timestamp,
    /// Messages whose answers were lost.
    lost: HashSet<Uuid>,
    tally: Tally,
}

impl Auditor<'_> {
    async fn find_lost_answers(&mut self) -> Result<(), StoreError> {
        let keys: Vec<&(i64, String)> = self.witnesses.open_keys.iter().collect();
        for keys in keys.chunks(PAGE as usize) {
            self.lost.extend(facts::messages_of_keys(&self.pool.get().await?, keys).await?);
        }
        Ok(())
    }

    async fn messages(&mut self, account_id: i64) -> Result<(), StoreError> {
        let mut after = self.horizon.id;
        loop {
            let mut session = self.pool.get().await?;
            let page =
                facts::messages(&session.snapshot().await?, account_id, after, PAGE, self.until).await?;
            for (id, message) in &page.messages {
                self.tally.looked_at(Subject::Message, 1);
                for check in message.judge(&self.witnessed(id), &self.terms) {
                    self.tally.found(check, format!("{account_id}/{id}"));
                }
            }
            for orphan in page.orphans {
                self.tally.found(Check::Orphan, format!("{account_id}/{orphan}"));
            }
            match page.next {
                Some(next) => after = next,
                None => return Ok(()),
            }
        }
    }

    fn witnessed(&self, id: &Uuid) -> Witnessed<'_> {
        let told = self.witnesses.accepted.as_ref().map(|ledger| match ledger.get(id) {
            Some(accepted) => Told::Accepted(accepted),
            None if self.lost.contains(id) => Told::Lost,
            None => Told::Nothing,
        });
        let calls = self.witnesses.calls.as_ref();
        Witnessed { told, calls: calls.map(|ledger| ledger.get(id).map_or(&[][..], Vec::as_slice)) }
    }

    async fn events(&mut self, account_id: i64) -> Result<(), StoreError> {
        let mut after = self.horizon.id;
        loop {
            let mut session = self.pool.get().await?;
            let page =
                facts::events(&session.snapshot().await?, account_id, after, EVENTS, self.until).await?;
            for (id, event) in &page.events {
                self.tally.looked_at(Subject::Event, 1);
                let received = self.witnesses.received.as_ref().map(|ledger| ledger.get(id));
                for check in event.judge(received, &self.terms) {
                    self.tally.found(check, format!("{account_id}/{id}"));
                }
            }
            match page.next {
                Some(next) => after = next,
                None => return Ok(()),
            }
        }
    }

    async fn decisions(&mut self, account_id: i64) -> Result<(), StoreError> {
        let mut after = 0;
        loop {
            let session = self.pool.get().await?;
            let (page, last) = facts::decisions(&session, account_id, &self.horizon, after, PAGE).await?;
            self.tally.looked_at(Subject::Decision, page.looked_at);
            for log_id in page.missing {
                self.tally.found(Check::DecisionWithoutMessage, format!("{account_id}/{log_id}"));
            }
            match last {
                Some(last) => after = last,
                None => return Ok(()),
            }
        }
    }

    async fn keys(&mut self, account_id: i64) -> Result<(), StoreError> {
        let mut after = String::new();
        loop {
            let session = self.pool.get().await?;
            let (page, last) = facts::keys(&session, account_id, &after, PAGE).await?;
            self.tally.looked_at(Subject::Key, page.looked_at);
            for message_id in page.missing {
                self.tally.found(Check::KeyWithoutMessage, format!("{account_id}/{message_id}"));
            }
            match last {
                Some(last) => after = last,
                None => return Ok(()),
            }
        }
    }

    async fn counters(&mut self, account_id: i64) -> Result<(), StoreError> {
        let mut session = self.pool.get().await?;
        for counter in facts::counters(&session.snapshot().await?, account_id, &self.horizon).await? {
            self.tally.looked_at(Subject::Counter, 1);
            if !(counter.held..=counter.held + counter.perhaps).contains(&counter.used) {
                let named = format!("{account_id}/{}/{}", counter.period, counter.starts_on);
                self.tally.found(Check::QuotaDisagrees, named);
            }
        }
        Ok(())
    }

    async fn callbacks(&mut self, options: &Options) -> Result<(), StoreError> {
        let session = self.pool.get().await?;
        let found =
            facts::callbacks(&session, options.account, LONGEST_CALLBACK, options.overdue_after).await?;
        self.tally.looked_at(Subject::Callback, found.open);
        self.tally.found_many(Check::CallbackGivenUp, found.given_up);
        self.tally.found_many(Check::CallbackParked, found.parked);
        Ok(())
    }

    async fn answers(&mut self) -> Result<(), StoreError> {
        let ledger: Vec<_> = self.witnesses.accepted.iter().flatten().collect();
        for told in ledger.chunks(PAGE as usize) {
            self.tally.looked_at(Subject::Answer, told.len() as i64);
            for answer in facts::answers(&self.pool.get().await?, told).await? {
                let account_id = self.witnesses.accepted.as_ref().map(|l| l[&answer.message_id].account_id);
                let named = format!("{}/{}", account_id.unwrap_or_default(), answer.message_id);
                if !answer.found {
                    self.tally.found(Check::AcceptedLost, named);
                } else if !answer.key_agrees {
                    self.tally.found(Check::KeyDisagrees, named);
                }
            }
        }
        Ok(())
    }

    /// Calls for messages that no account has; those of the others are judged with their messages.
    async fn unknown_calls(&mut self, accounts: &[i64]) -> Result<(), StoreError> {
        let Some(ledger) = &self.witnesses.calls else { return Ok(()) };
        let ids: Vec<Uuid> = ledger.keys().copied().collect();
        for ids in ids.chunks(PAGE as usize) {
            let known = facts::known_messages(&self.pool.get().await?, accounts, ids).await?;
            for id in ids {
                self.tally.looked_at(Subject::Call, ledger[id].len() as i64);
                if !known.contains(id) {
                    self.tally.found(Check::CallUnrecorded, id.to_string());
                }
            }
        }
        Ok(())
    }

    /// Webhooks of events that no account has; the others are judged with their events.
    async fn unknown_webhooks(&mut self, accounts: &[i64]) -> Result<(), StoreError> {
        let Some(ledger) = &self.witnesses.received else { return Ok(()) };
        let ids: Vec<Uuid> = ledger.keys().copied().collect();
        for ids in ids.chunks(PAGE as usize) {
            self.tally.looked_at(Subject::Received, ids.len() as i64);
            let known = facts::known_events(&self.pool.get().await?, accounts, ids).await?;
            for id in ids.iter().filter(|id| !known.contains(id)) {
                self.tally.found(Check::WebhookUntrue, id.to_string());
            }
        }
        Ok(())
    }
}
