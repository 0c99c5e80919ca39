//! Meta's way in: the handshake, the signature over the bytes as they came, their largest size, and whose they are.

use serde_json::{Value, json};

use crate::support::exposition::Exposition;
use crate::support::meta::{self, all_applied, callback, post_signed, signature, status};
use crate::support::process::Binary;
use crate::support::provider::add_instance;
use crate::support::rows::{count, life, provider_id, wait_for_count};
use crate::support::services::{Services, free_port};
use crate::support::world::{APP_SECRET, Customer, VERIFY_TOKEN, World};
use crate::support::{eventually, http};

/// A message that is sent, and of which the provider says nothing by itself; gives its id and the provider's.
async fn quiet_message(world: &World, customer: &Customer, phone: &str) -> (String, String) {
    assert!(phone.ends_with("0003"), "the sandbox would report others");
    let message = customer.accepted(phone).await;
    world.wait_for_status(&message, &["sent"]).await;
    let theirs = provider_id(&world.database().await, &message).await;
    (message, theirs)
}

/// The challenge comes back for the right token and mode together, and for nothing else; a gateway that was given no
/// token trusts none.
pub async fn the_handshake_needs_the_token_and_the_mode(services: &Services) {
    let mut world = World::new(services).await;
    let _gateway = world.start(Binary::Gateway).await;
    world.set("GATEPOST_META_VERIFY_TOKEN", "");
    let port = free_port();
    let mut without_token = world.launch_at(Binary::Gateway, port);
    without_token.wait_until_ready().await;
    let sample: Value =
        serde_json::from_str(include_str!("../fixtures/meta/handshake.json")).expect("the fixture is JSON");
    let challenge = sample["query"]["hub.challenge"].as_str().expect("a text");
    let ask = async |gateway: &str, mode: Option<&str>, token: Option<&str>| {
        let mut query = vec![("hub.challenge", challenge)];
        query.extend(mode.map(|mode| ("hub.mode", mode)));
        query.extend(token.map(|token| ("hub.verify_token", token)));
        let url = reqwest::Url::parse_with_params(&format!("{gateway}/callbacks/meta"), &query);
        let answer = http().get(url.expect("a URL")).send().await.expect("the gateway answers");
        (answer.status().as_u16(), answer.text().await.expect("a whole answer"))
    };
    let told = |case: &str| {
        let (status, body) = (sample[case]["status"].as_u64(), sample[case]["body"].as_str());
        (u16::try_from(status.expect("a status")).expect("a status"), body.expect("a text").to_owned())
    };
    let (right, refused) = (told("when_token_matches"), told("when_token_differs"));
    let gateway = world.gateway_url();
    assert_eq!(ask(&gateway, Some("subscribe"), Some(VERIFY_TOKEN)).await, right);
    assert_eq!(ask(&gateway, Some("subscribe"), Some("the verify token.")).await, refused);
    assert_eq!(ask(&gateway, Some("subscribe"), Some("")).await, refused);
    assert_eq!(ask(&gateway, Some("subscribe"), None).await, refused);
    assert_eq!(ask(&gateway, Some("unsubscribe"), Some(VERIFY_TOKEN)).await, refused);
    assert_eq!(ask(&gateway, None, Some(VERIFY_TOKEN)).await, refused);
    let other = format!("http://127.0.0.1:{port}");
    assert_eq!(ask(&other, Some("subscribe"), Some("")).await, refused);
    assert_eq!(ask(&other, Some("subscribe"), Some(VERIFY_TOKEN)).await, refused);
}

