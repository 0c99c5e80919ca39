//! The sandbox provider: an HTTP server that speaks the wire of Meta's WhatsApp Cloud API and that of Evolution
//! API v2, so that the adapters, the demo, the tests and a developer with `curl` can meet every outcome without a WhatsApp
//! account.
//!
//! The last four digits of the recipient decide what happens, so any country code works. For Saudi Arabia take
//! for instance `+96650123` and one of these endings:
//!
//! | ending | answer to the send | reported by callback afterwards |
//! |--------|--------------------|---------------------------------|
//! | `0001` and any other | 200 | sent, delivered, read |
//! | `0002` | 200 | sent, delivered (never read) |
//! | `0003` | 200 | nothing (never delivers) |
//! | `0004` | 200 | failed, 131026 |
//! | `0005` | 200 | sent, failed, 131026 |
//! | `0010` | 400, 131009 parameter value is not valid | |
//! | `0011` | 400, 131026 not on WhatsApp | |
//! | `0012` | 400, 131047 the 24 hour window is closed | |
//! | `0020` | 400, 130429 throttled once, then 200 | sent, delivered, read |
//! | `0021` | 400, 131056 pair limit once, then 200 | sent, delivered, read |
//! | `0022` | 500, 131016 unavailable twice, then 200 | sent, delivered, read |
//! | `0023` | 503, code 2, always | |
//! | `0030` | accepted, but the answer never comes | sent, delivered, read |
//! | `0031` | accepted, but the answer never comes | nothing |
//! | `0032` | the connection closes without an answer | nothing |
//! | `0033` | 200 without a message id | nothing |
//! | `0034` | 200 with a body that is not JSON | nothing |
//! | `0035` | 200, and the connection breaks in the middle of the body | nothing |
//! | `0040` | 401, 190 access token expired | |
//! | `0050` | 200 | sent, delivered, then the recipient writes `STOP` |
//! | `0051` | 200 | sent, delivered, then the recipient writes `إيقاف` |
//! | `0052` | 200 | sent, delivered, then the recipient writes `START` |
//! | `0053` | 200 | sent, delivered, then the recipient taps a button that says `STOP` |
//! | `0054` | 200 | sent, delivered, then the recipient chooses `STOP` from a list |
//! | `0055` | 200 | sent, delivered, then the recipient taps a button that says `START` |
//! | `0056` | 200 | sent, delivered, then the recipient chooses `START` from a list |
//! | `0060` | 200 | read, delivered, sent, sent (out of order and twice) |
//!
//! On Evolution's wire, which reports the same in its shape, to the address that was set for the instance, and before that
//! the message went out:
//!
//! | ending | answer to the send |
//! |--------|--------------------|
//! | `0001` and any other | 201 |
//! | `0010` | 400, the number has an invalid format |
//! | `0011` | 400, the number is not on WhatsApp |
//! | `0013` | 500, which does not say what was done |
//! | `0020` | 500, connection closed, once, then 201 |
//! | `0022` | 500, the number could not be looked up, twice, then 201 |
//! | `0023` | the same, always |
//! | `0030`, `0031` | accepted, but the answer never comes |
//! | `0032` | the connection closes without an answer |
//! | `0033` | 201 without a message id |
//! | `0034` | 201 with a body that is not JSON |
//! | `0035` | 201, and the connection breaks in the middle of the body |
//! | `0040` | 401 |
//! | `0041` | 503, the server is not licensed |
//! | `0042` | 400, connection closed, always |
//! | `0043` | 201; reported are sent and the connection, `connecting` and then `open` |
//! | `0044` | 201; reported are sent and the connection, `close` for good |
//!
//! | route | |
//! |-------|-|
//! | `POST /{version}/{phone_number_id}/messages` | Meta's send, text and template |
//! | `GET /{version}/{phone_number_id}` | Meta's look at the sender |
//! | `POST /message/sendText/{instance}` | Evolution's send |
//! | `GET /instance/connectionState/{instance}` | Evolution's look at the connection: `open`, unless it was reported otherwise |
//! | `POST /webhook/set/{instance}` | where Evolution's instance reports to from now on: plain http |
//! | `GET /livez` | 200 while it serves |
//! | `GET /sandbox/calls[?to=][&opaque=]` | the sends it met: `{"total":N,"calls":[{"to","opaque","attempted_at","outcome"}]}` |
//! | `DELETE /sandbox/calls` | forgets them, and how often each recipient was refused |
//! | `GET /sandbox/callbacks` | how the callbacks fare: `{"open","posts","answered","given_up","dropped"}` |
//! | `POST /sandbox/inbound` | `{"from","text","phone_number_id"}`, or `instance` in its place: that person writes that text |
//! | `POST /sandbox/connection` | `{"instance","state"}`: Evolution's connection changes |
//!
//! An `outcome` is `accepted`, `refused:<code>`, `held`, `closed`, `without_id`, `garbled` or `cut_off`. On Evolution's wire `to` is
//! the `number`, `opaque` the `messageId`, and the code the HTTP status.
//!
//! Memory is bounded: a ring of calls, a cache of attempt counters, a queue of callbacks served by a fixed number
//! of workers. Callbacks carry Meta's signature and are posted in the order of the table, each step
//! [`Settings::callback_delay`] after the previous one.

mod callbacks;
mod calls;
mod evolution;
mod faults;
mod recipients;
mod request;
mod routes;
mod send;
mod server;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

use self::callbacks::{EvolutionReporter, Instances, Outbox, Reporter};
use self::calls::{Attempts, Calls};
use self::faults::{Fault, Refusal};
use crate::runtime::clock::Clock;

