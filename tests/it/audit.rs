//! The audit: it finds nothing in a healthy life, and each fault where there is one.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use futures_util::future::join_all;
use gatepost::audit::{Accepted, Answered, Call, Options, Received, Witnesses};
use gatepost::config::Hidden;
use gatepost::store::Pool;
use serde_json::Value;
use tokio_postgres::Client;
use uuid::Uuid;

use crate::audit_faults::{FAULTS, Fault};
use crate::support::eventually;
use crate::support::ledger::{audited, told, uuid, witnesses, wrong};
use crate::support::rows::{count, wait_for_count};
use crate::support::services::Services;
use crate::support::world::{Answer, Customer, World, answer, connect, with_database};

/// How the sandbox's people of the mixed life end.
const ENDINGS: [(&str, &str); 8] = [
    ("0001", "read"),
    ("0002", "delivered"),
    ("0003", "sent"),
    ("0005", "failed"),
    ("0010", "failed"),
    ("0021", "read"),
    ("0031", "failed"),
    ("0050", "delivered"),
];

/// A database with something of everything in it that has come to rest, and what was seen from outside.
struct Mixed {
    world: World,
    witnesses: Witnesses,
}

/// Accepted, delivered, failed, throttled and tried again, unknown, expired, held, opted out and confirmed, refused,
/// replayed, waited for; with an endpoint that fails once.
async fn mixed_life(services: &Services) -> Mixed {
    let mut world = World::new(services).await;
    world.set("GATEPOST_UNKNOWN_DEADLINE_MS", 500);
    world.set("GATEPOST_PROVIDER_TIMEOUT_MS", 1_500);
    let processes = world.start_all().await;
    let database = world.database().await;
    let customer = world.customer().await;
    let confirm = ["instance", "set-confirmation", "--account", &customer.account, "--id", "shop-main"];
    world.admin(&[&confirm[..], &["--opt-out", "You will get no more messages."]].concat()).await;
    let receiver = world.receiver(&customer).await;
    receiver.answer(2, 500);
    // The audit leaves out what happened within seconds of an endpoint's making.
    let old = "update webhook_endpoints set created_at = created_at - interval '1 hour'";
    database.execute(old, &[]).await.expect("it can be changed");

    let mut ledger = HashMap::new();
    for (ending, _) in ENDINGS {
        let message = customer.accepted(&format!("+96650001{ending}")).await;
        ledger.insert(uuid(&message), told(&customer, None, Answered::Queued));
    }
    for (message, key, answered) in keyed(&customer, &database).await {
        ledger.insert(message, told(&customer, Some(&key), answered));
    }
    let mut marketing = customer.message("+966500010001");
    marketing["message_purpose"] = Value::from("marketing");
    assert_eq!(customer.send(&marketing).await.status, 422);
    let held = world.customer().await;
    world
        .admin(&["instance", "set-connection", "--account", &held.account, "--id", "shop-main", "connecting"])
        .await;
    let waits = held.accepted("+966500020001").await;
    let mut short = held.message("+966500020002");
    short["validity_seconds"] = Value::from(1);
    let expires = held.send(&short).await.message_id();
    for message in [&waits, &expires] {
        ledger.insert(uuid(message), told(&held, None, Answered::Queued));
    }
    for (ending, status) in ENDINGS {
        let sql = format!(
            "select count(*) from messages where recipient = '96650001{ending}' and status = '{status}'"
        );
        wait_for_count(&database, &sql, if ending == "0050" { 2 } else { 1 }).await;
    }
    world.wait_for_status(&expires, &["expired"]).await;
    assert_eq!(customer.send(&customer.message("+966500010050")).await.error(), "recipient_suppressed");
    wait_for_count(&database, "select count(*) from messages where due_at is not null", 1).await;
    wait_for_count(&database, "select count(*) from callbacks where due_at is not null", 0).await;
    wait_for_count(&database, "select count(*) from webhook_deliveries where status = 'pending'", 0).await;
    for mut process in processes {
        process.terminate();
        assert_eq!(process.wait(Duration::from_secs(20)).await, Some(0), "{}", process.log());
    }
    let witnesses = witnesses(&world, &receiver, ledger).await;
    Mixed { world, witnesses }
}

