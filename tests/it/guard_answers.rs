//! What callers are told besides yes and no: what would happen, what is left, and when to come back.

use std::sync::atomic::{AtomicI64, Ordering};

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::support::eventually;
use crate::support::process::Binary;
use crate::support::rows::count;
use crate::support::services::Services;
use crate::support::world::{Answer, Customer, World, answer, id};

const ADVERTISEMENT: &str =
    "MEGA SALE! Up to 70% off everything this weekend only. Shop now and save: https://bit.ly/x1";

async fn check(customer: &Customer, body: &Value) -> Answer {
    let url = format!("{}/api/check-message", customer.gateway_url);
    answer(customer.http.post(url).bearer_auth(&customer.key).json(body)).await
}

async fn usage(customer: &Customer) -> Answer {
    let url = format!("{}/api/usage", customer.gateway_url);
    answer(customer.http.get(url).bearer_auth(&customer.key)).await
}

/// Everything that a send writes.
async fn written(world: &World) -> Vec<i64> {
    let database = world.database().await;
    let mut counts = Vec::new();
    for table in
        ["messages", "policy_log", "quota_usage", "sightings", "contacts", "door", "idempotency_keys"]
    {
        counts.push(count(&database, &format!("select count(*) from {table}")).await);
    }
    counts.push(count(&database, "select coalesce(sum(used), 0)::int8 from quota_usage").await);
    counts
}

/// Bodies of every kind that is decided on, with what they are answered.
fn bodies(customer: &Customer) -> Vec<(Value, &'static str)> {
    let with = |name: &str, value: Value| {
        let mut body = customer.message("+966500030001");
        body[name] = value;
        body
    };
    let mut suppressed = customer.message("+966500030009");
    suppressed["message_purpose"] = "support".into();
    vec![
        (customer.message("+966500030001"), ""),
        (customer.code("+966500030002"), ""),
        (with("message_purpose", Value::Null), "message_purpose_required"),
        (with("message_purpose", "marketing".into()), "message_purpose_not_allowed"),
        (with("instance_id", "nobodys".into()), "invalid_instance"),
        (with("message", ADVERTISEMENT.into()), "policy_violation"),
        (suppressed, "recipient_suppressed"),
        (with("instance_id", "paused".into()), "instance_paused_for_review"),
        (with("instance_id", "closed".into()), "gateway_send_failed"),
        (with("instance_id", "slow".into()), "sending_throttled"),
    ]
}

/// Instances in every state, and a recipient who wants nothing.
async fn prepare(world: &World, customer: &Customer) {
    let account = customer.account.as_str();
    for (n, instance) in ["paused", "closed", "slow"].into_iter().enumerate() {
        let number = format!("20{n}");
        let named = ["instance", "create", "--account", account, "--id", instance, "--name", instance];
        let provider = [
            "--provider",
            "sandbox",
            "--base-url",
            &world.sandbox_url,
            "--phone-number-id",
            &number,
            "--token-env",
            "SANDBOX_TOKEN",
        ];
        world.admin(&[&named[..], &provider[..]].concat()).await;
    }
    let of = |instance| ["--account", account, "--id", instance];
    world.admin(&[&["instance", "pause"], &of("paused")[..], &["--reason", "a look"]].concat()).await;
    world.admin(&[&["instance", "set-connection"], &of("closed")[..], &["close"]].concat()).await;
    world.admin(&["suppression", "add", "--account", account, "--phone", "+966500030009"]).await;
    let late = "update pacing set next_at = now() + interval '1 hour' where instance_id = 'slow'";
    assert!(world.database().await.execute(late, &[]).await.expect("the schedule can be set") > 0);
}

