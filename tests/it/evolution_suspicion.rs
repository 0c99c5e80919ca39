//! Senders that may be unable to send: held, tried by one message at a time, and trusted again.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::evolution::{Evolution, Reply, Stage, record};
use crate::support::meta::all_applied;
use crate::support::process::Binary;
use crate::support::rows::{count, wait_for_count};
use crate::support::services::Services;
use crate::support::{eventually, within};

fn closed() -> Reply {
    Reply::refuse(400, &json!(["Error: Connection Closed"]))
}

/// Phones of different people.
fn phones(from: u32, how_many: u32) -> Vec<String> {
    (from..from + how_many).map(|n| format!("+9665{n:08}")).collect()
}

/// Accepts a message to each; gives the ids.
async fn accepted(stage: &Stage, phones: &[String]) -> Vec<String> {
    let mut messages = Vec::new();
    for phone in phones {
        messages.push(stage.customer.accepted(phone).await);
    }
    messages
}

async fn all_sent(stage: &Stage, messages: &[String]) {
    for message in messages {
        stage.world.wait_for_status(message, &["sent", "delivered"]).await;
    }
}

/// The connections that were told of, in their order.
async fn told(stage: &Stage) -> String {
    let sql = "select string_agg(state, ' ' order by event_id) from events where kind = 'instance.connection_updated'";
    let row = stage.world.database().await.query_one(sql, &[]).await.expect("events can be read");
    row.get::<_, Option<String>>(0).unwrap_or_default()
}

/// Whatever number of workers and sweepers there are, a refused sender's messages leave one by one, each after a longer
/// pause, until one is taken; then all of them leave.
pub async fn suspicion_lets_one_message_through_at_a_time(services: &Services) {
    let settings = [("GATEPOST_CONNECTION_POLL_MS", 50), ("GATEPOST_PROBE_MS", 300)];
    let stage = Stage::with(services, &settings).await;
    let _more = [stage.world.start(Binary::Deliver).await, stage.world.start(Binary::Sweep).await];
    stage.server.answer_all(Some(closed()));
    let mut messages = accepted(&stage, &phones(120_000, 1)).await;
    stage.wait_for_connection("suspect").await;
    messages.extend(accepted(&stage, &phones(120_001, 12)).await);
    eventually("it was tried three times", async || (stage.server.arrivals().len() >= 4).then_some(())).await;
    // The server calls it open all the time.
    stage.server.answer_all(None);
    all_sent(&stage, &messages).await;
    let arrivals = stage.server.arrivals();
    let refused = stage.server.asked("sendText").len() - messages.len();
    assert!(refused >= 4, "{refused} calls were refused");
    for (n, pair) in arrivals[..=refused].windows(2).enumerate().skip(1) {
        let least = Duration::from_millis(300 * (1 << n) / 2);
        assert!(pair[1] - pair[0] >= least, "try {n} came after {:?}", pair[1] - pair[0]);
    }
    assert_eq!(told(&stage).await, "suspect open");
    let database = stage.world.database().await;
    assert_eq!(count(&database, "select count(*) from instances where probe is not null").await, 0);
    assert_eq!(count(&database, "select count(*) from suspicions where probe_at is not null").await, 0);
}

/// A sender that relapses waits longer than before its recovery.
pub async fn suspicion_remembers_a_relapse(services: &Services) {
    let stage = Stage::looking(services).await;
    let database = stage.world.database().await;
    let pause = "select pause_ms from suspicions";
    stage.server.plan(closed());
    let first = accepted(&stage, &phones(130_000, 1)).await;
    all_sent(&stage, &first).await;
    assert_eq!(count(&database, pause).await, 200);
    stage.server.plan(closed());
    let second = accepted(&stage, &phones(130_001, 1)).await;
    all_sent(&stage, &second).await;
    assert_eq!(count(&database, pause).await, 400);
    let earlier = "update suspicions set recovered_at = now() - interval '11 minutes'";
    database.execute(earlier, &[]).await.expect("it can be dated back");
    stage.server.plan(closed());
    let third = accepted(&stage, &phones(130_002, 1)).await;
    all_sent(&stage, &third).await;
    assert_eq!(count(&database, pause).await, 200);
    assert_eq!(told(&stage).await, "suspect open suspect open suspect open");
}

