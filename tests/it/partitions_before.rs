//! A database from before there were partitions is brought up to date with everything that is in it.

use std::fs;
use std::path::Path;

use tokio_postgres::Client;

use crate::support::process::{Binary, command};
use crate::support::rows::count;
use crate::support::services::Services;
use crate::support::world::{World, connect, empty_database};

/// The last version without partitions.
const BEFORE: i32 = 12;

/// Three messages with all that belongs to them: a final one from some time ago, one with a template by a clock that was weeks
/// ahead, and one that nobody has looked at.
const ROWS: &str = "
    create function pg_temp.id(at timestamptz, n int) returns uuid language sql as $$
        select (lpad(to_hex((extract(epoch from at) * 1000)::int8), 12, '0') || '7000800000000000000' || n)::uuid $$;
    insert into accounts (name, plan) values ('Shop', 'scale');
    insert into messages (account_id, message_id, log_id, instance_id, purpose, lane, recipient, body, template, status, sequence,
                          due_at, expires_at, quota_day, quota_month, request_id)
    select 1, pg_temp.id(at, n), n, 'shop-main', 'transactional', 'standard', '96650000000' || n, 'Text ' || n, template, status,
           n, due_at, now() + interval '1 day', now(), now(), 'r' || n
    from (values (1, now() - interval '10 days', null, 'read'::message_status, null),
                 (2, now() + interval '20 days', '{\"name\": \"ready\"}'::jsonb, 'queued', now()),
                 (3, now(), null, 'queued', now())) as m(n, at, template, status, due_at);
    insert into attempts (account_id, message_id, attempt, outcome, provider_message_id)
        select account_id, message_id, 1, 'accepted', 'wamid.1' from messages where log_id = 1;
    insert into events (account_id, event_id, kind, instance_id, message_id, recipient, message_text)
        select account_id, message_id, 'recipient.opted_out', instance_id, null, recipient, 'STOP' from messages;
    insert into webhook_deliveries (account_id, event_id, endpoint_id, due_at)
        select account_id, event_id, event_id, now() from events;
    insert into webhook_attempts (account_id, event_id, endpoint_id, attempt, duration_ms)
        select account_id, event_id, event_id, 1, 5 from events;
    insert into policy_log (account_id, api_key_id, action, risk_score, message_id, request_id)
        select account_id, message_id, 'allow', 0, message_id, request_id from messages";

/// Applies the migrations up to that version, and says so as `gateway migrate` would.
async fn migrated_until(services: &Services, version: i32) -> (String, Client) {
    let newest = World::new(services).await.database().await;
    let url = empty_database(services.database_url()).await;
    let database = connect(&url).await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    let sql = "select version, name, applied_on, checksum from refinery_schema_history where version <= $1 order by 1";
    database
        .batch_execute(
            "create table refinery_schema_history
                (version int4 primary key, name varchar(255), applied_on varchar(255), checksum varchar(255))",
        )
        .await
        .expect("the history can be made");
    for row in newest.query(sql, &[&version]).await.expect("the history can be read") {
        let (version, name): (i32, String) = (row.get(0), row.get(1));
        let text = fs::read_to_string(folder.join(format!("V{version}__{name}.sql"))).expect("a migration");
        database.batch_execute(&text).await.expect("a migration can be applied");
        let (applied_on, checksum): (String, String) = (row.get(2), row.get(3));
        let insert = "insert into refinery_schema_history values ($1, $2, $3, $4)";
        database.execute(insert, &[&version, &name, &applied_on, &checksum]).await.expect("a row");
    }
    (url, database)
}

/// Every row is there afterwards, the texts in their own table, what was ahead of its time in its own partition; every
/// partition has every index; and builds that know nothing of it are refused.
pub async fn partitions_take_over_what_was_there_before(services: &Services) {
    let (url, database) = migrated_until(services, BEFORE).await;
    database.batch_execute(ROWS).await.expect("rows can be made");
    let environment = [("DATABASE_URL".to_owned(), url.clone())];
    let output = command(Binary::Gateway, &environment).arg("migrate").output().await.expect("it can be run");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(printed.starts_with("applied 13"), "{printed}{}", String::from_utf8_lossy(&output.stderr));

    for table in
        ["messages", "message_texts", "events", "webhook_deliveries", "webhook_attempts", "policy_log"]
    {
        assert_eq!(count(&database, &format!("select count(*) from {table}")).await, 3, "{table}");
        assert_eq!(count(&database, &format!("select count(*) from {table}_default")).await, 0, "{table}");
    }
    let whole = "select count(*) from messages m join message_texts t using (account_id, message_id)
        where t.body = 'Text ' || m.log_id and m.free_text = (m.log_id <> 2) and (t.template ->> 'name' = 'ready') is not distinct from
              case m.log_id when 2 then true end";
    assert_eq!(count(&database, whole).await, 3);
    let before = "select count(*) from message_texts where tableoid::regclass::text like 'message\\_texts\\_before\\_%'";
    assert_eq!(
        count(&database, before).await,
        2,
        "what was there is the first partition, what was ahead has its own"
    );
    let before = "select count(*) from messages where tableoid::regclass::text like 'messages\\_before\\_%'";
    assert!(count(&database, before).await >= 2);
    let unindexed =
        "select count(*) from pg_inherits i join pg_class c on c.oid = i.inhrelid and c.relkind = 'r'
        where (select count(*) from pg_index where indrelid = i.inhrelid)
            < (select count(*) from pg_index where indrelid = i.inhparent)";
    assert_eq!(count(&database, unindexed).await, 0);
    assert_eq!(count(&database, "select oldest_build_served()::int8").await, 13);
}
