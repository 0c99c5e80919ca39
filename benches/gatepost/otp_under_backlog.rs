//! How soon a one-time code is at the provider when thousands of ordinary messages wait at the same instance.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::interval;

use crate::calls::{calls_to, millis, now, percentile};
use crate::connection::Connection;
use crate::letters::{CODES, Letters, phone};
use crate::load::{Pace, Requests};
use crate::report::{Goal, Report};
use crate::stage::{Plan, Servers, Stage};
use crate::support::eventually;
use crate::support::process::Binary;

/// Its backlog lasts for three minutes, and five may wait.
const RATE: &str = "50/s";
const BACKLOG: u64 = 10_000;
const CODES_SENT: usize = 40;
const PAUSE: Duration = Duration::from_millis(500);
const TIME: Duration = Duration::from_secs(60);

/// Measures it.
pub async fn run(servers: &Servers, report: &mut Report) {
    let plan = Plan { customers: vec![RATE], copies: 0, people: BACKLOG, calls_kept: 100_000 };
    let mut stage = Stage::set(servers, &plan).await;
    stage.start(&Binary::ALL).await;
    let mut load = stage.load(&stage.letters(), 16, Pace::Closed, TIME);
    load.most = BACKLOG;
    let queued = load.run().await;
    report.must(queued.unexpected().is_none(), || format!("otp_under_backlog: {:?}", queued.unexpected()));
    report.must(queued.count() == BACKLOG, || format!("otp_under_backlog: {} queued", queued.count()));
    let mut waits = codes(&stage, CODES_SENT, PAUSE, report).await;
    report.add("otp_under_backlog", "request to provider: p50", percentile(&mut waits, 50), "ms");
    let longest = percentile(&mut waits, 100);
    report.aim("otp_under_backlog", "request to provider: longest", longest, "ms", Goal::AtMost(1_000.0));
    stage.strike(servers).await;
}

/// Sends codes of the first customer's, one after the other; gives how long each took to the provider, in milliseconds.
pub async fn codes(stage: &Stage, count: usize, pause: Duration, report: &mut Report) -> Vec<f64> {
    let letters = Arc::new(Letters::codes(&stage.customers[0], count as u64));
    let mut connection = Connection::open(stage.gateway()).await.expect("the gateway listens");
    let (mut sent, mut request, mut ticks) = (Vec::new(), Vec::new(), interval(pause));
    for n in 0..count as u64 {
        ticks.tick().await;
        request.clear();
        letters.write(&mut request);
        sent.push((phone(CODES + n), now()));
        let status = connection.exchange(&request).await.expect("the gateway answers");
        report.must(status == 202, || format!("a code: {}", connection.answer()));
    }
    let mut waits = Vec::new();
    for (to, sent) in sent {
        let call = eventually("every code is called", async || calls_to(stage, &to).await.pop()).await;
        waits.push(millis(sent, call.at));
    }
    waits
}
