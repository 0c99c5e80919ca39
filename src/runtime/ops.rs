//! The operators' listener of every process: `/livez`, `/readyz`, `/metrics`.

use std::fmt::Write;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HeaderName};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::http::{self, Door};
use super::metrics::Exposition;

/// A question whose answer decides readiness: `None` when all is well, else what is wrong.
pub type Check = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Option<String>> + Send>> + Send + Sync>;

/// Probes and a scraper or two; whoever else comes must not take what the process needs for its work.
const DOOR: Door = Door { connections: 64, headers_too_large };

/// A check that takes longer than this has failed.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);

#[derive(Clone)]
struct Ops {
    checks: Arc<Vec<(&'static str, Check)>>,
    metrics: Option<Exposition>,
}

/// Makes a named [`Check`] of a closure.
pub fn check<Fut>(name: &'static str, ask: impl Fn() -> Fut + Send + Sync + 'static) -> (&'static str, Check)
where
    Fut: Future<Output = Option<String>> + Send + 'static,
{
    (name, Arc::new(move || Box::pin(ask())))
}

/// Serves health and metrics until `stop`.
pub async fn serve(
    listener: TcpListener,
    checks: Vec<(&'static str, Check)>,
    metrics: Option<Exposition>,
    stop: CancellationToken,
) {
    let router = Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(render))
        .with_state(Ops { checks: Arc::new(checks), metrics });
    http::serve(listener, router, DOOR, stop).await;
}

fn headers_too_large() -> String {
    "HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
        .to_owned()
}

async fn ready(State(ops): State<Ops>) -> (StatusCode, String) {
    let mut answer = String::new();
    let mut status = StatusCode::OK;
    for (name, check) in ops.checks.iter() {
        let problem = match tokio::time::timeout(CHECK_TIMEOUT, check()).await {
            Ok(problem) => problem,
            Err(_) => Some("no answer in time".to_owned()),
        };
        if problem.is_some() {
            status = StatusCode::SERVICE_UNAVAILABLE;
        }
        let _ = writeln!(answer, "{name}: {}", problem.as_deref().unwrap_or("ok"));
    }
    (status, answer)
}

async fn render(State(ops): State<Ops>) -> ([(HeaderName, &'static str); 1], String) {
    let text = ops.metrics.map(|metrics| metrics.render()).unwrap_or_default();
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text)
}
