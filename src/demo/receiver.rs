//! The customer's webhook receiver.

use std::net::{Ipv4Addr, SocketAddr};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

/// More than a demo causes; when nobody reads them any more, the sender tries again later.
const CAPACITY: usize = 1_000;

/// A webhook as it arrived; a header that is missing is empty.
#[derive(Debug)]
pub struct Webhook {
    /// `webhook-id`.
    pub id: String,
    /// `webhook-timestamp`, in seconds since 1970.
    pub timestamp: String,
    /// `webhook-signature`.
    pub signature: String,
    /// The bytes that are signed.
    pub body: Bytes,
}

/// Listens on loopback until it is dropped.
pub struct Receiver {
    address: SocketAddr,
    webhooks: mpsc::Receiver<Webhook>,
    server: AbortHandle,
}

impl Receiver {
    /// Starts to listen.
    pub async fn start() -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (sender, webhooks) = mpsc::channel(CAPACITY);
        let router = Router::new().route("/webhooks", post(take)).with_state(sender);
        // Serving ends with the task alone.
        let server = tokio::spawn(async move { axum::serve(listener, router).await }).abort_handle();
        Ok(Self { address, webhooks, server })
    }

    /// Where webhooks are to be posted.
    pub fn url(&self) -> String {
        format!("http://{}/webhooks", self.address)
    }

    /// The next webhook; `None` when the server has ended.
    pub async fn next(&mut self) -> Option<Webhook> {
        self.webhooks.recv().await
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn take(State(sender): State<mpsc::Sender<Webhook>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let header = |name| {
        let value = headers.get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default().to_owned()
    };
    let webhook = Webhook {
        id: header("webhook-id"),
        timestamp: header("webhook-timestamp"),
        signature: header("webhook-signature"),
        body,
    };
    match sender.try_send(webhook) {
        Ok(()) => StatusCode::NO_CONTENT,
        Err(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}
