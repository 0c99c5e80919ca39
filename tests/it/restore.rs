//! A restore of the database to an earlier moment, with an empty broker.

use std::time::Duration;

use futures_util::future::join_all;
use gatepost::audit::Witnesses;
use serde_json::Value;
use tokio_postgres::Client;

use crate::support::eventually;
use crate::support::ledger::{audited, wrong};
use crate::support::meta;
use crate::support::process::{Binary, Process};
use crate::support::queues::Queues;
use crate::support::rows::{count, life, wait_for_count};
use crate::support::services::{Postgres, Services};
use crate::support::world::{Customer, World, connect, with_database};

/// A PostgreSQL that archives its WAL, and where; `None`: it runs in a container, whose files are out of reach.
async fn archiving(services: &Services) -> Option<(Postgres, String)> {
    let mut postgres = Postgres::start(services.way()).await;
    if !postgres.is_local() {
        postgres.shutdown().await;
        return None;
    }
    let database = connect(postgres.url()).await;
    let data: String = database.query_one("show data_directory", &[]).await.expect("it is known").get(0);
    let archive = format!("{}/archive", data.trim_end_matches("/data"));
    let keep = format!("alter system set archive_command = 'mkdir -p {archive} && cp %p {archive}/%f'");
    for setting in ["alter system set archive_mode = on", &keep] {
        database.batch_execute(setting).await.expect("it can be set");
    }
    drop(database);
    postgres.restart().await;
    Some((postgres, archive))
}

async fn stop(processes: Vec<Process>) {
    for mut process in processes {
        process.terminate();
        assert_eq!(process.wait(Duration::from_secs(20)).await, Some(0), "{}", process.log());
    }
}

async fn sent_to(customer: &Customer, phones: &[String]) -> Vec<String> {
    join_all(phones.iter().map(|phone| customer.accepted(phone))).await
}

fn phones(beginning: &str, count: usize, ending: &str) -> Vec<String> {
    (0..count).map(|n| format!("+96650{beginning}{n:02}{ending}")).collect()
}

async fn set_connection(world: &World, customer: &Customer, state: &str) {
    world
        .admin(&["instance", "set-connection", "--account", &customer.account, "--id", "shop-main", state])
        .await;
}

/// What was true before the moment of the restore, and what happened after it.
struct Past {
    /// The one whose messages were sent after the moment.
    sending: Customer,
    /// The one whose messages waited all the time.
    held: Customer,
    delivered: Vec<String>,
    sent_since: Vec<String>,
    waiting: Vec<String>,
    moment: String,
}

const SENT_SINCE: usize = 6;

/// Delivers some messages, has a base backup taken, lets others wait, and after the moment sends some of those.
async fn live(world: &World, postgres: &Postgres) -> (Past, Postgres) {
    let (sending, held) = (world.customer().await, world.customer().await);
    let gateway = world.start(Binary::Gateway).await;
    let workers = vec![world.start(Binary::Deliver).await, world.start(Binary::Notify).await];
    let delivered = sent_to(&sending, &phones("1", 5, "0001")).await;
    for message in &delivered {
        world.wait_for_status(message, &["read"]).await;
    }
    let backup = postgres.backed_up().await;
    stop(workers).await;
    set_connection(world, &held, "connecting").await;
    let sent_since = sent_to(&sending, &phones("2", SENT_SINCE, "0003")).await;
    let waiting = sent_to(&held, &phones("3", 5, "0001")).await;
    let database = world.database().await;
    // By the clock that the commits are stamped with: what is committed after it is lost.
    let moment = database.query_one("select clock_timestamp()::text", &[]).await.expect("the time").get(0);
    sent_to(&sending, &phones("4", 3, "0001")).await;
    let deliver = world.start(Binary::Deliver).await;
    wait_for_count(&database, "select count(*) from messages where status in ('sent', 'read')", 14).await;
    deliver.kill().await;
    gateway.kill().await;
    archive_all(&database).await;
    (Past { sending, held, delivered, sent_since, waiting, moment }, backup)
}

/// Waits until the WAL up to now is in the archive.
async fn archive_all(database: &Client) {
    let switch = "select pg_walfile_name(pg_switch_wal())";
    let file: String = database.query_one(switch, &[]).await.expect("it can be switched").get(0);
    eventually("the WAL is archived", async || {
        let sql = "select last_archived_wal >= $1 from pg_stat_archiver";
        let archived: Option<bool> = database.query_one(sql, &[&file]).await.expect("a row").get(0);
        archived.filter(|archived| *archived)
    })
    .await;
}

