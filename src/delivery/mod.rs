//! Delivery: hear, claim, pace, attempt, record.
//!
//! ```text
//! queue ──▶ hear ─▶ claim (one statement for many ids; reserves pacing slots)
//! due rows ──┘        └▶ wait for the slot (less than a second; what waits longer went back with due_at)
//!                          └▶ begin (attempt rows and `sending`, one statement) ─▶ call the provider ─▶ record
//! ```
//!
//! The queue only says at once what the database says a little later, when a row is due. Wherever messages wait for
//! something that others want as well, accounts take turns, and none holds more than half of what the others leave.
//!
//! No connection to the database is held while the provider is called. A worker that dies leaves leases that end: what
//! was merely claimed is claimed again, what was being called becomes unknown.

mod affected;
mod call;
mod heard;
mod lane;
mod metrics;
mod places;
mod recorder;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;

use crate::broker::{self, Publisher};
use crate::domain::purpose::Lane;
use crate::providers::ClientSettings;
use crate::runtime::{ops, process};
use crate::wiring::{self, Parts, StartError};
use call::{Adapters, Caller};
use lane::LaneWorker;
use recorder::Recorder;

/// How long calls in flight may still take after a stop; what has no answer by then becomes unknown.
const DRAIN: Duration = Duration::from_secs(7);
/// Outcomes that may wait to be recorded.
const UNRECORDED: usize = 1_024;

/// Delivers until told to stop.
///
/// # Errors
/// [`StartError`] where it cannot start.
pub async fn run(parts: Parts) -> Result<(), StartError> {
    let closing = CancellationToken::new();
    let publisher = Publisher::start(&parts.nodes, &parts.topology, closing.clone()).await?;
    let checked = publisher.clone();
    let connected = ops::check("broker", move || std::future::ready(checked.problem()));
    wiring::serve_ops(&parts, "deliver", vec![connected], &[metrics::METRICS, broker::METRICS]).await?;

    // One-time codes have their own places: a full standard lane cannot take them.
    let places = parts.config.deliver_concurrency;
    let codes = places.div_ceil(4);
    let (outcomes, recorded) = mpsc::channel(UNRECORDED);
    let recorder = Recorder::new(parts.pool.clone(), publisher.clone(), places + codes);
    let recording = tokio::spawn(recorder.run(recorded));
    // Fewer would close connections, and open them again with all their handshakes, whenever many calls end at once.
    let settings =
        ClientSettings { call_timeout: parts.config.provider_timeout, idle_connections: places + codes };
    let adapters = Adapters::new(&settings).map_err(|error| StartError::Refused(error.to_string()))?;
    let calls = TaskTracker::new();
    let caller = Arc::new(Caller::new(&parts, adapters, outcomes, calls.clone()));

    let hurry = drained(&parts.stop);
    let lane = |lane, places| LaneWorker::new(&parts, publisher.clone(), Arc::clone(&caller), (lane, places));
    let (priority, standard) = (lane(Lane::Priority, codes), lane(Lane::Standard, places));
    let lanes = async { tokio::join!(priority.run(), standard.run()) };
    let recorder = [recording.abort_handle()];
    let Some((priority, standard)) = process::unless_ended(lanes, &recorder, &parts.stop).await else {
        return Err(StartError::Refused("the task that records outcomes has ended".to_owned()));
    };

    calls.close();
    tokio::select! {
        () = calls.wait() => {}
        () = hurry.cancelled() => warn!(calls = calls.len(), "calls still had no answer; their outcome is unknown"),
    }
    caller.give_up();
    drop(caller);
    if tokio::time::timeout(Duration::from_secs(2), recording).await.is_err() {
        warn!("outcomes could not be recorded; the messages end as unknown");
    }
    tokio::join!(priority.close(), standard.close());
    closing.cancel();
    Ok(())
}

/// Cancelled when the calls have had their time after `stop`; counted from there, because the lanes may need some of it
/// to give back what they hold.
fn drained(stop: &CancellationToken) -> CancellationToken {
    let (stop, hurry) = (stop.clone(), CancellationToken::new());
    let end = hurry.clone();
    tokio::spawn(async move {
        stop.cancelled().await;
        tokio::time::sleep(DRAIN).await;
        end.cancel();
    });
    hurry
}
