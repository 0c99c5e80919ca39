//! Sending through an Evolution server: what it is asked, and what becomes of a message by each kind of its answers.

use serde_json::{Value, json};

use crate::support::eventually;
use crate::support::evolution::{Evolution, KEY, NAME, Reply, Stage};
use crate::support::process::Binary;
use crate::support::rows::{life, provider_id};
use crate::support::services::Services;
use crate::support::world::World;

/// The server is asked for exactly what it needs, with its key, and what it takes is sent, by the id it gave.
pub async fn evolution_gets_what_it_needs_and_no_more(services: &Services) {
    let Stage { world, server, customer, .. } = &Stage::new(services).await;
    let receiver = world.receiver(customer).await;
    let message = customer.accepted("+966500010001").await;
    world.wait_for_status(&message, &["sent"]).await;
    let asked = server.asked("sendText");
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].instance, NAME);
    assert_eq!(asked[0].headers["apikey"], KEY);
    assert!(asked[0].headers.get("authorization").is_none());
    let mut body = asked[0].body.clone();
    let proposed = body["messageId"].take();
    let text = "Your invoice INV-010001 is ready.";
    let expected = json!({"number": "966500010001", "text": text, "linkPreview": false, "messageId": null});
    assert_eq!(body, expected);
    let proposed = proposed.as_str().expect("an id is proposed");
    let digits = proposed.strip_prefix("3EB0").expect("it looks like WhatsApp's own");
    assert!(digits.len() == 18 && digits.chars().all(|c| "0123456789ABCDEF".contains(c)), "{proposed}");
    let database = world.database().await;
    assert_eq!(provider_id(&database, &message).await, Evolution::id(0));
    assert_eq!(life(&database, &message).await, "queued sending sent");
    eventually("it is told", async || {
        (receiver.rises(&message) == [(1, "sending".to_owned()), (2, "sent".to_owned())]).then_some(())
    })
    .await;
}

/// A number that is not on WhatsApp and a request that is not valid fail at once.
pub async fn evolution_refusals_fail_at_once(services: &Services) {
    let Stage { world, server, customer, .. } = &Stage::new(services).await;
    let receiver = world.receiver(customer).await;
    let nobody = json!([{"jid": "966500020001@s.whatsapp.net", "exists": false, "number": "966500020001"}]);
    for (phone, words, outcome) in [
        ("+966500020001", nobody, "recipient"),
        ("+966500020002", json!([["instance requires property \"text\""]]), "permanent"),
    ] {
        server.plan(Reply::refuse(400, &words));
        let message = customer.accepted(phone).await;
        world.wait_for_status(&message, &["failed"]).await;
        assert_eq!(attempts(world, &message).await, [outcome]);
        let event = eventually("the failure is told", async || {
            let told = receiver.events("message.status_updated").into_iter();
            told.into_iter().find(|event| event["message_id"] == *message && event["status"] == "failed")
        })
        .await;
        assert_eq!(event["error"], "gateway_send_failed");
    }
    assert_eq!(server.asked("sendText").len(), 2);
    // No wish of theirs, and the server may be wrong about it.
    let again = customer.accepted("+966500020001").await;
    world.wait_for_status(&again, &["sent"]).await;
}

/// What may have been sent is unknown, is never sent again, and fails without evidence: no answer in time, words that do not
/// say what was done, an answer without an id.
pub async fn evolution_doubts_are_no_second_send(services: &Services) {
    let Stage { world, server, customer, .. } = &Stage::new(services).await;
    for (n, reply) in [
        Reply::Nothing,
        Reply::refuse(400, &json!(["PrismaClientKnownRequestError: Foreign key constraint failed"])),
        Reply::refuse(400, &json!(["Error: Timed Out"])),
        Reply::refuse(500, &json!("write EPIPE")),
        Reply::Say(502, Value::Null),
        Reply::Say(201, json!({})),
    ]
    .into_iter()
    .enumerate()
    {
        server.plan(reply);
        let message = customer.accepted(&format!("+96650003000{n}")).await;
        world.wait_for_status(&message, &["unknown"]).await;
        world.wait_for_status(&message, &["failed"]).await;
        assert_eq!(life(&world.database().await, &message).await, "queued sending unknown failed");
        assert_eq!(server.asked("sendText").len(), n + 1, "one call each");
    }
}