/// The vectors through the real endpoint: what is signed over the bytes as they came is stored and heard, everything
/// else is refused and leaves nothing behind; a gateway without an app secret refuses all.
pub async fn signatures_are_checked_over_the_raw_bytes(services: &Services) {
    const BODY: &[u8] = include_bytes!("../fixtures/meta/signed_body.raw");
    let vectors: Value =
        serde_json::from_str(include_str!("../fixtures/meta/signatures.json")).expect("the fixture is JSON");
    let valid = vectors["valid"].as_str().expect("a text");
    let mut world = World::new(services).await;
    world.set("GATEPOST_META_APP_SECRET", vectors["app_secret"].as_str().expect("a text"));
    let _gateway = world.start(Binary::Gateway).await;
    let (gateway, database) = (world.gateway_url(), world.database().await);
    let stored = async || count(&database, "select count(*) from callbacks").await;

    let mut without_trailing_space = 0;
    for case in vectors["must_reject"].as_array().expect("a list") {
        let header = case["header"].as_str();
        if header.is_some_and(|header| header.trim_end() == valid) {
            // On the wire a space at the end is no part of a header's value (RFC 9110, 5.5): this is the valid one.
            without_trailing_space += 1;
            continue;
        }
        assert_eq!(post_signed(&gateway, BODY.to_vec(), header).await, 403, "{}", case["why"]);
    }
    assert_eq!(without_trailing_space, 1);
    let parsed: Value = serde_json::from_slice(BODY).expect("the fixture is JSON");
    assert_eq!(post_signed(&gateway, parsed.to_string().into_bytes(), Some(valid)).await, 403);
    assert_eq!(stored().await, 0);

    world.set("GATEPOST_META_APP_SECRET", "");
    let port = free_port();
    let mut without_secret = world.launch_at(Binary::Gateway, port);
    without_secret.wait_until_ready().await;
    let signed_by_anybody = signature("", BODY);
    let other = format!("http://127.0.0.1:{port}");
    assert_eq!(post_signed(&other, BODY.to_vec(), Some(&signed_by_anybody)).await, 403);
    assert_eq!(post_signed(&other, BODY.to_vec(), Some(valid)).await, 403);
    assert_eq!(stored().await, 0);

    assert_eq!(post_signed(&gateway, BODY.to_vec(), Some(valid)).await, 200);
    assert_eq!(post_signed(&gateway, BODY.to_vec(), Some(valid)).await, 200);
    all_applied(&database).await;
    assert_eq!(stored().await, 1);
}

/// A callback of four megabytes takes effect; one more byte is refused, whatever its signature.
pub async fn four_megabytes_are_the_limit(services: &Services) {
    const LIMIT: usize = 4 * 1024 * 1024;
    let world = World::new(services).await;
    let _gateway = world.start(Binary::Gateway).await;
    let (_deliver, database) = (world.start(Binary::Deliver).await, world.database().await);
    let customer = world.customer().await;
    let (message, theirs) = quiet_message(&world, &customer, "+966500010003").await;
    let post = async |word: &str, length: usize| {
        let mut body = status(&customer, &theirs, word, None).to_string().into_bytes();
        body.resize(length, b' ');
        let signature = signature(APP_SECRET, &body);
        post_signed(&world.gateway_url(), body, Some(&signature)).await
    };
    assert_eq!(post("read", LIMIT + 1).await, 413);
    assert_eq!(post("delivered", LIMIT).await, 200);
    all_applied(&database).await;
    assert_eq!(life(&database, &message).await, "queued sending sent delivered");
    assert_eq!(count(&database, "select count(*) from callbacks").await, 1);
}

/// Callbacks about a number that is nobody's, about things we do not know, and signed nonsense are answered 200, so that
/// Meta does not repeat them, and change nothing.
pub async fn what_is_not_ours_changes_nothing(services: &Services) {
    let world = World::new(services).await;
    let _gateway = world.start(Binary::Gateway).await;
    let (_deliver, database) = (world.start(Binary::Deliver).await, world.database().await);
    let customer = world.customer().await;
    let (message, theirs) = quiet_message(&world, &customer, "+966500010003").await;
    let events = count(&database, "select count(*) from events").await;

    let mut stranger = customer.clone();
    "999999999999999".clone_into(&mut stranger.phone_number_id);
    let mark = format!("{}/{message}:1", customer.account);
    for word in ["delivered", "read", "failed"] {
        world.report(&database, &status(&stranger, &theirs, word, None)).await;
        world.report(&database, &status(&stranger, &theirs, word, Some(&mark))).await;
    }
    world.report(&database, &meta::text(&stranger, "966500010003", "wamid.IN1==", "STOP")).await;
    let preference = json!([{"wa_id": "966500010003", "value": "stop", "timestamp": 1_769_904_200}]);
    world.report(&database, &callback(&stranger, "user_preferences", &preference)).await;
    world.report(&database, &status(&customer, &theirs, "warming_up", None)).await;
    for nonsense in [json!([]), json!("stop"), json!({"object": "page"}), json!({"entry": 7})] {
        world.report(&database, &nonsense).await;
    }

    assert_eq!(life(&database, &message).await, "queued sending sent");
    assert_eq!(count(&database, "select count(*) from events").await, events);
    assert_eq!(count(&database, "select count(*) from suppressions").await, 0);
    assert_eq!(count(&database, "select count(*) from inbound_messages").await, 0);
}

