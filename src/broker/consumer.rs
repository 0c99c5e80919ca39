//! Consuming: jobs arrive on a channel of ours, and are acknowledged when their work is recorded.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use lapin::Acker;
use lapin::Connection;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions};
use lapin::types::FieldTable;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::connection::{ANSWER_TIMEOUT, BrokerError, open};
use super::publisher::wait_until_lost;
use super::topology::{Queue, Topology};
use crate::config::Hidden;
use crate::runtime::retry::pauses;

/// A job handed out by the broker. Unless it is acknowledged or parked, it comes again.
pub struct Job {
    /// What was published.
    pub body: Vec<u8>,
    acker: Acker,
}

impl Job {
    /// Tells the broker that the work is done and recorded.
    pub async fn ack(self) {
        // On a lost connection the job comes again, and its ids are no longer claimable: no harm.
        let _ = tokio::time::timeout(ANSWER_TIMEOUT, self.acker.ack(BasicAckOptions::default())).await;
    }

    /// Puts a job nobody can work on aside, into the `parked` queue.
    pub async fn park(self) {
        let aside = BasicNackOptions { requeue: false, ..BasicNackOptions::default() };
        let _ = tokio::time::timeout(ANSWER_TIMEOUT, self.acker.nack(aside)).await;
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
    url: Hidden,
    topology: Topology,
    queue: Queue,
    prefetch: u16,
    stop: CancellationToken,
    done: CancellationToken,
    health: Health,
}

impl Consumer {
    /// Starts to consume until `stop`; at most `prefetch` jobs are unacknowledged at a time.
    #[must_use]
    pub fn start(
        url: &Hidden,
        topology: &Topology,
        queue: Queue,
        prefetch: u16,
        stop: CancellationToken,
    ) -> Self {
        let (sender, jobs) = mpsc::channel(usize::from(prefetch));
        let done = CancellationToken::new();
        let health = Health::default();
        let source = Source {
            url: url.clone(),
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
        let _ = tokio::time::timeout(Duration::from_secs(2), self.task).await;
    }
}

impl Source {
    async fn run(self, jobs: mpsc::Sender<Job>) {
        let mut jobs = Some(jobs);
        let mut waits = pauses(Duration::from_secs(2));
        while !self.stop.is_cancelled() {
            let Some(sender) = jobs.as_ref() else { return };
            match self.open().await {
                Ok((connection, consumer)) => {
                    info!(queue = self.queue.key(), "consuming");
                    waits = pauses(Duration::from_secs(2));
                    self.health.0.store(true, Ordering::Relaxed);
                    self.pump(&connection, consumer, sender).await;
                    self.health.0.store(false, Ordering::Relaxed);
                    if self.stop.is_cancelled() {
                        // No more jobs; the connection stays for the acknowledgements still to come.
                        jobs = None;
                        self.done.cancelled().await;
                    }
                    let close = connection.close(200, "OK".into());
                    let _ = tokio::time::timeout(Duration::from_secs(1), close).await;
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

    async fn open(&self) -> Result<(Arc<Connection>, lapin::Consumer), BrokerError> {
        let (connection, channel) = open(&self.url, "gatepost consumer", &self.topology).await?;
        let consume = async {
            channel.basic_qos(self.prefetch, BasicQosOptions::default()).await?;
            channel
                .basic_consume(
                    self.topology.queue(self.queue).into(),
                    "".into(),
                    BasicConsumeOptions::default(),
                    FieldTable::default(),
                )
                .await
        };
        let consumer =
            tokio::time::timeout(ANSWER_TIMEOUT, consume).await.map_err(|_| BrokerError::Timeout)??;
        Ok((Arc::new(connection), consumer))
    }

    /// Passes jobs on until the connection is lost or the process stops.
    async fn pump(&self, connection: &Connection, mut consumer: lapin::Consumer, jobs: &mpsc::Sender<Job>) {
        let lost = wait_until_lost(connection);
        tokio::pin!(lost);
        loop {
            let delivery = tokio::select! {
                () = self.stop.cancelled() => return,
                () = &mut lost => return,
                delivery = consumer.next() => delivery,
            };
            match delivery {
                Some(Ok(delivery)) => {
                    let job = Job { body: delivery.data.to_vec(), acker: delivery.acker };
                    if jobs.send(job).await.is_err() {
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
}
