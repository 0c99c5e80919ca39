//! A customer's webhook endpoint that only counts: a real server, which does as little as one can.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::routing::post;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

/// The endpoint; it stops when dropped.
pub struct Receiver {
    received: Arc<AtomicU64>,
    pub url: String,
    _stop: DropGuard,
}

impl Receiver {
    /// Listens on a port of its own and answers 204.
    pub async fn start() -> Self {
        let received = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&received);
        let receive = move |_: Bytes| async move {
            counter.fetch_add(1, Ordering::Relaxed);
            StatusCode::NO_CONTENT
        };
        let router = Router::new().route("/hooks", post(receive));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let url = format!("http://{}/hooks", listener.local_addr().expect("it listens"));
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        tokio::spawn(async move {
            axum::serve(listener, router).with_graceful_shutdown(stopped).await.expect("it serves");
        });
        Self { received, url, _stop: stop.drop_guard() }
    }

    /// How many webhooks came.
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }
}
