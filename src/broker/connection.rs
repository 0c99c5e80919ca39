//! One connection attempt, bounded in time.

use std::time::Duration;

use lapin::uri::AMQPUri;
use lapin::{Channel, Connection, ConnectionProperties};
use tracing::warn;

use super::topology::Topology;
use crate::config::Hidden;

/// The longest wait for any answer of the broker.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Why the broker did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// `AMQP_URL` is not understood.
    #[error("AMQP_URL is not valid: expected amqp://user:password@host/vhost")]
    Url,
    /// No answer in time.
    #[error("RabbitMQ did not answer in time")]
    Timeout,
    /// The broker's queues are not as this build declares them.
    #[error(
        "RabbitMQ's queues with this GATEPOST_QUEUE_PREFIX were declared differently ({0}): remove them, or choose another prefix"
    )]
    Mismatch(String),
    /// The broker refused, or the connection broke.
    #[error("RabbitMQ: {0}")]
    Broker(#[from] lapin::Error),
}

/// Checks the form of a broker's address, without connecting.
///
/// # Errors
/// [`BrokerError::Url`]. It does not quote the address, which holds a password.
pub fn check_url(url: &Hidden) -> Result<(), BrokerError> {
    url.0.parse::<AMQPUri>().map(drop).map_err(|_| BrokerError::Url)
}

/// Connects, opens a channel and declares the topology.
pub(super) async fn open(
    url: &Hidden,
    name: &str,
    topology: &Topology,
) -> Result<(Connection, Channel), BrokerError> {
    let properties = ConnectionProperties::default().with_connection_name(name.into());
    let work = async {
        let connection = Connection::connect(&url.0, properties).await?;
        let channel = connection.create_channel().await?;
        if let Err(error) = topology.declare(&channel).await {
            return Err(declared_differently(&error).unwrap_or(BrokerError::Broker(error)));
        }
        Ok((connection, channel))
    };
    tokio::time::timeout(ANSWER_TIMEOUT, work).await.unwrap_or(Err(BrokerError::Timeout))
}

/// Declares the queues once, before a process relies on them. A broker that cannot be reached yet is no error: whoever
/// uses it keeps trying.
///
/// # Errors
/// [`BrokerError::Mismatch`].
pub async fn check(url: &Hidden, topology: &Topology) -> Result<(), BrokerError> {
    match open(url, "gatepost check", topology).await {
        Ok((connection, _)) => {
            // It is of no use any more, whatever it answers.
            let _ = tokio::time::timeout(ANSWER_TIMEOUT, connection.close(200, "OK".into())).await;
            Ok(())
        }
        Err(error @ BrokerError::Mismatch(_)) => Err(error),
        Err(error) => {
            warn!(%error, "RabbitMQ cannot be reached yet");
            Ok(())
        }
    }
}

fn declared_differently(error: &lapin::Error) -> Option<BrokerError> {
    const PRECONDITION_FAILED: u16 = 406;
    match error.kind() {
        lapin::ErrorKind::ProtocolError(refused) if refused.get_id() == PRECONDITION_FAILED => {
            Some(BrokerError::Mismatch(refused.get_message().to_string()))
        }
        _ => None,
    }
}
