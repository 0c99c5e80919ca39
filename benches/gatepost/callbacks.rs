//! How fast a gateway answers signed callbacks of Meta's. Of three callbacks two report on a message of ours, and one brings
//! what a person wrote; each is a row before it is answered, and all must have had their effect in the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use gatepost::runtime::secrets::hmac_sha256;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::filling;
use crate::letters::phone;
use crate::load::{Load, Measured, Pace, Requests};
use crate::report::{Goal, Report};
use crate::sql;
use crate::stage::{Plan, Servers, Stage, UNPACED};
use crate::support::process::Binary;
use crate::support::world::{APP_SECRET, Customer};

/// Callbacks a second in the open loop.
const RATE: f64 = 200.0;
const CONNECTIONS: usize = 16;
/// Messages that are reported on; of more callbacks some report again, which they may.
const MESSAGES: i64 = 50_000;
/// All must have had their effect in this time.
const PATIENCE: Duration = Duration::from_secs(60);

/// Callbacks about a customer's messages, in turn.
struct Callbacks {
    phone_number_id: String,
    next: AtomicU64,
}

impl Requests for Callbacks {
    fn write(&self, into: &mut Vec<u8>) {
        let body = self.body(self.next.fetch_add(1, Ordering::Relaxed));
        let signature = hex::encode(hmac_sha256(APP_SECRET.as_bytes(), &[body.as_bytes()]));
        let head = format!(
            "POST /callbacks/meta HTTP/1.1\r\nhost: gateway\r\ncontent-type: application/json\r\n\
             x-hub-signature-256: sha256={signature}\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        into.extend_from_slice(head.as_bytes());
        into.extend_from_slice(body.as_bytes());
    }
}

impl Callbacks {
    fn of(customer: &Customer) -> Arc<Self> {
        Arc::new(Self { phone_number_id: customer.phone_number_id.clone(), next: AtomicU64::new(0) })
    }

    fn body(&self, n: u64) -> String {
        let message = n / 3 % MESSAGES.unsigned_abs();
        // No two bodies are the same: a repeated one would be the same row.
        let at = (1_769_904_001 + n).to_string();
        let status =
            |word: &str| json!([{"id": format!("wamid.BENCH{message}"), "status": word, "timestamp": at}]);
        let mut value = json!({
            "messaging_product": "whatsapp",
            "metadata": {"display_phone_number": "966550009999", "phone_number_id": self.phone_number_id},
        });
        match n % 3 {
            0 => value["statuses"] = status("delivered"),
            1 => value["statuses"] = status("read"),
            _ => value["messages"] = inbound(message, n, &at),
        }
        json!({"object": "whatsapp_business_account", "entry": [
            {"id": "700100200300400", "changes": [{"field": "messages", "value": value}]}]})
        .to_string()
    }
}

fn inbound(person: u64, n: u64, at: &str) -> Value {
    json!([{"from": phone(person), "id": format!("wamid.IN{n}"), "timestamp": at, "type": "text",
        "text": {"body": "Thank you, when do you open?"}}])
}

/// Measures how soon they are answered at a steady rate, and how many could be.
pub async fn run(servers: &Servers, time: Duration, report: &mut Report) {
    let stage = set(servers).await;
    let load = load(&stage, Pace::Open(RATE), time);
    let steady = load.run_warm().await;
    let what = format!("{RATE}/s whoever is slow");
    report.answers("callbacks", &what, &steady);
    report.aim("callbacks", format!("{RATE}/s, p99"), steady.millis(99.0), "ms", Goal::AtMost(50.0));
    let applied = wait_until_applied(&stage, report).await;
    report.add("callbacks", "the last one's effect", applied.as_secs_f64() * 1_000.0, "ms");
    stage.strike(servers).await;
    let most = most(servers, time, report).await;
    report.add("callbacks", "answered and applied", most, "callbacks/s");
}

/// How many are answered and have their effect in a second.
pub async fn most(servers: &Servers, time: Duration, report: &mut Report) -> f64 {
    let stage = set(servers).await;
    let load = load(&stage, Pace::Closed, time);
    let begun = Instant::now();
    let measured: Measured = load.run().await;
    report.add("callbacks", format!("{CONNECTIONS} connections: answered"), measured.rate(), "callbacks/s");
    report.answers("callbacks", &format!("{CONNECTIONS} connections"), &measured);
    wait_until_applied(&stage, report).await;
    let rate = measured.count() as f64 / begun.elapsed().as_secs_f64();
    stage.strike(servers).await;
    rate
}

async fn set(servers: &Servers) -> Stage {
    let plan = Plan { customers: vec![UNPACED], copies: 0, people: 1, calls_kept: 0 };
    let mut stage = Stage::set(servers, &plan).await;
    filling::sent_messages(&stage.database, stage.customers[0].account_id, MESSAGES).await;
    stage.start(&[Binary::Gateway]).await;
    stage
}

fn load(stage: &Stage, pace: Pace, time: Duration) -> Load {
    let requests = Callbacks::of(&stage.customers[0]);
    Load { requests, expected: 200, ..stage.load(&stage.letters(), CONNECTIONS, pace, time) }
}

async fn wait_until_applied(stage: &Stage, report: &mut Report) -> Duration {
    let begun = Instant::now();
    while sql::callbacks_due(&stage.database).await > 0 && begun.elapsed() < PATIENCE {
        sleep(Duration::from_millis(10)).await;
    }
    report.must(begun.elapsed() < PATIENCE, || format!("callbacks: still not applied after {PATIENCE:?}"));
    begun.elapsed()
}
