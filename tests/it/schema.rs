//! The schema: brought up to date by `gateway migrate`, insisted on by everything else, kept by tenant, explained.

use std::fs;
use std::path::Path;
use std::time::Duration;

use gatepost::store::migrations;
use sha2::{Digest, Sha256};
use tokio_postgres::Client;

use crate::support::process::{Binary, Process, command};
use crate::support::services::{Services, free_port};
use crate::support::world::{World, connect, empty_database};

/// The migrations and the beginnings of their SHA-256. A line is added for a new one; none is ever changed, because a database
/// to which another text was applied under that version refuses all later ones.
const MIGRATIONS: &[(&str, &str)] = &[
    ("V1__first_schema", "c49f0839590d135f"),
    ("V2__the_guards_memory", "ad57be3a05f69371"),
    ("V3__evolution_callbacks", "d62599c31436b113"),
    ("V4__evolution_sending", "a99f3a0fdd72396e"),
    ("V5__what_an_unknown_outcome_becomes", "6c2fbfb2c6b09f1f"),
    ("V6__windows_templates_and_business_accounts", "04de964e399f9c92"),
    ("V7__suspicion_and_look_ups", "91ca8a700ded7001"),
    ("V8__words_and_answers_of_opting_out", "7a1691f92dca0c07"),
    ("V9__wishes_about_marketing", "3c6c90c5c99811c6"),
    ("V10__audit", "810d51a4a4d772eb"),
    ("V11__which_builds_the_schema_serves", "1b6f9282ae5b30af"),
    ("V12__due_by_tenant", "3e188ea2eaa044d3"),
    ("V13__partitions_by_time", "dab2cc3dc78342b8"),
    ("V14__events_found_by_their_key", "161c90d90e62c871"),
];

/// Columns that need no comment, because the name, or the comment of its table or of the column it refers to, says all.
const PLAIN: &[&str] = &[
    "account_id",
    "base_url",
    "paused_reason",
    "previous_secret_until",
    "action",
    "answer_code",
    "api_key_id",
    "body",
    "created_at",
    "disabled_at",
    "disabled_reason",
    "duration_ms",
    "endpoint_id",
    "error",
    "error_code",
    "event_id",
    "expires_at",
    "finished_at",
    "hold_reason",
    "http_status",
    "instance_id",
    "key",
    "key_id",
    "kind",
    "lane",
    "log_id",
    "message_id",
    "name",
    "occurred_at",
    "period",
    "previous_state",
    "previous_status",
    "provider",
    "provider_message_id",
    "purpose",
    "reason",
    "received_at",
    "recipient",
    "request_id",
    "revoked_at",
    "risk_score",
    "sender",
    "source",
    "started_at",
    "status",
    "updated_at",
    "url",
    "at",
];

/// Runs `gateway migrate`; gives its exit code and what it printed to the two streams.
async fn migrate(database_url: &str) -> (Option<i32>, String, String) {
    let environment = [("DATABASE_URL".to_owned(), database_url.to_owned())];
    let output = command(Binary::Gateway, &environment).arg("migrate").output().await.expect("it can be run");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("it prints UTF-8");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// The columns and indexes of everything, as text.
async fn shape(database: &Client) -> String {
    let sql = "select coalesce(string_agg(line, E'\\n' order by line), '') from (
                   select concat_ws(' ', table_name, column_name, data_type, column_default, is_nullable) as line
                   from information_schema.columns where table_schema = 'public'
                   union all select indexdef from pg_indexes where schemaname = 'public'
                   union all select concat_ws(' ', version, name, checksum) from refinery_schema_history) lines";
    database.query_one(sql, &[]).await.expect("the catalogue can be read").get(0)
}

async fn strings(database: &Client, sql: &str) -> Vec<String> {
    database.query(sql, &[]).await.expect("the catalogue can be read").iter().map(|row| row.get(0)).collect()
}

/// `gateway migrate` run again finds nothing to do and changes nothing.
pub async fn schema_is_migrated_once(services: &Services) {
    let url = empty_database(services.database_url()).await;
    let (code, first, log) = migrate(&url).await;
    assert_eq!((code, first.starts_with("applied 1")), (Some(0), true), "{first}{log}");
    let database = connect(&url).await;
    let before = shape(&database).await;
    let (code, again, log) = migrate(&url).await;
    assert_eq!((code, again.as_str()), (Some(0), "up to date\n"), "{log}");
    assert_eq!(shape(&database).await, before);
}

/// Four processes that migrate one empty database at once all succeed: one works, three find it done, and the schema is
/// the same as after one alone.
pub async fn schema_is_migrated_by_four_at_once(services: &Services) {
    let (url, alone) =
        (empty_database(services.database_url()).await, empty_database(services.database_url()).await);
    let (one, two, three, four) = tokio::join!(migrate(&url), migrate(&url), migrate(&url), migrate(&url));
    let mut printed = Vec::new();
    for (code, out, log) in [one, two, three, four] {
        assert_eq!(code, Some(0), "{out}{log}");
        printed.push(out);
    }
    printed.sort();
    assert!(printed[0].starts_with("applied 1"), "{printed:?}");
    assert_eq!(printed[1..], ["up to date\n", "up to date\n", "up to date\n"]);
    assert_eq!(migrate(&alone).await.0, Some(0));
    assert_eq!(shape(&connect(&url).await).await, shape(&connect(&alone).await).await);
}

