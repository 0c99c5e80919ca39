//! Webhooks as a customer meets them: in the commit of what they tell, signed, once, and again after a failure.

use futures_util::future::join_all;
use tokio_postgres::Client;

use crate::support::eventually;
use crate::support::meta;
use crate::support::process::{Binary, Process};
use crate::support::provider::{Provider, add_instance};
use crate::support::receiver::{Receiver, Reply};
use crate::support::rows::{count, provider_id, wait_for_count};
use crate::support::services::Services;
use crate::support::world::{Customer, World};

/// How many events of that kind (and status) were written in the same commit as the row they report and as the debt to
/// the endpoint.
async fn in_one_commit(database: &Client, row: &str, event: &str) -> i64 {
    let sql = format!(
        "select count(*) from events e
         join webhook_deliveries d on d.event_id = e.event_id and d.xmin = e.xmin
         join {row} r on r.account_id = e.account_id and r.xmin = e.xmin
         where {event}"
    );
    count(database, &sql).await
}

/// Every event is in the commit of what it reports, and so is the debt to the endpoint: a call begun, sent, reported,
/// failed and expired; an opt-out and an opt-in; a sender that is held.
pub async fn events_are_in_the_commit_of_what_they_tell(services: &Services) {
    let world = World::new(services).await;
    let _processes = [world.start(Binary::Gateway).await, world.start(Binary::Deliver).await];
    let (customer, database) = (world.customer().await, world.database().await);
    let _receiver = world.receiver(&customer).await;
    let provider = Provider::start().await;
    let scripted = provider.instance(&world, &customer, "scripted").await;
    let told = async |status: &str| {
        let event =
            format!("e.status = '{status}' and e.sequence = r.sequence and e.message_id = r.message_id");
        in_one_commit(&database, "messages", &event).await
    };

    provider.hold(true);
    let message = scripted.accepted("+966500017000").await;
    eventually("the call is made", async || provider.calls().pop()).await;
    assert_eq!(told("sending").await, 1);
    provider.hold(false);
    world.wait_for_status(&message, &["sent"]).await;
    assert_eq!(told("sent").await, 1);
    let theirs = provider_id(&database, &message).await;
    for (word, events) in [("delivered", 2), ("read", 2)] {
        world.report(&database, &meta::status(&scripted, &theirs, word, None)).await;
        assert_eq!(told(word).await, events, "{word} has an event of its own besides the rise");
    }
    let refused = customer.accepted("+966500010011").await;
    world.wait_for_status(&refused, &["failed"]).await;
    assert_eq!(told("failed").await, 1);

    world.report(&database, &meta::text(&customer, "966500017001", "wamid.IN1==", "STOP")).await;
    assert_eq!(in_one_commit(&database, "suppressions", "e.kind = 'recipient.opted_out'").await, 1);
    assert_eq!(in_one_commit(&database, "inbound_messages", "e.kind = 'recipient.opted_out'").await, 1);
    world.report(&database, &meta::text(&customer, "966500017001", "wamid.IN2==", "START")).await;
    assert_eq!(in_one_commit(&database, "inbound_messages", "e.kind = 'recipient.opted_in'").await, 1);
    customer.accepted("+966500010040").await;
    wait_for_count(&database, "select count(*) from instances where connection = 'suspect'", 1).await;
    assert_eq!(in_one_commit(&database, "instances", "e.kind = 'instance.connection_updated'").await, 1);

    let other = add_instance(&world, &customer, "short-lived", &world.sandbox_url).await;
    world
        .admin(&[
            "instance",
            "set-connection",
            "--account",
            &other.account,
            "--id",
            "short-lived",
            "connecting",
        ])
        .await;
    let mut body = other.message("+966500017002");
    body["validity_seconds"] = 1.into();
    let expired = other.send(&body).await.message_id();
    let _sweep = world.start(Binary::Sweep).await;
    world.wait_for_status(&expired, &["expired"]).await;
    assert_eq!(told("expired").await, 1);
}

