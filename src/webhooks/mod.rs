//! Signed webhooks to customers: at least once, each endpoint at its own pace.
//!
//! ```text
//! queue `notify` ─▶ lanes (one per endpoint) ─▶ claim ─▶ courier (sign, send) ─▶ recorder ─▶ ack
//!                     └─ no room: put off in the database, `sweep` brings it back
//! ```
//!
//! A crash between attempt and record sends the webhook again when the lease has run out; customers tell repeats by
//! `webhook-id`.

mod address;
mod answer;
mod courier;
mod dispatcher;
mod lanes;
mod metrics;
mod recorder;
mod resolver;
mod signature;
mod ticket;

use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::broker::{self, Consumer, Queue};
use crate::runtime::ops;
use crate::wiring::{self, Parts, StartError};
use courier::Courier;
use dispatcher::{Context, Dispatcher};
use lanes::Places;

/// Jobs handed out by the broker at a time. A job waits here while one of its ids does, so this is more than the
/// lanes of a few slow endpoints hold.
const PREFETCH: u16 = 1_024;
/// What a lease has beyond the time limit of an attempt, for claiming before it and recording after it.
const LEASE_MARGIN: Duration = Duration::from_secs(15);
/// After a stop, attempts under way may finish for this long; then they are given back …
const FINISH: Duration = Duration::from_secs(6);
/// … and recording may go on for this long after that.
const RECORD: Duration = Duration::from_secs(2);

/// Sends webhooks until told to stop, then finishes or gives back what is under way within about ten seconds.
///
/// # Errors
/// [`StartError`] when it cannot listen, or TLS is not set up.
pub async fn run(parts: Parts) -> Result<(), StartError> {
    let config = &parts.config;
    broker::check(&parts.nodes, &parts.topology).await?;
    let places = Places::of(config.notify_concurrency);
    let courier = Courier::new(config, parts.clock.clone(), places.endpoint())?;
    let (hurry, give_up) = deadlines(&parts.stop);
    let (outcomes, results) = mpsc::channel(recorder::BATCH);
    let recorder = tokio::spawn(recorder::run(parts.pool.clone(), results, give_up));
    let mut consumer =
        Consumer::start(&parts.nodes, &parts.topology, Queue::Notify, PREFETCH, parts.stop.clone());
    let consuming = consumer.health();
    let checked = ops::check("broker", move || std::future::ready(consuming.problem()));
    wiring::serve_ops(&parts, "notify", vec![checked], &[metrics::METRICS]).await?;
    let lease_time = config.webhook_timeout + LEASE_MARGIN;
    let context = Context { pool: parts.pool.clone(), courier, lease_time, outcomes, hurry };
    // Its end drops the last sender of outcomes, which ends the recorder after the last of them.
    Dispatcher::new(context, places).run(&mut consumer, &parts.stop).await;
    dispatcher::unwound(recorder.await);
    consumer.close().await;
    Ok(())
}

/// The tokens that end attempts, and then recording, some time after `stop`.
fn deadlines(stop: &CancellationToken) -> (CancellationToken, CancellationToken) {
    let (hurry, give_up) = (CancellationToken::new(), CancellationToken::new());
    let (stop, ends) = (stop.clone(), (hurry.clone(), give_up.clone()));
    tokio::spawn(async move {
        stop.cancelled().await;
        tokio::time::sleep(FINISH).await;
        ends.0.cancel();
        tokio::time::sleep(RECORD).await;
        ends.1.cancel();
    });
    (hurry, give_up)
}
