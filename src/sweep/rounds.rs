//! Work that is looked for again and again.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::store::StoreError;

/// Makes rounds until told to stop: the next at once where one may have left something (`true`), else after `pause`. What a
/// round that fails or is broken off has not done is due again, so that it is only logged, as that of `work`.
pub(super) async fn rounds(
    stop: &CancellationToken,
    pause: Duration,
    work: &'static str,
    mut round: impl AsyncFnMut() -> Result<bool, StoreError>,
) {
    while !stop.is_cancelled() {
        let more = tokio::select! {
            () = stop.cancelled() => return,
            done = round() => done.unwrap_or_else(|error| {
                warn!(%error, work, "a round failed");
                false
            }),
        };
        if !more {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }
}
