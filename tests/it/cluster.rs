//! A RabbitMQ cluster whose nodes and network fail under load: nothing is lost, and service goes on.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use gatepost::broker::{Queue, Topology};
use libtest_mimic::Completion;
use serde_json::json;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::support::cluster::{Cluster, NODES};
use crate::support::eventually;
use crate::support::process::{Binary, Process};
use crate::support::proxy::Proxy;
use crate::support::services::{Services, free_port};
use crate::support::world::{Customer, World};

/// Messages a second.
const LOAD: u64 = 50;
/// Whoever is accepted right after a node was struck is called within this time of it, whatever the broker does: what
/// nobody has claimed is found in the database after `GATEPOST_ACCEPT_DUE_MS`.
const SERVICE: Duration = Duration::from_secs(10);
/// How long a node is silent, at least: the others take it for gone by then.
const FAULT: Duration = Duration::from_secs(20);

/// Under a steady load the node that leads `deliver.standard` is killed, then the one that leads it by then freezes, then
/// the one that `deliver` consumes from is cut off from the others. Every message that was accepted is read, after one
/// call; and who was accepted right after a fault is called while it lasts, in time.
pub async fn cluster_faults_under_load_lose_nothing(services: &Services) -> Completion {
    let mut cluster = match Cluster::start(services.way()).await {
        Ok(cluster) => cluster,
        Err(reason) => return Completion::ignored_with(reason),
    };
    let mut world = World::on(services.database_url(), &cluster.urls()).await;
    world.let_crowds_pass();
    let processes = world.start_all().await;
    let topology = Topology::new(&world.prefix);
    for queue in Queue::ALL {
        assert_eq!(cluster.replicas(0, &topology.queue(queue)).await, NODES, "{queue:?}");
    }
    let standard = topology.queue(Queue::DeliverStandard);
    let load = Load::start(world.customer().await);
    eventually("the load is delivered", async || {
        (world.calls("").await["total"].as_u64()? > LOAD).then_some(())
    })
    .await;

    let leader = cluster.leader(0, &standard).await;
    let fault = now(&world).await;
    cluster.kill(leader).await;
    serves_again(&world, "the leader is killed", fault, SERVICE).await;
    cluster.restart(leader).await;

    let leader = cluster.leader(leader, &standard).await;
    let (fault, until) = (now(&world).await, Instant::now() + FAULT);
    cluster.freeze(leader);
    serves_again(&world, "the leader freezes", fault, SERVICE).await;
    tokio::time::sleep_until(until).await;
    let thawed = now(&world).await;
    cluster.thaw(leader);
    serves_again(&world, "the frozen node goes on", thawed, SERVICE).await;
    // It has missed that the others gave it up, and is not always taken in again before it is restarted.
    cluster.kill(leader).await;
    cluster.restart(leader).await;

    let source = consumed_node(&processes, &cluster).await;
    let (fault, until) = (now(&world).await, Instant::now() + FAULT);
    cluster.part(source);
    serves_again(&world, "the consumers' node is cut off", fault, SERVICE).await;
    tokio::time::sleep_until(until).await;
    cluster.mend().await;

    let accepted = load.stop().await;
    all_are_read_after_one_call(&world, &accepted).await;
    cluster.shutdown().await;
    Completion::Completed
}

/// Processes start although the first address is of nobody and the second of a node that takes connections and says
/// nothing. What was declared before all nodes were in has one replica until an operator adds the others; then it
/// outlives its first node.
pub async fn cluster_that_grows_under_its_users(services: &Services) -> Completion {
    let mut cluster = match Cluster::start_first(services.way()).await {
        Ok(cluster) => cluster,
        Err(reason) => return Completion::ignored_with(reason),
    };
    let nobody = format!("amqp://127.0.0.1:{}/%2f", free_port());
    let mut silent = Proxy::start(SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()))).await;
    silent.stall();
    let silent = format!("amqp://{}/%2f", silent.address());
    let world = World::on(services.database_url(), &format!("{nobody},{silent},{}", cluster.urls())).await;
    let began = Instant::now();
    let _processes = world.start_all().await;
    let customer = world.customer().await;
    let early = customer.accepted("+966500010101").await;
    world.wait_for_status(&early, &["read"]).await;
    eprintln!(
        "with one address of five that answers, a message is read {:?} after the start",
        began.elapsed()
    );

    cluster.restart(1).await;
    cluster.restart(2).await;
    let topology = Topology::new(&world.prefix);
    for queue in Queue::ALL {
        assert_eq!(cluster.replicas(1, &topology.queue(queue)).await, 1, "{queue:?}");
    }
    for node in ["node1@localhost", "node2@localhost"] {
        cluster.tool(0, &["rabbitmq-queues", "grow", node, "all"]).await;
    }
    for queue in Queue::ALL {
        let name = topology.queue(queue);
        let grown = async || (cluster.replicas(1, &name).await == NODES).then_some(());
        eventually("the queue has a replica on each node", grown).await;
    }
    cluster.kill(0).await;
    let late = customer.accepted("+966500020101").await;
    world.wait_for_status(&late, &["read"]).await;
    cluster.shutdown().await;
    Completion::Completed
}

