//! Delivery: one call per message, every class of outcome, and no second call without evidence.

use std::time::Duration;

use gatepost::broker::{Queue, Topology};
use serde_json::{Value, json};

use crate::support::process::Binary;
use crate::support::provider::Provider;
use crate::support::rows::{count, life};
use crate::support::services::Services;
use crate::support::world::World;
use crate::support::{eventually, within};

/// Puts a job into a queue, as the product would.
pub async fn publish(world: &World, queue: Queue, body: &[u8]) {
    let connection =
        lapin::Connection::connect(&world.amqp_url, lapin::ConnectionProperties::default()).await;
    let connection = connection.expect("the broker answers");
    let channel = connection.create_channel().await.expect("a channel");
    let exchange = Topology::new(&world.prefix).exchange();
    let properties = lapin::BasicProperties::default();
    let options = lapin::options::BasicPublishOptions::default();
    channel
        .basic_publish(exchange.into(), queue.key().into(), options, body, properties)
        .await
        .expect("it is published");
    connection.close(200, "OK".into()).await.expect("it closes");
}

/// A job the broker delivers twice, to two workers, makes one call.
pub async fn a_job_delivered_twice_makes_one_call(services: &Services) {
    let world = World::new(services).await;
    let _gateway = world.start(Binary::Gateway).await;
    let customer = world.customer().await;
    let message = customer.accepted("+966500030001").await;
    let job =
        json!({"v": 1, "kind": "deliver", "ids": [format!("{}/{message}", customer.account)]}).to_string();
    for _ in 0..4 {
        publish(&world, Queue::DeliverStandard, job.as_bytes()).await;
    }
    let _workers = (world.start(Binary::Deliver).await, world.start(Binary::Deliver).await);
    world.wait_for_status(&message, &["read"]).await;
    let database = world.database().await;
    eventually("every job is consumed", async || {
        let other = customer.accepted("+966500040001").await;
        world.wait_for_status(&other, &["read"]).await;
        Some(())
    })
    .await;
    assert_eq!(world.calls_to("+966500030001").await.len(), 1);
    let sql = "select count(*) from attempts where message_id = $1::text::uuid";
    let attempts = database.query_one(sql, &[&message]).await.expect("attempts can be counted");
    assert_eq!(attempts.get::<_, i64>(0), 1);
}

/// Two workers share two hundred messages and call once for each.
pub async fn two_workers_call_once_for_each_of_many(services: &Services) {
    let world = World::new(services).await;
    let _processes = world.start_all().await;
    let _second = world.start(Binary::Deliver).await;
    let customer = world.customer().await;
    let sends = (0..200).map(|n| {
        let customer = &customer;
        async move { customer.accepted(&format!("+96650{n:03}0001")).await }
    });
    let messages = futures_util::future::join_all(sends).await;
    for message in &messages {
        world.wait_for_status(message, &["read"]).await;
    }
    let calls = world.calls("").await;
    assert_eq!(calls["total"], 200);
}

/// Permanent refusals end as failed with the documents' error, or with that of the closed window, after one call; the quota is used up.
pub async fn a_permanent_refusal_fails_at_once(services: &Services) {
    let world = World::new(services).await;
    let _processes = world.start_all().await;
    let customer = world.customer().await;
    let receiver = world.receiver(&customer).await;
    for (phone, error) in [
        ("+966500010010", "gateway_send_failed"),
        ("+966500010011", "gateway_send_failed"),
        ("+966500010012", "needs_template"),
    ] {
        let message = customer.accepted(phone).await;
        world.wait_for_status(&message, &["failed"]).await;
        assert_eq!(world.calls_to(phone).await.len(), 1, "{phone}");
        let event = eventually("the failure is told", async || {
            receiver
                .events("message.status_updated")
                .into_iter()
                .find(|event| event["message_id"] == message.as_str() && event["status"] == "failed")
        })
        .await;
        assert_eq!((&event["error"], &event["previous_status"]), (&json!(error), &json!("sending")));
    }
}