/// How long a shutdown may take: requests in flight and waiting callbacks are finished within it, or dropped.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(5);

/// How the sandbox behaves. No `Debug`: it holds the two secrets.
#[derive(Clone)]
pub struct Settings {
    /// Where callbacks go, the gateway's `/callbacks/meta`; plain `http` only. Without it nothing is reported.
    pub callback_url: Option<String>,
    /// The key of the callbacks' `X-Hub-Signature-256`.
    pub app_secret: String,
    /// The bearer token every call must carry, else 401 with code 190. Without it any caller is served.
    pub token: Option<String>,
    /// How long every send waits for its answer.
    pub latency: Duration,
    /// The time from the answer to the first callback, and from each callback to the next. Rounded up to 10 ms, so
    /// that what falls due together is posted together. At zero a callback may overtake the answer, as Meta's may.
    pub callback_delay: Duration,
    /// The share of sends answered 500 with code 131000, whoever the recipient is: 0 to 100.
    pub fault_percent: u8,
    /// How many callbacks are posted at a time, at least one.
    pub callback_workers: usize,
    /// How often a callback is tried before it is given up. The waits double from 100 ms to 5 s: the default of
    /// 12 bears with a receiver that is away for about half a minute.
    pub callback_attempts: u32,
    /// How many messages may have callbacks outstanding; those of further ones are dropped and counted.
    pub callback_capacity: usize,
    /// How many sends `/sandbox/calls` remembers.
    pub calls_kept: usize,
    /// How long a refused recipient is remembered (0020, 0021, 0022), from the last attempt on.
    pub attempt_window: Duration,
    /// How long 0030 and 0031 keep the connection open: longer than any client waits.
    pub hold: Duration,
    /// The clock that dates callbacks and calls.
    pub clock: Clock,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            callback_url: None,
            app_secret: String::from("sandbox"),
            token: None,
            latency: Duration::ZERO,
            callback_delay: Duration::from_millis(200),
            fault_percent: 0,
            callback_workers: 4,
            callback_attempts: 12,
            callback_capacity: 100_000,
            calls_kept: 10_000,
            attempt_window: Duration::from_mins(10),
            hold: Duration::from_mins(1),
            clock: Clock::system(),
        }
    }
}

/// Serves until `shutdown`, then finishes the requests in flight and posts the waiting callbacks at once, both
/// within five seconds.
///
/// # Errors
///
/// `InvalidInput` when the callback address is not a plain `http` one; other kinds when the HTTP client cannot
/// be built.
pub async fn run(listener: TcpListener, settings: Settings, shutdown: CancellationToken) -> io::Result<()> {
    let outbox = Arc::new(Outbox::new(&settings));
    let reporter = Reporter::new(&settings, Arc::clone(&outbox))?;
    let instances = Arc::new(Instances::default());
    let instances_outbox = Arc::new(Outbox::of_instances(&settings));
    let of_instances =
        EvolutionReporter::new(&settings, Arc::clone(&instances_outbox), Arc::clone(&instances))?;
    let mut workers = reporter.start(settings.callback_workers);
    let mut more_workers = of_instances.start(settings.callback_workers);
    let sandbox = Arc::new(Sandbox {
        calls: Calls::new(settings.calls_kept),
        attempts: Attempts::new(settings.attempt_window),
        outbox: Arc::clone(&outbox),
        instances_outbox: Arc::clone(&instances_outbox),
        instances,
        shutdown: shutdown.clone(),
        settings,
    });
    let connections = server::accept(&listener, &routes::router(sandbox), &shutdown).await;
    drop(listener);

    let deadline = Instant::now() + SHUTDOWN_LIMIT;
    if timeout_at(deadline, connections.finish()).await.is_err() {
        tracing::warn!("sandbox: requests were still in flight at the end");
    }
    outbox.drain();
    instances_outbox.drain();
    let posted = async {
        while workers.join_next().await.is_some() {}
        while more_workers.join_next().await.is_some() {}
    };
    if timeout_at(deadline, posted).await.is_err() {
        let open = (outbox.tally() + instances_outbox.tally()).open;
        tracing::warn!(callbacks = open, "sandbox: callbacks were still waiting at the end");
    }
    Ok(())
}

/// What the handlers share.
struct Sandbox {
    settings: Settings,
    calls: Calls,
    attempts: Attempts,
    outbox: Arc<Outbox>,
    /// What is reported in Evolution's shape, and where to.
    instances_outbox: Arc<Outbox>,
    instances: Arc<Instances>,
    shutdown: CancellationToken,
}

impl Sandbox {
    /// Lets the time pass that an answer takes. All is decided and recorded before: a client that gives up meanwhile has
    /// been heard nevertheless.
    async fn keep_waiting(&self, outcome: calls::Outcome) {
        sleep(self.settings.latency).await;
        if outcome == calls::Outcome::Held {
            tokio::select! {
                () = sleep(self.settings.hold) => {}
                () = self.shutdown.cancelled() => {}
            }
        }
    }

    /// The checks every call of Meta's meets: the token, then the object in the URL.
    fn admit(&self, method: &str, sender: &str, headers: &HeaderMap) -> Result<(), Refusal> {
        if let Some(token) = &self.settings.token {
            let given = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
            if given.and_then(|value| value.strip_prefix("Bearer ")) != Some(token) {
                return Err(Fault::TokenExpired.into());
            }
        }
        if !sender.is_empty() && sender.bytes().all(|byte| byte.is_ascii_digit()) {
            return Ok(());
        }
        Err(Fault::NoSuchObject.because(format!(
            "Unsupported {method} request. Object with ID '{sender}' does not exist, cannot be loaded due to missing \
             permissions, or does not support this operation."
        )))
    }
}
