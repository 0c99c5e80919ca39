//! Partitions by time: made ahead, dropped when they are old, and touched only by statements about their time.

use std::collections::BTreeMap;

use tokio_postgres::Client;

use crate::support::eventually;
use crate::support::ledger::{audited, wrong};
use crate::support::past;
use crate::support::process::Binary;
use crate::support::receiver::Receiver;
use crate::support::rows::{count, wait_for_count};
use crate::support::services::Services;
use crate::support::world::{Customer, World, connect};
use gatepost::audit::Witnesses;

/// Every table that is kept in partitions.
const FAMILIES: [&str; 7] = [
    "messages",
    "message_texts",
    "attempts",
    "events",
    "policy_log",
    "webhook_deliveries",
    "webhook_attempts",
];

/// Drops every partition but the default ones, whose rows are nobody's yet.
const DROP_ALL: &str = "do $$
    declare partition text;
    begin
        for partition in select i.inhrelid::regclass::text from pg_inherits i join pg_class c on c.oid = i.inhrelid
            where c.relkind = 'r' and c.relname not like '%default' loop
            execute format('drop table %s', partition);
        end loop;
    end $$";

/// A table's partitions, by name.
async fn partitions(database: &Client, table: &str) -> Vec<String> {
    let sql =
        "select inhrelid::regclass::text from pg_inherits where inhparent = $1::text::regclass order by 1";
    let rows = database.query(sql, &[&table]).await.expect("the catalogue can be read");
    rows.iter().map(|row| row.get(0)).collect()
}

/// The present period and every one that begins within four weeks has its partition in each table, with the settings of the
/// default one; `sweep` makes what is missing.
pub async fn partitions_are_made_ahead(services: &Services) {
    let world = World::new(services).await;
    let database = world.database().await;
    let mut made = Vec::new();
    for table in FAMILIES {
        made.push(partitions(&database, table).await);
    }
    let expected = "select array_agg(name order by name) from (
            select 'messages_default' as name
            union select to_char(moment at time zone 'UTC', '\"messages_\"YYYY\"m\"MM')
            from unnest(array[now(), now() + interval '28 days']) moment) n";
    let expected: Vec<String> = database.query_one(expected, &[]).await.expect("names").get(0);
    assert_eq!(made[0], expected);
    assert_eq!(made[1].len(), 6, "texts have a week each: {:?}", made[1]);
    let unlike = "select count(*) from pg_inherits i join pg_class c on c.oid = i.inhrelid
                  join pg_class d on d.relname = i.inhparent::regclass::text || '_default'
                  where c.relkind = 'r' and c.reloptions is distinct from d.reloptions";
    assert_eq!(count(&database, unlike).await, 0);

    database.batch_execute(DROP_ALL).await.expect("they can be dropped");
    let _sweep = world.start(Binary::Sweep).await;
    for (table, before) in FAMILIES.iter().zip(made) {
        eventually(&format!("{table} has its partitions again"), async || {
            (partitions(&database, table).await == before).then_some(())
        })
        .await;
    }
}

/// What comes while there is no partition for it is accepted, delivered, and moved to its partition once that is made.
pub async fn partitions_take_in_what_fell_outside(services: &Services) {
    let world = World::new(services).await;
    let database = world.database().await;
    database.batch_execute(DROP_ALL).await.expect("they can be dropped");
    let _processes = [world.start(Binary::Gateway).await, world.start(Binary::Deliver).await];
    let customer = world.customer().await;
    let outside = customer.accepted("+966500050001").await;
    world.wait_for_status(&outside, &["read"]).await;
    assert_eq!(count(&database, "select count(*) from messages_default").await, 1);

    let _sweep = world.start(Binary::Sweep).await;
    for table in FAMILIES {
        wait_for_count(&database, &format!("select count(*) from {table}_default"), 0).await;
    }
    let inside = customer.accepted("+966500050002").await;
    world.wait_for_status(&inside, &["delivered"]).await;
    assert_eq!(world.status(&outside).await, "read");
    assert_eq!(count(&database, "select count(*) from messages_default").await, 0);
    let report = audited(&world.database_url, &Witnesses::default()).await;
    assert_eq!(wrong(&report), Vec::<&str>::new());
}

