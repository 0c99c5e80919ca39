//! Consuming: jobs arrive on a channel of ours, and are acknowledged when whoever took them is done with them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions, QueueDeclareOptions,
};
use lapin::types::FieldTable;
use lapin::{Acker, Channel, Connection};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::connection::{ANSWER_TIMEOUT, BrokerError, close, open};
use super::nodes::{Nodes, Route};
use super::publisher::wait_until_lost;
use super::topology::{Queue, Topology};
use crate::runtime::retry::pauses;

/// The longest wait to be a consumer, on a node that has just answered otherwise: it waits itself until the queue has a
/// leader again, and another node could do no better.
const CONSUME_TIMEOUT: Duration = Duration::from_secs(4);
/// How often a consumer makes sure that its queue knows of it.
const WATCH_PAUSE: Duration = Duration::from_secs(1);
/// How many times in a row the queue may know of no consumer: while it elects a leader it knows of none.
const FORGOTTEN: u32 = 3;

/// A job handed out by the broker. Unless it is acknowledged or parked, it comes again.
pub struct Job {
    /// What was published.
    pub body: Vec<u8>,
    acker: Acker,
}

impl Job {
    /// Tells the broker that the job is done with.
    pub async fn ack(self) {
        // On a lost connection the job comes again, and its ids are claimed once: no harm.
        let _ = timeout(ANSWER_TIMEOUT, self.acker.ack(BasicAckOptions::default())).await;
    }

    /// Puts a job nobody can work on aside, into the `parked` queue.
    pub async fn park(self) {
        let aside = BasicNackOptions { requeue: false, ..BasicNackOptions::default() };
        let _ = timeout(ANSWER_TIMEOUT, self.acker.nack(aside)).await;
    }
}

/// Consumes one queue over a connection of its own, kept up in the background.
pub struct Consumer {
    jobs: mpsc::Receiver<Job>,
    task: JoinHandle<()>,
    done: CancellationToken,
    health: Health,
}

/// Whether a consumer is connected; cloning shares it.
#[derive(Clone, Default)]
pub struct Health(Arc<AtomicBool>);

impl Health {
    /// `None` if it is connected, else what is wrong.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        (!self.0.load(Ordering::Relaxed)).then(|| "not connected to RabbitMQ".to_owned())
    }
}

struct Source {
    nodes: Nodes,
    topology: Topology,
    queue: Queue,
    prefetch: u16,
    stop: CancellationToken,
    done: CancellationToken,
    health: Health,
}

/// A connection that consumes.
struct Opened {
    connection: Connection,
    consumer: lapin::Consumer,
    /// Another channel, to ask about the queue.
    watch: Channel,
}

impl Consumer {
    /// Starts to consume until `stop`; at most `prefetch` jobs are unacknowledged at a time.
    #[must_use]
    pub fn start(
        nodes: &Nodes,
        topology: &Topology,
        queue: Queue,
        prefetch: u16,
        stop: CancellationToken,
    ) -> Self {
        let (sender, jobs) = mpsc::channel(usize::from(prefetch));
        let done = CancellationToken::new();
        let health = Health::default();
        let source = Source {
            nodes: nodes.clone(),
            topology: topology.clone(),
            queue,
            prefetch,
            stop,
            done: done.clone(),
            health: health.clone(),
        };
        Self { jobs, task: tokio::spawn(source.run(sender)), done, health }
    }

    /// Tells whether it is connected, for the process's health.
    #[must_use]
    pub fn health(&self) -> Health {
        self.health.clone()
    }

    /// The next job; `None` after `stop`.
    pub async fn next(&mut self) -> Option<Job> {
        self.jobs.recv().await
    }

    /// A job that is there already.
    pub fn try_next(&mut self) -> Option<Job> {
        self.jobs.try_recv().ok()
    }

    /// Closes the connection when every job taken is acknowledged; the others go back to the queue.
    pub async fn close(self) {
        self.done.cancel();
        let _ = timeout(Duration::from_secs(2), self.task).await;
    }
}

