//! The customers: a steady stream of requests, whoever is slow, each repeated with its idempotency key until it has an
//! answer, as a good customer does.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use reqwest::header::RETRY_AFTER;
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::ledger::{Known, Ledger};
use crate::support::world::Customer;

/// Requests are made in bunches, so often.
const TICK: Duration = Duration::from_millis(10);
/// Requests that may be open at once. Beyond them a customer waits, as its own queue would.
const OPEN: usize = 4_000;
/// A send is tried so often before its customer gives up.
const TRIES: u32 = 12;
/// A customer waits so long for one answer.
const PATIENCE: Duration = Duration::from_secs(6);

/// What sort of people are written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crowd {
    /// Half read what they get, the others' phones say nothing.
    Calm,
    /// One of three meets an error, a throttle, a lost answer, or garbage.
    Troubled,
}

/// A stream of requests.
#[derive(Clone)]
pub struct Load {
    pub customers: Vec<Customer>,
    /// Where they send to.
    pub url: String,
    /// Requests a second.
    pub rate: u32,
    pub crowd: Crowd,
    pub seed: u64,
    pub ledger: Arc<Ledger>,
}

/// A stream that flows.
pub struct Flowing {
    /// A run that panics ends its load as well.
    stop: DropGuard,
    task: JoinHandle<()>,
}

impl Flowing {
    /// Ends it, once every send that was begun has its answer or is given up.
    pub async fn end(self) {
        drop(self.stop);
        self.task.await.expect("the load does not panic");
    }
}

impl Load {
    /// Begins to send.
    pub fn start(self) -> Flowing {
        let stop = CancellationToken::new();
        let task = tokio::spawn(self.run(stop.clone()));
        Flowing { stop: stop.drop_guard(), task }
    }

    async fn run(self, stop: CancellationToken) {
        let http = reqwest::Client::builder().timeout(PATIENCE).build().expect("a client");
        let open = Arc::new(Semaphore::new(OPEN));
        let mut random = SmallRng::seed_from_u64(self.seed);
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let begun = Instant::now();
        let (mut sends, mut n) = (JoinSet::new(), 0);
        while !stop.is_cancelled() {
            ticks.tick().await;
            while sends.try_join_next().is_some() {}
            let due = (begun.elapsed().as_secs_f64() * f64::from(self.rate)) as u64;
            // A machine that stood still does not owe what it missed: at most a second's worth.
            n = n.max(due.saturating_sub(u64::from(self.rate)));
            while n < due {
                let Ok(permit) = Arc::clone(&open).try_acquire_owned() else { break };
                let send = self.send(n, &mut random);
                let (http, ledger) = (http.clone(), Arc::clone(&self.ledger));
                sends.spawn(async move {
                    send.deliver(&http, &ledger).await;
                    drop(permit);
                });
                n += 1;
            }
        }
        sends.join_all().await;
    }

    /// The `n`-th send.
    fn send(&self, n: u64, random: &mut SmallRng) -> Send {
        let customer = &self.customers[n as usize % self.customers.len()];
        let phone = phone(self.crowd, n, random);
        let body = if random.random_ratio(1, 10) { customer.code(&phone) } else { customer.message(&phone) };
        let key = format!("{}-{n}", self.seed);
        let url = format!("{}/api/send-message", self.url);
        Send { account_id: customer.account_id, bearer: customer.key.clone(), url, key, body }
    }
}

/// The number of the `n`-th person. Nobody is written to again within the pair limit's seconds; the last four digits tell the
/// sandbox what to do.
fn phone(crowd: Crowd, n: u64, random: &mut SmallRng) -> String {
    const TROUBLES: [&str; 13] = [
        "0004", "0005", "0010", "0011", "0020", "0021", "0022", "0030", "0031", "0032", "0033", "0034",
        "0035",
    ];
    let network = ["2010", "2011", "2012", "2015"][(n / 10_000) as usize % 4];
    let ending = match crowd {
        Crowd::Troubled if random.random_ratio(1, 3) => {
            TROUBLES[random.random_range(0..TROUBLES.len())].to_owned()
        }
        _ if random.random_ratio(1, 2) => "0003".to_owned(),
        _ => format!("{:04}", random.random_range(1_000..10_000)),
    };
    format!("+{network}{:04}{ending}", n % 10_000)
}

struct Send {
    account_id: i64,
    bearer: String,
    url: String,
    key: String,
    body: Value,
}

impl Send {
    /// Tries until there is an answer that counts.
    async fn deliver(self, http: &reqwest::Client, ledger: &Ledger) {
        ledger.open(&self.key, self.account_id);
        let began = Instant::now();
        for attempt in 0..TRIES {
            let (status, pause) = match self.attempt(http).await {
                Ok(answer) if answer.is_final() => {
                    ledger.close(&self.key, answer.known(began.elapsed()));
                    return;
                }
                Ok(answer) => (answer.status, answer.retry_after),
                Err(_) => (0, None),
            };
            ledger.put_off(status);
            let pause = pause.unwrap_or(Duration::from_millis(200) * 2_u32.pow(attempt.min(4)));
            sleep(pause.min(Duration::from_secs(5)).mul_f64(rand::random_range(0.8..1.2))).await;
        }
    }

    async fn attempt(&self, http: &reqwest::Client) -> Result<Answer, reqwest::Error> {
        let request = http.post(&self.url).bearer_auth(&self.bearer).header("Idempotency-Key", &self.key);
        let response = request.json(&self.body).send().await?;
        let status = response.status().as_u16();
        let seconds = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        Ok(Answer { status, retry_after: seconds.map(Duration::from_secs), body: response.json().await? })
    }
}

struct Answer {
    status: u16,
    retry_after: Option<Duration>,
    body: Value,
}

impl Answer {
    fn is_final(&self) -> bool {
        !matches!(self.status, 423 | 429 | 500..)
    }

    fn known(&self, wait: Duration) -> Known {
        match self.body["message_id"].as_str().and_then(|id| id.parse().ok()) {
            Some(message_id) if self.status == 202 => {
                #[expect(clippy::disallowed_methods, reason = "the moment of the answer")]
                let at = Timestamp::now();
                Known::Accepted { message_id, at, wait, keyed: true }
            }
            _ => Known::Refused(format!("{} {}", self.status, self.body["error"])),
        }
    }
}
