//! Serving HTTP to strangers: bounded headers, bounded waiting, bounded connections, a clean end.

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::Sleep;
use tokio_util::sync::CancellationToken;
use tower_service::Service;
use tracing::{debug, warn};

/// A client has this long for the head of a request; a connection kept open between requests is closed after it.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// The same for connections that come when fewer than a quarter of the places are free: those who only sit there must
/// not keep everybody out.
const CROWDED_HEADER_TIMEOUT: Duration = Duration::from_secs(2);
/// A client that takes nothing of its answer for so long has gone, or wants to keep its place.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// The head of a request is at most this large; it is also what an unfinished one can take of memory.
const LARGEST_HEAD: usize = 64 * 1024;
/// What a client still sends after its last answer is read for at most this long, because closing the connection on it
/// would take the answer from the client before it has read it.
const LINGER: Duration = Duration::from_secs(1);
/// Open connections have this long to finish after a stop.
const DRAIN: Duration = Duration::from_secs(8);

/// The address at the other end of a request's connection, among the request's extensions.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub IpAddr);

/// How a listener treats those who come.
#[derive(Clone, Copy, Debug)]
pub struct Door {
    /// Most connections served at once; more wait in the kernel's queue.
    pub connections: usize,
    /// Makes the whole answer to a request whose head is beyond hyper's limits (100 headers, 64 KiB), which hyper would
    /// answer without a body.
    pub headers_too_large: fn() -> String,
}

/// Serves `router` until `stop`, then lets running requests finish.
pub async fn serve(listener: TcpListener, router: Router, door: Door, stop: CancellationToken) {
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).max_buf_size(LARGEST_HEAD);
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(door.connections));
    loop {
        let (stream, peer, place) = tokio::select! {
            () = stop.cancelled() => break,
            accepted = accept(&listener, &places) => accepted,
        };
        let crowded = places.available_permits() < door.connections / 4;
        builder.header_read_timeout(if crowded { CROWDED_HEADER_TIMEOUT } else { HEADER_TIMEOUT });
        let io = TokioIo::new(Client::new(stream, door.headers_too_large));
        let router = router.clone();
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(peer);
            // A router is always ready.
            router.clone().call(request)
        });
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
) -> (TcpStream, Peer, tokio::sync::OwnedSemaphorePermit) {
    loop {
        let place =
            Arc::clone(places).acquire_owned().await.expect("the semaphore lives as long as the listener");
        match listener.accept().await {
            Ok((stream, peer)) => {
                // Answers are small; waiting to fill a packet only delays them. Failing to say so is harmless.
                let _ = stream.set_nodelay(true);
                return (stream, Peer(peer.ip()), place);
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
    /// Until when the client must have taken something, where it has taken nothing last.
    stalled: Option<Pin<Box<Sleep>>>,
    lingering: Option<Pin<Box<Sleep>>>,
}

impl Client {
    fn new(stream: TcpStream, headers_too_large: fn() -> String) -> Self {
        Self { stream, headers_too_large, rejected: false, stalled: None, lingering: None }
    }

    /// Writes; an error where the client has taken nothing for [`WRITE_TIMEOUT`].
    fn write(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        if let Poll::Ready(written) = Pin::new(&mut self.stream).poll_write(cx, data) {
            self.stalled = None;
            return Poll::Ready(written);
        }
        let until = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(WRITE_TIMEOUT)));
        ready!(until.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
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
            let written = ready!(this.write(cx, answer.as_bytes()));
            this.rejected = written.is_ok();
            return Poll::Ready(written.map(|_| data.len()));
        }
        this.write(cx, data)
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

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::{CancellationToken, Door, Duration, Router, TcpListener, TcpStream, serve};

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";

    /// A server with so many places, whose answers have so many bytes; gives its address.
    async fn server(connections: usize, answer: usize) -> std::net::SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/", get(move || async move { "x".repeat(answer) }));
        let door = Door { connections, headers_too_large: String::new };
        tokio::spawn(serve(listener, router, door, CancellationToken::new()));
        address
    }

    async fn connect(address: std::net::SocketAddr) -> TcpStream {
        TcpStream::connect(address).await.unwrap()
    }

    /// The beginning of the answer to a request.
    async fn ask(stream: &mut TcpStream) -> String {
        stream.write_all(REQUEST).await.unwrap();
        let mut answer = vec![0; 12];
        let read = tokio::time::timeout(Duration::from_secs(10), stream.read_exact(&mut answer)).await;
        read.expect("an answer in time").unwrap();
        String::from_utf8(answer).unwrap()
    }

    #[tokio::test]
    async fn who_sits_there_in_a_crowd_makes_room_soon() {
        let address = server(8, 1).await;
        // Six have their time; the last two, who came when it was crowded, have two seconds.
        let mut idle = Vec::new();
        for _ in 0..8 {
            idle.push(connect(address).await);
        }
        let mut late = connect(address).await;
        assert_eq!(ask(&mut late).await, "HTTP/1.1 200");
        assert_eq!(ask(&mut idle[0]).await, "HTTP/1.1 200", "who came before is still welcome");
        let mut end = [0; 1];
        assert_eq!(idle[7].read(&mut end).await.unwrap(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn who_never_reads_is_left_and_who_reads_slowly_is_not() {
        const ANSWER: usize = 64 * 1024 * 1024;
        let address = server(1, ANSWER).await;
        let mut deaf = connect(address).await;
        deaf.write_all(REQUEST).await.unwrap();
        // The one place is free again once the deaf one is given up.
        let mut slow = connect(address).await;
        let begun = tokio::time::Instant::now();
        slow.write_all(REQUEST).await.unwrap();
        let mut received = 0;
        let mut part = vec![0; 8 * 1024 * 1024];
        loop {
            let read = slow.read(&mut part).await.unwrap();
            received += read;
            if read == 0 {
                break;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        assert!(received > ANSWER, "all of it: {received}");
        assert!(begun.elapsed() >= Duration::from_secs(30), "the deaf one had its time");
        let mut rest = Vec::new();
        assert!(deaf.read_to_end(&mut rest).await.is_err() || rest.len() < ANSWER, "its answer ends early");
    }
}