impl Source {
    async fn run(self, jobs: mpsc::Sender<Job>) {
        let mut jobs = Some(jobs);
        let mut route = self.nodes.route();
        let mut waits = pauses(Duration::from_secs(2));
        while !self.stop.is_cancelled() {
            let Some(sender) = jobs.as_ref() else { return };
            match self.open(&mut route).await {
                Ok(opened) => {
                    info!(queue = self.queue.key(), node = route.name(), "consuming");
                    waits = pauses(Duration::from_secs(2));
                    self.health.0.store(true, Ordering::Relaxed);
                    self.pump(&opened.connection, &opened.watch, opened.consumer, sender).await;
                    self.health.0.store(false, Ordering::Relaxed);
                    if self.stop.is_cancelled() {
                        // No more jobs; the connection stays for the acknowledgements still to come.
                        jobs = None;
                        self.done.cancelled().await;
                        close(opened.connection).await;
                    } else {
                        // It may not even answer a good-bye; nobody waits for that.
                        tokio::spawn(close(opened.connection));
                        route.advance();
                    }
                }
                Err(error) => warn!(queue = self.queue.key(), %error, "cannot consume"),
            }
            let Some(pause) = waits.next() else { return };
            tokio::select! {
                () = self.stop.cancelled() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    async fn open(&self, route: &mut Route) -> Result<Opened, BrokerError> {
        let (connection, channel) = open(route, "gatepost consumer", &self.topology).await?;
        let consume = async {
            channel.basic_qos(self.prefetch, BasicQosOptions::default()).await?;
            let (queue, options) = (self.topology.queue(self.queue), BasicConsumeOptions::default());
            let consumer =
                channel.basic_consume(queue.into(), "".into(), options, FieldTable::default()).await?;
            Ok::<_, lapin::Error>((consumer, connection.create_channel().await?))
        };
        let consuming = timeout(CONSUME_TIMEOUT, consume).await.map_err(|_| BrokerError::Timeout);
        match consuming.and_then(|consuming| Ok(consuming?)) {
            Ok((consumer, watch)) => Ok(Opened { connection, consumer, watch }),
            Err(error) => {
                route.advance();
                Err(error)
            }
        }
    }

    /// Passes jobs on until the connection is lost, the queue has forgotten us, or the process stops.
    async fn pump(
        &self,
        connection: &Connection,
        watch: &Channel,
        mut consumer: lapin::Consumer,
        jobs: &mpsc::Sender<Job>,
    ) {
        let useless = async {
            tokio::select! {
                () = wait_until_lost(connection) => warn!(queue = self.queue.key(), "the connection to RabbitMQ is lost"),
                () = self.wait_until_forgotten(watch) => warn!(queue = self.queue.key(), "RabbitMQ's queue is out of this node's reach"),
            }
        };
        tokio::pin!(useless);
        loop {
            let delivery = tokio::select! {
                () = self.stop.cancelled() => return,
                () = &mut useless => return,
                delivery = consumer.next() => delivery,
            };
            match delivery {
                Some(Ok(delivery)) => {
                    let job = Job { body: delivery.data.to_vec(), acker: delivery.acker };
                    let sent = tokio::select! {
                        sent = jobs.send(job) => sent,
                        () = &mut useless => return,
                    };
                    if sent.is_err() {
                        return;
                    }
                }
                Some(Err(error)) => {
                    warn!(queue = self.queue.key(), %error, "consuming ended");
                    return;
                }
                // The broker cancelled the consumer: the queue was deleted, or its leader moved.
                None => return,
            }
        }
    }

    /// Returns when the queue has known of no consumer for a while, although we are one. A node that is cut off from the
    /// cluster keeps its clients' connections up and counts none then, because it cannot ask the queue's leader: no job
    /// will ever come from there.
    async fn wait_until_forgotten(&self, channel: &Channel) {
        let mut forgotten = 0;
        while forgotten < FORGOTTEN {
            tokio::time::sleep(WATCH_PAUSE).await;
            let queue = self.topology.queue(self.queue).into();
            let ask =
                channel.queue_declare(queue, QueueDeclareOptions::durable().passive(), FieldTable::default());
            match timeout(ANSWER_TIMEOUT, ask).await {
                Ok(Ok(found)) if found.consumer_count() > 0 => forgotten = 0,
                // No answer in time may be a busy node's, too.
                Ok(Ok(_)) | Err(_) => forgotten += 1,
                Ok(Err(_)) => return,
            }
        }
    }
}
