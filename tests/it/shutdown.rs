//! SIGTERM in the middle of the work: every binary ends within fifteen seconds with exit code 0, and nothing is lost,
//! doubled or half-said.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use tokio_postgres::Client;

use crate::support::process::{Binary, Process};
use crate::support::provider::Provider;
use crate::support::proxy::Proxy;
use crate::support::receiver::Receiver;
use crate::support::rows::{count, wait_for_count};
use crate::support::services::{Services, free_port};
use crate::support::world::{Customer, World};
use crate::support::{eventually, within};

/// What operators are promised.
const LONGEST_END: Duration = Duration::from_secs(15);
/// Enough for everything that was accepted to be done on a slow machine.
const LONGEST_WORK: Duration = Duration::from_secs(60);
const MESSAGES: usize = 300;
const CALLERS: usize = 8;

/// A stream of sends, and what came of it so far.
struct Scene {
    world: World,
    database: Client,
    customer: Customer,
    receiver: Receiver,
    /// The ids that were answered with 202.
    accepted: Mutex<Vec<String>>,
    /// How often the connection ended, or there was none, instead of an answer.
    unanswered: AtomicUsize,
}

impl Scene {
    /// A provider that takes its time, and one process of each binary, in their order.
    async fn new(services: &Services, change: impl FnOnce(&mut World)) -> (Self, [Process; 4]) {
        let latency = Duration::from_millis(150);
        let slow = |settings| gatepost::sandbox::Settings { latency, ..settings };
        let mut world = World::with_sandbox(services.database_url(), services.amqp_url(), slow).await;
        world.let_crowds_pass();
        change(&mut world);
        let processes = world.start_all().await.try_into().unwrap_or_else(|_| panic!("one of each"));
        let (customer, database) = (world.customer().await, world.database().await);
        let receiver = world.receiver(&customer).await;
        let (accepted, unanswered) = (Mutex::default(), AtomicUsize::new(0));
        (Self { world, database, customer, receiver, accepted, unanswered }, processes)
    }

    fn accepted(&self) -> Vec<String> {
        self.accepted.lock().expect("no test panics inside").clone()
    }

    /// Sends to everybody, a few at a time.
    async fn send_all(&self) {
        let next = AtomicUsize::new(0);
        let caller = async |_| {
            loop {
                let n = next.fetch_add(1, Ordering::SeqCst);
                if n >= MESSAGES {
                    return;
                }
                self.send(&format!("+96650001{}", 1000 + n)).await;
            }
        };
        join_all((0..CALLERS).map(caller)).await;
    }

    /// An answer is a whole 202, or there is none.
    async fn send(&self, phone: &str) {
        let request = self.customer.request(&self.customer.message(phone)).timeout(Duration::from_secs(20));
        match request.send().await {
            Ok(response) => {
                assert_eq!(response.status().as_u16(), 202);
                let body: serde_json::Value = response.json().await.expect("what has begun is whole");
                let message = body["message_id"].as_str().expect("an id").to_owned();
                self.accepted.lock().expect("no test panics inside").push(message);
            }
            Err(error) => {
                assert!(!error.is_timeout(), "no caller is left waiting: {error}");
                self.unanswered.fetch_add(1, Ordering::SeqCst);
            }
        }
    }

    async fn count(&self, sql: &str) -> i64 {
        count(&self.database, sql).await
    }

    /// Waits long enough for a slow machine.
    async fn wait_for(&self, what: &str, sql: &str, expected: i64) {
        within(LONGEST_WORK, what, async || (self.count(sql).await == expected).then_some(())).await;
    }

    /// Everything that was accepted is read, was sent exactly once, and is told at least once.
    async fn everything_arrives(&self) {
        let accepted = self.accepted();
        let expected = i64::try_from(accepted.len()).expect("few");
        let read = "select count(*) from messages where status = 'read'";
        self.wait_for("all that was accepted is read", read, expected).await;
        assert_eq!(self.count("select count(*) from messages").await, expected);
        assert_eq!(self.count("select count(*) from attempts").await, expected);
        let calls = self.world.calls("").await;
        let called = calls["calls"].as_array().expect("a list").iter().filter_map(|call| call["to"].as_str());
        let called = called.collect::<HashSet<&str>>().len();
        assert_eq!((calls["total"].as_u64(), called), (Some(accepted.len() as u64), accepted.len()));

        let owed = "select count(*) from webhook_deliveries where status <> 'delivered'";
        self.wait_for("everything is told", owed, 0).await;
        let told: HashSet<String> = self.receiver.received().into_iter().map(|one| one.id).collect();
        assert_eq!(told.len() as i64, self.count("select count(*) from events").await);
        let read = self.receiver.events("message.read");
        let read: HashSet<&str> = read.iter().filter_map(|event| event["message_id"].as_str()).collect();
        assert_eq!(read, accepted.iter().map(String::as_str).collect());
    }

