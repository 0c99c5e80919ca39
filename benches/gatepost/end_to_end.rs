//! From the customer to the provider and back into the database: how many messages a second for good, and how soon one is
//! there when nothing else is.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{Instant, interval, sleep};

use crate::accept::CUSTOMERS;
use crate::calls::{calls, millis, now, percentile};
use crate::connection::Connection;
use crate::letters::phone;
use crate::load::{Pace, Requests};
use crate::receiver::Receiver;
use crate::report::{Goal, Report};
use crate::sql;
use crate::stage::{Plan, Servers, Stage, UNPACED};
use crate::support::process::Binary;

/// Connections that send: as many as `accept` has at its best, because what shares a commit shares its cost.
const CONNECTIONS: usize = 256;
/// Accepted and not called yet, at most: what a backlog would hide is not sustained.
const AHEAD: usize = 2_048;
/// The calls are counted so often.
const LOOK: Duration = Duration::from_millis(10);
/// What was accepted must have come to its end in this time after the last request.
const PATIENCE: Duration = Duration::from_secs(120);
/// One message at a time, so many, so often.
const SINGLE: usize = 200;
const PAUSE: Duration = Duration::from_millis(50);

/// What came of a flow.
pub struct Flow {
    /// Messages recorded a second, from the first request to the last record.
    pub messages: f64,
    /// From the last answer to the last record, in seconds.
    pub drained: f64,
    /// Webhooks answered a second, over the same time.
    pub webhooks: f64,
    pub wrong: Option<String>,
}

/// Measures all of it.
pub async fn run(servers: &Servers, time: Duration, report: &mut Report) {
    idle(servers, report).await;
    let flow = flow(servers, time, Setup { webhooks: false, people: 20_000 }, report).await;
    note(report, "recorded, no webhooks", &flow, 5_500.0);
    let flow = self::flow(servers, time, Setup { webhooks: true, people: 20_000 }, report).await;
    note(report, "recorded, one webhook a message", &flow, 3_000.0);
    report.add("end_to_end", "webhooks answered", flow.webhooks, "webhooks/s");
}

fn note(report: &mut Report, what: &str, flow: &Flow, goal: f64) {
    report.aim("end_to_end", what, flow.messages, "messages/s", Goal::AtLeast(goal));
    let share = report.of_floor(flow.messages);
    report.add("end_to_end", format!("{what}, of the floor"), share, "%");
    report.add("end_to_end", format!("{what}, last record after the last answer"), flow.drained, "s");
}

/// How a flow is set.
#[derive(Clone, Copy)]
pub struct Setup {
    /// Every second customer has an endpoint, which is told of two rises of each message: one webhook a message.
    pub webhooks: bool,
    /// The people each customer writes to.
    pub people: u64,
}

/// Sends as fast as messages are delivered, for that time, and waits until the last is recorded.
pub async fn flow(servers: &Servers, time: Duration, setup: Setup, report: &mut Report) -> Flow {
    let plan = Plan { customers: vec![UNPACED], copies: CUSTOMERS - 1, people: setup.people, calls_kept: 0 };
    let mut stage = Stage::set(servers, &plan).await;
    let receiver = Receiver::start().await;
    if setup.webhooks {
        listen(&stage, &receiver).await;
    }
    stage.start(&Binary::ALL).await;
    let flow = send(&stage, &receiver, time).await;
    let owed = sql::webhooks_owed(&stage.database).await;
    let told = i64::try_from(receiver.received()).expect("a count");
    report.must((owed > 0) == setup.webhooks && told >= owed, || {
        format!("end_to_end: {owed} webhooks, {told} of them told")
    });
    stage.strike(servers).await;
    report.must(flow.wrong.is_none(), || format!("end_to_end: {}", flow.wrong.clone().unwrap_or_default()));
    flow
}

