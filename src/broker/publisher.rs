//! Publishing: persistent, mandatory, in confirm mode, and the confirm is looked at.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::{FutureExt, StreamExt};
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Confirmation, Connection, Event};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::connection::{ANSWER_TIMEOUT, BrokerError, open};
use super::topology::{Queue, Topology};
use crate::config::Hidden;
use crate::domain::job::{self, Kind};
use crate::runtime::retry::pauses;

const PERSISTENT: u8 = 2;

/// Why a job may not be in its queue.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// There is no connection at the moment.
    #[error("not connected to RabbitMQ")]
    Disconnected,
    /// No confirm in time.
    #[error("RabbitMQ did not confirm in time")]
    Timeout,
    /// The broker confirmed that it did not take the job.
    #[error("RabbitMQ refused the job")]
    Refused,
    /// No queue was there to take it.
    #[error("RabbitMQ had no queue for the job")]
    Unroutable,
    /// The connection broke.
    #[error("RabbitMQ: {0}")]
    Broker(#[from] lapin::Error),
}

/// Publishes jobs over one connection that is kept up in the background. Cloning shares it.
#[derive(Clone)]
pub struct Publisher {
    topology: Topology,
    channel: watch::Receiver<Option<Channel>>,
    broken: Arc<Notify>,
}

impl Publisher {
    /// Starts to connect. A broker that cannot be reached yet is tried again in the background; one whose queues
    /// are declared differently is an error now.
    ///
    /// # Errors
    /// [`BrokerError::Mismatch`].
    pub async fn start(
        url: &Hidden,
        topology: &Topology,
        stop: CancellationToken,
    ) -> Result<Self, BrokerError> {
        let first = match connect(url, topology).await {
            Err(error @ BrokerError::Mismatch(_)) => return Err(error),
            Err(error) => {
                warn!(%error, "RabbitMQ cannot be reached yet");
                None
            }
            Ok(connected) => Some(connected),
        };
        let (sender, receiver) = watch::channel(first.as_ref().map(|(_, channel)| channel.clone()));
        let broken = Arc::new(Notify::new());
        let keeper =
            Keeper { url: url.clone(), topology: topology.clone(), sender, broken: Arc::clone(&broken) };
        tokio::spawn(keeper.run(first.map(|(connection, _)| connection), stop));
        Ok(Self { topology: topology.clone(), channel: receiver, broken })
    }

    /// Puts a job into a queue; `Ok` only when the broker confirmed that it has it.
    ///
    /// # Errors
    /// [`PublishError`]; the caller's rows carry `due_at`, so a lost job is only late.
    pub async fn publish(&self, queue: Queue, body: &[u8]) -> Result<(), PublishError> {
        let channel = self.channel.borrow().clone().ok_or(PublishError::Disconnected)?;
        let outcome = tokio::time::timeout(ANSWER_TIMEOUT, self.confirmed(&channel, queue, body)).await;
        match outcome {
            Ok(Err(PublishError::Broker(error))) => {
                self.broken.notify_one();
                Err(PublishError::Broker(error))
            }
            Ok(outcome) => outcome,
            Err(_) => {
                self.broken.notify_one();
                Err(PublishError::Timeout)
            }
        }
    }

    /// Puts ids into a queue, in as few jobs as they fit. A failure is logged and counted: `due_at` brings the ids back.
    pub async fn publish_all<Id: Display>(&self, queue: Queue, kind: Kind, ids: &[Id]) {
        let jobs = job::encode(kind, ids);
        let published = join_all(jobs.iter().map(|body| self.publish(queue, body))).await;
        for error in published.into_iter().filter_map(Result::err) {
            metrics::counter!("gatepost_publish_failures_total", "queue" => queue.key()).increment(1);
            warn!(queue = queue.key(), %error, "not published; sweep will bring the ids back");
        }
    }

