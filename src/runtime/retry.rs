//! The one home of the `backoff` crate: loops that try until they succeed or are told to stop.
//!
//! `backoff` is unmaintained (RUSTSEC-2025-0012, see `.deny.toml`); nothing else names it, so that replacing it is
//! a change to this file. The schedule of deliveries is arithmetic of its own, in `domain::retry`.

use std::fmt::Display;
use std::time::Duration;

use backoff::ExponentialBackoff;
use backoff::backoff::Backoff;
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// Pauses for reconnecting: 100 ms, growing by half, at most `longest`, with jitter, for ever.
pub fn pauses(longest: Duration) -> impl Iterator<Item = Duration> + Send {
    let mut backoff = ExponentialBackoff {
        initial_interval: Duration::from_millis(100),
        current_interval: Duration::from_millis(100),
        max_interval: longest,
        max_elapsed_time: None,
        ..ExponentialBackoff::default()
    };
    std::iter::from_fn(move || backoff.next_backoff())
}

/// Calls `attempt` until it succeeds, pausing longer after each failure; `None` when `stop` came first.
/// Failures are logged under the name of `what`.
pub async fn until_ok<T, E, Fut>(
    what: &str,
    stop: &CancellationToken,
    mut attempt: impl FnMut() -> Fut,
) -> Option<T>
where
    E: Display,
    Fut: Future<Output = Result<T, E>>,
{
    for pause in pauses(Duration::from_secs(2)) {
        let outcome = tokio::select! {
            () = stop.cancelled() => return None,
            outcome = attempt() => outcome,
        };
        match outcome {
            Ok(value) => return Some(value),
            Err(error) => warn!(what, %error, pause_ms = pause.as_millis() as u64, "failed, trying again"),
        }
        tokio::select! {
            () = stop.cancelled() => return None,
            () = tokio::time::sleep(pause) => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{Duration, pauses, until_ok};
    use tokio_util::sync::CancellationToken;

    #[test]
    fn pauses_grow_to_the_longest_and_never_end() {
        let drawn: Vec<Duration> = pauses(Duration::from_secs(2)).take(50).collect();
        assert_eq!(drawn.len(), 50);
        assert!(drawn[0] <= Duration::from_millis(150));
        assert!(drawn.iter().all(|pause| *pause <= Duration::from_secs(3)));
        assert!(drawn[49] >= Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn it_tries_until_it_succeeds_or_is_stopped() {
        let mut tries = 0;
        let go_on = CancellationToken::new();
        let value = until_ok("test", &go_on, || {
            tries += 1;
            let outcome = if tries < 4 { Err("not yet") } else { Ok(tries) };
            async move { outcome }
        });
        assert_eq!(value.await, Some(4));

        let stop = CancellationToken::new();
        stop.cancel();
        let never = until_ok("test", &stop, || async { Err::<(), _>("no") });
        assert_eq!(never.await, None);
    }
}
