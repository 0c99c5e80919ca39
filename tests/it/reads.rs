//! What a message reads of a table does not grow with the table, even if it was small when the processes started, and even if
//! Postgres knows nothing of what is in it.

use tokio_postgres::Client;

use crate::support::eventually;
use crate::support::process::Binary;
use crate::support::provider::Provider;
use crate::support::rows::wait_for_count;
use crate::support::services::Services;
use crate::support::world::{Customer, World, answer};

/// Messages before the tables grow: Postgres has settled on its plans then.
const BEFORE: i64 = 10;
/// Messages afterwards.
const AFTER: i64 = 20;
/// By how many rows each table grows.
const ROWS: i64 = 3_000;
/// Messages that wait for another hour; reading them once for each message afterwards would be too many.
const WAITING: i64 = 200;
/// The most rows of one table that the messages afterwards may read together; reading it once would be more.
const MOST: i64 = 1_000;

/// Sends to as many people of the team, each with an idempotency key, and waits until all were called.
async fn send(customer: &Customer, provider: &Provider, people: std::ops::Range<i64>) {
    let last = usize::try_from(people.end).expect("a count");
    for n in people {
        let mut body = customer.message(&format!("+96650{n:03}0003"));
        body["message_purpose"] = "internal_team".into();
        let sent = answer(customer.request(&body).header("idempotency-key", format!("key-{n}"))).await;
        assert_eq!(sent.status, 202, "{}", sent.text);
    }
    eventually("all are called", async || (provider.calls().len() == last).then_some(())).await;
}

/// Rows read, and rows added, of a table so far. Processes tell the database of it some seconds late.
async fn counts(database: &Client, table: &str) -> (i64, i64) {
    let sql = "select (coalesce(sum(idx_tup_fetch), 0) + sum(seq_tup_read))::int8, sum(n_tup_ins)::int8 from pg_stat_user_tables
        where relname = $1 or relid in (select inhrelid from pg_inherits where inhparent = $1::text::regclass)";
    let row = database.query_one(sql, &[&table]).await.expect("the table is known");
    (row.get(0), row.get(1))
}

/// Waits until all sessions have ended: one tells of all it has read when it does.
async fn alone(database: &Client) {
    let others =
        "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()
        and backend_type = 'client backend'";
    wait_for_count(database, others, 0).await;
}

async fn grow(database: &Client, account: &str) {
    let sql = format!(
        "insert into idempotency_keys (account_id, key, body_hash, message_id, log_id)
             select {account}, 'old-' || n, '', gen_random_uuid(), 0 from generate_series(1, {ROWS}) n;
         insert into internal_numbers (account_id, recipient)
             select {account}, '96650000' || 10000 + n from generate_series(1, {ROWS}) n;
         insert into instances (account_id, instance_id, name, provider, base_url, interval_us)
             select {account}, 'other-' || n, 'Other', 'sandbox', 'http://127.0.0.1:1', 1 from generate_series(1, {ROWS}) n;"
    );
    database.batch_execute(&sql).await.expect("the rows fit");
}

/// An account with thousands of instances, idempotency keys and people of its team.
pub async fn reads_do_not_grow_with_the_tables(services: &Services) {
    const TABLES: [&str; 3] = ["idempotency_keys", "internal_numbers", "instances"];
    let world = World::new(services).await;
    let _processes = [world.start(Binary::Gateway).await, world.start(Binary::Deliver).await];
    let provider = Provider::start().await;
    let customer = provider.instance(&world, &world.customer().await, "main").await;
    let database = world.database().await;
    send(&customer, &provider, 0..BEFORE).await;
    grow(&database, &customer.account).await;
    // What was read until now is told once what was written is.
    let told = async |added: i64, messages: i64| {
        eventually("the statistics are complete", async || {
            let keys = counts(&database, "idempotency_keys").await.1;
            let attempts = counts(&database, "attempts").await.1;
            (keys >= added && attempts >= messages).then_some(())
        })
        .await;
    };
    told(BEFORE + ROWS, BEFORE).await;
    let mut before = Vec::new();
    for table in TABLES {
        before.push(counts(&database, table).await.0);
    }
    send(&customer, &provider, BEFORE..BEFORE + AFTER).await;
    told(BEFORE + ROWS + AFTER, BEFORE + AFTER).await;
    for (table, before) in TABLES.iter().zip(before) {
        let read = counts(&database, table).await.0 - before;
        assert!(read < MOST, "{read} rows of {table} were read for {AFTER} messages");
    }
}

/// Keeps Postgres from looking at what is in the tables, as at the beginning of a month.
async fn know_nothing(database: &Client) {
    let sql = "do $$
        declare partition regclass;
        begin
            for partition in select inhrelid from pg_inherits loop
                if (select relkind from pg_class where oid = partition) = 'r' then
                    execute format('alter table %s set (autovacuum_enabled = false)', partition);
                end if;
            end loop;
        end $$";
    database.batch_execute(sql).await.expect("tables have that setting");
}

