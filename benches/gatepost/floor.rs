//! What the machine can do: batched commits of bare rows and confirmed publishes of their ids, with the bytes that an
//! accept has, and nothing of what Gatepost does besides.

use std::sync::Arc;
use std::time::Duration;

use gatepost::broker::{Nodes, Publisher, Queue, Topology};
use gatepost::config::Hidden;
use gatepost::domain::id::MessageKey;
use gatepost::domain::job::{self, Kind};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::bare::BareServer;
use crate::letters::{phone, texts};
use crate::load::{Load, Measured, Pace};
use crate::report::Report;
use crate::sql::{BareInsert, Batch};
use crate::stage::{Plan, Servers, Stage, UNPACED};

/// Rows in one commit, as many as a gateway commits at most.
pub const BATCH: usize = 256;
/// Batches whose publish waits for its confirm, at most.
pub const PUBLISHING: usize = 64;
/// Connections to the server that only commits.
const CONNECTIONS: usize = 128;
/// Sessions that commit at the same time. The floor is the first, because a gateway commits in one as well.
const WRITERS: [usize; 2] = [1, 2];

/// Measures it bare and behind HTTP.
pub async fn run(servers: &Servers, time: Duration, report: &mut Report) {
    let bare = bare(servers, time, report).await;
    let behind_http = behind_http(servers, time).await;
    report.add("floor", format!("behind HTTP, {CONNECTIONS} connections"), behind_http.rate(), "messages/s");
    report.answers("floor", "behind HTTP", &behind_http);
    report.set_floors(bare, behind_http.rate());
}

/// Measures it bare; gives the messages a second of one session.
pub async fn bare(servers: &Servers, time: Duration, report: &mut Report) -> f64 {
    let stage = Stage::set(servers, &plan()).await;
    let (publisher, stop) = publisher(&stage).await;
    let mut floor = 0.0;
    for writers in WRITERS {
        let mut inserts = Vec::new();
        for _ in 0..writers {
            inserts.push(BareInsert::new(stage.world.database().await).await);
        }
        let begun = Instant::now();
        let sessions: JoinSet<usize> =
            inserts.into_iter().map(|insert| write(insert, publisher.clone(), begun + time)).collect();
        let rows: usize = sessions.join_all().await.into_iter().sum();
        let rate = rows as f64 / begun.elapsed().as_secs_f64();
        report.add("floor", format!("{BATCH} rows a commit, sessions: {writers}"), rate, "messages/s");
        if writers == 1 {
            floor = rate;
        }
    }
    stop.cancel();
    stage.strike(servers).await;
    floor
}

/// The same for a server's clients.
async fn behind_http(servers: &Servers, time: Duration) -> Measured {
    let stage = Stage::set(servers, &plan()).await;
    let (publisher, stop) = publisher(&stage).await;
    let server = BareServer::start(BareInsert::new(stage.world.database().await).await, publisher).await;
    let load = stage.load(&stage.letters(), CONNECTIONS, Pace::Closed, time);
    let measured = Load { address: server.address, ..load }.run_warm().await;
    server.end().await;
    stop.cancel();
    stage.strike(servers).await;
    measured
}

fn plan() -> Plan {
    Plan { customers: vec![UNPACED], copies: 0, people: 1, calls_kept: 0 }
}

/// A publisher to the stage's queues, until it is told to stop.
async fn publisher(stage: &Stage) -> (Publisher, CancellationToken) {
    let nodes = Nodes::parse(&Hidden(stage.world.amqp_url.clone())).expect("an address of a broker");
    let (topology, stop) = (Topology::new(&stage.world.prefix), CancellationToken::new());
    let publisher = Publisher::start(&nodes, &topology, stop.clone()).await;
    (publisher.expect("the broker answers"), stop)
}

/// Commits and publishes until then; gives how many rows are durable and published.
async fn write(insert: BareInsert, publisher: Publisher, end: Instant) -> usize {
    let publishing = Arc::new(Semaphore::new(PUBLISHING));
    let (mut batch, mut rows) = (batch(), 0);
    while Instant::now() < end {
        for id in &mut batch.ids {
            *id = Uuid::now_v7();
        }
        insert.commit(&batch).await;
        rows += BATCH;
        publish(&publisher, &publishing, &batch).await;
    }
    wait_until_published(&publishing).await;
    rows
}

/// Waits until no publish waits for its confirm any more.
pub async fn wait_until_published(publishing: &Semaphore) {
    let all = u32::try_from(PUBLISHING).expect("few");
    drop(publishing.acquire_many(all).await.expect("every publish is confirmed"));
}

/// Has the ids of a batch published while the next one is committed, unless too many wait for their confirm.
pub async fn publish(publisher: &Publisher, publishing: &Arc<Semaphore>, batch: &Batch) {
    let place = Arc::clone(publishing).acquire_owned().await.expect("every publish is confirmed");
    let (publisher, jobs, publishing) = (publisher.clone(), jobs(batch), Arc::clone(publishing));
    tokio::spawn(async move {
        for job in jobs {
            // Who waits for a place, and who waits for the last one, learns of it and ends the run.
            if publisher.publish(Queue::DeliverStandard, &job).await.is_err() {
                publishing.close();
            }
        }
        drop(place);
    });
}

fn batch() -> Batch {
    Batch {
        accounts: vec![1; BATCH],
        ids: vec![Uuid::nil(); BATCH],
        recipients: (0..BATCH as u64).map(phone).collect(),
        bodies: texts().take(BATCH).collect(),
        requests: (0..BATCH).map(|_| Uuid::now_v7().to_string()).collect(),
    }
}

fn jobs(batch: &Batch) -> Vec<Vec<u8>> {
    let rows = batch.accounts.iter().zip(&batch.ids);
    let keys: Vec<MessageKey> = rows
        .map(|(account_id, message_id)| MessageKey { account_id: *account_id, message_id: *message_id })
        .collect();
    job::encode(Kind::Deliver, &keys)
}