/// A transient failure is tried again by the schedule, on the same message, and ends well; status does not fall between.
pub async fn a_transient_failure_is_tried_again(services: &Services) {
    let world = World::new(services).await;
    let _processes = world.start_all().await;
    let customer = world.customer().await;
    let message = customer.accepted("+966500010022").await;
    eventually("the first attempt failed", async || {
        (world.calls_to("+966500010022").await.len() == 1).then_some(())
    })
    .await;
    assert_eq!(world.status(&message).await, "sending");
    world.wait_for_status(&message, &["read"]).await;
    let sql = "select attempt, outcome, code, extract(epoch from started_at - lag(started_at) over (order by attempt))::float8
               from attempts where message_id = $1::text::uuid order by attempt";
    let rows = world.database().await.query(sql, &[&message]).await.expect("attempts can be read");
    let outcomes: Vec<(String, Option<i32>)> = rows.iter().map(|row| (row.get(1), row.get(2))).collect();
    let expected = [("retry", Some(131_016)), ("retry", Some(131_016)), ("accepted", None)];
    assert_eq!(outcomes, expected.map(|(outcome, code)| (outcome.to_owned(), code)));
    // 2 s and 8 s with a jitter of a fifth; finding it due may take a little longer.
    for (row, planned) in rows[1..].iter().zip([2.0, 8.0]) {
        let pause: f64 = row.get(3);
        assert!(pause >= planned * 0.8 && pause <= planned * 1.2 + 5.0, "{pause} s instead of {planned} s");
    }
}

/// A throttled sender rests as a whole, a throttled pair by itself; neither counts as an attempt, both end well.
pub async fn throttles_delay_and_do_not_count(services: &Services) {
    let world = World::new(services).await;
    let _processes = world.start_all().await;
    let customer = world.customer().await;
    let pair = customer.accepted("+966500010021").await;
    world.wait_for_status(&pair, &["read"]).await;
    let sender = customer.accepted("+966500010020").await;
    let database = world.database().await;
    eventually("the sender is held", async || {
        let row = database.query_one("select hold_until > now() from instances", &[]).await.expect("a row");
        (row.get::<_, Option<bool>>(0) == Some(true)).then_some(())
    })
    .await;
    // Everything of this sender waits for the deadline.
    let other = customer.accepted("+966500050001").await;
    for message in [&sender, &other] {
        world.wait_for_status(message, &["read"]).await;
    }
    let sql = "select m.attempts::int, m.calls::int,
                      (select min(a.started_at) from attempts a where a.message_id = $2::text::uuid)
                      > (select min(a.finished_at) + interval '4 seconds' from attempts a where a.message_id = m.message_id)
               from messages m where m.message_id = $1::text::uuid";
    let row = database.query_one(sql, &[&sender, &other]).await.expect("a row");
    assert_eq!((row.get::<_, i32>(0), row.get::<_, i32>(1), row.get::<_, bool>(2)), (0, 2, true));
}

/// A refused sender is held and reported; its message waits untouched and leaves when an operator has opened it again.
pub async fn an_instance_error_holds_the_sender(services: &Services) {
    let world = World::new(services).await;
    let _processes = world.start_all().await;
    let customer = world.customer().await;
    let receiver = world.receiver(&customer).await;
    let message = customer.accepted("+966500010040").await;
    let event = eventually("it is told", async || receiver.events("instance.connection_updated").pop()).await;
    assert_eq!((&event["connection"], &event["previous_connection"]), (&json!("suspect"), &json!("open")));
    assert_eq!(world.status(&message).await, "sending");
    // Accepted and held.
    let held = customer.accepted("+966500060001").await;
    let database = world.database().await;
    eventually("it was looked at and held", async || {
        let sql = "select due_at > now() + interval '5 seconds' and lease is null and status = 'queued'
                   from messages where message_id = $1::text::uuid";
        let row = database.query_one(sql, &[&held]).await.expect("a row");
        row.get::<_, Option<bool>>(0).filter(|held| *held)
    })
    .await;
    assert!(world.calls_to("+966500060001").await.is_empty());
    let open = ["instance", "set-connection", "--account", &customer.account, "--id", "shop-main", "open"];
    world.admin(&open).await;
    world.wait_for_status(&held, &["read"]).await;
}