/// A dry check says what the send then is answered, body by body, and nothing is reserved, counted or logged by it.
pub async fn check_message_says_what_a_send_is_answered(services: &Services) {
    let world = World::new(services).await;
    let _gateway = world.start(Binary::Gateway).await;
    let customer = world.customer().await;
    prepare(&world, &customer).await;
    for (body, error) in bodies(&customer) {
        let before = written(&world).await;
        let checked = check(&customer, &body).await;
        assert_eq!(written(&world).await, before, "{}", checked.text);
        assert_eq!((checked.status, &checked.body["success"]), (200, &Value::Bool(true)), "{}", checked.text);
        let sent = customer.send(&body).await;
        assert_eq!(sent.error(), error, "{}", sent.text);
        let would_be = if error.is_empty() { Value::Null } else { sent.body.clone() };
        assert_eq!(checked.body["would_be"], would_be);
        for name in ["action", "risk_score"] {
            if let Some(said) = sent.body["details"].get(name) {
                assert_eq!(&checked.body[name], said, "{name} of {error}");
            }
        }
        let names: Vec<&str> =
            checked.body.as_object().expect("an object").keys().map(String::as_str).collect();
        for name in
            ["success", "action", "risk_score", "signals", "would_be", "allowance", "earliest_send_at"]
        {
            assert!(names.contains(&name), "{name} in {}", checked.text);
        }
    }
}

/// The order of its members, the signals without the text, the earliest moment, what is left.
pub async fn check_message_explains(services: &Services) {
    let world = World::new(services).await;
    let _gateway = world.start(Binary::Gateway).await;
    let customer = world.customer().await;
    prepare(&world, &customer).await;
    let fine = check(&customer, &customer.message("+966500030001")).await;
    let beginning = r#"{"success":true,"action":"allow","risk_score":0,"signals":[],"would_be":null,"allowance":{"day":{"limit":1000000,"used":0,"remaining":1000000,"resets_at":""#;
    assert!(fine.text.starts_with(beginning), "{}", fine.text);
    let mut body = customer.message("+966500030001");
    body["message"] = ADVERTISEMENT.into();
    let refused = check(&customer, &body).await;
    assert!(!refused.text.contains("70%") && !refused.text.contains("966500030001"));
    let signals = refused.body["signals"].as_array().expect("a list");
    let weights: u64 = signals.iter().filter_map(|signal| signal["weight"].as_u64()).sum();
    assert!(!signals.is_empty() && weights >= 90, "{}", refused.text);
    assert!(signals.iter().all(|signal| signal["rule"].is_string() && signal["facts"].is_object()));
    assert_eq!(refused.body["earliest_send_at"], Value::Null, "the same text is never sent");
    let mut slow = customer.message("+966500030001");
    slow["instance_id"] = "slow".into();
    let throttled = check(&customer, &slow).await;
    let earliest: Timestamp =
        throttled.body["earliest_send_at"].as_str().expect("a time is known").parse().expect("RFC 3339");
    let wait = earliest.as_second() - now().as_second();
    assert!((3_200..=3_310).contains(&wait), "an hour without the five minutes that are accepted: {wait}");
    for (body, error) in [(json!({}), "validation_error"), (json!([]), "validation_error")] {
        assert_eq!(check(&customer, &body).await.error(), error);
    }
    let stranger = Customer { key: "gp_live_nobodys".to_owned(), ..customer.clone() };
    assert_eq!(check(&stranger, &body).await.error(), "invalid_api_key");
}

fn now() -> Timestamp {
    gatepost::runtime::clock::Clock::system().now()
}