/// Without an answer, the proposed id is on record: the id that a report of a server that heeds it will name.
pub async fn evolution_calls_without_an_answer_leave_their_id(services: &Services) {
    let Stage { world, server, customer, .. } = &Stage::new(services).await;
    server.plan(Reply::Nothing);
    let message = customer.accepted("+966500040001").await;
    let proposed = eventually("the server is asked", async || {
        server.asked("sendText").first().map(|asked| asked.body["messageId"].clone())
    })
    .await;
    let sql = "select provider_message_id from attempts where message_id = $1::text::uuid";
    let database = world.database().await;
    let row = database.query_one(sql, &[&message]).await.expect("the attempt is on record");
    assert_eq!(json!(row.get::<_, Option<String>>(0)), proposed);
}

/// A fault of the look-up, which comes before the send, is tried again.
pub async fn evolution_faults_before_the_send_are_tried_again(services: &Services) {
    let Stage { world, server, customer, .. } = &Stage::new(services).await;
    server.plan(Reply::refuse(500, &json!("Cannot read properties of undefined (reading 'find')")));
    let message = customer.accepted("+966500050001").await;
    world.wait_for_status(&message, &["sent"]).await;
    assert_eq!(attempts(world, &message).await, ["retry", "accepted"]);
    let ids: Vec<Value> =
        server.asked("sendText").into_iter().map(|asked| asked.body["messageId"].clone()).collect();
    assert!(ids.len() == 2 && ids[0] != ids[1], "each call proposes an id of its own");
}

/// What is wrong with the instance holds it and is told; its messages wait untouched.
pub async fn evolution_instance_errors_hold_the_sender(services: &Services) {
    let Stage { world, server, customer, .. } = &Stage::new(services).await;
    let receiver = world.receiver(customer).await;
    let licence = json!({"error": "service not activated", "code": "LICENSE_REQUIRED"});
    let gone = json!(["The \"shop main\" instance does not exist"]);
    for (n, (reply, reason)) in [
        (Reply::refuse(401, &json!("Unauthorized")), "the key is refused"),
        (Reply::refuse(404, &gone), "no such instance"),
        (Reply::Say(503, licence), "licence is not activated"),
    ]
    .into_iter()
    .enumerate()
    {
        server.plan(reply);
        let message = customer.accepted(&format!("+96650006000{n}")).await;
        let event = eventually("it is told", async || {
            let told = receiver.events("instance.connection_updated").into_iter();
            told.filter(|event| event["connection"] == "suspect").nth(n)
        })
        .await;
        assert_eq!(event["previous_connection"], "open");
        let said = event["reason"].as_str().expect("why");
        assert!(said.contains(reason), "{said}");
        assert_eq!(world.status(&message).await, "sending");
        assert_eq!(server.asked("sendText").len(), 2 * n + 1, "nothing is sent meanwhile");
        let open = ["instance", "set-connection", "--account", &customer.account, "--id", "evo", "open"];
        world.admin(&open).await;
        world.wait_for_status(&message, &["sent"]).await;
        assert_eq!(attempts(world, &message).await, ["instance", "accepted"]);
    }
}

