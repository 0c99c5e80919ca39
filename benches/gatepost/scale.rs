//! Whether it stays as fast when there is much: messages of the past, accounts, instances with a backlog. No big table may be
//! read from end to end meanwhile.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::accept::{self, CUSTOMERS};
use crate::calls::{calls, millis, percentile};
use crate::end_to_end;
use crate::filling;
use crate::letters::Letters;
use crate::load::Pace;
use crate::otp_under_backlog::codes;
use crate::receiver::Receiver;
use crate::report::{Goal, Report};
use crate::setting::Setting;
use crate::sql;
use crate::stage::{Plan, Servers, Stage, UNPACED};
use crate::support::process::Binary;

const CONNECTIONS: usize = 64;
/// The people that all customers of a run write to, together.
const PEOPLE: u64 = 160_000;
/// Of an instance with a backlog.
const SLOW: &str = "1/6s";
const INTERVAL: f64 = 6_000.0;
/// Messages of each instance's backlog.
const BACKLOG: u64 = 5;
const CODES_SENT: usize = 20;
const PAUSE: Duration = Duration::from_millis(500);
/// A backlog must have left in this time.
const PATIENCE: Duration = Duration::from_secs(300);

/// Measures all of it.
pub async fn run(servers: &Servers, setting: &Setting, report: &mut Report) {
    let mut first = None;
    for rows in &setting.rows {
        let plan = plan(CUSTOMERS);
        let stage = Stage::set(servers, &plan).await;
        let accounts: Vec<i64> = stage.customers.iter().map(|customer| customer.account_id).collect();
        let key_id = stage.customers[0].key_id.parse().expect("a UUID");
        filling::history(&stage.database, &accounts, key_id, *rows).await;
        let what = format!("{rows} messages before");
        let accepted = measure(servers, stage, &what, true, setting.time(), report).await;
        let share = accepted / *first.get_or_insert(accepted) * 100.0;
        report.aim("scale", format!("{what}: accepts, of the first"), share, "%", Goal::AtLeast(90.0));
    }
    for accounts in &setting.accounts {
        let stage = Stage::set(servers, &plan(*accounts as usize)).await;
        measure(servers, stage, &format!("{accounts} accounts"), false, setting.time(), report).await;
    }
    instances(servers, setting.instances as usize, report).await;
}

fn plan(customers: usize) -> Plan {
    let people = PEOPLE / customers as u64;
    Plan { customers: vec![UNPACED], copies: customers - 1, people: people.max(20), calls_kept: 0 }
}

/// Deliveries and then accepts, a second; gives the latter.
async fn measure(
    servers: &Servers,
    mut stage: Stage,
    what: &str,
    webhooks: bool,
    time: Duration,
    report: &mut Report,
) -> f64 {
    let receiver = Receiver::start().await;
    if webhooks {
        end_to_end::listen(&stage, &receiver).await;
    }
    let before = sql::sequential_scans(&stage.database).await;
    stage.start(&Binary::ALL).await;
    let flow = end_to_end::send(&stage, &receiver, time).await;
    report.must(flow.wrong.is_none(), || format!("scale, {what}: {:?}", flow.wrong));
    stage.end_processes().await;
    stage.start(&[Binary::Gateway]).await;
    let accepted = accept::closed(&stage, &stage.letters(), CONNECTIONS, time).await;
    report.add("scale", format!("{what}: recorded"), flow.messages, "messages/s");
    report.add("scale", format!("{what}: accepts"), accepted.rate(), "messages/s");
    report.answers("scale", &format!("{what}: accepts"), &accepted);
    stage.end_processes().await;
    judge_scans(&stage, &before, what, report).await;
    stage.strike(servers).await;
    accepted.rate()
}

/// What the processes did is counted when their sessions have ended.
async fn judge_scans(stage: &Stage, before: &HashMap<String, i64>, what: &str, report: &mut Report) {
    sql::wait_until_alone(&stage.database).await;
    for (table, scans) in sql::sequential_scans(&stage.database).await {
        let new = scans - before.get(&table).copied().unwrap_or(0);
        report.must(new == 0, || format!("scale, {what}: {table} was read from end to end {new} times"));
    }
}

/// A backlog of each of many slow instances, and a code of somebody else's now and then.
async fn instances(servers: &Servers, count: usize, report: &mut Report) {
    let plan = Plan {
        customers: vec![UNPACED, SLOW],
        copies: count - 1,
        people: 100,
        calls_kept: count * BACKLOG as usize + 1_000,
    };
    let mut stage = Stage::set(servers, &plan).await;
    let before = sql::sequential_scans(&stage.database).await;
    stage.start(&Binary::ALL).await;
    stage.start(&[Binary::Deliver, Binary::Deliver]).await;
    let letters = Arc::new(Letters::of(&stage.customers[1..], plan.people));
    let mut load = stage.load(&letters, CONNECTIONS, Pace::Closed, PATIENCE);
    load.most = count as u64 * BACKLOG;
    let accepted = load.run().await;
    let what = format!("{count} instances with a backlog");
    report.answers("scale", &format!("{what}: accepts"), &accepted);
    let mut waits = codes(&stage, CODES_SENT, PAUSE, report).await;
    for (name, percent) in [("p50", 50), ("longest", 100)] {
        let wait = percentile(&mut waits, percent);
        report.add("scale", format!("{what}: a code to the provider: {name}"), wait, "ms");
    }
    let begun = Instant::now();
    while sql::messages_due(&stage.database).await > 0 && begun.elapsed() < PATIENCE {
        sleep(Duration::from_millis(100)).await;
    }
    judge_gaps(&stage, &what, report).await;
    stage.end_processes().await;
    judge_scans(&stage, &before, &what, report).await;
    stage.strike(servers).await;
}

/// How much later than its interval each message of an instance followed the one before.
async fn judge_gaps(stage: &Stage, what: &str, report: &mut Report) {
    let mut times = HashMap::<i64, Vec<_>>::new();
    for call in calls(stage).await {
        times.entry(call.account_id).or_default().push(call.at);
    }
    times.remove(&stage.customers[0].account_id);
    let called: usize = times.values().map(Vec::len).sum();
    let expected = (stage.customers.len() - 1) * BACKLOG as usize;
    report.must(called == expected, || format!("scale, {what}: {called} of {expected} were called"));
    for times in times.values_mut() {
        times.sort_unstable();
    }
    let gaps = times.values().flat_map(|times| times.windows(2).map(|pair| millis(pair[0], pair[1])));
    let mut late: Vec<f64> = gaps.map(|gap| gap - INTERVAL).collect();
    for (name, percent) in [("earliest", 0), ("p50", 50), ("p99", 99), ("latest", 100)] {
        let value = percentile(&mut late, percent);
        report.add("scale", format!("{what}: behind its rate: {name}"), value, "ms");
    }
}