/// No answer in time after the request was written: unknown, and never a second call. Evidence settles it; without any it
/// fails at the deadline.
pub async fn a_timeout_is_unknown_and_not_a_second_send(services: &Services) {
    let mut world = World::new(services).await;
    world.set("GATEPOST_PROVIDER_TIMEOUT_MS", 1_500);
    world.set("GATEPOST_UNKNOWN_DEADLINE_MS", 3_000);
    let _processes = world.start_all().await;
    let customer = world.customer().await;
    let receiver = world.receiver(&customer).await;
    let silent = customer.accepted("+966500010031").await;
    let without_id = customer.accepted("+966500010033").await;
    let closed = customer.accepted("+966500010032").await;
    // One may have come to its end while another is waited for.
    for message in [&silent, &without_id, &closed] {
        world.wait_for_status(message, &["unknown", "failed"]).await;
    }
    for message in [&silent, &without_id, &closed] {
        world.wait_for_status(message, &["failed"]).await;
    }
    for phone in ["+966500010031", "+966500010033", "+966500010032"] {
        assert_eq!(world.calls_to(phone).await.len(), 1, "{phone}");
    }
    eventually("unknown was told in its place", async || {
        let mut statuses: Vec<(i64, Value)> = receiver
            .events("message.status_updated")
            .into_iter()
            .filter(|event| event["message_id"] == silent.as_str())
            .map(|event| (event["sequence"].as_i64().unwrap_or_default(), event["status"].clone()))
            .collect();
        statuses.sort_by_key(|(sequence, _)| *sequence);
        (statuses == [(1, json!("sending")), (2, json!("unknown")), (3, json!("failed"))]).then_some(())
    })
    .await;

    // The provider took it and reports it, while the answer never came.
    let reported = customer.accepted("+966500010030").await;
    world.wait_for_status(&reported, &["read"]).await;
    assert_eq!(world.calls_to("+966500010030").await.len(), 1);
}

/// An instance may be set to send again what stayed unknown: once nobody has told by the deadline, and as long as the
/// validity lasts. A report of the first call that comes after all is still believed.
pub async fn an_unknown_message_is_sent_again_where_that_is_wanted(services: &Services) {
    let mut world = World::new(services).await;
    world.set("GATEPOST_PROVIDER_TIMEOUT_MS", 800);
    world.set("GATEPOST_UNKNOWN_DEADLINE_MS", 1_500);
    let _processes = world.start_all().await;
    let customer = world.customer().await;
    let (provider, database) = (Provider::start().await, world.database().await);
    let scripted = provider.instance(&world, &customer, "scripted").await;
    let resend = ["instance", "set-on-unknown", "--account", &customer.account, "--id", "scripted", "resend"];
    world.admin(&resend).await;
    provider.hold(true);
    let message = scripted.accepted("+966500010001").await;
    let mut short = scripted.message("+966500010002");
    short["validity_seconds"] = 2.into();
    let expiring = scripted.send(&short).await.message_id();
    world.wait_for_status(&message, &["unknown"]).await;
    eventually("it is called again", async || {
        let calls = provider.calls();
        (calls.iter().filter(|call| call["to"] == "+966500010001").count() == 2).then_some(())
    })
    .await;
    provider.hold(false);
    world.wait_for_status(&message, &["sent"]).await;
    assert_eq!(life(&database, &message).await, "queued sending unknown sent");
    world.wait_for_status(&expiring, &["failed"]).await;
}

/// What was to be sent again and never was has not simply expired: the first call may have sent it.
pub async fn an_unknown_message_that_cannot_be_sent_again_fails(services: &Services) {
    let mut world = World::new(services).await;
    world.set("GATEPOST_PROVIDER_TIMEOUT_MS", 500);
    world.set("GATEPOST_UNKNOWN_DEADLINE_MS", 1_000);
    let _processes = world.start_all().await;
    let customer = world.customer().await;
    let instance = ["--account", &customer.account, "--id", "shop-main"];
    world.admin(&[&["instance", "set-on-unknown"], &instance[..], &["resend"]].concat()).await;
    let mut silent = customer.message("+966500010031");
    silent["validity_seconds"] = 6.into();
    let message = customer.send(&silent).await.message_id();
    world.wait_for_status(&message, &["unknown"]).await;
    world.admin(&[&["instance", "pause"], &instance[..]].concat()).await;
    world.wait_for_status(&message, &["failed"]).await;
    let database = world.database().await;
    assert_eq!(life(&database, &message).await, "queued sending unknown failed");
    let resent = "select count(*) from messages where resent and error = 'gateway_send_failed'";
    assert_eq!(count(&database, resent).await, 1);
}