/// A message that was read and one whose recipient answered STOP, both final, and told.
async fn two_messages(world: &World, database: &Client) -> (Customer, Receiver) {
    let customer = world.customer().await;
    let receiver = world.receiver(&customer).await;
    let read = customer.accepted("+966500050001").await;
    let stopped = customer.accepted("+966500050050").await;
    world.wait_for_status(&read, &["read"]).await;
    world.wait_for_status(&stopped, &["delivered"]).await;
    let of_account = format!("account_id = {}", customer.account);
    wait_for_count(database, &format!("select count(*) from suppressions where {of_account}"), 1).await;
    let open = format!("select count(*) from webhook_deliveries where due_at is not null and {of_account}");
    wait_for_count(database, &open, 0).await;
    (customer, receiver)
}

/// Texts go after a month and everything else of a message after half a year, a partition at a time, and what no partition
/// was there for as well. The audit does not miss what is gone.
pub async fn partitions_of_texts_go_before_those_of_rows(services: &Services) {
    let world = World::new(services).await;
    let database = world.database().await;
    let processes = world.start_all().await;
    // The rows of the last of them are too old.
    let ages = [0, 40, 100, 220];
    let mut customers = Vec::new();
    for _ in ages {
        customers.push(two_messages(&world, &database).await);
    }
    drop(processes);
    past::partitions(&database, 8, 8).await;
    for (days, (customer, _)) in ages.into_iter().zip(&customers) {
        past::age(&database, customer.account_id, days).await;
    }
    let young = format!("where account_id <> {}", customers[3].0.account);
    let mut kept = Vec::new();
    for table in FAMILIES.iter().filter(|table| **table != "message_texts") {
        kept.push((table, count(&database, &format!("select count(*) from {table} {young}")).await));
    }
    assert_eq!(count(&database, "select count(*) from message_texts").await, 8);
    assert!(
        count(&database, "select count(*) from message_texts_default").await > 0,
        "100 days are no week's"
    );

    let sweep = world.start(Binary::Sweep).await;
    wait_for_count(&database, "select count(*) from message_texts", 2).await;
    for (table, rows) in kept {
        wait_for_count(&database, &format!("select count(*) from {table}"), rows).await;
        assert_eq!(count(&database, &format!("select count(*) from {table} {young}")).await, rows, "{table}");
    }
    wait_for_count(&database, "select count(*) from events where message_text is not null", 1).await;
    let words =
        "select count(*) from events where message_text = 'STOP' and occurred_at > now() - interval '1 day'";
    assert_eq!(count(&database, words).await, 1, "the words of today are kept");
    let report = audited(&world.database_url, &Witnesses::default()).await;
    assert_eq!(wrong(&report), Vec::<&str>::new());
    assert_eq!(report.messages, 6);
    assert!(sweep.log().contains("was dropped"), "{}", sweep.log());
}