/// Sends with idempotency keys: one that is replayed, and two whose outcome is waited for.
async fn keyed(customer: &Customer, database: &Client) -> Vec<(Uuid, String, Answered)> {
    let send = async |phone: &str, key: &str, wait: Option<&str>| -> Answer {
        let mut request = customer.request(&customer.message(phone)).header("idempotency-key", key);
        if let Some(wait) = wait {
            request = request.header("prefer", wait);
        }
        answer(request).await
    };
    let first = send("+966500030001", "order-1", None).await;
    let again = send("+966500030001", "order-1", None).await;
    assert_eq!((first.status, first.text.as_str()), (202, again.text.as_str()));
    let sent = send("+966500040001", "order-2", Some("wait=20")).await;
    let failed = send("+966500040011", "order-3", Some("wait=20")).await;
    assert_eq!((sent.status, failed.status), (200, 502));
    let sql = "select message_id::text from idempotency_keys where key = 'order-3'";
    let failed: String = database.query_one(sql, &[]).await.expect("it was accepted").get(0);
    vec![
        (uuid(&first.message_id()), "order-1".to_owned(), Answered::Queued),
        (uuid(&sent.message_id()), "order-2".to_owned(), Answered::Sent),
        (uuid(&failed), "order-3".to_owned(), Answered::Failed),
    ]
}

/// Nothing is found in a mixed life, whatever is remembered of it; and each thing that is remembered and is not so is.
pub async fn audit_finds_nothing_wrong_with_a_mixed_life(services: &Services) {
    let Mixed { world, witnesses } = mixed_life(services).await;
    let report = audited(&world.database_url, &witnesses).await;
    assert_eq!(wrong(&report), [""; 0], "{report:#?}");
    assert_eq!((report.accounts, report.messages), (2, 14), "with the confirmation");
    for check in &report.checks {
        let none = ["callback_given_up", "callback_parked"].contains(&check.id);
        assert_eq!(check.looked_at == 0, none, "{check:?}");
    }

    let (code, out, err) = world.run_admin(&["audit"]).await;
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    let printed: Value = serde_json::from_str(&out).expect("one object");
    assert_eq!((&printed["accounts"], &printed["messages"]), (&Value::from(2), &Value::from(14)));
    assert_eq!(printed["checks"].as_array().map(Vec::len), Some(23));
    let text = world.admin_text(&["audit", "--account", "1"]).await;
    assert!(text.starts_with("1 accounts, 12 messages") && text.ends_with("nothing is wrong\n"), "{text}");
    assert_eq!(world.admin_fails(1, &["audit", "--account", "99"]).await, "account 99 does not exist");
    what_witnesses_know_is_found(&world, &witnesses).await;
}

/// A change of what is remembered, and what is found by it.
type Lie = (&'static str, fn(&mut Witnesses));

fn ledger(witnesses: &mut Witnesses) -> &mut HashMap<Uuid, Accepted> {
    witnesses.accepted.as_mut().expect("remembered")
}

fn with_key<'a>(witnesses: &'a mut Witnesses, key: &str) -> &'a mut Accepted {
    ledger(witnesses).values_mut().find(|told| told.key.as_deref() == Some(key)).expect("it was sent")
}

/// The calls for the message that was sent by that key.
fn calls_for<'a>(witnesses: &'a mut Witnesses, key: &str) -> &'a mut Vec<Call> {
    let sent = ledger(witnesses).iter().find(|(_, told)| told.key.as_deref() == Some(key));
    let message = *sent.expect("it was sent").0;
    witnesses.calls.as_mut().expect("remembered").get_mut(&message).expect("it was called")
}

fn received(witnesses: &mut Witnesses) -> &mut HashMap<Uuid, Received> {
    witnesses.received.as_mut().expect("remembered")
}

const LIES: [Lie; 14] = [
    ("accepted_lost", |w| {
        let told = with_key(w, "order-1").clone();
        ledger(w).insert(Uuid::from_u128(1), Accepted { key: None, ..told });
    }),
    ("accepted_untold", |w| ledger(w).retain(|_, told| told.key.as_deref() != Some("order-1"))),
    ("", |w| {
        let account_id = with_key(w, "order-1").account_id;
        w.open_keys.insert((account_id, "order-1".to_owned()));
        w.open_keys.insert((account_id, "never arrived".to_owned()));
        ledger(w).retain(|_, told| told.key.as_deref() != Some("order-1"));
    }),
    ("key_disagrees", |w| with_key(w, "order-1").key = Some("order-2".to_owned())),
    ("key_disagrees", |w| with_key(w, "order-1").key = Some("order-4".to_owned())),
    ("answer_contradicted", |w| with_key(w, "order-1").answered = Answered::Failed),
    ("call_unrecorded", |w| calls_for(w, "order-1").push(Call { attempt: 2, accepted: false })),
    ("call_unrecorded", |w| {
        w.calls.as_mut().expect("remembered").insert(Uuid::from_u128(1), vec![]);
    }),
    ("accepted_twice call_repeated", |w| calls_for(w, "order-1").push(Call { attempt: 1, accepted: true })),
    ("outcome_contradicted", |w| calls_for(w, "order-1")[0].accepted = false),
    ("call_unseen", |w| calls_for(w, "order-1").clear()),
    ("webhook_unreceived", |w| {
        let any = *received(w).keys().next().expect("some came");
        received(w).remove(&any);
    }),
    ("webhook_untrue", |w| {
        let rise = received(w).values_mut().find(|webhook| webhook.sequence == Some(1));
        rise.expect("some came").sequence = Some(2);
    }),
    ("webhook_untrue", |w| {
        received(w).insert(Uuid::from_u128(1), Received { message_id: None, sequence: None, status: None });
    }),
];

