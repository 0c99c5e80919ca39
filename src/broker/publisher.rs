//! Publishing: persistent, mandatory, in confirm mode, and the confirm is looked at.

use std::fmt::Display;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::join_all;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Confirmation, Connection, Event};
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::connection::{ANSWER_TIMEOUT, BrokerError, close, open, open_first};
use super::metrics;
use super::nodes::{Nodes, Route};
use super::topology::{Queue, Topology};
use crate::domain::job::{self, Kind};
use crate::runtime::retry::pauses;

const PERSISTENT: u8 = 2;
/// The longest pause before a job is published again.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// The longest wait for a job's confirm, however often it is published.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(6);
/// The connection's name, as RabbitMQ lists it.
const NAME: &str = "gatepost publisher";

/// Why a job may not be in its queue.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// No node is to be reached.
    #[error("not connected to RabbitMQ")]
    Away,
    /// The connection was lost a moment ago.
    #[error("the connection to RabbitMQ was lost")]
    Lost,
    /// No confirm in time.
    #[error("RabbitMQ did not confirm in time")]
    Timeout,
    /// The broker confirmed that it did not take the job: the queue is full, or has no leader at the moment.
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
    line: watch::Receiver<Line>,
}

/// How the broker is reached at the moment.
#[derive(Clone)]
enum Line {
    /// Over this.
    Up(Link),
    /// It was a moment ago, and other nodes are being tried.
    Lost,
    /// No node is to be reached.
    Away,
}

#[derive(Clone)]
struct Link {
    channel: Channel,
    /// Cancelled when it is of no use any more.
    broken: CancellationToken,
}

impl Publisher {
    /// Starts to connect. A broker that cannot be reached yet is tried again in the background; one whose queues
    /// are declared differently is an error now.
    ///
    /// # Errors
    /// [`BrokerError::Mismatch`].
    pub async fn start(
        nodes: &Nodes,
        topology: &Topology,
        stop: CancellationToken,
    ) -> Result<Self, BrokerError> {
        let mut route = nodes.route();
        let first = match open_first(&mut route, NAME, topology).await? {
            Some((connection, channel)) => confirming(connection, channel).await.ok(),
            None => None,
        };
        let line = first.as_ref().map_or(Line::Away, |(_, link)| Line::Up(link.clone()));
        let (sender, receiver) = watch::channel(line);
        let keeper = Keeper { route, topology: topology.clone(), sender, stop };
        tokio::spawn(keeper.run(first));
        Ok(Self { topology: topology.clone(), line: receiver })
    }

    /// Puts a job into a queue; `Ok` only when the broker confirmed that it has it. Where the connection broke, no
    /// confirm came in time, or the queue has no leader at the moment, it is published again, over the next connection
    /// if there is one: twice is harmless, since ids are claimed once.
    ///
    /// # Errors
    /// [`PublishError`]; the caller's rows carry `due_at`, so a lost job is only late.
    pub async fn publish(&self, queue: Queue, body: &[u8]) -> Result<(), PublishError> {
        let began = Instant::now();
        let deadline = began + PUBLISH_TIMEOUT;
        let mut pauses = pauses(LONGEST_PAUSE);
        loop {
            let error = match timeout_at(deadline, self.publish_once(queue, body)).await {
                Ok(Err(error)) if !matches!(error, PublishError::Away) => error,
                outcome => {
                    let outcome = outcome.unwrap_or(Err(PublishError::Timeout));
                    return outcome.inspect(|()| metrics::confirmed(queue, began.elapsed()));
                }
            };
            match pauses.next() {
                Some(pause) if Instant::now() + pause < deadline => {
                    debug!(queue = queue.key(), %error, "publishing again");
                    metrics::repeated(queue);
                    tokio::time::sleep(pause).await;
                }
                _ => return Err(error),
            }
        }
    }

    async fn publish_once(&self, queue: Queue, body: &[u8]) -> Result<(), PublishError> {
        let link = self.link().await?;
        let outcome = tokio::select! {
            outcome = timeout(ANSWER_TIMEOUT, self.confirmed(&link.channel, queue, body)) => outcome,
            () = link.broken.cancelled() => return Err(PublishError::Lost),
        };
        let outcome = outcome.unwrap_or(Err(PublishError::Timeout));
        if outcome.as_ref().is_err_and(|error| !matches!(error, PublishError::Refused)) {
            link.broken.cancel();
        }
        outcome
    }

