//! Requests made as cheaply as can be: the same bytes but for a number, over connections that are kept. The other load is a
//! good customer; this is a flood.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use uuid::Uuid;

use crate::support::world::Customer;

/// Longer than a gateway takes for any answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the flood was answered.
#[derive(Default)]
pub struct Answers {
    pub accepted: Vec<(i64, Uuid)>,
    /// How long each accepted one took.
    pub accepted_after: Vec<Duration>,
    pub refused_after: Vec<Duration>,
    /// Answers by status; 0: none, or a connection that broke.
    pub by_status: HashMap<u16, u64>,
    /// 429 and 503 that do not say when to come back.
    pub without_retry_after: u64,
}

impl Answers {
    /// How many requests there were.
    pub fn requests(&self) -> u64 {
        self.by_status.values().sum()
    }
}

/// The time within which that many of a hundred were answered.
pub fn percentile(times: &[Duration], part: usize) -> Duration {
    let mut times = times.to_vec();
    times.sort_unstable();
    times.get(times.len() * part / 100).or(times.last()).copied().unwrap_or_default()
}

/// A flood over so many connections.
pub struct Flood<'a> {
    pub gateway: SocketAddr,
    pub customers: &'a [Customer],
    pub connections: u32,
    /// Requests a second, of all connections together.
    pub rate: u32,
    pub time: Duration,
}

impl Flood<'_> {
    /// Sends until the time is over.
    pub async fn run(&self) -> Answers {
        let answers = Arc::new(Mutex::new(Answers::default()));
        let pause = Duration::from_secs(self.connections.into()) / self.rate;
        let begun = Instant::now();
        let mut connections = JoinSet::new();
        for n in 0..self.connections {
            let customer = self.customers[n as usize % self.customers.len()].clone();
            let first = begun + pause * n / self.connections;
            let connection = Connection { gateway: self.gateway, customer, answers: Arc::clone(&answers) };
            connections.spawn(connection.run(first, pause, begun + self.time));
        }
        connections.join_all().await;
        std::mem::take(&mut *answers.lock().expect("no one panics inside"))
    }
}

struct Connection {
    gateway: SocketAddr,
    customer: Customer,
    answers: Arc<Mutex<Answers>>,
}

impl Connection {
    /// A request at each of its moments; those that pass while it waits for an answer are left out.
    async fn run(self, first: Instant, pause: Duration, end: Instant) {
        let (mut due, mut stream) = (first, None);
        while due < end {
            sleep_until(due).await;
            let began = Instant::now();
            let answer = timeout(PATIENCE, self.exchange(&mut stream)).await.ok().flatten();
            if answer.is_none() {
                stream = None;
            }
            self.note(answer.as_deref(), began.elapsed());
            while due <= Instant::now() {
                due += pause;
            }
        }
    }

    /// One request and its answer's head and body; `None` where the connection breaks.
    async fn exchange(&self, stream: &mut Option<TcpStream>) -> Option<String> {
        if stream.is_none() {
            let fresh = TcpStream::connect(self.gateway).await.ok()?;
            fresh.set_nodelay(true).ok()?;
            *stream = Some(fresh);
        }
        let stream = stream.as_mut()?;
        stream.write_all(self.request().as_bytes()).await.ok()?;
        let (mut answer, mut piece) = (Vec::new(), [0; 2_048]);
        loop {
            let count = stream.read(&mut piece).await.ok().filter(|count| *count > 0)?;
            answer.extend_from_slice(&piece[..count]);
            let text = String::from_utf8_lossy(&answer);
            if let Some((head, body)) = text.split_once("\r\n\r\n")
                && body.len() >= header(head, "content-length")?.parse::<usize>().ok()?
            {
                return Some(text.into_owned());
            }
        }
    }

    fn request(&self) -> String {
        // Whose phone says nothing: only the sends are to be a flood.
        let phone =
            format!("+201{}{:04}0003", [0, 1, 2, 5][rand::random_range(0..4)], rand::random_range(0..10_000));
        let body = self.customer.message(&phone).to_string();
        format!(
            "POST /api/send-message HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer {}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            self.customer.key,
            body.len()
        )
    }

    fn note(&self, answer: Option<&str>, took: Duration) {
        let status = answer.and_then(|answer| answer.get(9..12)?.parse().ok()).unwrap_or(0);
        let mut answers = self.answers.lock().expect("no one panics inside");
        *answers.by_status.entry(status).or_default() += 1;
        let Some((head, body)) = answer.and_then(|answer| answer.split_once("\r\n\r\n")) else {
            return;
        };
        if status == 202 {
            let id = body.split("\"message_id\":\"").nth(1).and_then(|rest| rest.get(..36)?.parse().ok());
            answers.accepted.push((self.customer.account_id, id.expect("an accepted message has an id")));
            answers.accepted_after.push(took);
        } else {
            answers.refused_after.push(took);
            answers.without_retry_after += u64::from(header(head, "retry-after").is_none());
        }
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines()
        .filter_map(|line| line.split_once(": "))
        .find(|(own, _)| *own == name)
        .map(|(_, value)| value)
}