/// Nothing goes as long as a message or a webhook of its time, or from before, is not final.
pub async fn partitions_with_something_open_are_kept(services: &Services) {
    let world = World::new(services).await;
    let database = world.database().await;
    let processes = world.start_all().await;
    let (customer, _receiver) = two_messages(&world, &database).await;
    drop(processes);
    past::partitions(&database, 8, 8).await;
    past::age(&database, customer.account_id, 220).await;
    let of_account = format!("where account_id = {}", customer.account);
    let open = format!("update messages set due_at = now() + interval '1 day' {of_account}");
    database.execute(&open, &[]).await.expect("it can be changed");

    let sweep = world.start(Binary::Sweep).await;
    eventually("sweep has come to the last table", async || {
        let log = sweep.log();
        let mut kept = log.lines().filter(|line| line.contains("is kept although it is old"));
        kept.next_back().is_some_and(|line| line.contains("policy_log_")).then_some(())
    })
    .await;
    for (table, rows) in [("messages", 2), ("message_texts", 2), ("attempts", 2), ("policy_log", 2)] {
        let sql = format!("select count(*) from {table} {of_account}");
        assert_eq!(count(&database, &sql).await, rows, "{table}");
    }
    drop(sweep);

    let ended = format!("update messages set due_at = null {of_account}");
    database.execute(&ended, &[]).await.expect("it can be changed");
    let _sweep = world.start(Binary::Sweep).await;
    for table in FAMILIES {
        wait_for_count(&database, &format!("select count(*) from {table} {of_account}"), 0).await;
    }
}

/// How often each partition was read as a whole, and how often by key.
async fn scans(database: &Client) -> BTreeMap<String, (i64, i64)> {
    let sql = "select t.relname::text, coalesce(t.seq_scan, 0), coalesce(i.idx_scan, 0)
        from pg_stat_user_tables t join pg_inherits h on h.inhrelid = t.relid
        join pg_stat_user_indexes i on i.relid = t.relid and i.indexrelname like '%pkey'";
    let rows = database.query(sql, &[]).await.expect("the statistics can be read");
    rows.iter().map(|row| (row.get(0), (row.get(1), row.get(2)))).collect()
}

/// Waits until nobody of the product's, and nobody who filled the tables, is connected: who has left has told the statistics.
async fn all_have_left(database: &Client) {
    let others = "select count(*) from pg_stat_activity
        where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'";
    wait_for_count(database, others, 0).await;
}

/// A whole life, accepted, called, reported, told, swept and opted out, reads no partition from beginning to end, and looks
/// nothing up by key in partitions of another time: what it costs does not grow with what is kept.
pub async fn partitions_of_the_past_are_left_alone(services: &Services) {
    let world = World::new(services).await;
    let filling = world.database().await;
    past::partitions(&filling, 5, 3).await;
    past::crowd(&filling, 20_000).await;
    drop(filling);
    let database = connect(&world.database_url).await;
    all_have_left(&database).await;
    let before = scans(&database).await;
    let present = "select array_agg(relname::text) from pg_class c join pg_inherits i on i.inhrelid = c.oid
        where relname like '%default' or relname >= inhparent::regclass::text || to_char(now() at time zone 'UTC' - interval '1 week',
            case inhparent::regclass::text when 'message_texts' then '_IYYY\"w\"IW' else '_YYYY\"m\"MM' end)";
    let present: Vec<String> = database.query_one(present, &[]).await.expect("names").get(0);

    let processes = world.start_all().await;
    let customer = world.customer().await;
    let receiver = world.receiver(&customer).await;
    for ending in ["0001", "0002", "0010", "0022", "0050"] {
        customer.accepted(&format!("+96650005{ending}")).await;
    }
    eventually("every end is told", async || {
        let ends = ["message.read", "message.delivered", "recipient.opted_out"];
        let told = ends.map(|kind| receiver.events(kind).len());
        let failed =
            receiver.events("message.status_updated").iter().any(|event| event["status"] == "failed");
        (told[0] == 2 && told[1] >= 2 && told[2] == 1 && failed).then_some(())
    })
    .await;
    for process in &processes {
        process.terminate();
    }
    for mut process in processes {
        process.wait(std::time::Duration::from_secs(20)).await;
    }
    all_have_left(&database).await;
    let after = scans(&database).await;
    assert!(after.len() > 40 && after.len() == before.len(), "{after:?}");
    for (partition, (whole, by_key)) in after {
        let (whole_before, by_key_before) = before[&partition];
        assert_eq!(whole, whole_before, "{partition} was read as a whole");
        if !present.contains(&partition) {
            assert_eq!(by_key, by_key_before, "{partition} was looked into");
        }
    }
}
