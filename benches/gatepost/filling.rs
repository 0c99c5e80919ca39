//! Rows that a bench finds there already, made by the database itself: all that has to follow a change of the tables.

use gatepost::domain::rate::Rate;
use gatepost::runtime::secrets::{SecretKey, api_key_hash, new_api_key};
use gatepost::store::senders::token_context;
use tokio_postgres::Client;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::letters::phone;
use crate::support::past;
use crate::support::world::{Customer, SECRET_KEY};

/// Messages of the past in one statement.
const PIECE: i64 = 200_000;

fn secret_key() -> SecretKey {
    SecretKey::from_base64(SECRET_KEY).expect("the tests' key")
}

/// Has the accounts know the first so many people: they have written to them before.
pub async fn know(database: &Client, accounts: &[i64], people: u64) {
    let secret_key = secret_key();
    let recipients: Vec<i64> = (0..people).map(|n| secret_key.fingerprint("phone", &phone(n))).collect();
    let sql = "insert into contacts (account_id, recipient)
        select a, r from unnest($1::int8[]) a cross join unnest($2::int8[]) r";
    database.execute(sql, &[&accounts, &recipients]).await.expect("contacts can be made");
    database.batch_execute("vacuum analyze contacts").await.expect("it can be analysed");
}

/// Makes customers like one that the operator's commands have made, each with an account, an instance and a key of its own.
pub async fn copies(database: &Client, of: &Customer, rate: Rate, count: usize) -> Vec<Customer> {
    let sql = "insert into accounts (name, plan, daily_limit, monthly_limit)
        select a.name, a.plan, a.daily_limit, a.monthly_limit
        from accounts a cross join generate_series(1, $2::int8) where a.account_id = $1 returning account_id";
    let made = database.query(sql, &[&of.account_id, &(count as i64)]).await.expect("accounts can be made");
    let customers: Vec<Customer> = made.iter().enumerate().map(|(n, row)| copy(of, n, row.get(0))).collect();
    let secret_key = secret_key();
    let sealed = customers
        .iter()
        .map(|customer| secret_key.seal(&token_context(customer.account_id, &customer.instance), b"sandbox"));
    let accounts: Vec<i64> = customers.iter().map(|customer| customer.account_id).collect();
    let numbers: Vec<&str> = customers.iter().map(|customer| customer.phone_number_id.as_str()).collect();
    let keys: Vec<Uuid> = customers.iter().map(|customer| customer.key_id.parse().expect("a UUID")).collect();
    let hashes: Vec<Vec<u8>> = customers.iter().map(|customer| api_key_hash(&customer.key)).collect();
    let tokens: Vec<Vec<u8>> = sealed.collect();
    let sql = "with made as (
            insert into instances (account_id, instance_id, name, provider, base_url, phone_number_id, token_sealed,
                interval_us, burst)
            select c.account_id, i.instance_id, i.name, i.provider, i.base_url, c.number, c.token, $5, $6
            from unnest($2::int8[], $3::text[], $4::bytea[]) as c(account_id, number, token)
            join instances i on i.account_id = $1
            returning account_id, instance_id
        ), paced as (
            insert into pacing (account_id, instance_id, lane, next_at)
            select account_id, instance_id, lane, now() from made cross join unnest('{priority,standard}'::text[]) lane
        )
        insert into api_keys (account_id, key_id, name, hint, key_hash)
        select account_id, key_id, 'bench', 'gp_live_', hash
        from unnest($2::int8[], $7::uuid[], $8::bytea[]) as k(account_id, key_id, hash)";
    let params: [&(dyn ToSql + Sync); 8] =
        [&of.account_id, &accounts, &numbers, &tokens, &rate.interval_us, &rate.burst, &keys, &hashes];
    database.execute(sql, &params).await.expect("instances and keys can be made");
    customers
}

fn copy(of: &Customer, n: usize, account_id: i64) -> Customer {
    Customer {
        account: account_id.to_string(),
        account_id,
        phone_number_id: format!("2{n:014}"),
        key: new_api_key(),
        key_id: Uuid::now_v7().to_string(),
        ..of.clone()
    }
}

