//! Callbacks of providers: verified, stored raw, answered within milliseconds, and applied afterwards.
//!
//! A callback is a row before it is answered, so a crash between the answer and its effect loses nothing: whoever looks
//! next applies it. Applying twice changes nothing, because statuses only rise and inbound messages are told apart by id.

mod apply;
pub mod evolution_payload;
mod json;
pub mod meta_payload;
mod metrics;
mod receive;
mod reported_status;
pub mod signature;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};
use jiff::Timestamp;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use self::metrics::METRICS;
pub use self::reported_status::ReportedStatus;
use crate::broker::Publisher;
use crate::config::Hidden;
use crate::runtime::clock::Clock;
use crate::runtime::secrets::SecretKey;
use crate::store::Pool;

/// What the receiving side shares.
struct Receiver {
    pool: Pool,
    app_secret: Option<Hidden>,
    verify_token: Option<Hidden>,
    secret_key: SecretKey,
    clock: Clock,
    arrived: Arc<Notify>,
    /// Large bodies being read: each may be 4 MiB, and who sends it is not known yet.
    reading: Semaphore,
    /// Callbacks being stored: a burst of them waits here, and not for connections that others have need of, too.
    storing: Semaphore,
    /// Addresses being looked up: anybody can ask for one.
    looking: Semaphore,
}

/// Most large callbacks read at once.
const READING: usize = 64;
/// Most callbacks stored at once: about half of the connections there are by default.
const STORING: usize = 4;
/// Most addresses looked up at once: fewer than there are connections, of which others have need too.
const LOOKING: usize = 4;

/// What the callbacks are built from.
pub struct Parts {
    /// The database.
    pub pool: Pool,
    /// Where owed webhooks are published.
    pub publisher: Publisher,
    /// Key of Meta's signatures.
    pub app_secret: Option<Hidden>,
    /// Expected in Meta's handshake.
    pub verify_token: Option<Hidden>,
    /// What the keys of Evolution's tokens are sealed with.
    pub secret_key: SecretKey,
    /// The time, by which those tokens end.
    pub clock: Clock,
}

/// The providers' side of the gateway, and the task that applies what arrives, until `stop`.
pub fn start(parts: Parts, stop: CancellationToken) -> (Router, JoinHandle<()>) {
    let arrived = Arc::new(Notify::new());
    let applier = apply::Applier::new(parts.pool.clone(), parts.publisher, Arc::clone(&arrived));
    let receiver = Receiver {
        pool: parts.pool,
        app_secret: parts.app_secret,
        verify_token: parts.verify_token,
        secret_key: parts.secret_key,
        clock: parts.clock,
        arrived,
        reading: Semaphore::new(READING),
        storing: Semaphore::new(STORING),
        looking: Semaphore::new(LOOKING),
    };
    let router = Router::new()
        .route("/callbacks/meta", get(receive::handshake).post(receive::receive))
        .route("/callbacks/evolution/{token}", post(receive::receive_evolution))
        .with_state(Arc::new(receiver));
    (router, tokio::spawn(applier.run(stop)))
}

/// The first number a callback speaks of, to keep its row with its account.
fn first_phone_number(body: &[u8], received_at: Timestamp) -> Option<String> {
    let updates = meta_payload::parse(body, received_at).ok()?.updates;
    updates.iter().find_map(meta_payload::Update::phone_number_id).map(str::to_owned)
}
