//! Queues and their names, declared by every process at start.

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, LongString, ShortString};
use lapin::{Channel, ExchangeKind};

use crate::domain::purpose::Lane;

/// How often the broker may hand out a job again before it is parked.
const DELIVERY_LIMIT: i64 = 20;
/// Most jobs in a queue. Beyond it the broker refuses, and `due_at` brings the ids back later.
const MAX_LENGTH: i64 = 200_000;

/// A queue of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Queue {
    /// One-time codes to deliver.
    DeliverPriority,
    /// Everything else to deliver.
    DeliverStandard,
    /// Webhooks to send.
    Notify,
    /// Jobs nobody could work on.
    Parked,
}

/// The names of exchange and queues under one prefix.
#[derive(Clone, Debug)]
pub struct Topology {
    prefix: String,
}

impl Queue {
    /// Every queue.
    pub const ALL: [Self; 4] = [Self::DeliverPriority, Self::DeliverStandard, Self::Notify, Self::Parked];

    /// The queue a lane's messages wait in.
    #[must_use]
    pub fn of(lane: Lane) -> Self {
        match lane {
            Lane::Priority => Self::DeliverPriority,
            Lane::Standard => Self::DeliverStandard,
        }
    }

    /// The name without prefix, which is also the routing key.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::DeliverPriority => "deliver.priority",
            Self::DeliverStandard => "deliver.standard",
            Self::Notify => "notify",
            Self::Parked => "parked",
        }
    }
}

impl Topology {
    /// The topology whose names begin with `prefix`.
    #[must_use]
    pub fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    /// The name of a queue.
    #[must_use]
    pub fn queue(&self, queue: Queue) -> String {
        format!("{}{}", self.prefix, queue.key())
    }

    /// The name of the one exchange.
    #[must_use]
    pub fn exchange(&self) -> String {
        format!("{}jobs", self.prefix)
    }

    /// Declares exchange and queues; doing it again changes nothing. Without `x-quorum-initial-group-size` a quorum queue
    /// gets as many replicas as the broker is set to, three by default, or as there are nodes where they are fewer.
    pub(super) async fn declare(&self, channel: &Channel) -> Result<(), lapin::Error> {
        let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        let exchange = ShortString::from(self.exchange());
        channel.exchange_declare(exchange, ExchangeKind::Direct, durable, FieldTable::default()).await?;
        for queue in Queue::ALL {
            let name = ShortString::from(self.queue(queue));
            channel.queue_declare(name, QueueDeclareOptions::durable(), self.arguments(queue)).await?;
        }
        Ok(())
    }

    /// Binds the queues; doing it again changes nothing.
    pub(super) async fn bind(&self, channel: &Channel) -> Result<(), lapin::Error> {
        for queue in Queue::ALL {
            let (name, exchange) = (self.queue(queue).into(), self.exchange().into());
            let options = QueueBindOptions::default();
            channel.queue_bind(name, exchange, queue.key().into(), options, FieldTable::default()).await?;
        }
        Ok(())
    }

    fn arguments(&self, queue: Queue) -> FieldTable {
        let mut arguments = FieldTable::default();
        let text = |value: &str| AMQPValue::LongString(LongString::from(value.as_bytes()));
        arguments.insert("x-queue-type".into(), text("quorum"));
        if queue != Queue::Parked {
            arguments.insert("x-delivery-limit".into(), AMQPValue::LongLongInt(DELIVERY_LIMIT));
            arguments.insert("x-dead-letter-exchange".into(), text(&self.exchange()));
            arguments.insert("x-dead-letter-routing-key".into(), text(Queue::Parked.key()));
            arguments.insert("x-max-length".into(), AMQPValue::LongLongInt(MAX_LENGTH));
            arguments.insert("x-overflow".into(), text("reject-publish"));
        }
        arguments
    }
}
