//! A short run for every change: whether a stage is several times slower, compared with the floor that this machine showed a
//! moment before. No time of a clock makes it fail, and no goal.

use std::time::Duration;

use crate::accept::{self, CUSTOMERS};
use crate::end_to_end::{self, Setup};
use crate::report::Report;
use crate::stage::{Plan, Servers, Stage, UNPACED};
use crate::support::process::Binary;
use crate::{callbacks, floor};

/// How long each stage is measured.
const TIME: Duration = Duration::from_secs(4);
const CONNECTIONS: usize = 64;
/// The people each customer writes to: enough for the pair limit to be in nobody's way for so short a time.
const PEOPLE: u64 = 2_000;
/// A stage may be so many times slower than expected.
const SLOWER: f64 = 3.0;
/// What each stage comes to in percent of the floor, in a build that is not optimised, on two cores with nothing else on
/// them: the floor gains most by that, so that busier ones only come nearer to it.
const EXPECTED: [(&str, f64); 4] = [
    ("accept", 3.5),
    ("recorded, no webhooks", 1.25),
    ("recorded, one webhook a message", 0.75),
    ("callbacks answered and applied", 0.5),
];

/// Measures each stage once, and the floor before and after: what else the machine does may begin or end meanwhile.
pub async fn run(servers: &Servers, report: &mut Report) {
    let before = floor::bare(servers, TIME / 4, report).await;
    let accepts = accepts(servers, report).await;
    let setup = |webhooks| Setup { webhooks, people: PEOPLE };
    let plain = end_to_end::flow(servers, TIME, setup(false), report).await.messages;
    let webhooks = end_to_end::flow(servers, TIME, setup(true), report).await.messages;
    let callbacks = callbacks::most(servers, TIME / 4, report).await;
    let floor = before.min(floor::bare(servers, TIME / 4, report).await);
    for ((what, expected), rate) in EXPECTED.into_iter().zip([accepts, plain, webhooks, callbacks]) {
        let share = rate / floor * 100.0;
        report.add("smoke", format!("{what}: of the floor, where {expected} % are expected"), share, "%");
        report.must(share * SLOWER >= expected, || {
            format!("{what}: {share:.2} % of the floor, of which {expected} % are expected")
        });
    }
}

async fn accepts(servers: &Servers, report: &mut Report) -> f64 {
    let plan = Plan { customers: vec![UNPACED], copies: CUSTOMERS - 1, people: PEOPLE, calls_kept: 0 };
    let mut stage = Stage::set(servers, &plan).await;
    stage.start(&[Binary::Gateway]).await;
    let accepted = accept::closed(&stage, &stage.letters(), CONNECTIONS, TIME).await;
    report.answers("accept", &format!("{CONNECTIONS} connections"), &accepted);
    stage.strike(servers).await;
    accepted.rate()
}