/// The connection follows what the server says: messages wait while it is not open, are refused once it was found closed
/// twice, and leave by themselves when it is open again; the customer is told of each change.
pub async fn evolution_connections_are_looked_at(services: &Services) {
    let Stage { world, server, customer, .. } = &Stage::looking(services).await;
    let receiver = world.receiver(customer).await;
    server.set_state(Some("connecting"));
    wait_for_connection(world, "connecting").await;
    let held = customer.accepted("+966500080001").await;
    server.set_state(Some("close"));
    wait_for_connection(world, "close").await;
    let refused = customer.send(&customer.message("+966500080002")).await;
    assert_eq!((refused.status, refused.error()), (502, "gateway_send_failed"), "{}", refused.text);
    assert!(server.asked("sendText").is_empty());
    server.set_state(Some("open"));
    world.wait_for_status(&held, &["sent"]).await;
    let changes = [("open", "connecting"), ("connecting", "close"), ("close", "open")];
    eventually("each change is told once", async || {
        let mut told = receiver.events("instance.connection_updated");
        told.sort_by_key(|event| event["event_id"].as_str().map(str::to_owned));
        let told: Vec<Value> = told
            .into_iter()
            .map(|event| json!([event["previous_connection"], event["connection"], event["reason"]]))
            .collect();
        (told == changes.map(|(from, to)| json!([from, to, "provider"]))).then_some(())
    })
    .await;
}

/// A sender that lost its connection to WhatsApp is suspect until its server says that it is open, and goes on by itself; one
/// that is not loaded does not.
pub async fn evolution_goes_on_when_it_is_connected_again(services: &Services) {
    let Stage { world, server, customer, .. } = &Stage::looking(services).await;
    server.set_state(None);
    wait_for_connection(world, "close").await;
    server.set_state(Some("open"));
    wait_for_connection(world, "open").await;
    server.plan(Reply::refuse(400, &json!(["Error: Connection Closed"])));
    let message = customer.accepted("+966500090001").await;
    world.wait_for_status(&message, &["sent"]).await;
    assert_eq!(attempts(world, &message).await, ["instance", "accepted"]);
    let sql = "select string_agg(state, ' ' order by event_id) from events where kind = 'instance.connection_updated'";
    let told = world.database().await.query_one(sql, &[]).await.expect("events can be read");
    assert_eq!(told.get::<_, &str>(0), "connecting close open suspect open");
}

/// Two sweeps look at a connection no oftener than one.
pub async fn evolution_connections_are_looked_at_once(services: &Services) {
    let Stage { world, server, .. } = &Stage::new(services).await;
    let _second = world.start(Binary::Sweep).await;
    eventually("somebody has looked", async || (server.looks() > 0).then_some(())).await;
    let database = world.database().await;
    let due = async || {
        let sql = "select extract(epoch from due_at - now())::float8 from connection_looks";
        database.query_one(sql, &[]).await.expect("the look is on record").get::<_, f64>(0)
    };
    // For an open one, four times as long as the setting says.
    eventually("the look has ended", async || (due().await > 2_300.0).then_some(())).await;
    database
        .execute("update connection_looks set due_at = now() - interval '1 second'", &[])
        .await
        .expect("it can be made due");
    eventually("it was looked at again", async || (due().await > 2_300.0).then_some(())).await;
    assert_eq!(server.looks(), 2);
}

async fn wait_for_connection(world: &World, state: &str) {
    let database = world.database().await;
    eventually(&format!("the connection is {state}"), async || {
        let sql = "select connection from instances where instance_id = 'evo'";
        let row = database.query_one(sql, &[]).await.expect("the instance exists");
        (row.get::<_, &str>(0) == state).then_some(())
    })
    .await;
}

/// An Evolution instance and its server's sandbox agree on every ending that ends soon.
pub async fn evolution_sandbox_knows_every_class(services: &Services) {
    let Stage { world, customer, .. } = &Stage::new(services).await;
    let sandbox = world.sandbox_url.trim_end_matches("/v23.0");
    let sql = "update instances set base_url = $1 where instance_id = 'evo'";
    world.database().await.execute(sql, &[&sandbox]).await.expect("it is moved");
    for (ending, end, outcome) in [
        ("0001", "sent", "accepted"),
        ("0010", "failed", "permanent"),
        ("0011", "failed", "recipient"),
        ("0013", "failed", "unknown"),
        ("0032", "failed", "unknown"),
        ("0033", "failed", "unknown"),
        ("0034", "failed", "unknown"),
        ("0042", "sending", "instance"),
    ] {
        let message = customer.accepted(&format!("+96650007{ending}")).await;
        world.wait_for_status(&message, &[end]).await;
        eventually("its attempt is recorded", async || {
            (attempts(world, &message).await == [outcome]).then_some(())
        })
        .await;
    }
}

