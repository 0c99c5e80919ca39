//! Durability: what was accepted survives the broker, the database and the gateway.

use std::time::Instant;

use futures_util::future::join_all;

use crate::support::eventually;
use crate::support::process::Binary;
use crate::support::proxy::Proxy;
use crate::support::services::{Postgres, RabbitMq, Services};
use crate::support::world::{Customer, World};

/// With RabbitMQ stopped, sends are accepted; when it is back they are delivered, once each, by the same processes.
pub async fn sends_are_accepted_without_rabbitmq(services: &Services) {
    let mut rabbitmq = RabbitMq::start(services.way()).await;
    let world = World::on(services.database_url(), rabbitmq.url()).await;
    let _processes = world.start_all().await;
    let customer = world.customer().await;
    let receiver = world.receiver(&customer).await;
    let before = customer.accepted("+966500010001").await;
    world.wait_for_status(&before, &["read"]).await;

    rabbitmq.stop().await;
    let messages = join_all((0..20).map(|n| {
        let phone = format!("+96650{n:03}0101");
        let customer = &customer;
        async move { customer.accepted(&phone).await }
    }))
    .await;
    rabbitmq.restart().await;
    for message in &messages {
        world.wait_for_status(message, &["read"]).await;
    }
    assert_eq!(world.calls("").await["total"], 21);
    eventually("every message is told to be read", async || {
        (receiver.events("message.read").len() == 21).then_some(())
    })
    .await;
    rabbitmq.shutdown().await;
}

/// With Postgres stopped, or killed, a send is refused within five seconds and nothing is half done; when it is back
/// everything goes on by itself.
pub async fn service_resumes_when_postgres_is_back(services: &Services) {
    let mut postgres = Postgres::start(services.way()).await;
    let world = World::on(postgres.url(), services.amqp_url()).await;
    let mut processes = world.start_all().await;
    let customer = world.customer().await;
    let receiver = world.receiver(&customer).await;
    let before = customer.accepted("+966500010001").await;
    world.wait_for_status(&before, &["read"]).await;

    for (round, phone) in ["+966500020001", "+966500030001"].into_iter().enumerate() {
        match round {
            0 => postgres.stop().await,
            _ => postgres.kill().await,
        }
        sends_are_refused_in_time(&customer).await;
        postgres.restart().await;
        let after = eventually("sends are accepted again", async || {
            let answer = customer.send(&customer.message(phone)).await;
            (answer.status == 202).then(|| answer.message_id())
        })
        .await;
        world.wait_for_status(&after, &["read"]).await;
        eventually("webhooks are sent again", async || {
            receiver.events("message.read").into_iter().find(|event| event["message_id"] == after.as_str())
        })
        .await;
    }
    let database = world.database().await;
    let messages = database.query_one("select count(*) from messages", &[]).await.expect("a row");
    assert_eq!(messages.get::<_, i64>(0), 3, "the refused sends left nothing");
    for process in &mut processes {
        process.wait_until_ready().await;
    }
    postgres.shutdown().await;
}

async fn sends_are_refused_in_time(customer: &Customer) {
    for n in 0..3 {
        let began = Instant::now();
        let refused = customer.send(&customer.message(&format!("+96650001{n}101"))).await;
        assert_eq!((refused.status, refused.error()), (500, "internal_error"), "{}", refused.text);
        assert!(refused.header("retry-after").is_some());
        assert!(began.elapsed().as_secs_f64() < 5.0, "{:?}", began.elapsed());
    }
}

/// A database that accepts connections and never answers is no different for the caller.
pub async fn a_silent_database_is_noticed_in_time(services: &Services) {
    let mut world = World::new(services).await;
    let server: tokio_postgres::Config = services.database_url().parse().expect("an address");
    let target = format!("127.0.0.1:{}", server.get_ports()[0]).parse().expect("an address");
    let mut proxy = Proxy::start(target).await;
    let direct = world.database_url.clone();
    let port = format!(":{}/", server.get_ports()[0]);
    world.database_url = direct.replace(&port, &format!(":{}/", proxy.address().port()));
    assert_ne!(world.database_url, direct);
    let _processes = world.start_all().await;
    world.database_url = direct;
    let customer = world.customer().await;
    customer.accepted("+966500010001").await;

    proxy.stall();
    let began = Instant::now();
    let answers = join_all((0..5).map(|n| {
        let message = customer.message(&format!("+96650001{n:01}101"));
        let customer = &customer;
        async move { customer.send(&message).await }
    }))
    .await;
    assert!(began.elapsed().as_secs_f64() < 5.0, "{:?}", began.elapsed());
    for answer in answers {
        assert_eq!((answer.status, answer.error()), (500, "internal_error"), "{}", answer.text);
        assert!(answer.header("retry-after").is_some());
    }
    proxy.heal().await;
    let after = eventually("sends are accepted again", async || {
        let answer = customer.send(&customer.message("+966500020001")).await;
        (answer.status == 202).then(|| answer.message_id())
    })
    .await;
    world.wait_for_status(&after, &["read"]).await;
}

/// A gateway killed right after its answers loses none of what it accepted.
pub async fn a_killed_gateway_loses_nothing(services: &Services) {
    let world = World::new(services).await;
    let gateway = world.start(Binary::Gateway).await;
    let customer = world.customer().await;
    let messages = join_all((0..100).map(|n| {
        let phone = format!("+96650{n:03}0001");
        let customer = &customer;
        async move { customer.accepted(&phone).await }
    }))
    .await;
    gateway.kill().await;
    let _processes = world.start_all().await;
    for message in &messages {
        world.wait_for_status(message, &["read"]).await;
    }
    assert_eq!(world.calls("").await["total"], 100);
}