async fn what_witnesses_know_is_found(world: &World, witnesses: &Witnesses) {
    for (expected, lie) in LIES {
        let mut told = witnesses.clone();
        lie(&mut told);
        let report = audited(&world.database_url, &told).await;
        assert_eq!(wrong(&report).join(" "), expected, "{report:#?}");
        assert!(report.wrong().all(|check| (check.wrong, check.examples.len()) == (1, 1)), "{report:#?}");
    }
    let ids: BTreeSet<&str> = LIES.iter().flat_map(|(ids, _)| ids.split_whitespace()).collect();
    let faults: BTreeSet<&str> = FAULTS.iter().flat_map(|fault| fault.found.split_whitespace()).collect();
    let all = audited(&world.database_url, witnesses).await;
    for check in &all.checks {
        assert!(ids.contains(check.id) || faults.contains(check.id), "{} is found by some test", check.id);
    }
}

/// Each fault that is put into the database of a mixed life is found, and nothing else is.
pub async fn audit_finds_each_fault(services: &Services) {
    let Mixed { world, .. } = mixed_life(services).await;
    let (_, source) = world.database_url.rsplit_once('/').expect("an address with a database");
    for (place, Fault { found, sql }) in FAULTS.iter().enumerate() {
        let name = format!("{source}f{place}");
        let copy = format!("create database {name} template {source}");
        let server = connect(services.database_url()).await;
        eventually("the database can be copied", async || server.batch_execute(&copy).await.ok()).await;
        let url = with_database(services.database_url(), &name);
        let database = connect(&url).await;
        let changed = database.execute(*sql, &[]).await.unwrap_or_else(|error| panic!("{found}: {error:?}"));
        assert_eq!(changed, 1, "{sql}");
        let report = audited(&url, &Witnesses::default()).await;
        assert_eq!(wrong(&report).join(" "), *found, "{sql}: {report:#?}");
    }
    let database = world.database().await;
    let phone = "select recipient from messages limit 1";
    let phone: String = database.query_one(phone, &[]).await.expect("there are some").get(0);
    for Fault { sql, .. } in &FAULTS[..3] {
        database.execute(*sql, &[]).await.expect("as before");
    }
    let (code, out, err) = world.run_admin(&["audit"]).await;
    assert_eq!((code, err.as_str()), (3, ""), "{out}");
    assert!(!out.contains(&phone[..8]), "{out}");
}

/// While messages are accepted, sent, reported and told, no audit finds anything, and nobody is kept waiting by one.
pub async fn audit_of_a_running_system_raises_no_alarm(services: &Services) {
    let mut world = World::new(services).await;
    world.let_crowds_pass();
    let _processes = world.start_all().await;
    let customer = world.customer().await;
    let _receiver = world.receiver(&customer).await;
    let pool = Pool::new(&Hidden(world.database_url.clone()), 1).expect("an address");
    let sending = join_all((0..300).map(|n| {
        let (phone, customer) = (format!("+96650{n:03}0021"), &customer);
        async move { customer.accepted(&phone).await }
    }));
    let auditing = async {
        let mut audits = 0;
        let database = world.database().await;
        while count(&database, "select count(*) from messages where status = 'read'").await < 300 {
            let report = gatepost::audit::audit(&pool, &Options::default(), &Witnesses::default()).await;
            let report = report.expect("it can be read");
            assert_eq!(wrong(&report), [""; 0], "{report:#?}");
            audits += 1;
        }
        audits
    };
    let (messages, audits) = tokio::join!(sending, tokio::time::timeout(Duration::from_secs(60), auditing));
    assert_eq!(messages.len(), 300);
    assert!(audits.expect("all are read in time") >= 5);
}
