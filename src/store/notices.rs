//! Notices of changed accounts, keys and instances, sent by the database to every process.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::poll_fn;
use tokio_postgres::AsyncMessage;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{StoreError, connection_config, tls};
use crate::config::Hidden;
use crate::runtime::retry::pauses;

/// What the listener learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// This account, or a key or instance of it, changed.
    Changed(i64),
    /// Notices may have been missed: everything may have changed.
    Everything,
}

/// Passes notices to `tell` until `stop`, over a connection of its own that is kept up.
pub async fn listen(url: &Hidden, stop: CancellationToken, mut tell: impl FnMut(Notice) + Send) {
    let mut waits = pauses(Duration::from_secs(2));
    while !stop.is_cancelled() {
        tokio::select! {
            () = stop.cancelled() => return,
            ended = listen_once(url, &mut tell) => match ended {
                Ok(()) => waits = pauses(Duration::from_secs(2)),
                Err(error) => warn!(%error, "not listening for changes"),
            }
        }
        let Some(pause) = waits.next() else { return };
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Listens until the connection ends.
async fn listen_once(url: &Hidden, tell: &mut (impl FnMut(Notice) + Send)) -> Result<(), StoreError> {
    let config = connection_config(url)?;
    let (client, mut connection) = config.connect(tls::connector(&config)?).await?;
    let mut messages = poll_fn(move |cx| connection.poll_message(cx));
    let mut subscribe = Box::pin(client.batch_execute("listen gatepost_changes"));
    let mut subscribed = false;
    loop {
        tokio::select! {
            outcome = &mut subscribe, if !subscribed => {
                outcome?;
                subscribed = true;
                // What changed before this moment was not announced to us.
                tell(Notice::Everything);
            }
            message = messages.next() => match message {
                Some(Ok(AsyncMessage::Notification(notice))) => {
                    tell(notice.payload().parse().map_or(Notice::Everything, Notice::Changed));
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error.into()),
                None => return Ok(()),
            }
        }
    }
}