/// Where the server calls the sender open and nothing waits that could show it, it is open; the look is what opens it.
pub async fn suspicion_ends_without_a_message_where_the_server_says_so(services: &Services) {
    let stage = Stage::looking(services).await;
    stage.server.plan(closed());
    let mut body = stage.customer.message("+966500140001");
    body["validity_seconds"] = json!(8);
    let message = stage.customer.send(&body).await.message_id();
    stage.wait_for_connection("suspect").await;
    stage.server.set_state(None);
    stage.world.wait_for_status(&message, &["expired"]).await;
    assert_eq!(stage.connection().await, "suspect");
    stage.server.set_state(Some("open"));
    stage.wait_for_connection("open").await;
    assert_eq!(stage.server.asked("sendText").len(), 1);
}

/// A sender that calls itself connected, but of which nothing is acknowledged any more, is held and told of. One message is
/// let through; when WhatsApp is heard of again, the others leave at once.
pub async fn suspicion_finds_who_is_connected_and_dead(services: &Services) {
    let settings =
        [("GATEPOST_CONNECTION_POLL_MS", 50), ("GATEPOST_SILENCE_MS", 700), ("GATEPOST_PROBE_MS", 1_000)];
    let stage = Stage::with(services, &settings).await;
    let receiver = stage.world.receiver(&stage.customer).await;
    let database = stage.world.database().await;
    let waiting = "select count(*) from unacknowledged";
    // Nothing was ever heard: who knows whether it acknowledges at all.
    let address = stage.register(&[]).await;
    all_sent(&stage, &accepted(&stage, &phones(150_000, 6)).await).await;
    assert_eq!(count(&database, waiting).await, 0);
    stage.somebody_writes(&address).await;
    wait_for_count(&database, "select count(*) from connection_looks where heard_at is not null", 1).await;
    // Four people may have switched their phones off, whatever is sent to them; any acknowledgement clears all of them.
    let four = phones(150_100, 4);
    all_sent(&stage, &accepted(&stage, &four).await).await;
    all_sent(&stage, &accepted(&stage, &four[..2]).await).await;
    wait_for_count(&database, waiting, 4).await;
    stage.report_status(&address, &Evolution::id(6), "DELIVERY_ACK").await;
    wait_for_count(&database, waiting, 0).await;
    assert_eq!(told(&stage).await, "");
    // The server's own events, and what it hands over, are no sign.
    all_sent(&stage, &accepted(&stage, &phones(150_200, 5)).await).await;
    stage.report_status(&address, &Evolution::id(12), "PENDING").await;
    let event = eventually("it is told", async || receiver.events("instance.connection_updated").pop()).await;
    assert_eq!((&event["connection"], &event["previous_connection"]), (&json!("suspect"), &json!("open")));
    assert_eq!(event["reason"], "connected, but nothing that is sent is acknowledged any more");
    let sent = stage.server.asked("sendText").len();
    let held = accepted(&stage, &phones(150_300, 4)).await;
    eventually("one message is let through", async || {
        (stage.server.asked("sendText").len() == sent + 1).then_some(())
    })
    .await;
    // That the server takes it shows nothing.
    let probe =
        "select count(*) from messages m join instances n on n.probe = m.message_id where m.status = 'sent'";
    wait_for_count(&database, probe, 1).await;
    assert_eq!(
        (stage.connection().await.as_str(), stage.server.asked("sendText").len()),
        ("suspect", sent + 1)
    );
    stage.report_status(&address, &Evolution::id(sent), "DELIVERY_ACK").await;
    within(Duration::from_secs(8), "all others leave at once", async || {
        (stage.server.asked("sendText").len() == sent + held.len()).then_some(())
    })
    .await;
    assert_eq!(told(&stage).await, "suspect open");
}

