//! The HTTP server. Its own accept loop, because one recipient wants the connection closed without an answer, which
//! a handler cannot do.

use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tower_service::Service;

/// The pause after a failed accept, for instance when all file descriptors are in use.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A response that is never sent: the connection closes in its place.
#[derive(Clone, Copy, Debug)]
pub struct CloseConnection;

impl IntoResponse for CloseConnection {
    fn into_response(self) -> Response {
        let mut response = Response::default();
        response.extensions_mut().insert(self);
        response
    }
}

/// The time in which the beginning of an answer leaves, before its connection breaks.
const BEGINNING_LEAVES: Duration = Duration::from_millis(20);

/// A response whose connection breaks after this beginning of its body.
pub fn cut_off(status: StatusCode, beginning: &'static str) -> Response {
    let beginning = stream::once(async move { Ok(beginning) });
    let end = stream::once(async {
        sleep(BEGINNING_LEAVES).await;
        Err(Closed)
    });
    let body = Body::from_stream(beginning.chain(end));
    (status, [(CONTENT_TYPE, "application/json")], body).into_response()
}

/// Ends a connection from within its service.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the connection closes without an answer")]
struct Closed;

/// The connections being served.
pub struct Connections {
    graceful: GracefulShutdown,
    tasks: JoinSet<()>,
}

impl Connections {
    /// Lets the requests in flight finish. Dropped before that, it cuts them off.
    pub async fn finish(mut self) {
        self.graceful.shutdown().await;
        while self.tasks.join_next().await.is_some() {}
    }

    fn serve(&mut self, stream: TcpStream, router: Router) {
        // Only a latency matter; a socket that refuses it still works.
        let _ = stream.set_nodelay(true);
        let service = service_fn(move |request| answer(router.clone(), request));
        // No header timeout: it would also close idle connections, and a client that is just about to send on one
        // would meet a fault nobody asked for.
        let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        let connection = self.graceful.watch(connection);
        self.tasks.spawn(async move {
            // A client that went away, or a connection closed on purpose.
            let _ = connection.await;
        });
    }
}

/// Accepts until `shutdown` and gives the connections that are then still open.
pub async fn accept(listener: &TcpListener, router: &Router, shutdown: &CancellationToken) -> Connections {
    let mut connections = Connections { graceful: GracefulShutdown::new(), tasks: JoinSet::new() };
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return connections,
            Some(_) = connections.tasks.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => connections.serve(stream, router.clone()),
                Err(error) => {
                    tracing::warn!(%error, "sandbox: a connection could not be accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

async fn answer(mut router: Router, request: Request<Incoming>) -> Result<Response, Closed> {
    let response: Result<Response, Infallible> = router.call(request).await;
    let Ok(response) = response;
    if response.extensions().get::<CloseConnection>().is_some() { Err(Closed) } else { Ok(response) }
}