/// `RateLimit-Policy` and `RateLimit` as numbers: limit, window and what is left, for day and month.
fn rate_limit(answer: &Answer) -> [i64; 6] {
    let header =
        |name: &str| answer.header(name).unwrap_or_else(|| panic!("{name}: {}", answer.text)).to_owned();
    let (policy, left) = (header("ratelimit-policy"), header("ratelimit"));
    let number = |text: &str, item: usize, name: &str| -> i64 {
        let item = text.split(", ").nth(item).expect("two items");
        let value = item.split(';').find_map(|part| part.strip_prefix(name)).expect("the parameter");
        value.parse().expect("a number")
    };
    assert!(policy.starts_with("\"day\";") && policy.contains(", \"month\";"), "{policy}");
    assert!(left.starts_with("\"day\";") && left.contains(", \"month\";"), "{left}");
    let windows = [number(&left, 0, "t="), number(&left, 1, "t=")];
    let lengths = [number(&policy, 0, "w="), number(&policy, 1, "w=")];
    assert!(windows[0] <= lengths[0] && windows[1] <= lengths[1] && lengths[0] == 86_400);
    [
        number(&policy, 0, "q="),
        number(&policy, 1, "q="),
        number(&left, 0, "r="),
        number(&left, 1, "r="),
        lengths[0],
        lengths[1] / 86_400,
    ]
}

/// Every answer to a known key of an account with a plan says what is left: accepted, refused, repeated, malformed. So do
/// `GET /api/usage` and a dry check, with the same numbers.
pub async fn answers_say_what_is_left(services: &Services) {
    let world = World::new(services).await;
    let _gateway = world.start(Binary::Gateway).await;
    let made = world.admin(&["account", "create", "--name", "Shop", "--plan", "starter"]).await;
    let customer = world.customer_of(id(&made), "50/s").await;
    let left = |answer: &Answer| rate_limit(answer)[2..4].to_vec();

    let body = customer.message("+966500040001");
    let first = answer(customer.request(&body).header("idempotency-key", "k")).await;
    assert_eq!((first.status, rate_limit(&first)[..4].to_vec()), (202, vec![100, 2_000, 99, 1_999]));
    let again = answer(customer.request(&body).header("idempotency-key", "k")).await;
    assert_eq!((again.header("idempotent-replayed"), left(&again)), (Some("true"), vec![99, 1_999]));
    let other =
        answer(customer.request(&customer.message("+966500040002")).header("idempotency-key", "k")).await;
    assert_eq!((other.status, left(&other)), (422, vec![99, 1_999]));
    let malformed = answer(customer.request(&body).body("{")).await;
    assert_eq!((malformed.status, left(&malformed)), (400, vec![99, 1_999]));
    let mut nobodys = body.clone();
    nobodys["instance_id"] = "nobodys".into();
    assert_eq!(left(&customer.send(&nobodys).await), [99, 1_999]);
    let mut advertisement = body.clone();
    advertisement["message"] = ADVERTISEMENT.into();
    assert_eq!(left(&customer.send(&advertisement).await), [99, 1_999]);
    assert_eq!(left(&check(&customer, &body).await), [99, 1_999]);
    customer.accepted("+966500040003").await;

    let shown = usage(&customer).await;
    assert_eq!((shown.status, left(&shown)), (200, vec![98, 1_998]));
    let beginning = r#"{"success":true,"plan":"starter","timezone":"UTC","day":{"limit":100,"used":2,"remaining":98,"resets_at":""#;
    assert!(shown.text.starts_with(beginning), "{}", shown.text);
    let resets: Timestamp =
        shown.body["day"]["resets_at"].as_str().expect("a time").parse().expect("RFC 3339");
    assert_eq!(resets.as_second() % 86_400, 0, "midnight");
    world.admin(&["account", "set-limits", &customer.account, "--daily", "2"]).await;
    let full = eventually("the limit is heeded", async || {
        let full = customer.send(&customer.message("+966500040004")).await;
        (full.error() == "daily_message_limit_exceeded").then_some(full)
    })
    .await;
    assert_eq!(rate_limit(&full)[2], 0);
    let stranger = Customer { key: "gp_live_nobodys".to_owned(), ..customer.clone() };
    let unknown = stranger.send(&body).await;
    assert_eq!((unknown.status, unknown.header("ratelimit")), (401, None));
    assert_eq!(usage(&stranger).await.error(), "invalid_api_key");
}