/// Gives every second customer an endpoint for the two rises of each message.
pub async fn listen(stage: &Stage, receiver: &Receiver) {
    for customer in stage.customers.iter().step_by(2) {
        let create = ["webhook", "create", "--account", &customer.account, "--url", &receiver.url];
        stage.world.admin(&[&create[..], &["--events", "message.status_updated"]].concat()).await;
    }
}

/// Sends to a stage whose processes run.
pub async fn send(stage: &Stage, receiver: &Receiver, time: Duration) -> Flow {
    let letters = stage.letters();
    let mut first = stage.load(&letters, 1, Pace::Closed, PATIENCE);
    // Keys are known then: what is measured is not how many can be looked up at once.
    first.most = stage.customers.len() as u64;
    let warm = first.run().await;
    let room = Arc::new(Semaphore::new(AHEAD));
    let mut load = stage.load(&letters, CONNECTIONS, Pace::Closed, time);
    load.room = Some(Arc::clone(&room));
    let begun = Instant::now();
    let mut sending = std::pin::pin!(load.run());
    let (mut looks, mut called) = (interval(LOOK), 0);
    let answered = loop {
        tokio::select! {
            answered = &mut sending => break answered,
            _ = looks.tick() => {
                let now = stage.called().await;
                room.add_permits(usize::try_from(now - called).expect("few"));
                called = now;
            }
        }
    };
    let ended = Instant::now();
    let late = wait_until_done(stage).await;
    let took = begun.elapsed().as_secs_f64();
    let (accepted, called) = (warm.count() + answered.count(), stage.called().await);
    let twice = (called != accepted).then(|| format!("{accepted} accepted, {called} called"));
    Flow {
        messages: answered.count() as f64 / took,
        drained: ended.elapsed().as_secs_f64(),
        webhooks: receiver.received() as f64 / took,
        wrong: warm.unexpected().or(answered.unexpected()).or(late).or(twice),
    }
}

/// Waits until nothing is due any more; says what is after all that time.
async fn wait_until_done(stage: &Stage) -> Option<String> {
    let begun = Instant::now();
    loop {
        let (messages, webhooks) =
            (sql::messages_due(&stage.database).await, sql::webhooks_due(&stage.database).await);
        if messages + webhooks == 0 {
            return None;
        }
        if begun.elapsed() > PATIENCE {
            return Some(format!("{messages} messages and {webhooks} webhooks still due after {PATIENCE:?}"));
        }
        sleep(LOOK).await;
    }
}

/// One message at a time: from the request's first byte to the provider's door.
async fn idle(servers: &Servers, report: &mut Report) {
    let plan = Plan { customers: vec![UNPACED], copies: 0, people: 20_000, calls_kept: SINGLE * 2 };
    let mut stage = Stage::set(servers, &plan).await;
    stage.start(&Binary::ALL).await;
    let letters = stage.letters();
    let mut connection = Connection::open(stage.gateway()).await.expect("the gateway listens");
    let (mut sent, mut request, mut ticks) = (HashMap::new(), Vec::new(), interval(PAUSE));
    for n in 0..SINGLE {
        ticks.tick().await;
        request.clear();
        letters.write(&mut request);
        sent.insert(phone(n as u64), now());
        let status = connection.exchange(&request).await.expect("the gateway answers");
        report.must(status == 202, || format!("end_to_end: idle: {}", connection.answer()));
    }
    let late = wait_until_done(&stage).await;
    report.must(late.is_none(), || format!("end_to_end: idle: {late:?}"));
    let calls = calls(&stage).await;
    let mut waits: Vec<f64> =
        calls.iter().filter_map(|call| Some(millis(*sent.get(&call.to)?, call.at))).collect();
    report.must(waits.len() == SINGLE, || format!("end_to_end: {} calls of {SINGLE}", waits.len()));
    let (middle, late) = (percentile(&mut waits, 50), percentile(&mut waits, 99));
    report.aim("end_to_end", "request to provider, idle: p50", middle, "ms", Goal::AtMost(10.0));
    report.add("end_to_end", "request to provider, idle: p99", late, "ms");
    stage.strike(servers).await;
}