/// The body of a message's event to the letter, and a failure told with its error; every signature is accepted by the
/// published library.
pub async fn each_rise_is_told_in_the_documented_shape(services: &Services) {
    let world = World::new(services).await;
    let _processes = world.start_all().await;
    let customer = world.customer().await;
    let receiver = world.receiver(&customer).await;
    let sent = customer.send(&customer.message("+966500010002")).await;
    let (id, log_id) = (sent.message_id(), &sent.body["log_id"]);
    let failed = customer.accepted("+966500010011").await;
    eventually("all is told", async || (receiver.received().len() == 6).then_some(())).await;

    let received = receiver.received();
    assert!(received.iter().all(|webhook| webhook.verified));
    let delivered = received.iter().find(|webhook| webhook.body["event"] == "message.delivered");
    let delivered = delivered.expect("it was delivered");
    let (event_id, timestamp) = (&delivered.id, delivered.body["timestamp"].as_str().expect("a text"));
    let request_id = sent.header("x-request-id").expect("every answer names its request");
    assert_eq!(
        delivered.raw,
        format!(
            r#"{{"event":"message.delivered","event_id":"{event_id}","instance_id":"shop-main","instance_name":"Main line","message_id":"{id}","log_id":{log_id},"to":"+966500010002","status":"delivered","previous_status":"sent","error":null,"sequence":3,"request_id":"{request_id}","timestamp":"{timestamp}"}}"#
        )
    );
    assert_eq!(
        receiver.rises(&id),
        [1, 2, 3].map(|n| (n, ["", "sending", "sent", "delivered"][n as usize].to_owned()))
    );
    assert_eq!(receiver.rises(&failed), [(1, "sending".to_owned()), (2, "failed".to_owned())]);
    let failure = received.iter().find(|webhook| webhook.body["status"] == "failed").expect("it failed");
    assert_eq!(failure.body["error"], "gateway_send_failed");
}

/// One webhook of the kind `message.delivered`, owed to a new endpoint.
async fn one_delivered(world: &World, customer: &Customer) -> Receiver {
    let receiver = Receiver::start().await;
    endpoint(world, customer, &receiver, "message.delivered").await;
    receiver
}

/// An endpoint for some kinds of event; gives its id.
async fn endpoint(world: &World, customer: &Customer, receiver: &Receiver, events: &str) -> String {
    let create =
        ["webhook", "create", "--account", &customer.account, "--url", &receiver.url, "--events", events];
    let made = world.admin(&create).await;
    receiver.trust(made["secret"].as_str().expect("the secret is shown once"));
    made["id"].as_str().expect("an id").to_owned()
}

/// A failed attempt is made again after about five seconds, with the same `webhook-id` and body and a signature of its
/// own time; both attempts are on record.
pub async fn a_failed_attempt_is_made_again_on_schedule(services: &Services) {
    let world = World::new(services).await;
    let _processes = world.start_all().await;
    let (customer, database) = (world.customer().await, world.database().await);
    let receiver = one_delivered(&world, &customer).await;
    receiver.answer(0, 500);
    customer.accepted("+966500010002").await;
    wait_for_count(&database, "select count(*) from webhook_deliveries where status = 'delivered'", 1).await;

    let received = receiver.received();
    assert_eq!(received.len(), 2);
    assert_eq!((&received[0].id, &received[0].raw), (&received[1].id, &received[1].raw));
    assert!(received.iter().all(|webhook| webhook.verified));
    let pause = (received[1].at - received[0].at).as_secs_f64();
    assert!((4.4..15.0).contains(&pause), "5 s ± 10 %, and the time until it is noticed: {pause}");
    let rows = database
        .query("select attempt, http_status, error, duration_ms from webhook_attempts order by attempt", &[])
        .await
        .expect("the database answers");
    let attempts: Vec<(i16, Option<i16>, Option<String>)> =
        rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect();
    assert_eq!(attempts, [(1, Some(500), Some("status".to_owned())), (2, Some(200), None)]);
    let delivery =
        "select count(*) from webhook_deliveries where attempts = 2 and due_at is null and lease is null
        and finished_at is not null";
    assert_eq!(count(&database, delivery).await, 1);
    let healthy =
        "select count(*) from webhook_endpoints where failing_since is null and disabled_at is null";
    assert_eq!(count(&database, healthy).await, 1);
}

/// 410 disables the endpoint: what was owed to it ends, nothing is owed to it any more, and the customer's other endpoint
/// gets everything.
pub async fn an_endpoint_that_is_gone_is_left_alone(services: &Services) {
    let world = World::new(services).await;
    let _processes = world.start_all().await;
    let (customer, database) = (world.customer().await, world.database().await);
    let (gone, other) = (Receiver::start().await, world.receiver(&customer).await);
    gone.always_answer(410);
    let kinds = "message.status_updated,message.delivered,message.read";
    let id = endpoint(&world, &customer, &gone, kinds).await;
    customer.accepted("+966500010001").await;
    let disabled = format!(
        "select count(*) from webhook_endpoints where endpoint_id = '{id}' and disabled_reason = 'gone'"
    );
    wait_for_count(&database, &disabled, 1).await;
    let owed = format!("select count(*) from webhook_deliveries where endpoint_id = '{id}'");
    eventually("the first message is told", async || (other.received().len() == 6).then_some(())).await;
    wait_for_count(&database, &format!("{owed} and status <> 'failed'"), 0).await;
    let (before, met) = (count(&database, &owed).await, gone.received().len());
    assert!(met >= 1);

    customer.accepted("+966500010002").await;
    eventually("the second message is told", async || (other.received().len() == 10).then_some(())).await;
    assert_eq!((count(&database, &owed).await, gone.received().len()), (before, met));
    let attempts = "select count(*) from webhook_attempts where error = 'gone' and http_status = 410";
    assert_eq!(count(&database, attempts).await, i64::try_from(met).expect("few"));
}