/// Adds finished messages of today, with all that comes with them, to an account.
async fn have_sent(database: &Client, account: &str) {
    let sql = "create temp table sent as
            select n, (left(first_id_of(now())::text, 14) || '7' || right(gen_random_uuid()::text, 21))::uuid as id
            from generate_series(1, ROWS) n;
        insert into messages (account_id, message_id, log_id, instance_id, purpose, lane, recipient, status, sequence, attempts,
                calls, expires_at, provider_message_id, reached_provider, quota_day, quota_month, request_id)
            select ACCOUNT, id, n, 'shop-main', 'transactional', 'standard', '9665' || (10000000 + n), 'read', 1, 1,
                   1, now(), 'wamid.SENT' || n, true, now(), date_trunc('month', now()), 'sent' from sent;
        insert into message_texts (account_id, message_id, body) select ACCOUNT, id, 'Your order is ready.' from sent;
        insert into attempts (account_id, message_id, attempt, started_at, finished_at, outcome, provider_message_id)
            select ACCOUNT, id, 1, now(), now(), 'accepted', 'wamid.SENT' || n from sent;
        insert into events (account_id, event_id, kind, instance_id, message_id, recipient, status, previous_status, sequence)
            select ACCOUNT, id, 'message.status_updated', 'shop-main', id, '9665', 'read', 'sent', 1 from sent;
        insert into webhook_deliveries (account_id, event_id, endpoint_id, status, attempts, finished_at)
            select ACCOUNT, id, id, 'delivered', 1, now() from sent;
        insert into webhook_attempts (account_id, event_id, endpoint_id, attempt, at, duration_ms, http_status)
            select ACCOUNT, id, id, 1, now(), 5, 200 from sent;
        drop table sent";
    let sql = sql.replace("ROWS", &ROWS.to_string()).replace("ACCOUNT", account);
    database.batch_execute(&sql).await.expect("the rows fit");
}

/// From acceptance to the last webhook, callbacks included, in the first month of a busy account: everything is found by its
/// whole key, although nothing has told Postgres that this is worth it.
pub async fn what_postgres_knows_nothing_of_is_looked_up_by_its_key(services: &Services) {
    const TABLES: [&str; 6] =
        ["messages", "message_texts", "attempts", "events", "webhook_deliveries", "webhook_attempts"];
    let world = World::new(services).await;
    let database = world.database().await;
    know_nothing(&database).await;
    let processes = world.start_all().await;
    let customer = world.customer().await;
    let receiver = world.receiver(&customer).await;
    let live = async |people: std::ops::Range<i64>| {
        let last = usize::try_from(people.end).expect("a count");
        for n in people {
            customer.accepted(&format!("+96650{n:03}0001")).await;
        }
        eventually("all are told of", async || {
            (receiver.events("message.delivered").len() == last).then_some(())
        })
        .await;
    };
    live(0..BEFORE).await;
    have_sent(&database, &customer.account).await;
    live(BEFORE..BEFORE + AFTER).await;
    for process in processes {
        process.kill().await;
    }
    alone(&database).await;
    for table in TABLES {
        let added = async || (counts(&database, table).await.1 > ROWS).then_some(());
        eventually("the statistics are complete", added).await;
        let (read, _) = counts(&database, table).await;
        assert!(read < ROWS, "{read} rows of {table} were read for {} messages", BEFORE + AFTER);
    }
}

/// An account with much behind it and much before it: nothing was due when Postgres looked at the table, and yet nobody reads
/// all that an account has waiting to find one message.
pub async fn what_waits_is_not_read_for_each_message(services: &Services) {
    let world = World::new(services).await;
    let database = world.database().await;
    know_nothing(&database).await;
    let provider = Provider::start().await;
    let customer = provider.instance(&world, &world.customer().await, "main").await;
    have_sent(&database, &customer.account).await;
    let waiting = format!(
        "insert into messages (account_id, message_id, log_id, instance_id, purpose, lane, recipient, due_at, not_before,
                expires_at, quota_day, quota_month, request_id)
            select {}, (left(first_id_of(now())::text, 14) || '7' || right(gen_random_uuid()::text, 21))::uuid, n, 'main',
                   'transactional', 'standard', '9666' || (10000000 + n), now() + interval '1 hour', now() + interval '1 hour',
                   now() + interval '1 day', now(), date_trunc('month', now()), 'waits'
            from generate_series(1, {WAITING}) n",
        customer.account
    );
    database.batch_execute("analyze").await.expect("it can be analysed");
    database.batch_execute(&waiting).await.expect("the rows fit");
    let processes = [world.start(Binary::Gateway).await, world.start(Binary::Deliver).await];
    send(&customer, &provider, 0..AFTER).await;
    for process in processes {
        process.kill().await;
    }
    alone(&database).await;
    let added = async || (counts(&database, "messages").await.1 >= ROWS + WAITING + AFTER).then_some(());
    eventually("the statistics are complete", added).await;
    let (read, _) = counts(&database, "messages").await;
    assert!(read < MOST, "{read} messages were read for {AFTER}");
}
