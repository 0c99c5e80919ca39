//! HTTP in: a customer's request becomes a durable message, or a refusal that says why.
//!
//! The order of the checks is the order in which the documents list their errors; see [`send`].

mod answer;
mod authenticate;
mod check;
mod client;
mod committer;
mod door;
mod metrics;
mod outcomes;
mod request;
mod send;
mod usage;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use ipnet::IpNet;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use answer::headers_too_large;
pub use committer::Committer;
pub use metrics::METRICS;

use crate::broker::Publisher;
use crate::guard::Guard;
use crate::guard::batch::CodeLimits;
use crate::guard::guesses::Guesses;
use crate::guard::refusals::Refusals;
use crate::store::Pool;
use door::Door;
use outcomes::Outcomes;

/// What the handlers share.
pub struct Intake {
    guard: Guard,
    door: Door,
    refusals: Refusals,
    guesses: Guesses,
    trusted_proxies: Vec<IpNet>,
    code_limits: CodeLimits,
    committer: Committer,
    outcomes: Outcomes,
    pool: Pool,
    body_timeout: Duration,
}

/// What the intake is built from.
pub struct Parts {
    /// The database.
    pub pool: Pool,
    /// Where accepted ids are published.
    pub publisher: Publisher,
    /// What sends are judged with.
    pub guard: Guard,
    /// How many one-time codes one recipient may be sent.
    pub code_limits: CodeLimits,
    /// How many sends are worked on at once.
    pub open_sends: usize,
    /// How many requests a second may be refused to one key.
    pub refusals_per_second: u32,
    /// How many wrong keys a minute are answered to one client address.
    pub wrong_keys_per_minute: u32,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// How long a customer may take to send a body.
    pub body_timeout: Duration,
    /// How long after acceptance somebody looks at a message that nobody has claimed, in milliseconds.
    pub due_ms: i32,
}

/// The customers' API, and the task that commits for it; the task ends when it has committed everything after `stop`.
pub fn start(parts: Parts, stop: &CancellationToken) -> (Router, JoinHandle<()>) {
    let (committer, task) = committer::start(
        parts.pool.clone(),
        parts.publisher,
        (parts.code_limits, parts.due_ms),
        stop.clone(),
    );
    let intake = Intake {
        guard: parts.guard,
        door: Door::new(parts.open_sends),
        refusals: Refusals::new(parts.refusals_per_second),
        guesses: Guesses::new(parts.wrong_keys_per_minute),
        trusted_proxies: parts.trusted_proxies,
        code_limits: parts.code_limits,
        committer,
        outcomes: Outcomes::start(parts.pool.clone(), stop.clone()),
        pool: parts.pool,
        body_timeout: parts.body_timeout,
    };
    let router = Router::new()
        .route("/api/send-message", post(send::send))
        .route("/api/check-message", post(check::check))
        .route("/api/usage", get(usage::usage))
        .method_not_allowed_fallback(answer::method_not_allowed)
        .fallback(answer::not_found)
        .with_state(Arc::new(intake));
    (router, task)
}