/// A redirect is a failure, not a way: whatever its kind, nobody asks at the address it names.
pub async fn redirects_are_not_followed(services: &Services) {
    let world = World::new(services).await;
    let _processes = world.start_all().await;
    let (customer, database) = (world.customer().await, world.database().await);
    let target = Receiver::start().await;
    let mut redirecting = Vec::new();
    for status in [301, 302, 303, 307, 308] {
        let receiver = one_delivered(&world, &customer).await;
        receiver.always_reply(Reply { status, location: Some(target.url.clone()), body: Vec::new() });
        redirecting.push(receiver);
    }
    customer.accepted("+966500010002").await;
    let attempts = "select count(*) from webhook_attempts where attempt = 1 and error = 'redirect'
        and http_status in (301, 302, 303, 307, 308)";
    wait_for_count(&database, attempts, 5).await;
    assert!(redirecting.iter().all(|receiver| !receiver.received().is_empty()));
    assert_eq!(target.received().len(), 0);
}

/// Of an answer's text the first 16 KiB are kept, of a short one all, whether it is a success or not.
pub async fn an_answer_is_kept_up_to_sixteen_kibibytes(services: &Services) {
    let world = World::new(services).await;
    let _processes = world.start_all().await;
    let (customer, database) = (world.customer().await, world.database().await);
    let (long, short) = (one_delivered(&world, &customer).await, one_delivered(&world, &customer).await);
    long.always_reply(Reply { body: vec![b'x'; 4 * 1024 * 1024], ..Reply::status(200) });
    short.always_reply(Reply { body: b"no\0t now\xff".to_vec(), ..Reply::status(503) });
    customer.accepted("+966500010002").await;
    let kept =
        "select count(*) from webhook_attempts where http_status = 200 and answer = repeat('x', 16384)";
    wait_for_count(&database, kept, 1).await;
    let kept = "select count(*) from webhook_attempts where http_status = 503 and answer = E'not now\\uFFFD'";
    wait_for_count(&database, kept, 1).await;
}

/// An endpoint gets the kinds of event it asked for and no others, and nobody else's.
pub async fn an_endpoint_gets_what_it_asked_for(services: &Services) {
    let world = World::new(services).await;
    let _processes = world.start_all().await;
    let (customer, stranger, database) =
        (world.customer().await, world.customer().await, world.database().await);
    let (all, some, foreign) =
        (world.receiver(&customer).await, Receiver::start().await, world.receiver(&stranger).await);
    endpoint(&world, &customer, &some, "message.read,recipient.opted_out").await;
    let read = customer.accepted("+966500010001").await;
    customer.accepted("+966500010050").await;
    eventually("all is told", async || (all.received().len() == 11).then_some(())).await;
    wait_for_count(&database, "select count(*) from webhook_deliveries where status <> 'delivered'", 0).await;
    let mut kinds: Vec<String> =
        some.received().iter().map(|one| one.body["event"].as_str().unwrap_or_default().to_owned()).collect();
    kinds.sort();
    assert_eq!(kinds, ["message.read", "recipient.opted_out"]);
    assert_eq!(some.events("message.read")[0]["message_id"], read.as_str());
    assert_eq!(count(&database, "select count(*) from webhook_deliveries").await, 13);
    assert_eq!(foreign.received().len(), 0);
}

/// Two processes share the work and send each of several hundred events once.
pub async fn two_processes_send_each_event_once(services: &Services) {
    let world = World::new(services).await;
    let mut processes: Vec<Process> = world.start_all().await;
    processes.push(world.start(Binary::Notify).await);
    let (customer, database) = (world.customer().await, world.database().await);
    let receiver = world.receiver(&customer).await;
    join_all((1000..1050).map(async |n| customer.accepted(&format!("+96650001{n}")).await)).await;
    wait_for_count(&database, "select count(*) from messages where status = 'read'", 50).await;
    let events = count(&database, "select count(*) from events").await;
    assert_eq!(events, 50 * 6);
    wait_for_count(&database, "select count(*) from webhook_deliveries where status = 'delivered'", events)
        .await;

    let received = receiver.received();
    let mut ids: Vec<&str> = received.iter().map(|webhook| webhook.id.as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!((received.len(), ids.len()), (300, 300));
    assert_eq!(count(&database, "select count(*) from webhook_attempts").await, events);
    let both = processes.iter().filter(|process| matches!(process.binary, Binary::Notify));
    assert!(both.map(Process::log).all(|log| log.contains("webhook sent")), "both had a share");
}