/// After a restore to a moment, with an empty broker: what was delivered stays so, what certainly waited is delivered once
/// through queues that `sweep` fills, and what may have been sent since is not sent again: it ends by the provider's word, or else
/// at the deadline.
pub async fn restore_to_a_moment_sends_nothing_twice(services: &Services) {
    let Some((mut postgres, archive)) = archiving(services).await else {
        eprintln!("not run: a restore needs PostgreSQL's installed binaries");
        return;
    };
    let mut world = World::on(postgres.url(), services.amqp_url()).await;
    world.set("GATEPOST_ACCEPT_DUE_MS", 500);
    let (past, mut restored) = live(&world, &postgres).await;
    let calls = world.calls("").await["total"].as_i64();
    assert_eq!(calls, Some(14), "five before the moment, nine after it");

    Queues::of(&world).await.wipe().await;
    postgres.kill().await;
    restored.recover(&archive, &past.moment).await;
    let (_, name) = world.database_url.rsplit_once('/').expect("an address with a database");
    world.database_url = with_database(restored.url(), name);
    let database = world.database().await;
    let recovering = "select count(*) from pg_is_in_recovery() r where r";
    wait_for_count(&database, recovering, 0).await;
    assert_eq!(count(&database, "select count(*) from messages").await, 16, "the last three are gone");
    doubt(&world, &past).await;

    let _processes = world.start_all().await;
    set_connection(&world, &past.held, "open").await;
    for message in &past.waiting {
        world.wait_for_status(message, &["read"]).await;
        assert_eq!(world.calls(&format!("opaque={}/{message}:1", past.held.account)).await["total"], 1);
    }
    end_by_evidence(&world, &past, &database).await;
    for message in past.delivered.iter().chain(&past.waiting) {
        assert_eq!(life(&database, message).await, "queued sending sent delivered read");
    }
    assert_eq!(world.calls("").await["total"].as_i64(), Some(14 + 5), "nothing was sent twice");
    let report = audited(&world.database_url, &Witnesses::default()).await;
    assert_eq!(wrong(&report), [""; 0], "{report:#?}");
    let new = past.sending.accepted("+966500050001").await;
    world.wait_for_status(&new, &["read"]).await;
    tokio::join!(restored.shutdown(), postgres.shutdown());
}

/// Takes for sent perhaps what the one customer had waiting; doing it again changes nothing but the deadline.
async fn doubt(world: &World, past: &Past) {
    let doubted = async |until: &str| -> Value {
        world.admin(&["restored", "--account", &past.sending.account, "--until", until]).await
    };
    let first = doubted("1h").await;
    assert_eq!((&first["doubted"], &first["wait_longer"]), (&Value::from(SENT_SINCE), &Value::from(0)));
    let again = doubted("2h").await;
    assert_eq!((&again["doubted"], &again["wait_longer"]), (&Value::from(0), &Value::from(SENT_SINCE)));
    for message in &past.sent_since {
        assert_eq!(world.status(message).await, "unknown");
    }
    let report = audited(&world.database_url, &Witnesses::default()).await;
    let waiting: Vec<&str> = wrong(&report);
    assert_eq!(waiting, [""; 0], "{report:#?}");
}

/// One of them is reported as delivered, by a call that is not on record; of the others nothing is heard until the deadline.
async fn end_by_evidence(world: &World, past: &Past, database: &Client) {
    let (reported, silent) = past.sent_since.split_first().expect("some");
    let mark = format!("{}/{reported}:2", past.sending.account);
    let report = meta::status(&past.sending, "wamid.SINCE==", "delivered", Some(&mark));
    // Reports of messages that are gone may wait beside it for ten minutes: the provider repeats what the crash cut off.
    meta::post(&world.gateway_url(), &report).await;
    world.wait_for_status(reported, &["delivered"]).await;
    let ends = "update messages set due_at = now() where status = 'unknown'";
    database.execute(ends, &[]).await.expect("the deadline can be moved");
    for message in silent {
        world.wait_for_status(message, &["failed"]).await;
        assert_eq!(life(database, message).await, "queued unknown failed");
    }
}