/// Where the server has acknowledgements on record, it is its reports that get lost: nothing is held for that.
pub async fn suspicion_does_not_fall_on_who_is_not_heard(services: &Services) {
    let stage = Stage::with(services, &[("GATEPOST_SILENCE_MS", 300)]).await;
    let database = stage.world.database().await;
    let address = stage.register(&[]).await;
    stage.somebody_writes(&address).await;
    wait_for_count(&database, "select count(*) from connection_looks where heard_at is not null", 1).await;
    let mut kept = record(&json!({"number": "966555155003", "text": "x"}), &Evolution::id(3));
    kept["MessageUpdate"] = json!([{"status": "DELIVERY_ACK"}]);
    stage.server.add_record(kept);
    all_sent(&stage, &accepted(&stage, &phones(155_000, 5)).await).await;
    eventually("the server is asked", async || {
        (!stage.server.asked("findMessages").is_empty()).then_some(())
    })
    .await;
    wait_for_count(&database, "select count(*) from unacknowledged", 0).await;
    assert_eq!((stage.connection().await.as_str(), told(&stage).await.as_str()), ("open", ""));
}

/// An instance that comes back with another number is held until an operator has seen to it.
pub async fn suspicion_falls_on_another_number(services: &Services) {
    let stage = Stage::looking(services).await;
    let address = stage.register(&[]).await;
    let open = async |number: &str| {
        let wuid = format!("{number}:7@s.whatsapp.net");
        let data = json!({"instance": "shop main", "state": "open", "statusReason": 200, "wuid": wuid});
        assert_eq!(stage.report(&address, "connection.update", &data).await, 200);
    };
    open("966550001111").await;
    open("966550001111").await;
    open("966550002222").await;
    stage.wait_for_connection("suspect").await;
    let held = accepted(&stage, &phones(157_000, 1)).await;
    // The server calls it open all the time, and the same number again changes nothing either.
    let looks = stage.server.looks();
    open("966550002222").await;
    eventually("it was looked at", async || (stage.server.looks() > looks + 5).then_some(())).await;
    assert_eq!((stage.connection().await.as_str(), stage.server.asked("sendText").len()), ("suspect", 0));
    let account = &stage.customer.account;
    stage.world.admin(&["instance", "set-connection", "--account", account, "--id", "evo", "open"]).await;
    all_sent(&stage, &held).await;
    open("966550002222").await;
    all_applied(&stage.world.database().await).await;
    assert_eq!(told(&stage).await, "suspect open");
}

/// A sender whose messages WhatsApp does not take is held as soon as that is so for several people.
pub async fn suspicion_counts_what_whatsapp_does_not_take(services: &Services) {
    let stage = Stage::new(services).await;
    let address = stage.register(&[]).await;
    let messages = accepted(&stage, &phones(160_000, 10)).await;
    all_sent(&stage, &messages).await;
    let database = stage.world.database().await;
    let rejected = "select count(*) from unacknowledged where rejected";
    for n in 0..4 {
        stage.report_status(&address, &Evolution::id(n), "ERROR").await;
    }
    wait_for_count(&database, rejected, 4).await;
    // One who gets it shows that it is not the sender.
    stage.report_status(&address, &Evolution::id(4), "DELIVERY_ACK").await;
    wait_for_count(&database, rejected, 0).await;
    for n in 5..10 {
        assert_eq!(stage.connection().await, "open");
        stage.report_status(&address, &Evolution::id(n), "ERROR").await;
    }
    stage.wait_for_connection("suspect").await;
    let sql = "select hold_reason from instances where instance_id = 'evo'";
    let why: String = database.query_one(sql, &[]).await.expect("the instance exists").get(0);
    assert_eq!(why, "connected, but WhatsApp does not take what is sent");
}

