//! How many sends a gateway accepts, with all checks on and every one durable, and how long each takes.

use std::sync::Arc;
use std::time::Duration;

use crate::letters::Letters;
use crate::load::{Measured, Pace};
use crate::report::{Goal, Report};
use crate::stage::{Plan, Servers, Stage, UNPACED};
use crate::support::process::Binary;

/// Customers who send at once.
pub const CUSTOMERS: usize = 8;
const CONNECTIONS: [usize; 5] = [1, 16, 64, 128, 256];
/// The open loop's rate is this part of what the closed one came to: a queue that is filled faster than it is emptied
/// would tell only how long it was filled.
const OPEN_LOAD: f64 = 0.7;

/// Measures it.
pub async fn run(servers: &Servers, time: Duration, report: &mut Report) {
    let plan = Plan { customers: vec![UNPACED], copies: CUSTOMERS - 1, people: 20_000, calls_kept: 0 };
    let mut stage = Stage::set(servers, &plan).await;
    stage.start(&[Binary::Gateway]).await;
    let letters = stage.letters();
    let mut best = 0.0_f64;
    for connections in CONNECTIONS {
        let closed = closed(&stage, &letters, connections, time).await;
        let what = format!("{connections} connections");
        report.add("accept", what.clone(), closed.rate(), "messages/s");
        report.answers("accept", &what, &closed);
        best = best.max(closed.rate());
        match connections {
            1 => report.aim("accept", "at one, p50", closed.millis(50.0), "ms", Goal::AtMost(2.0)),
            128 => report.aim("accept", "at 128, p99", closed.millis(99.0), "ms", Goal::AtMost(25.0)),
            _ => {}
        }
        let rate = closed.rate() * OPEN_LOAD;
        let open = stage.load(&letters, connections, Pace::Open(rate), time).run_warm().await;
        report.answers("accept", &format!("{what}, {rate:.0}/s whoever is slow"), &open);
    }
    let (share, bare) = (report.of_floor_behind_http(best), report.of_floor(best));
    report.aim("accept", "best, of the floor behind HTTP", share, "%", Goal::AtLeast(70.0));
    report.add("accept", "best, of the bare floor", bare, "%");
    stage.strike(servers).await;
}

/// Each connection sends its next one at once.
pub async fn closed(stage: &Stage, letters: &Arc<Letters>, connections: usize, time: Duration) -> Measured {
    stage.load(letters, connections, Pace::Closed, time).run_warm().await
}
