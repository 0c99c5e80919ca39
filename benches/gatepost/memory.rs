//! What each process needs: memory when it is idle and under load, and the time until it is ready.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::accept::CUSTOMERS;
use crate::connection::Connection;
use crate::load::Pace;
use crate::report::{Goal, Report};
use crate::stage::{Plan, Servers, Stage, UNPACED};
use crate::support::process::{Binary, Process};
use crate::watch::{Memory, used};

const CONNECTIONS: usize = 64;
/// Whatever a process does when it starts is done by then.
const SETTLED: Duration = Duration::from_secs(3);
/// A process that starts is asked so often.
const LOOK: Duration = Duration::from_millis(2);
const PATIENCE: Duration = Duration::from_secs(30);
const MIB: f64 = 1024.0;

/// Measures it.
pub async fn run(servers: &Servers, time: Duration, report: &mut Report) {
    let plan = Plan { customers: vec![UNPACED], copies: CUSTOMERS - 1, people: 20_000, calls_kept: 0 };
    let mut stage = Stage::set(servers, &plan).await;
    for binary in Binary::ALL {
        let begun = Instant::now();
        let process = stage.world.launch(binary);
        let ready = wait_until_ready(&process, begun).await;
        report.add("memory", format!("{binary:?}: spawn to ready"), ready.as_secs_f64() * 1_000.0, "ms");
        stage.processes.push(process);
    }
    sleep(SETTLED).await;
    resident(&stage, "idle", report);
    let ids =
        stage.processes.iter().filter_map(|process| Some((format!("{:?}", process.binary), process.id()?)));
    let memory = Memory::watch(ids.collect());
    let sent = stage.load(&stage.letters(), CONNECTIONS, Pace::Closed, time).run().await;
    report.must(sent.unexpected().is_none(), || format!("memory: {:?}", sent.unexpected()));
    for (name, kib) in memory.peak().await {
        report.add("memory", format!("{name}: most, under load"), kib as f64 / MIB, "MiB");
    }
    resident(&stage, "after the load", report);
    stage.strike(servers).await;
}

fn resident(stage: &Stage, when: &str, report: &mut Report) {
    for process in &stage.processes {
        let kib = process.id().and_then(used).expect("the system tells what a process uses");
        let (what, mib) = (format!("{:?}: {when}", process.binary), kib as f64 / MIB);
        if when == "idle" {
            report.aim("memory", what, mib, "MiB", Goal::AtMost(30.0));
        } else {
            report.add("memory", what, mib, "MiB");
        }
    }
}

async fn wait_until_ready(process: &Process, begun: Instant) -> Duration {
    let address = ([127, 0, 0, 1], process.ops_port()).into();
    let request = b"GET /readyz HTTP/1.1\r\nhost: ops\r\n\r\n";
    loop {
        let answer = async { Connection::open(address).await?.exchange(request).await };
        if answer.await.is_ok_and(|status| status == 200) {
            return begun.elapsed();
        }
        assert!(begun.elapsed() < PATIENCE, "{:?} is not ready:\n{}", process.binary, process.log());
        sleep(LOOK).await;
    }
}