/// What was held leaves at once when the server reports that it is open.
pub async fn suspicion_or_not_what_is_held_leaves_with_the_report(services: &Services) {
    let stage = Stage::new(services).await;
    let address = stage.register(&[]).await;
    let database = stage.world.database().await;
    wait_for_count(
        &database,
        "select count(*) from connection_looks where due_at > now() + interval '5 minutes'",
        1,
    )
    .await;
    let state = |state: &str| json!({"instance": "shop main", "state": state, "statusReason": 200});
    assert_eq!(stage.report(&address, "connection.update", &state("connecting")).await, 200);
    stage.wait_for_connection("connecting").await;
    let held = accepted(&stage, &phones(170_000, 5)).await;
    let waiting =
        "select count(*) from messages where due_at > now() + interval '11 seconds' and lease is null";
    wait_for_count(&database, waiting, 5).await;
    assert_eq!(stage.report(&address, "connection.update", &state("open")).await, 200);
    within(Duration::from_secs(5), "all of them leave", async || {
        (stage.server.asked("sendText").len() == held.len()).then_some(())
    })
    .await;
    all_sent(&stage, &held).await;
}

/// Refusals of Meta's wait for an operator, except those that end after a time that is known: then one message is tried.
pub async fn suspicion_of_a_meta_number_waits_as_long_as_meta_says(services: &Services) {
    let stage = Stage::new(services).await;
    let customer = stage.world.customer().await;
    let database = stage.world.database().await;
    let refused = customer.accepted("+966500010040").await;
    let sql = "select connection from instances where account_id = $1";
    let connection = async || -> String {
        database.query_one(sql, &[&customer.account_id]).await.expect("it exists").get(0)
    };
    eventually("it is suspect", async || (connection().await == "suspect").then_some(())).await;
    let never = "select count(*) from suspicions where probe_at is null";
    assert_eq!(count(&database, never).await, 1);
    // What an operator would find out: the refusal was one that ends.
    database.execute("update suspicions set probe_at = now()", &[]).await.expect("it can be set");
    eventually("it was tried, and refused again", async || {
        (stage.world.calls_to("+966500010040").await.len() == 2).then_some(())
    })
    .await;
    wait_for_count(&database, never, 1).await;
    let held = customer.accepted("+966500180001").await;
    assert_eq!(stage.world.status(&refused).await, "sending");
    // The first of those that wait is tried, whichever it is.
    let patient =
        "update messages set not_before = now() + interval '1 hour' where message_id = $1::text::uuid";
    database.execute(patient, &[&refused]).await.expect("it can be put off");
    database.execute("update suspicions set probe_at = now()", &[]).await.expect("it can be set");
    stage.world.wait_for_status(&held, &["read"]).await;
    assert_eq!(connection().await, "open");
}

/// A probe whose worker died, or of which nothing came, is over after its time, and another follows.
pub async fn suspicion_outlives_a_lost_try(services: &Services) {
    let stage = Stage::looking(services).await;
    let database = stage.world.database().await;
    stage.server.plan(closed());
    stage.server.answer_all(Some(Reply::Say(502, Value::Null)));
    let lost = accepted(&stage, &phones(190_000, 1)).await;
    stage.wait_for_connection("suspect").await;
    let second = accepted(&stage, &phones(190_001, 1)).await;
    // Unknown outcomes show nothing: each is one try, and only the next message may follow. Which is first is open, and the
    // first may have come to its end before the second is tried.
    stage.world.wait_for_status(&lost[0], &["unknown", "failed"]).await;
    assert_eq!(stage.connection().await, "suspect");
    stage.world.wait_for_status(&second[0], &["unknown", "failed"]).await;
    assert_eq!(stage.connection().await, "suspect");
    // As if the worker had died with it.
    let third = accepted(&stage, &phones(190_002, 1)).await;
    let stray = "with s as (update suspicions set probe_at = now() + interval '1 second' returning account_id, instance_id)
                 update instances n set probe = gen_random_uuid() from s
                 where n.account_id = s.account_id and n.instance_id = s.instance_id";
    database.execute(stray, &[]).await.expect("it can be set");
    stage.server.answer_all(None);
    all_sent(&stage, &third).await;
    assert_eq!(stage.connection().await, "open");
}
