//! What gets lost on the way is found by its row: lost publishes, emptied queues, validity that ran out, poison.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::future::join_all;
use gatepost::broker::Queue;

use crate::support::process::Binary;
use crate::support::queues::Queues;
use crate::support::rows::{count, life, rises, wait_for_count};
use crate::support::services::{Services, free_port};
use crate::support::world::{Customer, World};
use crate::support::{eventually, within};

/// Recipients whose messages are read.
fn readers(how_many: usize) -> Vec<String> {
    (1000..1000 + how_many).map(|n| format!("+96650001{n}")).collect()
}

/// Sends to each of them, some at a time; gives the messages' ids.
async fn send_all(customer: &Customer, phones: &[String]) -> Vec<String> {
    let mut messages = Vec::new();
    for some in phones.chunks(30) {
        messages.extend(join_all(some.iter().map(async |phone| customer.accepted(phone).await)).await);
    }
    messages
}

/// The sandbox was called once for each of them, and never else.
async fn assert_called_once_each(world: &World, phones: &[String]) {
    let calls = world.calls("").await;
    let called: HashSet<&str> = calls["calls"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|call| call["to"].as_str().expect("a text").trim_start_matches('+'))
        .collect();
    let expected: HashSet<&str> = phones.iter().map(|phone| phone.trim_start_matches('+')).collect();
    assert_eq!(called, expected);
    assert_eq!(calls["total"], phones.len());
}

/// A gateway that cannot reach the broker still accepts, and says that it is ready; what it could not publish is found
/// by the workers themselves and delivered, each message once.
pub async fn a_lost_publish_is_found(services: &Services) {
    let mut world = World::new(services).await;
    let broker = world.amqp_url.clone();
    world.set("GATEPOST_ACCEPT_DUE_MS", 500);
    world.set("AMQP_URL", format!("amqp://127.0.0.1:{}/%2f", free_port()));
    let _gateway = world.start(Binary::Gateway).await;
    world.set("AMQP_URL", broker);
    let customer = world.customer().await;
    let phones = readers(20);
    let messages = send_all(&customer, &phones).await;
    let _deliver = world.start(Binary::Deliver).await;
    for message in &messages {
        world.wait_for_status(message, &["read"]).await;
    }
    assert_called_once_each(&world, &phones).await;
}

/// Messages whose jobs vanish from the queue are found by their rows; what is delivered meanwhile is not delivered twice.
pub async fn an_emptied_queue_loses_nothing(services: &Services) {
    let mut world = World::new(services).await;
    world.set("GATEPOST_ACCEPT_DUE_MS", 2_000);
    let _gateway = world.start(Binary::Gateway).await;
    let (customer, queues) = (world.customer().await, Queues::of(&world).await);
    let phones = readers(20);
    let messages = send_all(&customer, &phones).await;
    let jobs = queues.take_ids(Queue::DeliverStandard, 20).await;
    // Half of them come back, twice: as if the broker had repeated itself.
    let half = &jobs[..jobs.len() / 2];
    for job in half.iter().chain(half) {
        queues.publish(Queue::DeliverStandard, job).await;
    }
    let _deliver = world.start(Binary::Deliver).await;
    for message in &messages {
        world.wait_for_status(message, &["read"]).await;
    }
    assert_called_once_each(&world, &phones).await;
}

/// With every queue and the exchange deleted under running processes, they are declared again, and both lanes deliver and
/// tell.
pub async fn deleted_queues_come_back(services: &Services) {
    let mut world = World::new(services).await;
    world.set("GATEPOST_ACCEPT_DUE_MS", 1_000);
    let _processes = world.start_all().await;
    let (customer, database) = (world.customer().await, world.database().await);
    let receiver = world.receiver(&customer).await;
    Queues::of(&world).await.wipe().await;
    let invoice = customer.accepted("+966500010001").await;
    let code = customer.send(&customer.code("+966500020001")).await.message_id();
    for message in [&invoice, &code] {
        world.wait_for_status(message, &["read"]).await;
        assert_eq!(life(&database, message).await, "queued sending sent delivered read");
    }
    eventually("everything is told", async || (receiver.received().len() == 12).then_some(())).await;
    assert_called_once_each(&world, &["+966500010001".to_owned(), "+966500020001".to_owned()]).await;
}

/// A message whose validity ends before anybody sends it ends as expired, is told as such, and gives its quota back; the
/// one that was sent in time keeps its own. Found by sweep where nothing else runs, and by the worker that comes too late.
pub async fn an_expired_message_gives_its_quota_back(services: &Services) {
    let mut world = World::new(services).await;
    world.set("GATEPOST_ACCEPT_DUE_MS", 1_500);
    let processes = [world.start(Binary::Gateway).await, world.start(Binary::Deliver).await];
    let (customer, database) = (world.customer().await, world.database().await);
    let receiver = world.receiver(&customer).await;
    let _notify = world.start(Binary::Notify).await;
    let sent = customer.accepted("+966500010003").await;
    world.wait_for_status(&sent, &["sent"]).await;
    let [_gateway, deliver] = processes;
    deliver.kill().await;

    let mut body = customer.message("+966500010001");
    body["validity_seconds"] = 1.into();
    let swept = customer.send(&body).await.message_id();
    let claimed = customer.send(&body).await.message_id();
    let used = "select count(*) from quota_usage where used = $1";
    let used = |n: i64| used.replace("$1", &n.to_string());
    assert_eq!(count(&database, &used(3)).await, 2, "day and month");
    let apart = "update messages set due_at = now() + interval '1 hour' where message_id = $1::text::uuid";
    database.execute(apart, &[&claimed]).await.expect("the database answers");
    let sweep = world.start(Binary::Sweep).await;
    world.wait_for_status(&swept, &["expired"]).await;
    assert_eq!(count(&database, &used(2)).await, 2);
    assert_eq!(world.status(&claimed).await, "queued");
    sweep.kill().await;
    let _deliver = world.start(Binary::Deliver).await;
    world.wait_for_status(&claimed, &["expired"]).await;
    assert_eq!(count(&database, &used(1)).await, 2);

    for message in [&swept, &claimed] {
        assert_eq!(life(&database, message).await, "queued expired");
        assert_eq!(rises(&database, message).await[0].error.as_deref(), Some("message_expired"));
        eventually("it is told", async || receiver.rises(message).pop().filter(|rise| rise.1 == "expired"))
            .await;
    }
    assert_called_once_each(&world, &["+966500010003".to_owned()]).await;
}

