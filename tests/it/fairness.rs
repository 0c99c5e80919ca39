//! One account's plenty, or its dead provider, is not another account's wait.

use futures_util::future::join_all;

use crate::support::eventually;
use crate::support::process::Binary;
use crate::support::provider::Provider;
use crate::support::services::{Services, free_port};
use crate::support::world::{Customer, World};

/// How many messages one account has waiting.
const MANY: usize = 300;
/// The most of them that may be called before the other's one: what was claimed while that was not heard of yet.
const BEFORE: usize = 100;

/// Sends so many, some at a time.
async fn send_many(customer: &Customer, how_many: usize) {
    let phones: Vec<String> = (0..how_many).map(|n| format!("+96650{n:03}0003")).collect();
    for some in phones.chunks(30) {
        join_all(some.iter().map(async |phone| customer.accepted(phone).await)).await;
    }
}

/// How many calls were made before the one to this recipient.
async fn calls_before(provider: &Provider, phone: &str) -> usize {
    eventually("it is called", async || provider.calls().iter().position(|call| call["to"] == phone)).await
}

/// A world whose gateway accepts what a crowd sends, and a worker with four places.
async fn world(services: &Services) -> World {
    let mut world = World::new(services).await;
    world.let_crowds_pass();
    world.set("GATEPOST_DELIVER_CONCURRENCY", 4);
    world
}

/// Behind three hundred jobs of another's in the queue, a message is called among the first.
pub async fn fairness_in_the_queue(services: &Services) {
    let world = world(services).await;
    let _gateway = world.start(Binary::Gateway).await;
    let provider = Provider::start().await;
    let busy = provider.instance(&world, &world.customer().await, "busy").await;
    let other = provider.instance(&world, &world.customer().await, "other").await;
    send_many(&busy, MANY).await;
    other.accepted("+966500010001").await;
    let _deliver = world.start(Binary::Deliver).await;
    let before = calls_before(&provider, "+966500010001").await;
    assert!(before < BEFORE, "{before} calls were made before");
}

/// The same where nothing is in the queue, and the worker finds in the database what is due: the one message is the last of
/// them.
pub async fn fairness_of_what_is_due(services: &Services) {
    let mut world = world(services).await;
    let broker = world.amqp_url.clone();
    world.set("GATEPOST_ACCEPT_DUE_MS", 500);
    world.set("AMQP_URL", format!("amqp://127.0.0.1:{}/%2f", free_port()));
    let _gateway = world.start(Binary::Gateway).await;
    world.set("AMQP_URL", broker);
    let provider = Provider::start().await;
    let busy = provider.instance(&world, &world.customer().await, "busy").await;
    let other = provider.instance(&world, &world.customer().await, "other").await;
    send_many(&busy, MANY).await;
    other.accepted("+966500010001").await;
    let due = "select 1 from messages where due_at > now() limit 1";
    let database = world.database().await;
    eventually("everything is due", async || {
        database.query_opt(due, &[]).await.expect("the database answers").is_none().then_some(())
    })
    .await;
    let _deliver = world.start(Binary::Deliver).await;
    let before = calls_before(&provider, "+966500010001").await;
    assert!(before < BEFORE, "{before} calls were made before");
}

/// A provider that keeps its callers waiting is called from half of the worker's places. The messages of another account
/// leave beside it, long before it answers.
pub async fn fairness_beside_a_provider_that_hangs(services: &Services) {
    let world = world(services).await;
    let _processes = [world.start(Binary::Gateway).await, world.start(Binary::Deliver).await];
    let (hanging, provider) = (Provider::start().await, Provider::start().await);
    let stuck = hanging.instance(&world, &world.customer().await, "stuck").await;
    let other = provider.instance(&world, &world.customer().await, "other").await;
    hanging.hold(true);
    send_many(&stuck, 20).await;
    eventually("its share of the places is taken", async || (hanging.calls().len() == 2).then_some(())).await;
    for n in 0..20 {
        let message = other.accepted(&format!("+96650001{n:04}")).await;
        world.wait_for_status(&message, &["sent"]).await;
    }
    assert_eq!(hanging.calls().len(), 2, "none of its calls has ended");
    hanging.hold(false);
    eventually("the others follow", async || (hanging.calls().len() == 20).then_some(())).await;
}