/// The server is pointed at this gateway by an address only it knows, with everything the gateway acts on; what is stored
/// does not tell the address.
pub async fn evolution_is_told_where_to_report(services: &Services) {
    let Stage { world, server, customer, .. } = &Stage::new(services).await;
    let mut arguments = vec!["instance", "register-webhook", "--account", &customer.account, "--id", "evo"];
    arguments.extend(["--callback-url", "https://gate.example/"]);
    let made = world.admin(&arguments).await;
    let token = made["secret"].as_str().expect("the token is shown once");
    assert_eq!((&made["id"], token.len()), (&json!("evo"), 43));
    let asked = server.asked("set").remove(0);
    assert_eq!(asked.instance, NAME);
    assert_eq!(asked.headers["apikey"], KEY);
    let events = [
        "MESSAGES_UPSERT",
        "MESSAGES_UPDATE",
        "SEND_MESSAGE",
        "CONNECTION_UPDATE",
        "STATUS_INSTANCE",
        "LOGOUT_INSTANCE",
        "REMOVE_INSTANCE",
    ];
    let url = format!("https://gate.example/callbacks/evolution/{token}");
    let expected = json!({"webhook": {
        "enabled": true, "url": url, "headers": {"X-Gateway-Token": token}, "byEvents": false, "base64": false,
        "events": events,
    }});
    assert_eq!(asked.body, expected);
    let sql = "select callback_token_hash = sha256($1::text::bytea) from instances where instance_id = 'evo'";
    let database = world.database().await;
    let known = async |token: &str| {
        database.query_one(sql, &[&token]).await.expect("a row").get::<_, Option<bool>>(0) == Some(true)
    };
    assert!(known(token).await);

    // A server that does not take it leaves the old address in force.
    server.answer_webhooks(400);
    let (code, out, error) = world.run_admin(&arguments).await;
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(error.contains("HTTP 400"), "{error}");
    assert!(known(token).await);

    // Nor is there anything to register with Meta.
    let mut meta = arguments.clone();
    meta[5] = "shop-main";
    let (code, _, error) = world.run_admin(&meta).await;
    assert!(code == 2 && error.contains("Evolution"), "{error}");
}

/// What the server reports to the address it was given settles a call that had no answer: by the id that was proposed to it.
pub async fn evolution_reports_settle_what_had_no_answer(services: &Services) {
    let Stage { world, server, customer, .. } = &Stage::new(services).await;
    let url = world.gateway_url();
    let register = ["instance", "register-webhook", "--account", &customer.account, "--id", "evo"];
    world.admin(&[&register[..], &["--callback-url", &url]].concat()).await;
    let told_url = server.asked("set").remove(0).body["webhook"]["url"].clone();
    server.plan(Reply::Nothing);
    let message = customer.accepted("+966500110001").await;
    world.wait_for_status(&message, &["unknown"]).await;
    let proposed = server.asked("sendText").remove(0).body["messageId"].clone();
    let report = json!({"event": "messages.update", "instance": NAME, "data": {
        "keyId": proposed, "remoteJid": "966500110001@s.whatsapp.net", "fromMe": true, "status": "DELIVERY_ACK",
    }});
    let told = customer.http.post(told_url.as_str().expect("an address")).json(&report).send().await;
    assert_eq!(told.expect("the gateway answers").status().as_u16(), 200);
    world.wait_for_status(&message, &["delivered"]).await;
    let database = world.database().await;
    assert_eq!(life(&database, &message).await, "queued sending unknown delivered");
    assert_eq!(json!(provider_id(&database, &message).await), proposed);
    assert_eq!(server.asked("sendText").len(), 1);
}

/// The outcomes of a message's calls, in their order.
async fn attempts(world: &World, message: &str) -> Vec<String> {
    let sql = "select outcome from attempts where message_id = $1::text::uuid and outcome is not null order by attempt";
    let rows = world.database().await.query(sql, &[&message]).await.expect("attempts can be read");
    rows.iter().map(|row| row.get(0)).collect()
}
