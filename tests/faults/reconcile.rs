//! The customers' ledger, the provider's, the receiver's and the database, held against each other.

use std::collections::HashMap;
use std::time::Duration;

use gatepost::audit::{Accepted, Answered, Finding, Witnesses};
use jiff::Timestamp;
use uuid::Uuid;

use crate::flood::percentile;
use crate::ledger::{Known, Ledger};
use crate::load::Crowd;
use crate::stage::Stage;
use crate::support::ledger::{audited, uuid, witnesses};

/// What came of it.
#[derive(Default)]
pub struct Reconciled {
    pub accepted: usize,
    pub lost: i64,
    pub duplicates: i64,
    /// How many messages ended in each status.
    pub ended: Vec<(String, i64)>,
    /// From the acceptance to the first call: at 50 and 99 of 100, and the longest.
    pub called_after: [Duration; 3],
    /// What must not be.
    pub wrong: Vec<String>,
}

/// Reconciles everything that these ledgers and the rest of a stage remember.
pub async fn reconcile(stage: &Stage, crowd: Crowd, ledgers: &[&Ledger]) -> Reconciled {
    let mut out = Reconciled::default();
    out.wrong.extend(ended_badly(stage, crowd).await);
    let witnesses = all_witnesses(stage, ledgers, &mut out).await;
    let report = audited(&stage.world.database_url, &witnesses).await;
    let count = |id: &str| report.checks.iter().find(|check| check.id == id).expect("a check").wrong;
    (out.lost, out.duplicates) = (count("accepted_lost"), count("accepted_twice"));
    let named = |finding: &Finding| {
        format!("{} {}: {} {:?}", finding.wrong, finding.id, finding.meaning, finding.examples)
    };
    out.wrong.extend(report.wrong().map(named));
    let first_calls = first_calls(stage).await;
    let waits: Vec<Duration> = ledgers.iter().flat_map(|ledger| waits(ledger, &first_calls)).collect();
    out.called_after = [50, 99, 100].map(|part| percentile(&waits, part));
    let database = stage.world.database().await;
    let ended =
        database.query("select status::text, count(*) from messages group by 1 order by 1", &[]).await;
    out.ended = ended.expect("rows").iter().map(|row| (row.get(0), row.get(1))).collect();
    out
}

/// Ends that agree with each other and must not be: whoever can be reached is reached, unless a call's outcome was never
/// known; and every webhook arrives.
async fn ended_badly(stage: &Stage, crowd: Crowd) -> Option<String> {
    const SQL: &str = "select (select count(*) from messages m
            where status in ('expired', 'canceled') or status = 'failed' and not exists (select from attempts a
                where a.account_id = m.account_id and a.message_id = m.message_id and a.outcome = 'unknown')),
        (select count(*) from webhook_deliveries where status <> 'delivered'),
        (select count(*) from webhook_endpoints where disabled_at is not null)";
    let row = stage.world.database().await.query_one(SQL, &[]).await.expect("a row");
    let [messages, webhooks, endpoints]: [i64; 3] = [row.get(0), row.get(1), row.get(2)];
    let messages = if crowd == Crowd::Calm { messages } else { 0 };
    let bad = [messages, webhooks, endpoints] != [0; 3];
    bad.then(|| format!("{messages} messages were not sent, {webhooks} webhooks not received, {endpoints} endpoints disabled"))
}

async fn all_witnesses(stage: &Stage, ledgers: &[&Ledger], out: &mut Reconciled) -> Witnesses {
    let mut accepted = HashMap::new();
    let mut open_keys = std::collections::HashSet::new();
    let mut refused: HashMap<String, usize> = HashMap::new();
    for (key, entry) in ledgers.iter().flat_map(|ledger| ledger.entries()) {
        let account_id = entry.account_id;
        match entry.known {
            Known::Accepted { message_id, keyed, .. } => {
                let told = Accepted { account_id, key: keyed.then_some(key), answered: Answered::Queued };
                if accepted.insert(message_id, told).is_some() {
                    out.wrong.push(format!("{message_id} was given for two keys"));
                }
            }
            Known::Refused(code) => *refused.entry(code).or_default() += 1,
            Known::Open => {
                open_keys.insert((account_id, key));
            }
        }
    }
    if !refused.is_empty() {
        out.wrong.push(format!("refused: {refused:?}"));
    }
    out.accepted = accepted.len();
    if accepted.is_empty() {
        out.wrong.push("nothing was accepted".to_owned());
    }
    Witnesses { open_keys, ..witnesses(&stage.world, &stage.receiver, accepted).await }
}

/// From acceptance to the first call, for one ledger: at 50 and 99 of 100, and the longest.
pub async fn called_after(stage: &Stage, ledger: &Ledger) -> [Duration; 3] {
    let waits = waits(ledger, &first_calls(stage).await);
    [50, 99, 100].map(|part| percentile(&waits, part))
}

fn waits(ledger: &Ledger, first_calls: &HashMap<Uuid, Timestamp>) -> Vec<Duration> {
    let wait = |known: &Known| match known {
        Known::Accepted { message_id, at, .. } => {
            let first = first_calls.get(message_id)?;
            Some(Duration::try_from(first.duration_since(*at)).unwrap_or_default())
        }
        Known::Refused(_) | Known::Open => None,
    };
    ledger.entries().values().filter_map(|entry| wait(&entry.known)).collect()
}

/// When the provider was called first for each message.
async fn first_calls(stage: &Stage) -> HashMap<Uuid, Timestamp> {
    let calls = stage.world.calls("").await;
    let mut first = HashMap::new();
    for call in calls["calls"].as_array().expect("a list") {
        let mark = call["opaque"].as_str().expect("every call carries our mark");
        let id = mark.split_once('/').and_then(|(_, rest)| rest.split_once(':')).expect("the message's id").0;
        let at = call["attempted_at"].as_str().and_then(|at| at.parse().ok()).expect("a time");
        first.entry(uuid(id)).or_insert(at);
    }
    first
}