/// Every binary, and the operator's commands, refuse an older schema at start, and a newer one that does not serve them
/// any more, naming the versions. A newer one that does is good enough for all of them.
pub async fn schema_of_another_version_is_refused_by_name(services: &Services) {
    let needed = migrations::needed();
    let mut world = World::new(services).await;
    let database = world.database().await;
    let newer = "insert into refinery_schema_history (version, name, applied_on, checksum)
                 values (999, 'later', '2030-01-01T00:00:00Z', '1')";
    database.execute(newer, &[]).await.expect("the history can be written");
    drop(world.start_all().await);
    world.admin(&["account", "list"]).await;
    let (code, out, log) = migrate(&world.database_url).await;
    assert_eq!((code, out.as_str()), (Some(1), ""), "an older build does not migrate: {log}");
    assert!(log.contains("999"), "{log}");

    let oldest = needed + 1;
    let contract =
        "create or replace function oldest_build_served() returns integer language sql immutable return";
    database.batch_execute(&format!("{contract} {oldest}")).await.expect("it can be replaced");
    let serves =
        format!("which serves builds made for {oldest} or later, and this one was made for {needed}");
    refused(&world, &format!("the database has schema version 999, {serves}: replace it")).await;

    let empty = empty_database(services.database_url()).await;
    world.set("DATABASE_URL", empty);
    refused(
        &world,
        &format!("the database has schema version 0, this build needs {needed}: run `gateway migrate`"),
    )
    .await;
}

async fn refused(world: &World, expected: &str) {
    for binary in Binary::ALL {
        let mut process = Process::start(binary, &world.environment(), free_port(), &world.folder);
        let code = process.wait(Duration::from_secs(20)).await;
        assert_eq!(code, Some(1), "{binary:?} ends by itself: {}", process.log());
        assert!(process.log().contains(expected), "{binary:?}: {}", process.log());
    }
    let (code, out, error) = world.run_admin(&["account", "list"]).await;
    assert_eq!((code, out.as_str()), (1, ""), "{error}");
    assert!(error.contains(expected), "{error}");
}

/// Every table but the migrations' own history has a primary key that begins with `account_id`, and so has every foreign
/// key: the tables can be distributed by tenant.
pub async fn schema_is_keyed_by_tenant(services: &Services) {
    let world = World::new(services).await;
    let database = world.database().await;
    let tables = "select table_name::text from information_schema.tables
                  where table_schema = 'public' and table_name <> 'refinery_schema_history' order by 1";
    let tables = strings(&database, tables).await;
    assert!(tables.len() >= 15, "{tables:?}");
    let keyed = "select t.table_name::text from information_schema.table_constraints t
                 join information_schema.key_column_usage k using (constraint_schema, constraint_name)
                 where t.table_schema = 'public' and t.constraint_type = 'PRIMARY KEY'
                   and k.ordinal_position = 1 and k.column_name = 'account_id' order by 1";
    assert_eq!(strings(&database, keyed).await, tables);
    let foreign = "select t.constraint_name::text from information_schema.table_constraints t
                   join information_schema.key_column_usage k using (constraint_schema, constraint_name)
                   where t.table_schema = 'public' and t.constraint_type = 'FOREIGN KEY'
                     and k.ordinal_position = 1 and k.column_name <> 'account_id'";
    assert_eq!(strings(&database, foreign).await, Vec::<String>::new());
}

/// Every column whose name does not say all has a comment.
pub async fn schema_explains_its_columns(services: &Services) {
    let world = World::new(services).await;
    let database = world.database().await;
    let sql = "select c.relname || '.' || a.attname from pg_class c
               join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
               where c.relkind in ('r', 'p') and not c.relispartition and c.relnamespace = 'public'::regnamespace
                 and c.relname <> 'refinery_schema_history'
                 and coalesce(col_description(c.oid, a.attnum), '') = '' order by 1";
    let unexplained: Vec<String> = strings(&database, sql).await;
    let plain = |column: &String| column.split_once('.').is_some_and(|(_, name)| PLAIN.contains(&name));
    let unexplained: Vec<&String> = unexplained.iter().filter(|column| !plain(column)).collect();
    assert!(unexplained.is_empty(), "neither explained nor plain: {unexplained:?}");
}

/// What was applied to somebody's database stays as it is.
pub async fn schema_that_was_released_is_not_changed(_: &Services) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    let mut found: Vec<(String, String)> = fs::read_dir(folder)
        .expect("the folder can be read")
        .map(|entry| entry.expect("an entry").path())
        .map(|path| {
            let sum = hex::encode(Sha256::digest(fs::read(&path).expect("it can be read")));
            let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
            (name, sum[..16].to_owned())
        })
        .collect();
    found.sort();
    let mut expected: Vec<(String, String)> =
        MIGRATIONS.iter().map(|(name, sum)| ((*name).to_owned(), (*sum).to_owned())).collect();
    expected.sort();
    assert_eq!(found, expected);
}