    /// Terminates a process once `begun`, in the middle of the sends. It must end in time and well; `ended` looks at what
    /// it left behind.
    async fn terminate(&self, mut process: Process, begun: impl Fn() -> bool, ended: impl AsyncFnOnce()) {
        let end = async {
            eventually("the work has begun", async || begun().then_some(())).await;
            assert_ends_well(&mut process).await;
            ended().await;
        };
        tokio::join!(self.send_all(), end);
        let unanswered = self.unanswered.load(Ordering::SeqCst);
        assert_eq!(self.accepted().len() + unanswered, MESSAGES);
    }
}

/// SIGTERM, and the promised end.
async fn assert_ends_well(process: &mut Process) {
    process.terminate();
    let code = process.wait(LONGEST_END).await;
    assert_eq!(code, Some(0), "{:?}: {}", process.binary, process.log());
    assert!(process.log().contains("stopped"), "{:?}: {}", process.binary, process.log());
}

/// The gateway ends: callers get whole answers or none, what was answered is in the database and nothing else is, and a
/// new gateway goes on.
pub async fn a_gateway_ends_with_whole_answers(services: &Services) {
    let (scene, [gateway, _deliver, _notify, _sweep]) = Scene::new(services, |_| {}).await;
    let begun = || scene.accepted().len() >= 100;
    scene.terminate(gateway, begun, async || {}).await;
    assert!(scene.unanswered.load(Ordering::SeqCst) > 0, "it ended in the middle");
    let stored = scene.count("select count(*) from messages").await;
    assert_eq!(stored, scene.accepted().len() as i64, "what is stored was answered");
    let _gateway = scene.world.start(Binary::Gateway).await;
    scene.everything_arrives().await;
}

/// A worker ends: the calls under way are finished and recorded, what was only claimed is given back.
pub async fn a_worker_ends_with_its_calls_recorded(services: &Services) {
    let shorter = |world: &mut World| world.set("GATEPOST_LEASE_MS", 5_000);
    let (scene, [_gateway, deliver, _notify, _sweep]) = Scene::new(services, shorter).await;
    let begun = || scene.accepted().len() >= 100;
    let left = async || {
        assert_eq!(scene.count("select count(*) from messages where in_flight").await, 0);
        let unrecorded = "select count(*) from attempts where finished_at is null";
        assert_eq!(scene.count(unrecorded).await, 0);
        let unsent = "select count(*) from messages where status = 'queued'";
        assert!(scene.count(unsent).await > 0, "it ended in the middle");
    };
    scene.terminate(deliver, begun, left).await;
    let _deliver = scene.world.start(Binary::Deliver).await;
    scene.everything_arrives().await;
}

/// The webhooks' process ends: attempts under way are finished and recorded, and it holds nothing any more.
pub async fn a_teller_ends_with_its_webhooks_recorded(services: &Services) {
    let (scene, [_gateway, _deliver, notify, _sweep]) = Scene::new(services, |_| {}).await;
    let begun = || scene.receiver.received().len() >= 100;
    let left = async || {
        assert_eq!(scene.count("select count(*) from webhook_deliveries where lease is not null").await, 0);
        let recorded = scene.count("select count(*) from webhook_attempts").await;
        assert_eq!(recorded, scene.receiver.received().len() as i64, "each attempt is on record");
    };
    scene.terminate(notify, begun, left).await;
    let owed = scene.count("select count(*) from webhook_deliveries where status = 'pending'").await;
    assert!(owed > 0, "it ended in the middle");
    let _notify = scene.world.start(Binary::Notify).await;
    scene.everything_arrives().await;
}

