//! An HTTP server for the adapters' tests that answers, stalls and breaks on command, byte for byte.

use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What the server does with one request, once it has read all of it.
pub(super) enum Step {
    /// Writes these bytes and waits for the next request on the connection.
    Answer(String),
    /// Writes these bytes and then nothing, with the connection open.
    Stall(String),
    /// Writes these bytes and closes.
    Close(String),
    /// Resets the connection without an answer.
    Reset,
    /// Answers 200 with a body that never ends.
    Endless,
}

/// A server that takes one step per request, whichever connection it comes on, and keeps what it read.
pub(super) struct Server {
    pub(super) base_url: String,
    requests: Arc<Mutex<Vec<String>>>,
    connections: Arc<Mutex<usize>>,
}

impl Server {
    pub(super) async fn start(steps: Vec<Step>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let base_url = format!("http://{}/v23.0", listener.local_addr().expect("bound"));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let connections = Arc::new(Mutex::new(0));
        let steps = Arc::new(Mutex::new(VecDeque::from(steps)));
        let (seen, opened) = (Arc::clone(&requests), Arc::clone(&connections));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                *opened.lock().expect("unpoisoned") += 1;
                tokio::spawn(converse(stream, Arc::clone(&steps), Arc::clone(&seen)));
            }
        });
        Self { base_url, requests, connections }
    }

    /// Every request that was read, in order.
    pub(super) fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("unpoisoned").clone()
    }

    /// How many connections were opened.
    pub(super) fn connections(&self) -> usize {
        *self.connections.lock().expect("unpoisoned")
    }
}

async fn converse(mut stream: TcpStream, steps: Arc<Mutex<VecDeque<Step>>>, seen: Arc<Mutex<Vec<String>>>) {
    while let Some(request) = read_request(&mut stream).await {
        seen.lock().expect("unpoisoned").push(request);
        let step = steps.lock().expect("unpoisoned").pop_front();
        // A client that gave up makes writes fail; that is its affair.
        let written = match step {
            Some(Step::Answer(bytes)) => stream.write_all(bytes.as_bytes()).await,
            Some(Step::Close(bytes)) => {
                let _ = stream.write_all(bytes.as_bytes()).await;
                return;
            }
            Some(Step::Stall(bytes)) => {
                let _ = stream.write_all(bytes.as_bytes()).await;
                return std::future::pending().await;
            }
            Some(Step::Endless) => {
                let mut bytes = answer(200, &["transfer-encoding: chunked"], "");
                while stream.write_all(bytes.as_bytes()).await.is_ok() {
                    bytes = format!("400\r\n{}\r\n", "x".repeat(1024));
                }
                return;
            }
            Some(Step::Reset) | None => {
                stream.set_zero_linger().expect("a live socket");
                return;
            }
        };
        if written.is_err() {
            return;
        }
    }
}

/// One request's head and body; `None` when the connection ends before.
async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.and_then(|digits| digits.parse().ok()).unwrap_or(0) {
                return Some(text);
            }
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}

/// An answer's bytes. Without a length among `headers`, the true one is added.
pub(super) fn answer(status: u16, headers: &[&str], body: &str) -> String {
    let mut head = format!("HTTP/1.1 {status} Any\r\ncontent-type: application/json\r\n");
    for header in headers {
        head += &format!("{header}\r\n");
    }
    if !head.contains("content-length") && !head.contains("transfer-encoding") {
        head += &format!("content-length: {}\r\n", body.len());
    }
    format!("{head}\r\n{body}")
}