/// The attempt is on record, and the status says so, while the provider is still being called.
pub async fn the_attempt_is_recorded_before_the_call(services: &Services) {
    let mut world = World::new(services).await;
    world.set("GATEPOST_PROVIDER_TIMEOUT_MS", 8_000);
    let _processes = world.start_all().await;
    let customer = world.customer().await;
    let message = customer.accepted("+966500010031").await;
    eventually("the provider is being called", async || {
        (world.calls_to("+966500010031").await.len() == 1).then_some(())
    })
    .await;
    let sql = "select m.status::text, m.in_flight, a.outcome is null from messages m join attempts a using (account_id, message_id)
               where m.message_id = $1::text::uuid";
    let row = world.database().await.query_one(sql, &[&message]).await.expect("the attempt is there");
    let seen = (row.get::<_, String>(0), row.get::<_, bool>(1), row.get::<_, bool>(2));
    assert_eq!(seen, ("sending".to_owned(), true, true));
}

/// Somebody who opts out after the acceptance is not written to.
pub async fn suppression_is_checked_again_before_the_attempt(services: &Services) {
    let world = World::new(services).await;
    let _gateway = world.start(Binary::Gateway).await;
    let customer = world.customer().await;
    let message = customer.accepted("+966500070001").await;
    let code = customer.send(&customer.code("+966500070001")).await.message_id();
    let add = ["suppression", "add", "--account", &customer.account, "--phone", "+966500070001", "--scope"];
    world.admin(&[&add[..], &["non-essential"]].concat()).await;
    let _others = (world.start(Binary::Deliver).await, world.start(Binary::Sweep).await);
    world.wait_for_status(&message, &["failed"]).await;
    // A one-time code still passes.
    world.wait_for_status(&code, &["read"]).await;
    assert_eq!(world.calls_to("+966500070001").await.len(), 1);
    let sql = "select error from messages where message_id = $1::text::uuid";
    let row = world.database().await.query_one(sql, &[&message]).await.expect("a row");
    assert_eq!(row.get::<_, String>(0), "recipient_suppressed");
}

/// What is not worth sending any more expires, unsent.
pub async fn an_old_message_expires_unsent(services: &Services) {
    let world = World::new(services).await;
    let _processes = world.start_all().await;
    let customer = world.customer().await;
    let connecting =
        ["instance", "set-connection", "--account", &customer.account, "--id", "shop-main", "connecting"];
    world.admin(&connecting).await;
    let mut body = customer.message("+966500080001");
    body["validity_seconds"] = json!(2);
    let answer = customer.send(&body).await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    world.wait_for_status(&answer.message_id(), &["expired"]).await;
    assert!(world.calls_to("+966500080001").await.is_empty());
}

/// A connect failure is certain not to have sent: it is tried again, and the end of the budget or validity fails it.
pub async fn an_unreachable_provider_is_tried_again_until_the_validity_ends(services: &Services) {
    let world = World::new(services).await;
    let _processes = world.start_all().await;
    let customer = world.customer().await;
    let database = world.database().await;
    database
        .execute("update instances set base_url = 'http://127.0.0.1:9/v23.0'", &[])
        .await
        .expect("it is moved");
    let mut body = customer.message("+966500090001");
    body["validity_seconds"] = json!(30);
    let message = customer.send(&body).await.message_id();
    let attempts = async || {
        let sql = "select count(*) from attempts where outcome = 'retry' and message_id = $1::text::uuid";
        database.query_one(sql, &[&message]).await.expect("a row").get::<_, i64>(0)
    };
    within(Duration::from_secs(20), "a second attempt", async || (attempts().await >= 2).then_some(())).await;
    database
        .execute("update instances set base_url = $1", &[&world.sandbox_url])
        .await
        .expect("it is moved back");
    let end = world.wait_for_status(&message, &["read", "failed"]).await;
    let calls = world.calls_to("+966500090001").await.len();
    assert!((end == "read" && calls == 1) || (end == "failed" && calls == 0), "{end} after {calls} calls");
}
