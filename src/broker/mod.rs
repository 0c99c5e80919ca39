//! RabbitMQ: the fast path. The only room that names lapin. Losing everything in here loses time, never a message.

mod connection;
mod consumer;
mod metrics;
mod nodes;
mod publisher;
mod topology;

pub use connection::{BrokerError, check};
pub use consumer::{Consumer, Job};
pub use metrics::METRICS;
pub use nodes::Nodes;
pub use publisher::{PublishError, Publisher};
pub use topology::{Queue, Topology};