/// Sends that arrive at a steady rate, each to another person.
struct Load {
    stop: CancellationToken,
    task: JoinHandle<Vec<String>>,
}

impl Load {
    fn start(customer: Customer) -> Self {
        let stop = CancellationToken::new();
        let task = tokio::spawn(send(Arc::new(customer), stop.clone()));
        Self { stop, task }
    }

    /// Ends the load; gives the ids of what was accepted, which must be all.
    async fn stop(mut self) -> Vec<String> {
        self.stop.cancel();
        (&mut self.task).await.expect("every send is accepted")
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn send(customer: Arc<Customer>, stop: CancellationToken) -> Vec<String> {
    let mut ticks = interval(Duration::from_secs(1) / u32::try_from(LOAD).expect("a small number"));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut sends = JoinSet::new();
    for number in 0.. {
        tokio::select! {
            () = stop.cancelled() => break,
            _ = ticks.tick() => {}
        }
        let customer = Arc::clone(&customer);
        sends.spawn(async move {
            let mut message = customer.message(&format!("+9665{number:04}0101"));
            message["message"] = json!(format!("Your invoice INV-{number:06} is ready."));
            let answer = customer.send(&message).await;
            assert_eq!(answer.status, 202, "{}", answer.text);
            answer.message_id()
        });
    }
    sends.join_all().await
}

/// The database's time, which dates messages and attempts.
async fn now(world: &World) -> SystemTime {
    world.database().await.query_one("select clock_timestamp()", &[]).await.expect("a row").get(0)
}

/// Waits until everything accepted in the second after a fault is called, and checks that it was in time.
async fn serves_again(world: &World, fault: &str, at: SystemTime, longest: Duration) {
    const CALLED: &str = "select count(*), count(first), extract(epoch from max(first) - $1)::float8
        from messages m
        left join lateral (select min(started_at) as first from attempts a
            where a.account_id = m.account_id and a.message_id = m.message_id) as attempt on true
        where created_at between $1 and $1 + interval '1 second' and clock_timestamp() > $1 + interval '2 seconds'";
    let database = world.database().await;
    let (accepted, last): (i64, f64) = eventually(&format!("{fault}, and all are called"), async || {
        let row = database.query_one(CALLED, &[&at]).await.expect("a row");
        let (accepted, called): (i64, i64) = (row.get(0), row.get(1));
        (accepted > 0 && accepted == called).then(|| (accepted, row.get(2)))
    })
    .await;
    eprintln!(
        "{fault}: {accepted} were accepted within a second, the last of them is called after {last:.2} s"
    );
    assert!(accepted > LOAD as i64 / 2, "the load goes on: {accepted}");
    assert!(last < longest.as_secs_f64(), "{fault}: the last call is made after {last:.2} s");
}

/// The node that `deliver` consumes standard messages from.
async fn consumed_node(processes: &[Process], cluster: &Cluster) -> usize {
    let deliver =
        processes.iter().find(|process| matches!(process.binary, Binary::Deliver)).expect("one of each");
    let log = deliver.log();
    let consuming = log.lines().rfind(|line| line.contains("consuming") && line.contains("deliver.standard"));
    let consuming = consuming.unwrap_or_else(|| panic!("deliver consumes:\n{log}"));
    (0..NODES)
        .find(|node| consuming.contains(&cluster.address(*node)))
        .unwrap_or_else(|| panic!("a node of ours: {consuming}"))
}

/// Every message comes to its best end, and the provider got one call for each.
async fn all_are_read_after_one_call(world: &World, accepted: &[String]) {
    let database = world.database().await;
    let sql = "select count(*) from messages where message_id = any($1::text[]::uuid[]) and status = 'read'";
    let total = i64::try_from(accepted.len()).expect("some thousands");
    eventually(&format!("{total} messages are read"), async || {
        let read: i64 = database.query_one(sql, &[&accepted]).await.expect("a row").get(0);
        (read == total).then_some(())
    })
    .await;
    let calls = world.calls("").await["total"].as_i64();
    eprintln!("{total} messages were accepted and read, with {calls:?} calls");
    assert_eq!(calls, Some(total));
}
