//! HTTP in: a customer's request becomes a durable message, or a refusal that says why.
//!
//! The order of the checks is the order in which the documents list their errors; see [`send`].

mod answer;
mod authenticate;
mod committer;
mod outcomes;
mod request;
mod send;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::post;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use answer::headers_too_large;
pub use committer::Committer;

use crate::broker::Publisher;
use crate::guard::directory::Directory;
use crate::runtime::clock::Clock;
use crate::runtime::secrets::SecretKey;
use crate::store::Pool;
use outcomes::Outcomes;

/// What the handlers share.
pub struct Intake {
    directory: Directory,
    committer: Committer,
    outcomes: Outcomes,
    pool: Pool,
    secret_key: SecretKey,
    clock: Clock,
    body_timeout: Duration,
}

/// What the intake is built from.
pub struct Parts {
    /// The database.
    pub pool: Pool,
    /// Where accepted ids are published.
    pub publisher: Publisher,
    /// Keys and instances.
    pub directory: Directory,
    /// For the keyed hash of recipients.
    pub secret_key: SecretKey,
    /// For the accounts' days.
    pub clock: Clock,
    /// How long a customer may take to send a body.
    pub body_timeout: Duration,
    /// How long after acceptance somebody looks at a message that nobody has claimed, in milliseconds.
    pub due_ms: i32,
}

/// The customers' API, and the task that commits for it; the task ends when it has committed everything after `stop`.
pub fn start(parts: Parts, stop: &CancellationToken) -> (Router, JoinHandle<()>) {
    let (committer, task) = committer::start(parts.pool.clone(), parts.publisher, parts.due_ms, stop.clone());
    let intake = Intake {
        directory: parts.directory,
        committer,
        outcomes: Outcomes::start(parts.pool.clone(), stop.clone()),
        pool: parts.pool,
        secret_key: parts.secret_key,
        clock: parts.clock,
        body_timeout: parts.body_timeout,
    };
    let router = Router::new()
        .route("/api/send-message", post(send::send))
        .method_not_allowed_fallback(answer::method_not_allowed)
        .fallback(answer::not_found)
        .with_state(Arc::new(intake));
    (router, task)
}
