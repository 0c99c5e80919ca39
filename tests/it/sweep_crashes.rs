//! Workers that are killed with `kill -9`: what they merely held is done by others, what they were doing is not repeated
//! blindly.

use futures_util::future::join_all;
use gatepost::broker::Queue;

use crate::support::eventually;
use crate::support::meta;
use crate::support::process::Binary;
use crate::support::provider::Provider;
use crate::support::queues::Queues;
use crate::support::rows::{count, life, wait_for_count};
use crate::support::services::Services;
use crate::support::world::World;

/// A worker with one call under way and nine claimed messages behind it is killed: the nine are claimed again and sent
/// once each; the one in flight is not called again, and ends by the provider's word.
pub async fn claimed_messages_outlive_their_worker(services: &Services) {
    let mut world = World::new(services).await;
    world.set("GATEPOST_LEASE_MS", 1_500);
    world.set("GATEPOST_DELIVER_CONCURRENCY", 1);
    let _gateway = world.start(Binary::Gateway).await;
    let database = world.database().await;
    let provider = Provider::start().await;
    let customer = provider.instance(&world, &world.customer().await, "scripted").await;
    provider.hold(true);
    let sends = (7000..7010).map(|n| format!("+96650001{n}"));
    let messages = join_all(sends.map(async |phone| customer.accepted(&phone).await)).await;
    let deliver = world.start(Binary::Deliver).await;
    let held = "select count(*) from messages where lease is not null and not in_flight";
    wait_for_count(&database, held, 9).await;
    eventually("the call is made", async || provider.calls().pop()).await;
    deliver.kill().await;

    provider.hold(false);
    let _processes = [world.start(Binary::Deliver).await, world.start(Binary::Sweep).await];
    wait_for_count(&database, "select count(*) from messages where status = 'sent'", 9).await;
    assert_eq!(count(&database, "select count(*) from messages where in_flight").await, 1);
    let mut recipients: Vec<String> = provider.calls().iter().map(|call| call["to"].to_string()).collect();
    recipients.sort();
    recipients.dedup();
    assert_eq!((recipients.len(), provider.calls().len()), (10, 10));

    let first = provider.calls().remove(0);
    let mark = first["biz_opaque_callback_data"].as_str().expect("our mark");
    world.report(&database, &meta::status(&customer, &Provider::id(0), "sent", Some(mark))).await;
    for message in &messages {
        assert_eq!(life(&database, message).await, "queued sending sent");
    }
    assert_eq!(provider.calls().len(), 10);
}

/// Accepts one message, begins its call at a provider that never answers, and kills the worker during it. The gateway is
/// gone as well, so that no report is heard before the lease of the call has ended. Then sweep runs alone.
async fn killed_during_the_call(world: &World, phone: &str) -> String {
    let gateway = world.start(Binary::Gateway).await;
    let (customer, database) = (world.customer().await, world.database().await);
    let message = customer.accepted(phone).await;
    let queues = Queues::of(world).await;
    let waits = async || (queues.depth(Queue::DeliverStandard).await == 1).then_some(());
    eventually("its job is in the queue", waits).await;
    gateway.kill().await;
    let deliver = world.start(Binary::Deliver).await;
    eventually("the call is made", async || world.calls_to(phone).await.pop()).await;
    deliver.kill().await;
    assert_eq!(life(&database, &message).await, "queued sending");
    assert_eq!(count(&database, "select count(*) from messages where in_flight").await, 1);
    message
}

/// A worker is killed during the call: the message becomes unknown and stays so until the provider's report comes, which
/// raises it. There is never a second call.
pub async fn a_call_that_was_lost_ends_by_evidence(services: &Services) {
    let mut world = World::with_sandbox(services.database_url(), services.amqp_url(), |settings| {
        gatepost::sandbox::Settings { callback_attempts: 40, ..settings }
    })
    .await;
    world.set("GATEPOST_PROVIDER_TIMEOUT_MS", 2_000);
    let phone = "+966500010030";
    let message = killed_during_the_call(&world, phone).await;
    let database = world.database().await;
    let _processes = [world.start(Binary::Sweep).await, world.start(Binary::Deliver).await];
    world.wait_for_status(&message, &["unknown"]).await;
    let lost = "select count(*) from attempts where outcome = 'unknown' and finished_at is not null";
    assert_eq!(count(&database, lost).await, 1);

    let _gateway = world.start(Binary::Gateway).await;
    world.wait_for_status(&message, &["read"]).await;
    assert_eq!(life(&database, &message).await, "queued sending unknown sent delivered read");
    assert_eq!(world.calls_to(phone).await.len(), 1);
    assert_eq!(count(&database, "select count(*) from attempts where outcome = 'accepted'").await, 1);
    assert_eq!(count(&database, "select count(*) from attempts").await, 1);
}

/// As above, with a provider that never reports: at the deadline the message ends as failed. It may have arrived, so its
/// quota stays used, and there is never a second call.
pub async fn a_call_that_was_lost_ends_at_the_deadline(services: &Services) {
    let mut world = World::new(services).await;
    world.set("GATEPOST_PROVIDER_TIMEOUT_MS", 2_000);
    world.set("GATEPOST_UNKNOWN_DEADLINE_MS", 500);
    let phone = "+966500010031";
    let message = killed_during_the_call(&world, phone).await;
    let database = world.database().await;
    let _processes = [world.start(Binary::Sweep).await, world.start(Binary::Deliver).await];
    world.wait_for_status(&message, &["failed"]).await;
    assert_eq!(life(&database, &message).await, "queued sending unknown failed");
    assert_eq!(world.calls_to(phone).await.len(), 1);
    assert_eq!(count(&database, "select count(*) from quota_usage where used = 1").await, 2);
    let ended = "select count(*) from messages where due_at is null and not in_flight and error = 'gateway_send_failed'";
    assert_eq!(count(&database, ended).await, 1);
}

/// A process that is killed while an endpoint keeps it waiting leaves nothing untold: when its claims end, the webhooks
/// are sent again under the same ids.
pub async fn claimed_webhooks_outlive_their_process(services: &Services) {
    let mut world = World::new(services).await;
    world.set("GATEPOST_WEBHOOK_TIMEOUT_MS", 1_500);
    let _processes = [world.start(Binary::Gateway).await, world.start(Binary::Deliver).await];
    let (customer, database) = (world.customer().await, world.database().await);
    let receiver = world.receiver(&customer).await;
    receiver.hold(true);
    customer.accepted("+966500010001").await;
    wait_for_count(&database, "select count(*) from messages where status = 'read'", 1).await;
    let notify = world.start(Binary::Notify).await;
    let first = eventually("a webhook is under way", async || receiver.received().pop()).await;
    notify.kill().await;
    let claimed = count(&database, "select count(*) from webhook_deliveries where lease is not null").await;
    assert!(claimed >= 1);

    receiver.hold(false);
    let _processes = [world.start(Binary::Notify).await, world.start(Binary::Sweep).await];
    wait_for_count(&database, "select count(*) from webhook_deliveries where status = 'delivered'", 6).await;
    let again = receiver.received().into_iter().filter(|webhook| webhook.id == first.id);
    assert!(again.map(|webhook| webhook.raw).eq([first.raw.clone(), first.raw]));
}