/// Webhooks whose jobs vanished are sent all the same, each once.
pub async fn a_lost_webhook_is_found(services: &Services) {
    let world = World::new(services).await;
    let binaries = [Binary::Gateway, Binary::Deliver, Binary::Sweep];
    let _processes = join_all(binaries.map(async |binary| world.start(binary).await)).await;
    let (customer, database) = (world.customer().await, world.database().await);
    let (receiver, queues) = (world.receiver(&customer).await, Queues::of(&world).await);
    customer.accepted("+966500010001").await;
    queues.take_ids(Queue::Notify, 6).await;
    let _notify = world.start(Binary::Notify).await;
    wait_for_count(&database, "select count(*) from webhook_deliveries where status = 'delivered'", 6).await;
    assert_eq!(receiver.received().len(), 6);
}

/// Three hundred messages due at once, two processes that deliver and two that sweep: each message is sent once, and each
/// event is told once.
pub async fn two_of_each_do_no_harm(services: &Services) {
    let mut world = World::new(services).await;
    world.let_crowds_pass();
    let broker = world.amqp_url.clone();
    world.set("GATEPOST_ACCEPT_DUE_MS", 500);
    world.set("AMQP_URL", format!("amqp://127.0.0.1:{}/%2f", free_port()));
    let _gateway = world.start(Binary::Gateway).await;
    world.set("AMQP_URL", broker);
    let (customer, database) = (world.customer().await, world.database().await);
    let receiver = world.receiver(&customer).await;
    let phones: Vec<String> = (0..300).map(|n| format!("+96650{n:03}0003")).collect();
    send_all(&customer, &phones).await;
    wait_for_count(&database, "select count(*) from messages where due_at > now()", 0).await;
    let binaries = [Binary::Sweep, Binary::Sweep, Binary::Deliver, Binary::Deliver, Binary::Notify];
    let _processes = binaries.map(|binary| world.launch(binary));
    wait_for_count(&database, "select count(*) from messages where status = 'sent'", 300).await;
    let delivered = "select count(*) from webhook_deliveries where status = 'delivered'";
    within(Duration::from_secs(60), "everything is told", async || {
        (count(&database, delivered).await == 600).then_some(())
    })
    .await;
    assert_called_once_each(&world, &phones).await;
    let told: HashSet<String> = receiver.received().into_iter().map(|webhook| webhook.id).collect();
    assert_eq!((told.len(), receiver.received().len()), (600, 600));
    assert_eq!(count(&database, "select count(distinct (message_id, sequence)) from events").await, 600);
}

/// Jobs that nobody can read end in the parked queue, byte for byte, and the consumers of every queue go on.
pub async fn poison_is_parked_and_the_consumers_go_on(services: &Services) {
    let world = World::new(services).await;
    let _processes = world.start_all().await;
    let (customer, queues) = (world.customer().await, Queues::of(&world).await);
    let receiver = world.receiver(&customer).await;
    let id = "00000000-0000-0000-0000-000000000000";
    let deliver = format!(r#"{{"v":1,"kind":"deliver","ids":["1/{id}"]}}"#);
    let poison = [
        b"\xff\xfe\0nonsense".to_vec(),
        Vec::new(),
        deliver.replace("\"v\":1", "\"v\":2").into_bytes(),
        deliver.replace("deliver", "dance").into_bytes(),
        deliver.replace(id, "7").into_bytes(),
        br#"{"v":1,"kind":"deliver","ids":[]}"#.to_vec(),
    ];
    let mut expected = Vec::new();
    for queue in [Queue::DeliverPriority, Queue::DeliverStandard, Queue::Notify] {
        for bytes in &poison {
            queues.publish(queue, bytes).await;
            expected.push(bytes.clone());
        }
    }
    // Well-formed, but for a stage of another kind; and ids that are nobody's, which are done with at once.
    queues.publish(Queue::Notify, deliver.as_bytes()).await;
    expected.push(deliver.clone().into_bytes());
    queues.publish(Queue::DeliverStandard, deliver.as_bytes()).await;

    let mut parked = Vec::new();
    while parked.len() < expected.len() {
        parked.push(eventually("all poison is parked", async || queues.take(Queue::Parked).await).await);
    }
    parked.sort();
    expected.sort();
    assert_eq!(parked, expected);
    let invoice = customer.accepted("+966500010001").await;
    let code = customer.send(&customer.code("+966500020001")).await.message_id();
    for message in [&invoice, &code] {
        world.wait_for_status(message, &["read"]).await;
    }
    eventually("everything is told", async || (receiver.received().len() == 12).then_some(())).await;
    assert_eq!(queues.depth(Queue::Parked).await, 0);
}