/// The sweeper ends while it is the only way into the queues.
pub async fn a_sweeper_ends_between_two_rounds(services: &Services) {
    let (mut scene, [mut gateway, _deliver, _notify, sweep]) =
        Scene::new(services, |world| world.set("GATEPOST_ACCEPT_DUE_MS", 1)).await;
    assert_ends_well(&mut gateway).await;
    let broker = scene.world.amqp_url.clone();
    scene.world.set("AMQP_URL", format!("amqp://127.0.0.1:{}/%2f", free_port()));
    let _gateway = scene.world.start(Binary::Gateway).await;
    scene.world.set("AMQP_URL", broker);
    let begun = || scene.accepted().len() >= 100;
    scene.terminate(sweep, begun, async || {}).await;
    let waiting = scene.count("select count(*) from messages where status = 'queued'").await;
    assert!(waiting > 0, "it ended in the middle");
    let _sweep = scene.world.start(Binary::Sweep).await;
    scene.everything_arrives().await;
}

/// Neither a provider nor an endpoint that never answers holds up the end: the call stays on record as begun, the
/// webhooks are given back.
pub async fn nobody_silent_holds_up_the_end(services: &Services) {
    let world = World::new(services).await;
    let [_gateway, mut deliver, mut notify, _sweep]: [Process; 4] =
        world.start_all().await.try_into().unwrap_or_else(|_| panic!("one of each"));
    let (customer, database) = (world.customer().await, world.database().await);
    let (receiver, provider) = (world.receiver(&customer).await, Provider::start().await);
    let scripted = provider.instance(&world, &customer, "scripted").await;
    receiver.hold(true);
    provider.hold(true);
    let message = scripted.accepted("+966500017000").await;
    eventually("both are waited for", async || {
        (provider.calls().len() == 1 && receiver.received().len() == 1).then_some(())
    })
    .await;
    tokio::join!(assert_ends_well(&mut deliver), assert_ends_well(&mut notify));
    assert_eq!(world.status(&message).await, "sending");
    let begun = "select count(*) from messages where in_flight and due_at is not null";
    assert_eq!(count(&database, begun).await, 1);
    let given_back = "select count(*) from webhook_deliveries where lease is null and status = 'pending'";
    assert_eq!(count(&database, given_back).await, 1);

    receiver.hold(false);
    let _notify = world.start(Binary::Notify).await;
    wait_for_count(&database, "select count(*) from webhook_deliveries where status = 'delivered'", 1).await;
    assert_eq!(receiver.rises(&message), [(1, "sending".to_owned())]);
}

/// What is wrong with the database.
#[derive(Clone, Copy)]
enum Fault {
    /// Connections break, and none is to be had.
    Gone,
    /// Connections are taken, and nothing comes back.
    Silent,
}

/// A database that is gone holds up nobody's end either: not of a process with work in its hands, and not of one that
/// still waits for its start.
pub async fn a_lost_database_does_not_hold_up_the_end(services: &Services) {
    end_without_a_database(services, Fault::Gone).await;
}

/// As above, with a database that takes connections and never answers.
pub async fn a_silent_database_does_not_hold_up_the_end(services: &Services) {
    end_without_a_database(services, Fault::Silent).await;
}

async fn end_without_a_database(services: &Services, fault: Fault) {
    let mut world = World::new(services).await;
    world.set("GATEPOST_DELIVER_CONCURRENCY", 1);
    let mut proxy = Proxy::to_database(&mut world).await;
    let mut processes = world.start_all().await;
    let (customer, database) = (world.customer().await, world.database().await);
    let (receiver, provider) = (world.receiver(&customer).await, Provider::start().await);
    let scripted = provider.instance(&world, &customer, "scripted").await;
    receiver.hold(true);
    provider.hold(true);
    for n in 0..20 {
        // Each is claimed by itself, and all but the first wait for the one place there is.
        scripted.accepted(&format!("+96650001{}", 7000 + n)).await;
        wait_for_count(&database, "select count(*) from messages where lease is not null", n + 1).await;
    }
    eventually("both are waited for", async || {
        (provider.calls().len() == 1 && receiver.received().len() == 1).then_some(())
    })
    .await;
    match fault {
        Fault::Gone => proxy.cut().await,
        Fault::Silent => proxy.stall(),
    }
    receiver.hold(false);
    provider.hold(false);
    let waiting = Binary::ALL.map(|binary| world.launch_at(binary, free_port()));
    for process in &waiting {
        eventually("it waits for the database", async || {
            process.log().contains("trying again").then_some(())
        })
        .await;
    }
    processes.extend(waiting);
    join_all(processes.iter_mut().map(assert_ends_well)).await;
}
