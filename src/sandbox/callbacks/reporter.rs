//! The workers that post callbacks, a fixed number of them.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, USER_AGENT};
use reqwest::{Client, Url};
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::envelope;
use super::outbox::Outbox;
use super::signature::signature;
use crate::runtime::clock::Clock;
use crate::sandbox::Settings;

/// How long a receiver may take to answer. Meta expects far less.
const POST_LIMIT: Duration = Duration::from_secs(5);

/// The wait before the first repetition; it doubles up to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_millis(100);

/// The longest wait between two attempts.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Posts what the outbox holds.
pub struct Reporter {
    /// Where to; `None` when nothing is reported.
    receiver: Option<Url>,
    client: Client,
    app_secret: String,
    attempts: u32,
    step: Duration,
    clock: Clock,
    outbox: Arc<Outbox>,
}

impl Reporter {
    /// Reads the callback address and builds the client. `InvalidInput` when the address is not `http`.
    pub fn new(settings: &Settings, outbox: Arc<Outbox>) -> io::Result<Self> {
        let receiver = settings.callback_url.as_deref().map(parse).transpose()?;
        Ok(Self {
            receiver,
            client: plain_client(POST_LIMIT)?,
            app_secret: settings.app_secret.clone(),
            attempts: settings.callback_attempts.max(1),
            step: settings.callback_delay,
            clock: settings.clock.clone(),
            outbox,
        })
    }

    /// Starts that many workers; they end when the outbox has been drained.
    pub fn start(self, workers: usize) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        let Some(receiver) = self.receiver.clone() else { return tasks };
        let reporter = Arc::new(self);
        for _ in 0..workers.max(1) {
            tasks.spawn(work(Arc::clone(&reporter), receiver.clone()));
        }
        tasks
    }

    /// Posts a body until it is answered 200, within the attempts.
    async fn post(&self, receiver: &Url, body: String) -> bool {
        let signature = signature(&self.app_secret, body.as_bytes());
        let body = Bytes::from(body);
        for attempt in 0..self.attempts {
            if attempt > 0 {
                sleep(wait_before(attempt)).await;
            }
            self.outbox.count_post();
            if self.post_once(receiver, &signature, body.clone()).await {
                return true;
            }
        }
        tracing::warn!(attempts = self.attempts, "sandbox: a callback was never answered 200");
        false
    }

    async fn post_once(&self, receiver: &Url, signature: &str, body: Bytes) -> bool {
        let request = self
            .client
            .post(receiver.clone())
            .header(CONTENT_TYPE, "application/json")
            .header(USER_AGENT, "facebookexternalua")
            .header("x-hub-signature-256", signature)
            .body(body);
        match request.send().await {
            Ok(response) => {
                let status = response.status();
                // Read to its end, so that the connection can be used again; what it says does not matter.
                let _ = response.bytes().await;
                status == StatusCode::OK
            }
            Err(error) => {
                tracing::debug!(error = %error.without_url(), "sandbox: a callback was not answered");
                false
            }
        }
    }
}

async fn work(reporter: Arc<Reporter>, receiver: Url) {
    while let Some(batch) = reporter.outbox.batch().await {
        let answered = match envelope::body(&batch, reporter.clock.now(), reporter.step) {
            Ok(body) => reporter.post(&receiver, body).await,
            Err(error) => {
                tracing::error!(%error, "sandbox: a callback could not be written");
                false
            }
        };
        reporter.outbox.settle(batch, answered, Instant::now());
    }
}

/// The wait before an attempt, counted from 0.
pub fn wait_before(attempt: u32) -> Duration {
    FIRST_WAIT.saturating_mul(2_u32.saturating_pow(attempt.saturating_sub(1))).min(LONGEST_WAIT)
}

/// Reads an address to report to. `InvalidInput` when it is not `http`.
pub fn parse(callback_url: &str) -> io::Result<Url> {
    let invalid = |reason: String| io::Error::new(io::ErrorKind::InvalidInput, reason);
    let url = Url::parse(callback_url).map_err(|error| invalid(format!("callback address: {error}")))?;
    if url.scheme() == "http" { Ok(url) } else { Err(invalid("callback address: must be http".into())) }
}

/// A client for plain HTTP; `limit` is for a whole call. Its TLS trusts nobody and is there because the client wants one: this way no root
/// certificates are looked for, and no process-wide crypto provider is needed.
pub fn plain_client(limit: Duration) -> io::Result<Client> {
    let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    Client::builder()
        .tls_backend_preconfigured(tls)
        .timeout(limit)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .build()
        .map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{parse, wait_before};

    #[test]
    fn the_waits_double_up_to_five_seconds() {
        let waits: Vec<Duration> = (1..=8).map(wait_before).collect();
        let expected = [100, 200, 400, 800, 1600, 3200, 5000, 5000].map(Duration::from_millis);
        assert_eq!(waits, expected);
        assert_eq!(wait_before(u32::MAX), Duration::from_secs(5));
    }

    #[test]
    fn callbacks_go_to_plain_http_only() {
        assert!(parse("http://127.0.0.1:8080/callbacks/meta").is_ok());
        for address in ["https://example.com/", "ftp://example.com/", "callbacks/meta", ""] {
            assert!(parse(address).is_err(), "{address}");
        }
    }
}