/// A key that is refused all the time is slowed down, in the catalogue's shape and with the time to wait, and its requests
/// cost no more rows; another key of the same account is not, and after a while it is heard again.
pub async fn a_key_refused_all_the_time_is_slowed(services: &Services) {
    let mut world = World::new(services).await;
    world.set("GATEPOST_KEY_REFUSALS_PER_SECOND", 2);
    let _gateway = world.start(Binary::Gateway).await;
    let customer = world.customer().await;
    let mut body = customer.message("+966500050001");
    body["message_purpose"] = "marketing".into();
    let refused = AtomicI64::new(0);
    let slowed = eventually("it is slowed", async || {
        let answer = customer.send(&body).await;
        refused.fetch_add(i64::from(answer.status == 422), Ordering::SeqCst);
        (answer.error() == "sending_throttled").then_some(answer)
    })
    .await;
    let refused = refused.into_inner();
    assert!((20..60).contains(&refused), "{refused}");
    let catalogue = r#""details":{"action":"throttle","risk_score":65}}"#;
    assert!(slowed.text.ends_with(catalogue), "{}", slowed.text);
    assert_eq!(slowed.header("retry-after"), Some("1"));
    assert_eq!(rate_limit(&slowed)[2], 1_000_000);
    assert_eq!(check(&customer, &body).await.status, 429, "checks are no way around it");
    let rows = count(&world.database().await, "select count(*) from policy_log").await;
    assert_eq!(rows, refused, "one row for each decision");
    let made = world.admin(&["api-key", "create", "--account", &customer.account]).await;
    let other = Customer { key: made["secret"].as_str().expect("a key").to_owned(), ..customer.clone() };
    assert_eq!(other.send(&customer.message("+966500050002")).await.status, 202);
    eventually("it is heard again", async || {
        (customer.send(&customer.message("+966500050003")).await.status == 202).then_some(())
    })
    .await;
}

/// Where the database cannot tell what changed, a revoked key, a suspended account and a changed limit are heeded by both
/// gateways within the documented time; a paused instance at once, because the commit looks at it.
pub async fn changes_are_heeded_without_notices(services: &Services) {
    let mut world = World::new(services).await;
    world.set("GATEPOST_CACHE_MS", 2_000);
    let _first = world.start(Binary::Gateway).await;
    let (_second, second_url) = world.start_second_gateway().await;
    let customer = world.customer().await;
    let urls = [world.gateway_url(), second_url];
    let mute = "alter table accounts disable trigger announce; alter table api_keys disable trigger announce;
                alter table instances disable trigger announce";
    world.database().await.batch_execute(mute).await.expect("the notices can be stopped");
    let account = customer.account.as_str();
    let instance = ["--account", account, "--id", "shop-main"];
    let changes: [(Vec<&str>, &str, u64); 4] = [
        (
            [&["instance", "pause"], &instance[..], &["--reason", "a look"]].concat(),
            "instance_paused_for_review",
            500,
        ),
        (vec!["account", "set-limits", account, "--daily", "1"], "daily_message_limit_exceeded", 2_500),
        (vec!["account", "suspend", account], "active_plan_required", 2_500),
        (vec!["api-key", "revoke", "--account", account, "--id", &customer.key_id], "revoked_api_key", 2_500),
    ];
    for url in &urls {
        assert_eq!(answer(customer.request_at(url, &customer.message("+966500060001"))).await.status, 202);
    }
    for (change, error, longest) in changes {
        world.admin(&change).await;
        let changed = std::time::Instant::now();
        for url in &urls {
            eventually(error, async || {
                let answer = answer(customer.request_at(url, &customer.message("+966500060002"))).await;
                (answer.error() == error).then_some(())
            })
            .await;
        }
        assert!(changed.elapsed().as_millis() < u128::from(longest), "{error}: {:?}", changed.elapsed());
    }
}
