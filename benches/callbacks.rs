//! How fast a gateway answers signed callbacks of Meta's, at a steady rate whoever is slow:
//!
//! ```sh
//! scripts/services with cargo bench --bench callbacks            # 200 a second, for 30 s
//! scripts/services with cargo bench --bench callbacks -- 500 10  # 500 a second, for 10 s
//! ```
//!
//! Each answer is timed from the moment its callback was due, so that what waits behind a slow one counts. Of three
//! callbacks two report on a message of ours, and one brings what a person wrote; each is a row before it is answered, and
//! all must have had their effect in the end.

#![expect(clippy::print_stdout, reason = "it prints its figures")]

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use gatepost::config::environment;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_postgres::{Client, NoTls};

const APP_SECRET: &str = "the app secret of the bench";
const NUMBER: &str = "109876543210987";
/// Sent before the clock runs: connections, plans and caches are warm then.
const WARM_UP: u64 = 200;
const PATIENCE: Duration = Duration::from_secs(60);

/// Killed when dropped.
struct Gateway(Child);

impl Drop for Gateway {
    fn drop(&mut self) {
        // Fails where it has ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn gateway(arguments: &[&str], port: u16) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gateway"));
    command
        .args(arguments)
        .env("GATEPOST_SECRET_KEY", "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=")
        .env("GATEPOST_QUEUE_PREFIX", format!("bench{}.", std::process::id()))
        .env("GATEPOST_ENV", "development")
        .env("GATEPOST_META_APP_SECRET", APP_SECRET)
        .env("GATEPOST_LISTEN", format!("127.0.0.1:{port}"))
        .env("TOKEN", "token")
        .env("RUST_LOG", "warn")
        .stdin(Stdio::null());
    command
}

/// Runs a command to its end; gives what it prints.
fn run(arguments: &[&str]) -> Value {
    let output = gateway(arguments, 0).stderr(Stdio::inherit()).output().expect("it can be run");
    assert!(output.status.success(), "{arguments:?}");
    serde_json::from_slice(&output.stdout).unwrap_or(Value::Null)
}

/// An account whose instance has sent that many messages.
async fn prepare(messages: i64) -> Client {
    run(&["migrate"]);
    let account = run(&["admin", "account", "create", "--name", "Bench", "--plan", "scale", "--json"])["id"]
        .to_string();
    let mut create =
        vec!["admin", "instance", "create", "--account", &account, "--id", "bench", "--name", "Bench"];
    create.extend(["--provider", "sandbox", "--base-url", "http://127.0.0.1:1", "--token-env", "TOKEN"]);
    create.extend(["--phone-number-id", NUMBER]);
    run(&create);
    let url = environment("DATABASE_URL").expect("DATABASE_URL: run it by scripts/services with");
    let (database, connection) = tokio_postgres::connect(&url, NoTls).await.expect("the database answers");
    tokio::spawn(connection);
    let sql = "with made as (
            insert into messages (account_id, message_id, log_id, instance_id, purpose, lane, recipient, status,
                sequence, calls, expires_at, provider_message_id, reached_provider, quota_day, quota_month, request_id)
            select $1::text::int8, (left(first_id_of(now())::text, 14) || right(gen_random_uuid()::text, 22))::uuid, n, 'bench', 'transactional', 'standard', '9665' || (10000000 + n),
                'sent', 2, 1, now() + interval '1 day', 'wamid.BENCH' || n, true, now(), now(), 'bench'
            from generate_series(0, $2::int8) n returning account_id, message_id, provider_message_id)
        insert into attempts (account_id, message_id, attempt, outcome, provider_message_id)
        select account_id, message_id, 1, 'accepted', provider_message_id from made";
    database.execute(sql, &[&account, &messages]).await.expect("messages can be made");
    database
}

/// The `n`-th callback.
fn callback(n: u64) -> String {
    let mut value = json!({
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": "966550009999", "phone_number_id": NUMBER},
    });
    let (message, now) = (n / 3, "1769904001");
    let status =
        |word: &str| json!([{"id": format!("wamid.BENCH{message}"), "status": word, "timestamp": now}]);
    match n % 3 {
        0 => value["statuses"] = status("delivered"),
        1 => value["statuses"] = status("read"),
        _ => {
            value["messages"] = json!([{"from": format!("9665{}", 10_000_000 + message), "id": format!("wamid.IN{n}"),
                "timestamp": now, "type": "text", "text": {"body": "Thank you, when do you open?"}}]);
        }
    }
    json!({"object": "whatsapp_business_account", "entry": [
        {"id": "700100200300400", "changes": [{"field": "messages", "value": value}]}]})
    .to_string()
}

async fn post(client: reqwest::Client, url: String, n: u64, due: Instant) -> Option<Duration> {
    let body = callback(n);
    let mut mac = Hmac::<Sha256>::new_from_slice(APP_SECRET.as_bytes()).expect("any length");
    mac.update(body.as_bytes());
    let signature = format!("sha256={}", hex::encode(mac.finalize().into_bytes()));
    let answer = client.post(url).header("x-hub-signature-256", signature).body(body).send().await.ok()?;
    (answer.status().as_u16() == 200).then(|| due.elapsed())
}

/// Posts callbacks at a steady rate; gives how long each answer took, and how many were not 200.
async fn load(url: &str, numbers: std::ops::Range<u64>, rate: u64) -> (Vec<Duration>, usize) {
    let client = reqwest::Client::builder().timeout(PATIENCE).build().expect("a client");
    let begin = Instant::now();
    let first = numbers.start;
    let mut posts = Vec::new();
    for n in numbers {
        let due = begin + Duration::from_micros((n - first) * 1_000_000 / rate);
        sleep_until(due).await;
        posts.push(tokio::spawn(post(client.clone(), url.to_owned(), n, due)));
    }
    let mut times = Vec::new();
    let mut failed = 0;
    for post in posts {
        match post.await.expect("no panic") {
            Some(time) => times.push(time),
            None => failed += 1,
        }
    }
    times.sort_unstable();
    (times, failed)
}

#[tokio::main]
async fn main() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let numbers: Vec<u64> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    let (rate, seconds) = (numbers.first().copied().unwrap_or(200), numbers.get(1).copied().unwrap_or(30));
    let count = rate * seconds + WARM_UP;
    let database = prepare(i64::try_from(count / 3).expect("few")).await;
    let port =
        std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port();
    let _gateway = Gateway(gateway(&["serve"], port).spawn().expect("it can be started"));
    let listens = async {
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, listens).await.expect("the gateway listens");

    let url = format!("http://127.0.0.1:{port}/callbacks/meta");
    load(&url, 0..WARM_UP, rate).await;
    let (times, failed) = load(&url, WARM_UP..count, rate).await;
    let ended = Instant::now();
    let applied = async {
        let open = "select count(*) from callbacks where due_at is not null";
        while database.query_one(open, &[]).await.expect("it answers").get::<_, i64>(0) > 0 {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, applied).await.expect("every callback has its effect");
    let at = |percent: usize| {
        times.get((times.len() * percent / 100).min(times.len() - 1)).copied().unwrap_or_default()
    };
    println!("{rate} callbacks a second for {seconds} s: {} answered 200, {failed} not", times.len());
    println!("p50 {:.1?}, p99 {:.1?}, longest {:.1?}", at(50), at(99), at(100));
    println!("all had their effect {:.1?} after the last", ended.elapsed());
    println!("load of the machine: {}", std::fs::read_to_string("/proc/loadavg").unwrap_or_default().trim());
}
