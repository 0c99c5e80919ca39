//! What the benches ask of the database themselves: everything that has to follow a change of the schema.

use gatepost::runtime::secrets::SecretKey;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Statement};
use uuid::Uuid;

use crate::letters::phone;
use crate::support::world::SECRET_KEY;

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

/// Has the accounts know the first so many people: they have written to them before.
pub async fn know(database: &Client, accounts: &[i64], people: u64) {
    let secret_key = SecretKey::from_base64(SECRET_KEY).expect("the tests' key");
    let recipients: Vec<i64> = (0..people).map(|n| secret_key.fingerprint("phone", &phone(n))).collect();
    let sql = "insert into contacts (account_id, recipient)
        select a, r from unnest($1::int8[]) a cross join unnest($2::int8[]) r";
    database.execute(sql, &[&accounts, &recipients]).await.expect("contacts can be made");
    database.batch_execute("vacuum analyze contacts").await.expect("it can be analysed");
}

/// How many messages have not come to an end.
pub async fn messages_due(database: &Client) -> i64 {
    count(database, "select count(*) from messages where due_at is not null").await
}

/// How many webhooks have not come to an end.
pub async fn webhooks_due(database: &Client) -> i64 {
    count(database, "select count(*) from webhook_deliveries where due_at is not null").await
}

/// How many callbacks have not had their effect.
pub async fn callbacks_due(database: &Client) -> i64 {
    count(database, "select count(*) from callbacks where due_at is not null").await
}

/// Makes messages that the provider has taken, numbered from 0: `wamid.BENCH<n>`, to the `n`-th person.
pub async fn sent_messages(database: &Client, account_id: i64, count: i64) {
    let recipients: Vec<String> = (0..count.unsigned_abs()).map(phone).collect();
    let sql = "with made as (
            insert into messages (account_id, message_id, log_id, instance_id, purpose, lane, recipient, body, status,
                sequence, calls, expires_at, provider_message_id, reached_provider, quota_day, quota_month, request_id)
            select $1, gen_random_uuid(), n, 'shop-main', 'transactional', 'standard', recipient,
                'Your order is ready.', 'sent', 2, 1, now() + interval '1 day', 'wamid.BENCH' || n - 1, true, now(),
                now(), 'bench'
            from unnest($2::text[]) with ordinality as r(recipient, n)
            returning account_id, message_id, provider_message_id)
        insert into attempts (account_id, message_id, attempt, outcome, provider_message_id)
        select account_id, message_id, 1, 'accepted', provider_message_id from made";
    database.execute(sql, &[&account_id, &recipients]).await.expect("messages can be made");
}

async fn count(database: &Client, sql: &str) -> i64 {
    database.query_one(sql, &[]).await.expect("the database answers").get(0)
}

/// Inserts into a table with the columns, constraints and indexes of `messages`, and nothing else.
pub struct BareInsert {
    database: Client,
    statement: Statement,
}

impl BareInsert {
    /// Makes the table, unless it is there.
    pub async fn new(database: Client) -> Self {
        let table = "create table if not exists bare_messages (like messages including all)";
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
