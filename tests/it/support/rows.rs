//! What the tests read in the database.

use tokio_postgres::Client;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::eventually;

/// One rise of a message's status, as its event tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rise {
    pub sequence: i16,
    pub from: String,
    pub to: String,
    pub error: Option<String>,
}

/// Every rise of a message in its order.
pub async fn rises(database: &Client, message_id: &str) -> Vec<Rise> {
    let sql = "select sequence, previous_status::text, status::text, error from events
        where message_id = $1::text::uuid and kind = 'message.status_updated' order by sequence, event_id";
    let rows = database.query(sql, &[&message_id]).await.expect("the database answers");
    let read = |row: &tokio_postgres::Row| Rise {
        sequence: row.get(0),
        from: row.get(1),
        to: row.get(2),
        error: row.get(3),
    };
    rows.iter().map(read).collect()
}

/// The statuses a message went through, after checking that each rise begins where the one before ended, that they are
/// numbered without gaps, and that the message's row says the same.
pub async fn life(database: &Client, message_id: &str) -> String {
    let rises = rises(database, message_id).await;
    let mut status = "queued".to_owned();
    let mut life = vec![status.clone()];
    for (place, rise) in (1..).zip(&rises) {
        assert_eq!((rise.sequence, &rise.from), (place, &status), "{message_id}: {rises:?}");
        status.clone_from(&rise.to);
        life.push(status.clone());
    }
    let sql = "select sequence, status::text from messages where message_id = $1::text::uuid";
    let row = database.query_one(sql, &[&message_id]).await.expect("the message exists");
    let told = i16::try_from(rises.len()).expect("few rises");
    assert_eq!((row.get::<_, i16>(0), row.get::<_, String>(1)), (told, status), "{message_id}: {rises:?}");
    life.join(" ")
}

/// The number a query gives.
pub async fn count(database: &Client, sql: &str) -> i64 {
    database.query_one(sql, &[]).await.unwrap_or_else(|error| panic!("{sql}: {error:?}")).get(0)
}

/// Waits until a query gives that number.
pub async fn wait_for_count(database: &Client, sql: &str, expected: i64) {
    eventually(&format!("{sql} gives {expected}"), async || {
        (count(database, sql).await == expected).then_some(())
    })
    .await;
}

/// The provider's id of a message, once it is recorded.
pub async fn provider_id(database: &Client, message_id: &str) -> String {
    eventually("the send is recorded", async || {
        let sql = "select provider_message_id from messages where message_id = $1::text::uuid";
        database.query_one(sql, &[&message_id]).await.expect("the message exists").get::<_, Option<String>>(0)
    })
    .await
}

/// Makes a message of the sender's whose call is under way, and which the provider knows by that id.
pub async fn message_under_way(
    database: &Client,
    (account_id, instance_id): (i64, &str),
    recipient: &str,
    provider_id: &str,
) -> String {
    let sql = "with m as (
            insert into messages (account_id, message_id, log_id, instance_id, purpose, lane, recipient, status,
                sequence, calls, in_flight, due_at, expires_at, quota_day, quota_month, request_id)
            values ($1, $5, 1, $2, 'transactional', 'standard', $3, 'sending',
                1, 1, true, now() + interval '1 hour', now() + interval '1 day', current_date, current_date, 'r')
            returning account_id, message_id
        ), t as (
            insert into message_texts (account_id, message_id, body) values ($1, $5, 'Your parcel is here.')
        ), a as (
            insert into attempts (account_id, message_id, attempt, provider_message_id)
            select account_id, message_id, 1, $4 from m
        ), e as (
            insert into events (account_id, event_id, kind, instance_id, message_id, recipient, status, previous_status,
                sequence)
            select account_id, gen_random_uuid(), 'message.status_updated', $2, message_id, $3, 'sending', 'queued', 1
            from m
        )
        select message_id::text from m";
    let params: [&(dyn ToSql + Sync); 5] =
        [&account_id, &instance_id, &recipient, &provider_id, &Uuid::now_v7()];
    database.query_one(sql, &params).await.expect("it can be made").get(0)
}

/// All rows of all tables, as text, a table's name before them; bytes as hexadecimal digits.
pub async fn dump(database: &Client) -> String {
    let tables =
        "select table_name::text from information_schema.tables where table_schema = 'public' order by 1";
    let mut text = String::new();
    for row in database.query(tables, &[]).await.expect("the catalogue can be read") {
        let table: String = row.get(0);
        let rows =
            format!("select coalesce(string_agg(t::text, E'\\n' order by t::text), '') from {table} t");
        text.push_str(&format!("\n{table}\n"));
        text.push_str(database.query_one(&rows, &[]).await.expect("a table can be read").get(0));
    }
    text
}

/// All rows of an account's in all tables that have tenants, as text, a table's name before them.
pub async fn dump_of(database: &Client, account_id: i64) -> String {
    let tables = "select table_name::text from information_schema.columns
        where table_schema = 'public' and column_name = 'account_id' order by 1";
    let mut text = String::new();
    for row in database.query(tables, &[]).await.expect("the catalogue can be read") {
        let table: String = row.get(0);
        let rows = format!(
            "select coalesce(string_agg(t::text, E'\\n' order by t::text), '') from {table} t where account_id = $1"
        );
        text.push_str(&format!("\n{table}\n"));
        text.push_str(database.query_one(&rows, &[&account_id]).await.expect("a table can be read").get(0));
    }
    text
}
