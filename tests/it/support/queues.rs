//! The broker from a test's side: looks into queues, takes jobs away, puts others in.

use std::collections::HashSet;

use gatepost::broker::{Queue, Topology};
use lapin::options::{
    BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, ExchangeDeleteOptions, QueueDeclareOptions,
    QueueDeleteOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties};
use serde_json::Value;

use super::eventually;
use super::world::World;

/// A world's queues.
pub struct Queues {
    channel: Channel,
    topology: Topology,
    _connection: Connection,
}

impl Queues {
    /// Connects to the world's broker.
    pub async fn of(world: &World) -> Self {
        let connection = Connection::connect(&world.amqp_url, ConnectionProperties::default()).await;
        let connection = connection.expect("the broker answers");
        let channel = connection.create_channel().await.expect("a channel");
        channel.confirm_select(ConfirmSelectOptions::default()).await.expect("confirms");
        Self { channel, topology: Topology::new(&world.prefix), _connection: connection }
    }

    /// As [`Self::of`], once somebody has declared the queues of a broker that lost them.
    pub async fn declared_again(world: &World) -> Self {
        eventually("the queues are declared again", async || {
            let queues = Self::of(world).await;
            for queue in Queue::ALL {
                let name = queues.topology.queue(queue).into();
                let passive = QueueDeclareOptions::durable().passive();
                queues.channel.queue_declare(name, passive, FieldTable::default()).await.ok()?;
            }
            Some(queues)
        })
        .await
    }

    /// How many jobs wait.
    pub async fn depth(&self, queue: Queue) -> u32 {
        let declare = self.channel.queue_declare(
            self.topology.queue(queue).into(),
            QueueDeclareOptions::durable().passive(),
            FieldTable::default(),
        );
        declare.await.expect("the queue exists").message_count()
    }

    /// Puts a job into a queue, as the product does.
    pub async fn publish(&self, queue: Queue, body: &[u8]) {
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let (exchange, key) = (self.topology.exchange().into(), queue.key().into());
        let properties = BasicProperties::default().with_delivery_mode(2);
        let confirm = self.channel.basic_publish(exchange, key, options, body, properties).await;
        let confirmation = confirm.expect("it is published").await.expect("it is confirmed");
        assert!(matches!(confirmation, Confirmation::Ack(None)), "it is in its queue");
    }

    /// Takes a job away for good.
    pub async fn take(&self, queue: Queue) -> Option<Vec<u8>> {
        let options = BasicGetOptions { no_ack: true };
        let got = self.channel.basic_get(self.topology.queue(queue).into(), options).await;
        got.expect("the queue exists").map(|got| got.delivery.data.to_vec())
    }

    /// Takes jobs away until they have carried `ids` different ids; gives them.
    pub async fn take_ids(&self, queue: Queue, ids: usize) -> Vec<Vec<u8>> {
        let mut jobs = Vec::new();
        let mut taken = HashSet::new();
        while taken.len() < ids {
            let job = eventually(&format!("{ids} ids came to {queue:?}, not {}", taken.len()), async || {
                self.take(queue).await
            })
            .await;
            taken.extend(job_ids(&job));
            jobs.push(job);
        }
        jobs
    }

    /// Deletes every queue and the exchange.
    pub async fn wipe(&self) {
        for queue in Queue::ALL {
            let name = self.topology.queue(queue).into();
            self.channel.queue_delete(name, QueueDeleteOptions::default()).await.expect("it can be deleted");
        }
        let exchange = self.topology.exchange().into();
        self.channel
            .exchange_delete(exchange, ExchangeDeleteOptions::default())
            .await
            .expect("it can be deleted");
    }
}

/// The ids a job carries.
pub fn job_ids(job: &[u8]) -> Vec<String> {
    let job: Value = serde_json::from_slice(job).expect("a job is JSON");
    let ids = job["ids"].as_array().expect("a list").iter();
    ids.map(|id| id.as_str().expect("a text").to_owned()).collect()
}