/// Makes messages that the provider has taken, numbered from 0: `wamid.BENCH<n>`, to the `n`-th person.
pub async fn sent_messages(database: &Client, account_id: i64, count: i64) {
    let recipients: Vec<String> = (0..count.unsigned_abs()).map(phone).collect();
    let sql = "with made as (
            insert into messages (account_id, message_id, log_id, instance_id, purpose, lane, recipient, status,
                sequence, calls, expires_at, provider_message_id, reached_provider, quota_day, quota_month, request_id)
            select $1, (left(first_id_of(now())::text, 14) || right(gen_random_uuid()::text, 22))::uuid, n, 'shop-main',
                'transactional', 'standard', recipient, 'sent', 2, 1, now() + interval '1 day', 'wamid.BENCH' || n - 1, true, now(),
                now(), 'bench'
            from unnest($2::text[]) with ordinality as r(recipient, n)
            returning account_id, message_id, provider_message_id)
        insert into attempts (account_id, message_id, attempt, outcome, provider_message_id)
        select account_id, message_id, 1, 'accepted', provider_message_id from made";
    database.execute(sql, &[&account_id, &recipients]).await.expect("messages can be made");
}

/// Makes messages of the last twenty days that have been delivered, each with an attempt, an event and its decision.
pub async fn history(database: &Client, accounts: &[i64], key_id: Uuid, count: i64) {
    const SQL: &str = "with input as materialized (
            select n, nextval('policy_log_ids') as log_id, ($1::int8[])[1 + n % array_length($1::int8[], 1)] as account_id,
                at, '9665' || (10000000 + n % 80000000) as recipient, 'wamid.PAST' || n as provider_id,
                -- As a UUIDv7: ordered by time.
                (lpad(to_hex((extract(epoch from at) * 1000)::int8), 12, '0') || '7' || substr(md5(n::text), 1, 3)
                    || '8' || substr(md5(n::text), 4, 15))::uuid as id
            from generate_series($2::int8, $3::int8) n
            cross join lateral (select now() - interval '20 days' * (1 - n::float8 / $4::int8)) t(at)
        ), m as (
            insert into messages (account_id, message_id, log_id, instance_id, purpose, lane, recipient, status,
                sequence, attempts, calls, expires_at, provider_message_id, reached_provider, quota_day, quota_month,
                request_id, created_at, updated_at)
            select account_id, id, log_id, 'shop-main', 'transactional', 'standard', recipient, 'delivered', 3, 1, 1, at + interval '1 day', provider_id, true, at, date_trunc('month', at),
                id::text, at, at
            from input
        ), t as (
            insert into message_texts (account_id, message_id, body)
            select account_id, id,
                'Your order ' || n || ' has been shipped and will be with you on Tuesday between 10:00 and 14:00.'
            from input
        ), a as (
            insert into attempts (account_id, message_id, attempt, started_at, finished_at, outcome, provider_message_id)
            select account_id, id, 1, at, at, 'accepted', provider_id from input
        ), e as (
            insert into events (account_id, event_id, kind, instance_id, message_id, recipient, status, previous_status,
                sequence, request_id, occurred_at)
            select account_id, id, 'message.status_updated', 'shop-main', id, recipient, 'delivered', 'sent', 3,
                id::text, at
            from input
        )
        insert into policy_log (account_id, log_id, created_at, api_key_id, instance_id, purpose, action, risk_score,
            recipient_hash, message_id, request_id)
        select account_id, log_id, at, $5, 'shop-main', 'transactional', 'allow', 0, decode(md5(recipient), 'hex'), id,
            id::text
        from input";
    past::partitions(database, 1, 4).await;
    let mut first = 1;
    while first <= count {
        let last = count.min(first + PIECE - 1);
        let params: [&(dyn ToSql + Sync); 5] = [&accounts, &first, &last, &count, &key_id];
        database.execute(SQL, &params).await.expect("the past can be made");
        if last % 1_000_000 == 0 {
            eprintln!("bench: {last} messages are there already");
        }
        first = last + 1;
    }
    database.batch_execute("vacuum analyze").await.expect("it can be analysed");
    database.batch_execute("checkpoint").await.expect("what was made is on the disk");
}