    async fn confirmed(&self, channel: &Channel, queue: Queue, body: &[u8]) -> Result<(), PublishError> {
        let confirm = channel
            .basic_publish(
                self.topology.exchange().into(),
                queue.key().into(),
                BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() },
                body,
                BasicProperties::default()
                    .with_delivery_mode(PERSISTENT)
                    .with_content_type("application/json".into()),
            )
            .await?;
        match confirm.await? {
            Confirmation::Ack(None) => Ok(()),
            Confirmation::Ack(Some(_)) => {
                // The queue is gone: declaring again on a new connection brings it back.
                self.broken.notify_one();
                Err(PublishError::Unroutable)
            }
            Confirmation::Nack(_) | Confirmation::NotRequested => Err(PublishError::Refused),
        }
    }

    /// How many jobs wait in a queue.
    ///
    /// # Errors
    /// [`PublishError`].
    pub async fn depth(&self, queue: Queue) -> Result<u32, PublishError> {
        let channel = self.channel.borrow().clone().ok_or(PublishError::Disconnected)?;
        let ask = channel.queue_declare(
            self.topology.queue(queue).into(),
            QueueDeclareOptions::durable().passive(),
            FieldTable::default(),
        );
        match tokio::time::timeout(ANSWER_TIMEOUT, ask).await {
            Ok(Ok(found)) => Ok(found.message_count()),
            Ok(Err(error)) => {
                // Also when the queue is gone: the channel is closed then.
                self.broken.notify_one();
                Err(error.into())
            }
            Err(_) => Err(PublishError::Timeout),
        }
    }

    /// Whether there is a connection: `None` if so, else what is wrong.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        let connected = self.channel.borrow().as_ref().is_some_and(|channel| channel.status().connected());
        (!connected).then(|| PublishError::Disconnected.to_string())
    }
}

async fn connect(url: &Hidden, topology: &Topology) -> Result<(Connection, Channel), BrokerError> {
    let (connection, channel) = open(url, "gatepost publisher", topology).await?;
    tokio::time::timeout(ANSWER_TIMEOUT, channel.confirm_select(ConfirmSelectOptions::default()))
        .await
        .map_err(|_| BrokerError::Timeout)??;
    Ok((connection, channel))
}

/// Keeps the connection up.
struct Keeper {
    url: Hidden,
    topology: Topology,
    sender: watch::Sender<Option<Channel>>,
    broken: Arc<Notify>,
}

impl Keeper {
    async fn run(self, mut connection: Option<Connection>, stop: CancellationToken) {
        loop {
            let current = match connection.take() {
                Some(current) => current,
                None => match self.reconnect(&stop).await {
                    Some(current) => current,
                    None => return,
                },
            };
            tokio::select! {
                () = stop.cancelled() => {
                    self.close(&current).await;
                    return;
                }
                () = wait_until_lost(&current) => warn!("the connection to RabbitMQ is lost"),
                () = self.broken.notified() => warn!("the channel to RabbitMQ is broken"),
            }
            self.sender.send_replace(None);
            self.close(&current).await;
        }
    }

    async fn reconnect(&self, stop: &CancellationToken) -> Option<Connection> {
        for pause in pauses(Duration::from_secs(2)) {
            let outcome = tokio::select! {
                () = stop.cancelled() => return None,
                outcome = connect(&self.url, &self.topology) => outcome,
            };
            match outcome {
                Ok((connection, channel)) => {
                    info!("connected to RabbitMQ");
                    // What was said of the channel before this one.
                    let _ = self.broken.notified().now_or_never();
                    self.sender.send_replace(Some(channel));
                    return Some(connection);
                }
                Err(error) => warn!(%error, "cannot connect to RabbitMQ"),
            }
            tokio::select! {
                () = stop.cancelled() => return None,
                () = tokio::time::sleep(pause) => {}
            }
        }
        None
    }

    async fn close(&self, connection: &Connection) {
        let close = connection.close(200, "OK".into());
        // It is of no use any more, whatever it answers.
        let _ = tokio::time::timeout(Duration::from_secs(1), close).await;
    }
}

/// Returns when the connection has failed.
pub(super) async fn wait_until_lost(connection: &Connection) {
    let mut events = Box::pin(connection.events_listener());
    // The failure may have come before the listener.
    while connection.status().connected() {
        match events.next().await {
            Some(Event::Error(_)) | None => return,
            Some(_) => {}
        }
    }
}