    /// The link to publish over; where it was lost a moment ago, the next one.
    async fn link(&self) -> Result<Link, PublishError> {
        let mut line = self.line.clone();
        let usable = |line: &Line| match line {
            Line::Up(link) => !link.broken.is_cancelled(),
            Line::Lost => false,
            Line::Away => true,
        };
        match timeout(ANSWER_TIMEOUT, line.wait_for(usable)).await {
            Ok(Ok(line)) => match &*line {
                Line::Up(link) => Ok(link.clone()),
                Line::Lost | Line::Away => Err(PublishError::Away),
            },
            _ => Err(PublishError::Lost),
        }
    }

    /// Puts ids into a queue, in as few jobs as they fit. A failure is logged and counted: `due_at` brings the ids back.
    pub async fn publish_all<Id: Display>(&self, queue: Queue, kind: Kind, ids: &[Id]) {
        let jobs = job::encode(kind, ids);
        let published = join_all(jobs.iter().map(|body| self.publish(queue, body))).await;
        for error in published.into_iter().filter_map(Result::err) {
            metrics::failed(queue);
            warn!(queue = queue.key(), %error, "not published; their rows say when they are due");
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
            // The queue is gone: declaring again on a new connection brings it back.
            Confirmation::Ack(Some(_)) => Err(PublishError::Unroutable),
            Confirmation::Nack(_) | Confirmation::NotRequested => Err(PublishError::Refused),
        }
    }

    /// How many jobs wait in a queue.
    ///
    /// # Errors
    /// [`PublishError`].
    pub async fn depth(&self, queue: Queue) -> Result<u32, PublishError> {
        let link = self.link().await?;
        let ask = link.channel.queue_declare(
            self.topology.queue(queue).into(),
            QueueDeclareOptions::durable().passive(),
            FieldTable::default(),
        );
        let outcome = match timeout(ANSWER_TIMEOUT, ask).await {
            Ok(Ok(found)) => return Ok(found.message_count()),
            Ok(Err(error)) => Err(error.into()),
            Err(_) => Err(PublishError::Timeout),
        };
        // Also when the queue is gone: the channel is closed then.
        link.broken.cancel();
        outcome
    }

    /// Whether there is a connection: `None` if so, else what is wrong.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        let connected = match &*self.line.borrow() {
            Line::Up(link) => link.channel.status().connected(),
            Line::Lost | Line::Away => false,
        };
        (!connected).then(|| PublishError::Away.to_string())
    }
}

/// Asks for confirms.
async fn confirming(connection: Connection, channel: Channel) -> Result<(Connection, Link), BrokerError> {
    timeout(ANSWER_TIMEOUT, channel.confirm_select(ConfirmSelectOptions::default()))
        .await
        .map_err(|_| BrokerError::Timeout)??;
    Ok((connection, Link { channel, broken: CancellationToken::new() }))
}

/// Keeps the connection up.
struct Keeper {
    route: Route,
    topology: Topology,
    sender: watch::Sender<Line>,
    stop: CancellationToken,
}

impl Keeper {
    async fn run(mut self, mut first: Option<(Connection, Link)>) {
        loop {
            let (connection, link) = match first.take() {
                Some(current) => current,
                None => match self.reconnect().await {
                    Some(current) => current,
                    None => return,
                },
            };
            tokio::select! {
                () = self.stop.cancelled() => return close(connection).await,
                () = wait_until_lost(&connection) => warn!("the connection to RabbitMQ is lost"),
                () = link.broken.cancelled() => warn!("the channel to RabbitMQ is broken"),
            }
            self.sender.send_replace(Line::Lost);
            link.broken.cancel();
            // It may not even answer a good-bye; nobody waits for that.
            tokio::spawn(close(connection));
            self.route.advance();
        }
    }

    /// Tries one node after the other, with growing pauses that differ from process to process.
    async fn reconnect(&mut self) -> Option<(Connection, Link)> {
        for (failures, pause) in pauses(Duration::from_secs(2)).enumerate() {
            if failures == self.route.len() {
                self.sender.send_replace(Line::Away);
            }
            let connecting = async {
                tokio::time::sleep(pause).await;
                let (connection, channel) = open(&mut self.route, NAME, &self.topology).await?;
                confirming(connection, channel).await
            };
            let outcome = tokio::select! {
                () = self.stop.cancelled() => return None,
                outcome = connecting => outcome,
            };
            match outcome {
                Ok((connection, link)) => {
                    self.sender.send_replace(Line::Up(link.clone()));
                    return Some((connection, link));
                }
                Err(error) => warn!(%error, "cannot connect to RabbitMQ"),
            }
        }
        None
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
