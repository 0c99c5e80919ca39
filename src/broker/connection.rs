//! One connection attempt, bounded in time.

use std::time::Duration;

use lapin::{Channel, Connection, ConnectionProperties};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tracing::{info, warn};

use super::nodes::{Nodes, Route};
use super::topology::Topology;

/// The longest wait for an answer of the broker.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);
/// The longest wait for all of a connection's topology: on a cluster each new queue elects its leader first.
const TOPOLOGY_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest wait for the bindings. They are there but for the first time, and asking for one that is there takes a
/// lock on every node of the cluster: while one of them is silent, there is no answer.
const BINDING_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a connection that is given up may take to say good-bye.
const CLOSING_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a process waits at its start for a node that answers, before it goes on trying in the background.
const START_TIMEOUT: Duration = Duration::from_secs(8);

/// Why the broker did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// `AMQP_URL` is not understood.
    #[error(
        "AMQP_URL is not valid: expected amqp://user:password@host:port/vhost, or several of them with commas between"
    )]
    Url,
    /// One of several addresses is not understood.
    #[error(
        "AMQP_URL is not valid: address {number} of {count} is not amqp://user:password@host:port/vhost (a comma within one is written %2C)"
    )]
    UrlOf {
        /// Which one, counted from 1.
        number: usize,
        /// How many there are.
        count: usize,
    },
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

/// Connects to the node whose turn it is, opens a channel and declares the topology. Whatever fails, the next attempt
/// is at another node.
pub(super) async fn open(
    route: &mut Route,
    name: &str,
    topology: &Topology,
) -> Result<(Connection, Channel), BrokerError> {
    let opened = open_here(route, name, topology).await;
    match &opened {
        Ok(_) => info!(node = route.name(), connection = name, "connected to RabbitMQ"),
        Err(_) => route.advance(),
    }
    opened
}

async fn open_here(
    route: &mut Route,
    name: &str,
    topology: &Topology,
) -> Result<(Connection, Channel), BrokerError> {
    let connection = shake_hands(route, name).await?;
    let declare = async {
        let channel = connection.create_channel().await?;
        match topology.declare(&channel).await {
            Ok(()) => Ok(channel),
            Err(error) => Err(declared_differently(&error).unwrap_or(BrokerError::Broker(error))),
        }
    };
    let channel = timeout(TOPOLOGY_TIMEOUT, declare).await.map_err(|_| BrokerError::Timeout)??;
    let bind = async {
        let channel = connection.create_channel().await?;
        topology.bind(&channel).await?;
        // Left to be dropped it would still be closing when a short-lived connection ends, which lapin logs as an error.
        channel.close(200, "OK".into()).await
    };
    match timeout(BINDING_TIMEOUT, bind).await {
        Ok(bound) => bound?,
        // Were they missing, jobs would come back as unroutable, and be published again over another connection.
        Err(_) => {
            warn!(node = route.name(), "the bindings of RabbitMQ's queues could not be looked at in time");
        }
    }
    Ok((connection, channel))
}

/// The handshake. lapin begins it in a thread of its own that nobody can end before the node says something; so a node
/// that was silent the last time is asked for a sign of life first, lest every attempt leaves another thread behind.
async fn shake_hands(route: &mut Route, name: &str) -> Result<Connection, BrokerError> {
    if route.is_silent() && !timeout(ANSWER_TIMEOUT, lives(route)).await.unwrap_or(false) {
        return Err(BrokerError::Timeout);
    }
    let properties = ConnectionProperties::default().with_connection_name(name.into());
    let connecting = Connection::connect_uri(route.address().clone(), properties);
    let connected = timeout(ANSWER_TIMEOUT, connecting).await;
    route.set_silent(connected.is_err());
    Ok(connected.map_err(|_| BrokerError::Timeout)??)
}

/// Whether there is any answer to a protocol header. One that speaks TLS refuses it, and lives.
async fn lives(route: &Route) -> bool {
    let authority = &route.address().authority;
    let asked = async {
        let mut stream = TcpStream::connect((authority.host.as_str(), authority.port)).await?;
        stream.write_all(b"AMQP\x00\x00\x09\x01").await?;
        stream.read(&mut [0; 1]).await
    };
    asked.await.is_ok()
}

/// Connects to the first node that answers, for a process that starts; `Ok(None)` where none does in time.
///
/// # Errors
/// [`BrokerError::Mismatch`].
pub(super) async fn open_first(
    route: &mut Route,
    name: &str,
    topology: &Topology,
) -> Result<Option<(Connection, Channel)>, BrokerError> {
    let tries = async {
        for _ in 0..route.len() {
            match open(route, name, topology).await {
                Ok(opened) => return Ok(Some(opened)),
                Err(error @ BrokerError::Mismatch(_)) => return Err(error),
                Err(error) => warn!(%error, "RabbitMQ cannot be reached yet"),
            }
        }
        Ok(None)
    };
    timeout(START_TIMEOUT, tries).await.unwrap_or(Ok(None))
}

/// Declares the queues once, before a process relies on them. A broker that cannot be reached yet is no error: whoever
/// uses it keeps trying.
///
/// # Errors
/// [`BrokerError::Mismatch`].
pub async fn check(nodes: &Nodes, topology: &Topology) -> Result<(), BrokerError> {
    if let Some((connection, _)) = open_first(&mut nodes.route(), "gatepost check", topology).await? {
        close(connection).await;
    }
    Ok(())
}

/// Closes a connection. It is of no use any more, whatever it answers.
pub(super) async fn close(connection: Connection) {
    let _ = timeout(CLOSING_TIMEOUT, connection.close(200, "OK".into())).await;
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    use super::{BrokerError, Nodes, Topology, open};
    use crate::config::Hidden;

    /// Takes connections and says nothing; counts those that are open.
    async fn silent_node() -> (String, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("amqp://{}", listener.local_addr().unwrap());
        let open = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&open);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let counted = Arc::clone(&counted);
                counted.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(async move {
                    while stream.read(&mut [0; 64]).await.is_ok_and(|count| count > 0) {}
                    counted.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        (url, open)
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_node_is_given_up_in_time_and_leaves_one_attempt_behind() {
        let (url, still_open) = silent_node().await;
        let mut route = Nodes::parse(&Hidden(url)).unwrap().route();
        let began = tokio::time::Instant::now();
        for _ in 0..5 {
            let opened = open(&mut route, "test", &Topology::new("")).await;
            assert!(matches!(opened, Err(BrokerError::Timeout)));
        }
        assert!(began.elapsed() <= 5 * super::ANSWER_TIMEOUT + std::time::Duration::from_millis(100));
        assert!(
            still_open.load(Ordering::SeqCst) <= 2,
            "the handshake, and a sign of life that is being closed"
        );
    }
}
