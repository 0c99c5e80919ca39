//! RabbitMQ: the fast path. The only room that names lapin. Losing everything in here loses time, never a message.

mod connection;
mod consumer;
mod publisher;
mod topology;

pub use connection::{BrokerError, check, check_url};
pub use consumer::{Consumer, Job};
pub use publisher::{PublishError, Publisher};
pub use topology::{Queue, Topology};