/// The wall between tenants: neither the mark on a callback nor the provider's id reaches another account's message, nor
/// a mark another instance's.
pub async fn a_mark_counts_only_for_its_own_sender(services: &Services) {
    let world = World::new(services).await;
    let _gateway = world.start(Binary::Gateway).await;
    let (_deliver, database) = (world.start(Binary::Deliver).await, world.database().await);
    let (ours, other) = (world.customer().await, world.customer().await);
    let neighbour = add_instance(&world, &ours, "shop-second", &world.sandbox_url).await;
    let (message, theirs) = quiet_message(&world, &ours, "+966500010003").await;
    let right = format!("{}/{message}:1", ours.account);
    let moved = format!("{}/{message}:1", other.account);

    for (n, mark) in [Some(right.as_str()), Some(&moved), Some("nonsense:1"), None].into_iter().enumerate() {
        let id = if mark.is_none() { theirs.clone() } else { format!("wamid.OTHER{n}==") };
        meta::post(&world.gateway_url(), &status(&other, &id, "read", mark)).await;
        meta::post(&world.gateway_url(), &status(&other, &id, "failed", mark)).await;
    }
    meta::post(&world.gateway_url(), &status(&neighbour, "wamid.NEIGHBOUR==", "failed", Some(&right))).await;
    // All of them are looked at again later: for that sender they may still become known.
    let tried = "select count(*) from callbacks where tries > 0 and due_at is not null";
    wait_for_count(&database, tried, 9).await;
    assert_eq!(life(&database, &message).await, "queued sending sent");

    meta::post(&world.gateway_url(), &status(&ours, "wamid.ANY==", "delivered", Some(&right))).await;
    world.wait_for_status(&message, &["delivered"]).await;
    assert_eq!(life(&database, &message).await, "queued sending sent delivered");
}

/// Reports that wait are applied together, each with its whole effect. One of a message that is not known keeps waiting by
/// itself, and what a person wrote among them is heard.
pub async fn reports_that_wait_share_a_commit(services: &Services) {
    const MESSAGES: usize = 8;
    let world = World::new(services).await;
    let gateway = world.start(Binary::Gateway).await;
    let (_deliver, mut database) = (world.start(Binary::Deliver).await, world.database().await);
    let customer = world.customer().await;
    let mut messages = Vec::new();
    for n in 0..MESSAGES {
        messages.push(quiet_message(&world, &customer, &format!("+9665{n}0010003")).await);
    }
    let other = world.database().await;
    let post = async |body: &Value| meta::post(&world.gateway_url(), body).await;

    let sql = "select from messages where message_id = $1::text::uuid for update";
    let held = database.transaction().await.expect("it begins");
    held.execute(sql, &[&messages[0].0]).await.expect("it is not locked");
    post(&status(&customer, &messages[0].1, "delivered", None)).await;
    eventually("the first report waits for the message", async || {
        let sql = "select count(*) from pg_stat_activity
            where datname = current_database() and wait_event_type = 'Lock' and query like '-- reports.lock%'";
        (count(&other, sql).await == 1).then_some(())
    })
    .await;
    for (_, theirs) in &messages[1..] {
        post(&status(&customer, theirs, "delivered", None)).await;
        post(&status(&customer, theirs, "read", None)).await;
    }
    post(&status(&customer, "wamid.NOT_KNOWN", "read", None)).await;
    post(&meta::text(&customer, "966570010003", "wamid.IN", "STOP")).await;
    held.commit().await.expect("it ends");

    wait_for_count(&database, "select count(*) from callbacks where not heard", 0).await;
    assert_eq!(count(&database, "select count(*) from callbacks where due_at is not null").await, 1);
    assert_eq!(life(&database, &messages[0].0).await, "queued sending sent delivered");
    for (message, _) in &messages[1..] {
        assert_eq!(life(&database, message).await, "queued sending sent delivered read");
    }
    assert_eq!(count(&database, "select count(*) from suppressions").await, 1);
    let exposition = Exposition::of(&gateway).await;
    let stage = [("stage", "callback_apply")];
    let sum = |name: &str| exposition.sum(name, &stage).expect("it is exported");
    let (commits, callbacks) = (sum("gatepost_stage_batch_size_count"), sum("gatepost_stage_batch_size_sum"));
    assert!(callbacks >= 17.0 && commits <= callbacks / 2.0, "{callbacks} callbacks in {commits} commits");
}
