//! Serving HTTP to strangers: bounded headers, bounded waiting, bounded connections, a clean end.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::Sleep;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

/// Most connections served at once; more wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 10_000;
/// A client has this long for the head of a request; a connection kept open between requests is closed after it.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// The head of a request is at most this large; it is also what an unfinished one can take of memory.
const LARGEST_HEAD: usize = 64 * 1024;
/// What a client still sends after its last answer is read for at most this long, because closing the connection on it
/// would take the answer from the client before it has read it.
const LINGER: Duration = Duration::from_secs(1);
/// Open connections have this long to finish after a stop.
const DRAIN: Duration = Duration::from_secs(8);

/// Serves `router` until `stop`, then lets running requests finish. `headers_too_large` makes the whole answer to a
/// request whose head is beyond hyper's limits (100 headers, 64 KiB), which hyper would answer without a body.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    headers_too_large: fn() -> String,
    stop: CancellationToken,
) {
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT).max_buf_size(LARGEST_HEAD);
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let (stream, place) = tokio::select! {
            () = stop.cancelled() => break,
            accepted = accept(&listener, &places) => accepted,
        };
        let io = TokioIo::new(Client { stream, headers_too_large, rejected: false, lingering: None });
        let service = TowerToHyperService::new(router.clone());
        let connection = graceful.watch(builder.serve_connection(io, service));
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                debug!(%error, "connection ended");
            }
            drop(place);
        });
    }
    drop(listener);
    if tokio::time::timeout(DRAIN, graceful.shutdown()).await.is_err() {
        warn!("connections were still open at the end");
    }
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> (TcpStream, tokio::sync::OwnedSemaphorePermit) {
    loop {
        let place =
            Arc::clone(places).acquire_owned().await.expect("the semaphore lives as long as the listener");
        match listener.accept().await {
            Ok((stream, _)) => {
                // Answers are small; waiting to fill a packet only delays them. Failing to say so is harmless.
                let _ = stream.set_nodelay(true);
                return (stream, place);
            }
            // Out of file descriptors, or the peer was gone already: pause, or this would spin.
            Err(error) => {
                warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// A connection that puts our answer in the place of the one hyper gives on its own, 431 without a body, and that lets
/// its client read the last answer before it closes. No handler answers 431, so nothing else begins like it.
///
/// Vectored writes are left off: what is written begins with a head then, and answers are too small to gain by them.
struct Client {
    stream: TcpStream,
    headers_too_large: fn() -> String,
    rejected: bool,
    lingering: Option<Pin<Box<Sleep>>>,
}

impl AsyncRead for Client {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Client {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.rejected {
            // hyper's own short answer, whose place ours has taken.
            return Poll::Ready(Ok(data.len()));
        }
        if data.starts_with(b"HTTP/1.1 431 ") {
            // A fresh socket buffer takes the few hundred bytes at once; a peer that left no room gets what fits.
            let answer = (this.headers_too_large)();
            let written = ready!(Pin::new(&mut this.stream).poll_write(cx, answer.as_bytes()));
            this.rejected = written.is_ok();
            return Poll::Ready(written.map(|_| data.len()));
        }
        Pin::new(&mut this.stream).poll_write(cx, data)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let until = match &mut this.lingering {
            Some(until) => until,
            None => {
                ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
                this.lingering.insert(Box::pin(tokio::time::sleep(LINGER)))
            }
        };
        let mut ignored = [0; 8 * 1024];
        while until.as_mut().poll(cx).is_pending() {
            let mut buffer = ReadBuf::new(&mut ignored);
            let read = ready!(Pin::new(&mut this.stream).poll_read(cx, &mut buffer));
            if read.is_err() || buffer.filled().is_empty() {
                break;
            }
        }
        Poll::Ready(Ok(()))
    }
}
