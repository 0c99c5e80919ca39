//! The floor behind HTTP: a server that answers 202 once the row is durable, commits together whatever queued up during the
//! last commit, and checks nothing. It shows what HTTP, the load and waiting for each other cost by themselves.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use gatepost::broker::Publisher;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

use crate::floor::{BATCH, PUBLISHING, publish, wait_until_published};
use crate::letters::{phone, texts};
use crate::sql::{BareInsert, Batch};

/// Requests that may wait for a commit.
const WAITING: usize = 4_096;

/// The server.
pub struct BareServer {
    pub address: SocketAddr,
    stop: DropGuard,
    committing: JoinHandle<()>,
}

impl BareServer {
    /// Listens on a port of its own.
    pub async fn start(insert: BareInsert, publisher: Publisher) -> Self {
        let (requests, waiting) = mpsc::channel(WAITING);
        let committing = tokio::spawn(commit(insert, publisher, waiting));
        let router = Router::new().route("/api/send-message", post(accept)).with_state(requests);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("it listens");
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        tokio::spawn(async move {
            axum::serve(listener, router).with_graceful_shutdown(stopped).await.expect("it serves");
        });
        Self { address, stop: stop.drop_guard(), committing }
    }

    /// Ends it, once everything is published.
    pub async fn end(self) {
        drop(self.stop);
        self.committing.await.expect("committing does not panic");
    }
}

/// The body is read and not looked at: what is written has the bytes that a send has.
async fn accept(State(requests): State<mpsc::Sender<oneshot::Sender<()>>>, _: Bytes) -> StatusCode {
    let (caller, committed) = oneshot::channel();
    let handed_in = requests.send(caller).await.is_ok() && committed.await.is_ok();
    if handed_in { StatusCode::ACCEPTED } else { StatusCode::INTERNAL_SERVER_ERROR }
}

async fn commit(insert: BareInsert, publisher: Publisher, mut waiting: mpsc::Receiver<oneshot::Sender<()>>) {
    let publishing = Arc::new(Semaphore::new(PUBLISHING));
    let bodies: Vec<String> = texts().take(BATCH).collect();
    let mut callers = Vec::with_capacity(BATCH);
    while waiting.recv_many(&mut callers, BATCH).await > 0 {
        let mut batch = Batch::default();
        for (n, body) in bodies.iter().take(callers.len()).enumerate() {
            let id = Uuid::now_v7();
            batch.accounts.push(1);
            batch.ids.push(id);
            batch.recipients.push(phone(n as u64));
            batch.bodies.push(body.clone());
            batch.requests.push(id.to_string());
        }
        insert.commit(&batch).await;
        for caller in callers.drain(..) {
            // A load that has ended asks no more.
            let _ = caller.send(());
        }
        publish(&publisher, &publishing, &batch).await;
    }
    wait_until_published(&publishing).await;
}
