//! Who guesses keys is slowed and written down; who has one is served, whoever the neighbours are.

use futures_util::future::join_all;
use serde_json::Value;

use crate::support::eventually;
use crate::support::exposition::Exposition;
use crate::support::process::{Binary, Process};
use crate::support::services::Services;
use crate::support::world::{Answer, Customer, World, answer};

/// A key of the right shape that nobody has.
fn nobodys(n: u32) -> String {
    format!("gp_live_{n:04}{}", "x".repeat(39))
}

/// A request with that key; from that client, where the peer is a trusted proxy.
async fn ask(customer: &Customer, key: &str, forwarded_for: &str) -> Answer {
    let mut request = customer.http.get(format!("{}/api/usage", customer.gateway_url)).bearer_auth(key);
    if !forwarded_for.is_empty() {
        request = request.header("x-forwarded-for", forwarded_for);
    }
    answer(request).await
}

const SLOWED: &str = r#"{"success":false,"error":"too_many_invalid_keys","message":"Too many invalid API keys were tried. A valid API key is required.","details":[]}"#;

/// How many of these were slowed; each was either refused as a wrong key or slowed in the one shape.
fn slowed(answers: &[Answer]) -> usize {
    let slowed: Vec<&Answer> = answers.iter().filter(|answer| answer.status == 429).collect();
    for answer in answers.iter().filter(|answer| answer.status != 429) {
        assert_eq!((answer.status, answer.error()), (401, "invalid_api_key"), "{}", answer.text);
    }
    for answer in &slowed {
        assert_eq!(answer.text, SLOWED);
        let wait: u32 = answer.header("retry-after").expect("a time").parse().expect("seconds");
        assert!((1..=13).contains(&wait), "{wait}");
        assert!(answer.header("x-request-id").is_some());
    }
    slowed.len()
}

/// The lines about guessing in a log.
fn told(gateway: &Process) -> Vec<String> {
    let log = gateway.log();
    log.lines().filter(|line| line.contains("many wrong keys")).map(str::to_owned).collect()
}

/// From one address: a minute's worth of wrong keys is answered as ever, then the guesser is slowed; the address is
/// written down once, and no key. A right key passes from the same address all the while, also one that was never used
/// before, and one that was revoked is told so.
pub async fn guessing_from_one_address_is_slowed(services: &Services) {
    let mut world = World::new(services).await;
    world.set("GATEPOST_WRONG_KEYS_PER_MINUTE", 5);
    let gateway = world.start(Binary::Gateway).await;
    let customer = world.customer().await;
    let mut answers = Vec::new();
    for n in 0..5 {
        answers.push(ask(&customer, &nobodys(n), "").await);
    }
    assert_eq!(slowed(&answers), 0);
    // Made-up, not even of our shape, and the same one again; the header that nobody vouches for changes nothing.
    let mut answers = Vec::new();
    for n in 0..20 {
        answers.push(ask(&customer, &nobodys(n + 5), &format!("198.51.100.{n}")).await);
        answers.push(ask(&customer, "gp_live_short", "").await);
        answers.push(ask(&customer, &nobodys(1), "").await);
    }
    // One place comes back every twelve seconds.
    assert!(slowed(&answers) >= answers.len() - 5, "{}", slowed(&answers));

    let right = ask(&customer, &customer.key, "").await;
    assert_eq!(right.status, 200, "{}", right.text);
    customer.accepted("+966500010001").await;
    let made = world.admin(&["api-key", "create", "--account", &customer.account]).await;
    let (id, key) = (made["id"].as_str().expect("a text"), made["secret"].as_str().expect("a text"));
    assert_eq!(ask(&customer, key, "").await.status, 200, "a key that was never used before");
    world.admin(&["api-key", "revoke", "--account", &customer.account, "--id", id]).await;
    eventually("it is told", async || {
        (ask(&customer, key, "").await.error() == "revoked_api_key").then_some(())
    })
    .await;
    let keyless = answer(customer.http.get(format!("{}/api/usage", customer.gateway_url))).await;
    assert_eq!((keyless.status, keyless.error()), (401, "invalid_api_key"), "no key is no guess");

    let lines = told(&gateway);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("127.0.0.1") && !lines[0].contains("gp_live_"), "{lines:?}");
    let log = gateway.log();
    assert!(!log.contains("gp_live_"), "no key, and no beginning of one");
    let told = Exposition::of(&gateway).await;
    for slowed in ["no", "yes"] {
        let counted = told.sum("gatepost_wrong_keys_total", &[("slowed", slowed)]);
        assert!(counted.is_some_and(|counted| counted > 0.0), "slowed: {slowed}");
    }
}

