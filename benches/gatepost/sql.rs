//! What the benches ask of the database themselves, and the bare insert that the floor is made of.

use std::collections::HashMap;

use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Statement};
use uuid::Uuid;

use crate::support::eventually;

/// What the durability of a commit depends on.
const DURABILITY: [&str; 6] =
    ["server_version", "fsync", "synchronous_commit", "full_page_writes", "wal_level", "shared_buffers"];

/// The server's settings, by name.
pub async fn durability(database: &Client) -> Vec<(&'static str, String)> {
    let mut settings = Vec::new();
    for name in DURABILITY {
        let row = database.query_one(&format!("show {name}"), &[]).await.expect("a setting of Postgres's");
        settings.push((name, row.get(0)));
    }
    settings
}

/// Keeps the benches' own looks from counting as what is looked for: a small table would be read from end to end.
pub async fn prefer_indexes(database: &Client) {
    database.batch_execute("set enable_seqscan = off").await.expect("a setting of Postgres's");
}

/// How often each big table, or part of one, was read from end to end.
pub async fn sequential_scans(database: &Client) -> HashMap<String, i64> {
    const BIG: &str =
        "^(messages|message_texts|attempts|events|policy_log|webhook_deliveries|webhook_attempts)(_|$)";
    // What this session has read itself, to make partitions say, is counted now and not some time during what is measured.
    database.batch_execute("select pg_stat_force_next_flush()").await.expect("PostgreSQL 15 or later");
    let sql = "select relname::text, coalesce(seq_scan, 0) from pg_stat_user_tables where relname ~ $1";
    let rows = database.query(sql, &[&BIG]).await.expect("the statistics can be read");
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// Waits until every other session of this database has ended: what it did is counted then.
pub async fn wait_until_alone(database: &Client) {
    let sql = "select count(*) from pg_stat_activity
        where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'";
    eventually("the sessions end", async || (count(database, sql).await == 0).then_some(())).await;
}

/// How many messages have not come to an end.
pub async fn messages_due(database: &Client) -> i64 {
    count(database, "select count(*) from messages where due_at is not null").await
}

/// How many webhooks have not come to an end.
pub async fn webhooks_due(database: &Client) -> i64 {
    count(database, "select count(*) from webhook_deliveries where due_at is not null").await
}

/// How many webhooks there were, those that failed for good included.
pub async fn webhooks_owed(database: &Client) -> i64 {
    count(database, "select count(*) from webhook_deliveries").await
}

/// How many callbacks have not had their effect.
pub async fn callbacks_due(database: &Client) -> i64 {
    count(database, "select count(*) from callbacks where due_at is not null").await
}

async fn count(database: &Client, sql: &str) -> i64 {
    database.query_one(sql, &[]).await.expect("the database answers").get(0)
}

/// Inserts into a table with the columns, constraints and indexes of `messages`, and the text, and nothing else.
pub struct BareInsert {
    database: Client,
    statement: Statement,
}

impl BareInsert {
    /// Makes the table, unless it is there.
    pub async fn new(database: Client) -> Self {
        let table =
            "create table if not exists bare_messages (like messages including all, body text not null)";
        database.batch_execute(table).await.expect("a table can be made");
        let sql = "insert into bare_messages (account_id, message_id, log_id, instance_id, purpose, lane, recipient, body,
                due_at, expires_at, quota_day, quota_month, request_id)
            select account_id, message_id, 1, 'shop-main', 'transactional', 'standard', recipient, body,
                now() + interval '4 seconds', now() + interval '1 day', current_date, current_date, request_id
            from unnest($1::int8[], $2::uuid[], $3::text[], $4::text[], $5::text[])
                as i(account_id, message_id, recipient, body, request_id)";
        let statement = database.prepare(sql).await.expect("a statement");
        Self { database, statement }
    }

    /// Commits one batch.
    pub async fn commit(&self, batch: &Batch) {
        let Batch { accounts, ids, recipients, bodies, requests } = batch;
        let params: [&(dyn ToSql + Sync); 5] = [accounts, ids, recipients, bodies, requests];
        self.database.execute(&self.statement, &params).await.expect("rows can be inserted");
    }
}

/// Rows of messages, as columns.
#[derive(Clone, Default)]
pub struct Batch {
    pub accounts: Vec<i64>,
    pub ids: Vec<Uuid>,
    pub recipients: Vec<String>,
    pub bodies: Vec<String>,
    pub requests: Vec<String>,
}