/// Guesses run while others work: everybody with a key is served.
pub async fn guessing_is_in_nobodys_way(services: &Services) {
    let mut world = World::new(services).await;
    world.set("GATEPOST_WRONG_KEYS_PER_MINUTE", 1);
    let gateway = world.start(Binary::Gateway).await;
    let customer = world.customer().await;
    let guesser = customer.clone();
    let guessing = tokio::spawn(async move {
        let mut statuses = Vec::new();
        for round in 0..20 {
            let keys: Vec<String> = (0..50).map(|n| nobodys(round * 50 + n)).collect();
            let answers = join_all(keys.iter().map(|key| ask(&guesser, key, ""))).await;
            statuses.extend(answers.iter().map(|answer| answer.status));
        }
        statuses
    });
    for n in 0..50 {
        let answer = customer.send(&customer.message(&format!("+9665000200{n:02}"))).await;
        assert_eq!(answer.status, 202, "{}", answer.text);
    }
    let statuses = guessing.await.expect("it ends");
    assert_eq!(statuses.len(), 1_000);
    let slowed = statuses.iter().filter(|status| **status == 429).count();
    assert!(slowed >= 990, "{slowed}");
    assert_eq!(told(&gateway).len(), 1);
}

/// From many addresses on keys of one beginning: slowed together, while other beginnings are not. The proxy that is trusted
/// says who they are; it alone.
pub async fn guessing_one_key_from_many_addresses_is_slowed(services: &Services) {
    let mut world = World::new(services).await;
    world.set("GATEPOST_WRONG_KEYS_PER_MINUTE", 5);
    world.set("GATEPOST_TRUSTED_PROXIES", "127.0.0.0/8");
    let gateway = world.start(Binary::Gateway).await;
    let customer = world.customer().await;
    let hint = &customer.key[..12];
    let guess = |n: u32| format!("{hint}{n:04}{}", "x".repeat(35));
    let mut answers = Vec::new();
    for n in 0..30 {
        // What the client wrote stands before what the proxy wrote.
        let forwarded = format!("203.0.113.9, 198.51.100.{n}");
        answers.push(ask(&customer, &guess(n), &forwarded).await);
    }
    let held = slowed(&answers);
    assert!((22..=25).contains(&held), "{held}");
    let other = ask(&customer, &nobodys(1), "198.51.100.1").await;
    assert_eq!((other.status, other.error()), (401, "invalid_api_key"));
    assert_eq!(ask(&customer, &customer.key, "198.51.100.1").await.status, 200);
    assert_eq!(ask(&customer, &customer.key, "198.51.100.99").await.status, 200);
    let lines = told(&gateway);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("198.51.100.") && !lines[0].contains("gp_live_"), "{lines:?}");

    // One address behind the proxy is slowed alone.
    let mut answers = Vec::new();
    for n in 0..10 {
        answers.push(ask(&customer, &nobodys(100 + n), "192.0.2.7").await);
    }
    assert!(slowed(&answers) >= 4);
    assert_eq!(ask(&customer, &nobodys(200), "192.0.2.8").await.status, 401);
    assert_eq!(ask(&customer, &customer.key, "192.0.2.7").await.body["success"], Value::Bool(true));
}
